//! What a message is published under.

use crate::Encoded;

/// What a message is published under: text of the code, or made at run time after a template of the code.
///
/// ```
/// # use weighbridge_agent::messages::Topic;
/// let fixed = Topic::from("orders.created");
/// assert_eq!(fixed.name(), fixed.as_str());
///
/// let customer = 4711;
/// let made = Topic::of("orders.{customer}", format!("orders.{customer}"));
/// assert_eq!((made.name(), made.as_str()), ("orders.{customer}", "orders.4711"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    template: &'static str,
    made: Option<String>,
    encoded: Option<Encoded>,
}

impl Topic {
    /// A topic made at run time. It is booked under the template: what was filled in reaches no label.
    #[must_use]
    pub fn of(template: &'static str, topic: impl Into<String>) -> Self {
        Self {
            template,
            made: Some(topic.into()),
            encoded: None,
        }
    }

    /// Says what it cost to encode the message that is published under it: so it stands on the edge too.
    ///
    /// ```
    /// # use weighbridge_agent::{Encoded, messages::Topic};
    /// let (payload, encoded) = Encoded::run(|| b"[1,2]".to_vec());
    /// let topic = Topic::from("orders.created").encoded(encoded);
    /// # drop((payload, topic));
    /// ```
    #[must_use]
    pub fn encoded(mut self, encoded: Encoded) -> Self {
        self.encoded = Some(encoded);
        self
    }

    /// What its message cost to encode, where it is told.
    pub(crate) fn cost(&self) -> Option<Encoded> {
        self.encoded
    }

    /// The name under which it is booked.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.template
    }

    /// The topic itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.made.as_deref().unwrap_or(self.template)
    }

    /// The topic itself, made at run time, or the template that is the topic.
    pub(crate) fn into_made(self) -> Result<String, &'static str> {
        self.made.ok_or(self.template)
    }
}

impl From<&'static str> for Topic {
    fn from(topic: &'static str) -> Self {
        Self {
            template: topic,
            made: None,
            encoded: None,
        }
    }
}
