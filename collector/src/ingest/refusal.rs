//! Why a delta was not taken in.

use http::StatusCode;

/// Why a delta was not taken in: what is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a delta.
    #[error(
        "the body cannot be taken as a delta: {0}. Send what weighbridge-agent {version} sends, as \
         `Content-Type: application/x-protobuf`; do not send these bytes again",
        version = env!("CARGO_PKG_VERSION")
    )]
    Malformed(String),
    /// Not an OTLP request.
    #[error(
        "the body is not OTLP: {0}; check that content type and body agree, and do not send these bytes again"
    )]
    NotOtlp(String),
    /// Not said to be protobuf.
    #[error("unsupported content type; deltas are sent as `Content-Type: application/x-protobuf`")]
    ContentType,
    /// Compressed in a way that is not read here.
    #[error("unsupported content encoding; send the body plain, or with gzip or zstd")]
    ContentEncoding,
    /// The token may not send this service.
    #[error(
        "the token of this request may not send a service of this name; use the token of that service, or \
         add the name to its `services` in the collector's configuration"
    )]
    Service,
    /// Too many bytes, compressed or not.
    #[error("the body is larger than {limit_bytes} bytes; send shorter windows")]
    TooLarge {
        /// The limit that it went beyond, bytes.
        limit_bytes: usize,
    },
    /// A frame of zstd makes its reader remember too much.
    #[error(
        "the zstd frame asks for a window of more than {limit_bytes} bytes, the most that HTTP allows (RFC 9659); \
         compress without long-distance matching and below the ultra levels, or with gzip"
    )]
    Window {
        /// The limit that it went beyond, bytes.
        limit_bytes: u64,
    },
    /// The body did not come completely.
    #[error("the body ended early or came too slowly; send it again")]
    Interrupted,
    /// Beyond the lateness horizon.
    #[error(
        "the window is older than the collector still takes in (its setting `lateness`); check the \
         clock of the sender, and do not send this delta again"
    )]
    TooOld,
    /// In the future.
    #[error(
        "the window lies in the future (beyond the collector's setting `ahead`); check the clocks of \
         sender and collector, and do not send this delta again"
    )]
    Ahead,
    /// The sequence numbers of this epoch are full of holes.
    #[error(
        "the sequence numbers of this epoch have more gaps than the collector keeps account of (its \
         setting `ranges_per_epoch`); deltas of an epoch count up from 0 without gaps"
    )]
    TooManyGaps,
    /// More process starts than are remembered.
    #[error(
        "the collector knows as many process starts as it may (its setting `epochs`); try again later, \
         or raise the setting"
    )]
    TooManyEpochs,
    /// Too many bytes of other requests are in flight.
    #[error(
        "the collector is busy with {limit_bytes} bytes of other requests; try again in a moment"
    )]
    Busy {
        /// The setting `in_flight_bytes`.
        limit_bytes: usize,
    },
    /// Too many deltas wait for their commit.
    #[error("the collector's queue is full; try again in a moment")]
    QueueFull,
    /// The store does not work at the moment.
    #[error(
        "the collector cannot write to its disk; try again later (on the collector: see its log and \
         /readyz, and check the disk's free space)"
    )]
    StoreFailed,
    /// The collector is about to end.
    #[error("the collector is stopping; try again in a moment")]
    Stopping,
    /// It took too long.
    #[error(
        "the collector did not answer within its setting `request_timeout`; try again in a moment. What was \
         committed meanwhile is known again and counts once"
    )]
    TimedOut,
}

impl Refusal {
    /// The word in metrics and loss rows.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::NotOtlp(_) => "malformed",
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::Service => "service",
            Self::TooLarge { .. } | Self::Window { .. } => "too_large",
            Self::Interrupted => "interrupted",
            Self::TooOld => "too_old",
            Self::Ahead => "ahead",
            Self::TooManyGaps => "too_many_gaps",
            Self::TooManyEpochs => "too_many_epochs",
            Self::Busy { .. } => "busy",
            Self::QueueFull => "queue_full",
            Self::StoreFailed => "store_failed",
            Self::Stopping => "stopping",
            Self::TimedOut => "timed_out",
        }
    }

    /// The HTTP status. 4xx: the same bytes will be refused again. 408 and 503: send them again later.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_)
            | Self::NotOtlp(_)
            | Self::TooOld
            | Self::Ahead
            | Self::TooManyGaps => StatusCode::BAD_REQUEST,
            Self::Service => StatusCode::FORBIDDEN,
            Self::ContentType | Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::Window { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Interrupted => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyEpochs
            | Self::Busy { .. }
            | Self::QueueFull
            | Self::StoreFailed
            | Self::Stopping
            | Self::TimedOut => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// After how many seconds the sender may come again; `None` when it should not.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::TooManyEpochs => Some(60),
            Self::StoreFailed | Self::TimedOut => Some(5),
            Self::Busy { .. } | Self::QueueFull | Self::Stopping => Some(1),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Refusal {
    /// One of each kind.
    pub(crate) fn each() -> Vec<Self> {
        vec![
            Self::Malformed(String::new()),
            Self::NotOtlp(String::new()),
            Self::ContentType,
            Self::ContentEncoding,
            Self::Service,
            Self::TooLarge { limit_bytes: 1 },
            Self::Window { limit_bytes: 1 },
            Self::Interrupted,
            Self::TooOld,
            Self::Ahead,
            Self::TooManyGaps,
            Self::TooManyEpochs,
            Self::Busy { limit_bytes: 1 },
            Self::QueueFull,
            Self::StoreFailed,
            Self::Stopping,
            Self::TimedOut,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_refusal() {
        let manual = include_str!("../../../docs/operating.md");
        for refusal in Refusal::each() {
            let (status, reason) = (refusal.status().as_u16(), refusal.reason());
            let listed = manual
                .lines()
                .any(|line| line.starts_with(&format!("| {status} |")) && line.contains(reason));
            assert!(listed, "docs/operating.md lacks {status} {reason}");
        }
    }

    #[test]
    fn only_what_may_pass_by_itself_is_worth_another_try() {
        for refusal in [Refusal::QueueFull, Refusal::StoreFailed, Refusal::Stopping] {
            assert!(refusal.status().is_server_error() && refusal.retry_after_seconds().is_some());
        }
        for refusal in [
            Refusal::Malformed(String::new()),
            Refusal::TooOld,
            Refusal::Ahead,
        ] {
            assert!(refusal.status().is_client_error() && refusal.retry_after_seconds().is_none());
        }
    }
}
