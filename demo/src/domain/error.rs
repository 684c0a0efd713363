//! What can go wrong in the business.

use thiserror::Error;

/// An error of a component, in the caller's terms.
#[derive(Debug, Error)]
pub(crate) enum DomainError {
    /// Nothing of that name.
    #[error("no {what} `{id}`; ask for one that exists")]
    NotFound { what: &'static str, id: String },
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The database failed.
    #[error("the database failed: {0}")]
    Store(String),
    /// Another service failed.
    #[error("`{peer}` could not answer: {reason}")]
    Call { peer: String, reason: String },
}

impl From<rusqlite::Error> for DomainError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}

impl DomainError {
    pub(crate) fn call(peer: &str, reason: impl std::fmt::Display) -> Self {
        Self::Call {
            peer: peer.to_owned(),
            reason: reason.to_string(),
        }
    }
}
