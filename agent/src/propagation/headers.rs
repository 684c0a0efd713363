//! Reading and writing our headers, over HTTP and over a broker's properties alike.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderValue};

#[cfg(test)]
use super::Incoming;
use super::baggage::{is_ours, origin_member, read_origin};
use super::{
    BAGGAGE, BAGGAGE_BYTES_MAX, BAGGAGE_HEADERS_MAX, HOP, Hop, Party, TRACEPARENT, TraceContext,
};
use crate::trust::Trust;

/// What a request brought along, as far as it is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inbound {
    /// The trace that it belongs to. Anybody may send one: it moves no cost.
    pub(crate) trace: Option<TraceContext>,
    /// Where the chain began. `None`: here.
    pub(crate) origin: Option<Party>,
    /// The hop. `None`: the caller has no agent, or is not trusted.
    pub(crate) hop: Option<Hop>,
}

/// What is sent along with a call.
#[derive(Debug)]
pub(crate) struct HeadersOut<'a> {
    /// The trace of the request that calls.
    pub(crate) trace: TraceContext,
    /// Where the chain began.
    pub(crate) origin: &'a Party,
    /// The hop.
    pub(crate) hop: &'a Hop,
}

/// Reads what a request brought along. From a peer that is not trusted nothing of the chain is believed and
/// our headers are taken off. What [`Incoming`] finds, read at once.
#[cfg(test)]
pub(crate) fn extract(trust: &Trust, peer: Option<IpAddr>, headers: &mut HeaderMap) -> Inbound {
    let incoming = Incoming::find(headers);
    let chain = incoming
        .believed(trust, peer)
        .and_then(|chain| chain.read());
    let trace = incoming.trace().parsed();
    if chain.is_none() && incoming.has_ours() {
        strip(headers);
    }
    let (hop, origin) = chain.unzip();
    Inbound {
        trace,
        origin: origin.flatten(),
        hop,
    }
}

/// Reads what a broker message brought along, from its properties.
pub(crate) fn extract_properties<'a>(
    trust: &Trust,
    peer: Option<IpAddr>,
    properties: impl Iterator<Item = (&'a str, &'a str)>,
) -> Inbound {
    let mut inbound = Inbound::default();
    for (name, value) in properties.take(BAGGAGE_HEADERS_MAX) {
        if name.eq_ignore_ascii_case(TRACEPARENT) {
            inbound.trace = TraceContext::parse(value);
        } else if name.eq_ignore_ascii_case(HOP) {
            inbound.hop = Hop::parse(value, trust, peer);
        } else if name.eq_ignore_ascii_case(BAGGAGE) && value.len() <= BAGGAGE_BYTES_MAX {
            let found = value
                .split(',')
                .find(|member| is_ours(member))
                .and_then(read_origin);
            inbound.origin = inbound.origin.or(found);
        }
    }
    if inbound.hop.is_none() {
        inbound.origin = None;
    }
    inbound
}

/// Puts our headers onto a call. Members of `baggage` that the caller set stay as they are; a `traceparent`
/// that it set wins over ours, because a tracer made it.
pub(crate) fn inject(headers: &mut HeaderMap, out: &HeadersOut<'_>, trust: &Trust) {
    if !headers.contains_key(TRACEPARENT)
        && let Ok(value) = HeaderValue::try_from(out.trace.child().to_text())
    {
        headers.insert(TRACEPARENT, value);
    }
    remove_origin(headers);
    if let Ok(member) = HeaderValue::try_from(origin_member(out.origin)) {
        headers.append(BAGGAGE, member);
    }
    if let Ok(value) = HeaderValue::try_from(out.hop.format(trust)) {
        headers.insert(HOP, value);
    }
}

/// Takes everything of ours off a call to a peer that is not trusted: a proxy may have copied it from the
/// request that came in.
#[cfg_attr(not(feature = "hyper-util-0_1"), allow(dead_code))]
pub(crate) fn strip(headers: &mut HeaderMap) {
    headers.remove(HOP);
    remove_origin(headers);
}

impl HeadersOut<'_> {
    /// The same three as properties of a broker message.
    pub(crate) fn properties(&self, trust: &Trust) -> [(&'static str, String); 3] {
        [
            (TRACEPARENT, self.trace.child().to_text()),
            (BAGGAGE, origin_member(self.origin)),
            (HOP, self.hop.format(trust)),
        ]
    }
}

/// The headers that are looked at: the first ones, up to the bounds.
fn bounded(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let mut bytes = 0;
    headers
        .get_all(BAGGAGE)
        .iter()
        .take(BAGGAGE_HEADERS_MAX)
        .take_while(move |value| {
            bytes += value.len();
            bytes <= BAGGAGE_BYTES_MAX
        })
        .filter_map(|value| value.to_str().ok())
}

/// Takes our member off. What lies beyond the bounds is dropped with it, since nobody looked at it.
fn remove_origin(headers: &mut HeaderMap) {
    let total = headers
        .get_all(BAGGAGE)
        .iter()
        .take(BAGGAGE_HEADERS_MAX + 1)
        .count();
    let read: Vec<&str> = bounded(headers).collect();
    if read.len() == total && !read.iter().any(|value| value.split(',').any(is_ours)) {
        return;
    }
    let kept: Vec<HeaderValue> = read
        .into_iter()
        .filter_map(|value| {
            let mut others = String::with_capacity(value.len());
            for member in value.split(',').filter(|member| !is_ours(member)) {
                if !others.is_empty() {
                    others.push(',');
                }
                others.push_str(member);
            }
            HeaderValue::try_from(others)
                .ok()
                .filter(|value| !value.is_empty())
        })
        .collect();
    headers.remove(BAGGAGE);
    for value in kept {
        headers.append(BAGGAGE, value);
    }
}
