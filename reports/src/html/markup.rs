//! Markup that is finished: everything from outside in it is already escaped.

use std::fmt;

use super::text::escape_text;

/// A piece of the page. The templates print it as it is, and escape everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markup(String);

impl Markup {
    /// Text from anywhere, escaped.
    pub(crate) fn text(text: &str) -> Self {
        Self(escape_text(text))
    }

    /// Markup composed in this crate; what is put into it must be escaped by the caller.
    pub(crate) fn composed(markup: String) -> Self {
        Self(markup)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Markup {}
