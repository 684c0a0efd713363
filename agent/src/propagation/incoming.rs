//! What concerns us among the headers of a request, found in one pass.

use std::net::IpAddr;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::baggage::{is_ours, read_origin};
use super::hop::HopText;
use super::{
    BAGGAGE, BAGGAGE_BYTES_MAX, BAGGAGE_HEADERS_MAX, HOP, HOP_BYTES_MAX, Hop, Party, TRACEPARENT,
    Trace,
};
use crate::trust::Trust;

static TRACEPARENT_NAME: HeaderName = HeaderName::from_static(TRACEPARENT);
static BAGGAGE_NAME: HeaderName = HeaderName::from_static(BAGGAGE);
static HOP_NAME: HeaderName = HeaderName::from_static(HOP);

/// Our headers as they came, neither read nor believed yet.
#[derive(Debug, Default)]
pub(crate) struct Incoming<'a> {
    traceparent: Option<&'a HeaderValue>,
    hop: Option<&'a str>,
    /// Our member of the baggage.
    origin: Option<&'a str>,
    /// True when there is something that could not be read, or lies beyond the bounds.
    unread: bool,
    /// The type of the body.
    pub(crate) content_type: Option<&'a [u8]>,
}

/// A believed hop and the begin of its chain, not read yet: but for the time of sending the same for all
/// requests over one edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain<'a> {
    /// The per-hop header up to the time of sending.
    pub(crate) hop: &'a str,
    /// Our member of the baggage; empty when there is none.
    pub(crate) origin: &'a str,
    sent_unix_us: u64,
}

impl<'a> Incoming<'a> {
    /// Finds our headers. The work is bounded by the number of headers.
    #[inline]
    pub(crate) fn find(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        let (mut traces, mut baggage, mut baggage_bytes, mut hops) = (0, 0, 0, 0);
        for (name, value) in headers {
            if *name == CONTENT_TYPE {
                found.content_type = found.content_type.or(Some(value.as_bytes()));
            } else if *name == TRACEPARENT_NAME {
                traces += 1;
                found.traceparent = Some(value);
            } else if *name == HOP_NAME {
                hops += 1;
                if hops == 1 {
                    found.hop = text_within(value, HOP_BYTES_MAX);
                    found.unread |= found.hop.is_none();
                }
            } else if *name == BAGGAGE_NAME {
                baggage += 1;
                baggage_bytes += value.len();
                let within = baggage <= BAGGAGE_HEADERS_MAX && baggage_bytes <= BAGGAGE_BYTES_MAX;
                match text_within(value, if within { BAGGAGE_BYTES_MAX } else { 0 }) {
                    Some(text) => {
                        let ours = || text.split(',').find(|member| is_ours(member));
                        found.origin = found.origin.or_else(ours);
                    }
                    None => found.unread = true,
                }
            }
        }
        if traces > 1 {
            // Two of them contradict each other.
            found.traceparent = None;
        }
        found
    }

    /// The trace that the request belongs to. Anybody may send one: it moves no cost.
    pub(crate) fn trace(&self) -> Trace {
        self.traceparent
            .map_or_else(Trace::default, |value| Trace::from_header(value.as_bytes()))
    }

    /// The chain, if the per-hop header is believed. Who may not describe the hop may not name the origin; an
    /// agent always sends both.
    pub(crate) fn believed(&self, trust: &Trust, peer: Option<IpAddr>) -> Option<Chain<'a>> {
        let text = HopText::split(self.hop?)?;
        text.is_believed(trust, peer).then(|| Chain {
            hop: text.lasting,
            origin: self.origin.unwrap_or_default(),
            sent_unix_us: text.sent_unix_us,
        })
    }

    /// True when the request carries nothing of ours, and no trace: what most requests from outside are like.
    pub(crate) fn is_nothing(&self) -> bool {
        self.traceparent.is_none() && !self.has_ours()
    }

    /// True when the request says which hop brought it.
    pub(crate) fn has_hop(&self) -> bool {
        self.hop.is_some()
    }

    /// True when something has to be taken off a request whose chain is not believed.
    pub(crate) fn has_ours(&self) -> bool {
        self.hop.is_some() || self.origin.is_some() || self.unread
    }
}

/// The text of a header. One that is too long is not even looked at.
fn text_within(value: &HeaderValue, bytes_max: usize) -> Option<&str> {
    if value.len() > bytes_max {
        return None;
    }
    value.to_str().ok()
}

impl Chain<'_> {
    /// Reads the hop, and where the chain began. `None` when the hop is malformed.
    pub(crate) fn read(&self) -> Option<(Hop, Option<Party>)> {
        let hop = Hop::read(self.hop, self.sent_unix_us)?;
        Some((hop, read_origin(self.origin)))
    }
}
