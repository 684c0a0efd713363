//! The ways in: what is asked there is answered in the form that its clients read, whoever answers.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use super::status::Status;
use super::{Counters, Format, Signal, grpc, http};
use crate::ingest::Refusal;

/// How a request of OTLP came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Http(Signal, Format),
    Grpc(Signal),
}

impl Way {
    /// The way of a request; `None` when it asks for something else.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let over_http = |signal| {
            let format = http::format(request.headers()).unwrap_or(Format::Protobuf);
            Self::Http(signal, format)
        };
        Some(match request.uri().path() {
            http::TRACES => over_http(Signal::Traces),
            http::METRICS => over_http(Signal::Metrics),
            http::LOGS => over_http(Signal::Logs),
            grpc::TRACES => Self::Grpc(Signal::Traces),
            grpc::METRICS => Self::Grpc(Signal::Metrics),
            grpc::LOGS => Self::Grpc(Signal::Logs),
            _ => return None,
        })
    }

    /// Counts a refusal and answers it.
    pub(crate) fn refuse(
        self,
        counters: &Counters,
        tenant: &Arc<str>,
        refusal: &Refusal,
    ) -> Response {
        let status = Status::from(refusal);
        match self {
            Self::Http(signal, format) => {
                counters.refused(tenant, signal, refusal);
                http::refused(&status, format)
            }
            Self::Grpc(signal) => {
                counters.refused(tenant, signal, refusal);
                grpc::refused(&status)
            }
        }
    }
}
