//! What travels with a request: `traceparent`, the origin in `baggage`, and the per-hop header.
//!
//! Everything read here comes from outside. The work is bounded by [`BAGGAGE_HEADERS_MAX`] and
//! [`BAGGAGE_BYTES_MAX`], a malformed header is as good as none, and what an untrusted peer says about the
//! chain is taken off the request. Members of `baggage` that are not ours are passed on untouched.

mod baggage;
mod call_id;
mod headers;
mod hop;
mod incoming;
mod memo;
mod outgoing;
mod text;
mod traceparent;

pub(crate) use baggage::other_members;
pub(crate) use call_id::{CallId, CallSite};
#[cfg(test)]
pub(crate) use headers::extract;
pub(crate) use headers::{HeadersOut, Inbound, extract_properties, inject, strip};
pub(crate) use hop::{Hop, Mode};
pub(crate) use incoming::{Chain, Incoming};
pub(crate) use outgoing::Outgoing;
pub(crate) use traceparent::{Trace, TraceContext};

use std::sync::Arc;

/// The header with the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// The header with W3C baggage.
pub const BAGGAGE: &str = "baggage";
/// The key of the origin in the baggage.
pub const BAGGAGE_ORIGIN: &str = "weighbridge.origin";
/// The header that describes one hop: caller, call, mode, time of sending.
pub const HOP: &str = "weighbridge-hop";
/// Most `baggage` headers of one request that are looked at; the W3C asks for one.
pub const BAGGAGE_HEADERS_MAX: usize = 64;
/// Most bytes of `baggage` that are looked at or sent; the W3C asks for 8192.
pub const BAGGAGE_BYTES_MAX: usize = 16_384;
/// Longest per-hop header that is read, in bytes.
pub const HOP_BYTES_MAX: usize = 4_096;

pub(crate) use crate::ledger::limits::NAME_BYTES_MAX;

/// True for the name of a header that is read.
pub(crate) fn is_header(name: &str) -> bool {
    [TRACEPARENT, BAGGAGE, HOP]
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours))
}

/// One end of a call, or the begin of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    /// The service.
    pub(crate) service: Arc<str>,
    /// Its operation; empty for background work.
    pub(crate) operation: Arc<str>,
}

#[cfg(test)]
mod tests;
