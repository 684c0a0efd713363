//! Answers of OTLP: success, partial success, and `google.rpc.Status` with the time after which to come again.

use http::StatusCode;

use super::derive::Tally;
use super::proto::{put_bytes, put_number};
use super::{Format, Signal};
use crate::ingest::Refusal;

/// Codes of gRPC.
pub(super) mod code {
    pub(crate) const INVALID_ARGUMENT: u32 = 3;
    pub(crate) const NOT_FOUND: u32 = 5;
    pub(crate) const PERMISSION_DENIED: u32 = 7;
    pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(crate) const UNIMPLEMENTED: u32 = 12;
    pub(crate) const UNAVAILABLE: u32 = 14;
    pub(crate) const UNAUTHENTICATED: u32 = 16;
}

/// A refusal, in gRPC's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) http: StatusCode,
    pub(crate) code: u32,
    pub(crate) message: String,
    pub(crate) retry_after_seconds: Option<u32>,
}

impl From<&Refusal> for Status {
    fn from(refusal: &Refusal) -> Self {
        // The ledger's agents send again after 408, OTLP's clients only after what its specification lists.
        let (http, retry_after_seconds) = match refusal {
            Refusal::Interrupted => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
            _ => (refusal.status(), refusal.retry_after_seconds()),
        };
        // What is too large stays too large: RESOURCE_EXHAUSTED without RetryInfo is not sent again, OUT_OF_RANGE
        // would be.
        let code = match refusal {
            Refusal::TooLarge { .. } | Refusal::Window { .. } => code::RESOURCE_EXHAUSTED,
            Refusal::ContentEncoding | Refusal::ContentType => code::UNIMPLEMENTED,
            Refusal::Service => code::PERMISSION_DENIED,
            _ if retry_after_seconds.is_some() => code::UNAVAILABLE,
            _ => code::INVALID_ARGUMENT,
        };
        Self {
            http,
            code,
            message: refusal.to_string(),
            retry_after_seconds,
        }
    }
}

impl Status {
    /// `google.rpc.Status`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(1, u64::from(self.code), &mut out);
        put_bytes(2, self.message.as_bytes(), &mut out);
        if let Some(seconds) = self.retry_after_seconds {
            let mut delay = Vec::new();
            put_number(1, u64::from(seconds), &mut delay);
            let mut info = Vec::new();
            put_bytes(1, &delay, &mut info);
            let mut any = Vec::new();
            put_bytes(1, b"type.googleapis.com/google.rpc.RetryInfo", &mut any);
            put_bytes(2, &info, &mut any);
            put_bytes(3, &any, &mut out);
        }
        out
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::json!({ "code": self.code, "message": self.message })
            .to_string()
            .into_bytes()
    }

    pub(crate) fn body(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Protobuf => self.encode(),
            Format::Json => self.json(),
        }
    }
}

/// What an accepted request is answered.
pub(crate) fn success(signal: Signal, format: Format, tally: &Tally) -> Vec<u8> {
    let rejected = tally.rejected();
    let why = || {
        let mut why = Vec::new();
        for (count, what) in [
            (tally.invalid, "without a valid id or value"),
            (
                tally.too_old,
                "older than the collector's setting `lateness`",
            ),
            (
                tally.ahead,
                "further in the future than the collector's setting `ahead`",
            ),
            (
                tally.too_many,
                "of more processes than one request may tell of (4096 readings); send smaller requests",
            ),
        ] {
            if count > 0 {
                why.push(format!("{count} {what}"));
            }
        }
        format!("rejected: {}; do not send them again", why.join(", "))
    };
    match format {
        Format::Protobuf if rejected == 0 => Vec::new(),
        Format::Protobuf => {
            let mut partial = Vec::new();
            put_number(1, rejected, &mut partial);
            put_bytes(2, why().as_bytes(), &mut partial);
            let mut out = Vec::new();
            put_bytes(1, &partial, &mut out);
            out
        }
        Format::Json if rejected == 0 => b"{}".to_vec(),
        Format::Json => {
            let name = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
            };
            serde_json::json!({
                "partialSuccess": { name: rejected.to_string(), "errorMessage": why() }
            })
            .to_string()
            .into_bytes()
        }
    }
}
