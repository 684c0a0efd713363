//! What becomes of a consumed message.

/// What becomes of a consumed message at its broker, and of its request.
///
/// Handlers return it, or `()` (accept), or a `Result` (`Err`: requeue).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disposition {
    /// It is done.
    #[default]
    Accept,
    /// It failed and shall come again. An error of the request.
    Requeue,
    /// It cannot be handled: the broker drops it or makes it a dead letter. An error of the request.
    Reject,
}

impl Disposition {
    /// That of a message whose handler panicked: a second try, and no third one. A message that breaks its
    /// handler would otherwise come for ever.
    #[must_use]
    pub fn after_panic(redelivered: bool) -> Self {
        if redelivered {
            Self::Reject
        } else {
            Self::Requeue
        }
    }
}

impl From<()> for Disposition {
    fn from((): ()) -> Self {
        Self::Accept
    }
}

impl<E> From<Result<(), E>> for Disposition {
    fn from(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::Accept,
            Err(_) => Self::Requeue,
        }
    }
}
