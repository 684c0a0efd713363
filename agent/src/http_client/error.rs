//! What can go wrong with a call.

use std::error::Error as StdError;
use std::time::Duration;

use http::StatusCode;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The base address cannot be used.
    #[error("`{base}` is not a base address; write `http://HOST:PORT`, TLS is not spoken")]
    Base {
        /// What was given.
        base: String,
    },
    /// The request cannot be built.
    #[error("cannot build {target}: {reason}")]
    Build {
        /// Method and template.
        target: String,
        /// What is wrong.
        reason: String,
    },
    /// The value could not be serialised.
    #[error("cannot encode the body of {target}")]
    Encode {
        /// Method and template.
        target: String,
        /// What the serialiser said.
        #[source]
        source: serde_json::Error,
    },
    /// No connection. The request was not sent.
    #[error("cannot connect to {peer} for {target}; is it running at the given address?")]
    Connect {
        /// The peer as the client names it.
        peer: String,
        /// Method and template.
        target: String,
        /// What happened.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The time was up. The peer may have done the work.
    #[error("{peer} did not answer {target} within {after:?}")]
    Timeout {
        /// The peer as the client names it.
        peer: String,
        /// Method and template.
        target: String,
        /// The time that was allowed.
        after: Duration,
    },
    /// The connection broke. The peer may have done the work.
    #[error("the connection to {peer} broke during {target}")]
    Broken {
        /// The peer as the client names it.
        peer: String,
        /// Method and template.
        target: String,
        /// What happened.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The response is larger than allowed.
    #[error(
        "the response of {peer} to {target} is longer than {bytes_max} bytes; read it in chunks or raise the limit with `Client::with_body_bytes_max`"
    )]
    TooLarge {
        /// The peer as the client names it.
        peer: String,
        /// Method and template.
        target: String,
        /// The limit.
        bytes_max: usize,
    },
    /// The body is not what was expected.
    #[error("cannot decode the response of {peer} to {target}")]
    Decode {
        /// The peer as the client names it.
        peer: String,
        /// Method and template.
        target: String,
        /// What the deserialiser said.
        #[source]
        source: serde_json::Error,
    },
    /// The peer answered with an error, and [`Response::error_for_status`](super::Response::error_for_status)
    /// was asked.
    #[error("{peer} answered {target} with {status}")]
    Status {
        /// The peer as the client names it.
        peer: String,
        /// Method and template.
        target: String,
        /// The status.
        status: StatusCode,
    },
}

impl ClientError {
    /// The status, when the peer answered with an error.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// True when the request certainly was not sent.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }

    /// True when the time was up.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}
