//! What goes out: calls, and messages that nobody answers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::{Exchange, Peer, Site};
use crate::Encoded;
use crate::propagation::{BAGGAGE, Mode, TRACEPARENT, other_members};
use crate::state;

/// A call under way. Made by [`Peer::call`].
#[derive(Debug)]
#[must_use = "a call that is dropped without `end` counts as failed"]
pub struct Call {
    peer: Peer,
    exchange: Exchange,
}

/// A message on its way to a broker. Made by [`Peer::publish`].
#[derive(Debug)]
#[must_use = "a publication that is dropped without `end` counts as failed"]
pub struct Publication {
    peer: Peer,
    exchange: Exchange,
}

macro_rules! outgoing {
    ($type:ident, $mode:expr) => {
        impl $type {
            pub(super) fn new(peer: Peer, site: Arc<Site>) -> Self {
                Self {
                    peer,
                    exchange: Exchange::begin(site),
                }
            }

            /// Names and values that carry the chain of requests: `traceparent`, `baggage`, `weighbridge-hop`. Empty
            /// for a peer that is not trusted.
            #[must_use]
            pub fn headers(&self) -> Vec<(&'static str, String)> {
                if !self.peer.is_trusted() {
                    return Vec::new();
                }
                let outgoing = self.exchange.outgoing($mode);
                state::with_trust(|trust| outgoing.headers().properties(trust).into())
            }

            /// The same beside headers that the message has already; none of those but `traceparent`, `baggage` and
            /// `weighbridge-hop` is looked at. These are all that it shall have under the three names: its own
            /// `traceparent` wins, because a tracer made it, and its baggage keeps what is not ours. What may have
            /// been copied from a message that came in is taken off for a peer that is not trusted.
            #[must_use]
            pub fn headers_beside<'a>(
                &self,
                present: impl IntoIterator<Item = (&'a str, &'a str)>,
            ) -> Vec<(&'static str, String)> {
                beside(present, self.headers())
            }

            /// Runs the encoding of a message in class `encode`.
            pub fn encode<R>(&mut self, f: impl FnOnce() -> R) -> R {
                self.exchange.encode(f)
            }

            /// Says what encoding cost, where that was done before this began; `None` says nothing.
            pub fn encoded(&mut self, encoded: impl Into<Option<Encoded>>) {
                if let Some(encoded) = encoded.into() {
                    self.exchange.encoded(encoded.cpu_ns());
                }
            }

            /// Counts a message that was sent, with its body after transfer encoding was taken off. Call it for
            /// each message of a stream.
            pub fn sent(&mut self, body_bytes: u64) {
                self.exchange.sent(body_bytes);
            }

            /// Bytes that went over the wire, where they are known.
            pub fn sent_wire(&mut self, bytes: u64) {
                *self.exchange.figures().request_wire_bytes.get_or_insert(0) += bytes;
            }

            /// Counts another attempt.
            pub fn retried(&mut self) {
                self.exchange.figures().retries += 1;
            }

            /// Polls a future of the client: its CPU is `protocol` (or what runs inside), and the request waits
            /// while it is not ready.
            pub async fn wait<F: Future>(&mut self, future: F) -> F::Output {
                let mut future = pin!(future);
                poll_fn(|cx| self.exchange.poll(|| future.as_mut().poll(cx))).await
            }

            /// It went well.
            pub fn end(mut self) {
                self.exchange.end(false);
            }

            /// It failed. The same as dropping it.
            pub fn fail(self) {}
        }
    };
}

outgoing!(Call, Mode::Sync);
outgoing!(Publication, Mode::Async);

impl Publication {
    /// The request waits until it ends, by other means than [`wait`](Self::wait).
    pub(crate) fn is_waited_for(&mut self) {
        self.exchange.is_waited_for();
    }

    /// One poll of what [`wait`](Self::wait) polls.
    pub(crate) fn poll<R>(&mut self, poll: impl FnOnce() -> Poll<R>) -> Poll<R> {
        self.exchange.poll(poll)
    }
}

impl Call {
    #[cfg(test)]
    pub(super) fn exchange(&mut self) -> &mut Exchange {
        &mut self.exchange
    }

    /// Runs the decoding of an answer in class `decode`.
    pub fn decode<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.exchange.decode(f)
    }

    /// Counts a message of the answer.
    pub fn received(&mut self, body_bytes: u64) {
        self.exchange.received(body_bytes);
    }

    /// Bytes of the answer on the wire, where they are known.
    pub fn received_wire(&mut self, bytes: u64) {
        *self.exchange.figures().response_wire_bytes.get_or_insert(0) += bytes;
    }
}

fn beside<'a>(
    present: impl IntoIterator<Item = (&'a str, &'a str)>,
    ours: Vec<(&'static str, String)>,
) -> Vec<(&'static str, String)> {
    let (mut trace, mut baggage) = (None, String::new());
    for (name, value) in present {
        if name.eq_ignore_ascii_case(TRACEPARENT) {
            trace = Some(value);
        } else if name.eq_ignore_ascii_case(BAGGAGE) {
            other_members(value, &mut baggage);
        }
    }
    let mut merged = ours;
    if let Some(trace) = trace {
        merged.retain(|(name, _)| *name != TRACEPARENT);
        merged.push((TRACEPARENT, trace.to_owned()));
    }
    if !baggage.is_empty() {
        match merged.iter_mut().find(|(name, _)| *name == BAGGAGE) {
            Some((_, ours)) => {
                baggage.push(',');
                ours.insert_str(0, &baggage);
            }
            None => merged.push((BAGGAGE, baggage)),
        }
    }
    merged
}
