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

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message;

    use super::*;

    /// `google.rpc.Status`, read by another decoder.
    #[derive(Clone, PartialEq, Message)]
    struct RpcStatus {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        retry_delay: Option<Delay>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Delay {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }

    /// What the specification has clients send again: the statuses of HTTP, and gRPC's by whether RetryInfo is there.
    const HTTP_AGAIN: [u16; 4] = [429, 502, 503, 504];
    const GRPC_AGAIN: [i32; 6] = [1, 4, 10, 11, 14, 15];
    const RESOURCE_EXHAUSTED: i32 = 8;

    #[test]
    fn clients_send_again_exactly_what_may_pass_later_whatever_they_speak() {
        let mut again = 0;
        for refusal in Refusal::each() {
            let status = Status::from(&refusal);
            let read = RpcStatus::decode(&status.encode()[..]).unwrap();
            assert_eq!(read.message, refusal.to_string());
            let json: serde_json::Value = serde_json::from_slice(&status.json()).unwrap();
            assert_eq!(json["code"], read.code, "{refusal:?}");
            assert_eq!(json["message"], read.message, "{refusal:?}");
            let delays: Vec<Delay> = read
                .details
                .iter()
                .map(|any| {
                    assert_eq!(any.type_url, "type.googleapis.com/google.rpc.RetryInfo");
                    let info = RetryInfo::decode(&any.value[..]).unwrap();
                    info.retry_delay.expect("a delay")
                })
                .collect();
            let expected = status.retry_after_seconds.map(|seconds| Delay {
                seconds: seconds.into(),
                nanos: 0,
            });
            assert_eq!(delays, Vec::from_iter(expected), "{refusal:?}");
            let by_grpc = GRPC_AGAIN.contains(&read.code)
                || (read.code == RESOURCE_EXHAUSTED && !delays.is_empty());
            let by_http = HTTP_AGAIN.contains(&status.http.as_u16());
            assert_eq!(by_grpc, by_http, "{refusal:?}");
            assert_eq!(by_grpc, !delays.is_empty(), "{refusal:?}");
            again += usize::from(by_grpc);
        }
        assert_eq!(again, 7);
    }

    #[test]
    fn a_partial_success_says_how_many_are_not_taken_and_why() {
        let tally = Tally {
            spans: 5,
            invalid: 1,
            too_old: 2,
            ahead: 4,
            too_many: 8,
            duplicates: 16,
        };
        let taken = |signal| success(signal, Format::Protobuf, &tally);
        let traces = ExportTraceServiceResponse::decode(&taken(Signal::Traces)[..]).unwrap();
        let traces = traces.partial_success.expect("partial");
        let metrics = ExportMetricsServiceResponse::decode(&taken(Signal::Metrics)[..]).unwrap();
        let metrics = metrics.partial_success.expect("partial");
        let logs = ExportLogsServiceResponse::decode(&taken(Signal::Logs)[..]).unwrap();
        let logs = logs.partial_success.expect("partial");
        for rejected in [
            traces.rejected_spans,
            metrics.rejected_data_points,
            logs.rejected_log_records,
        ] {
            // What came before is taken, not rejected.
            assert_eq!(rejected, 15);
        }
        for why in ["1 without a valid id", "2 older", "4 further", "8 of more"] {
            assert!(traces.error_message.contains(why), "{traces:?}");
        }
        for (signal, name) in [
            (Signal::Traces, "rejectedSpans"),
            (Signal::Metrics, "rejectedDataPoints"),
            (Signal::Logs, "rejectedLogRecords"),
        ] {
            let json = success(signal, Format::Json, &tally);
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let partial = &json["partialSuccess"];
            assert_eq!(partial[name], "15", "{json}");
            assert_eq!(partial["errorMessage"], traces.error_message);
        }
        // All of it taken: nothing is said, as the specification asks.
        let whole = Tally {
            duplicates: 3,
            spans: 1,
            ..Tally::default()
        };
        assert!(success(Signal::Traces, Format::Protobuf, &whole).is_empty());
        assert_eq!(success(Signal::Traces, Format::Json, &whole), b"{}");
    }
}
