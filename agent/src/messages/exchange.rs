//! This side of one exchange of messages: gathered while it lasts, recorded once.

use std::sync::Arc;
use std::task::Poll;

use weighbridge_wire::{Class, mode};

use super::{Site, Spent};
use crate::bill::{Bill, CallToken};
use crate::ledger::{Direction, EdgeFigures, EdgeName, record_edge};
use crate::propagation::{Mode, Outgoing};
use crate::{account, clock};

/// How many messages an exchange holds before they are recorded in between: it must not grow with a stream.
const MESSAGES_HELD: usize = 64;

/// The record of a call or a publication. Dropping it records, so that no way out forgets to.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The call among those of its request.
    token: Option<CallToken>,
    site: Arc<Site>,
    figures: EdgeFigures,
    start_ns: u64,
    /// True once it was not ready at once.
    waited: bool,
    /// When nothing more was waited for, if that was before the record ends.
    over_ns: Option<u64>,
    ended: bool,
}

impl Exchange {
    /// An exchange of the current request, beginning now.
    pub(crate) fn begin(site: Arc<Site>) -> Self {
        let start_ns = clock::monotonic_ns();
        let answered = site.edge.mode == mode::SYNC;
        let token =
            Bill::current().map(|bill| bill.call_began(&site.edge.call_id, answered, start_ns));
        Self {
            token,
            site,
            figures: EdgeFigures::default(),
            start_ns,
            waited: false,
            over_ns: None,
            ended: false,
        }
    }

    fn bill(&self) -> Option<&Bill> {
        self.token.as_ref().map(|token| &**token.bill())
    }

    /// What goes along with it.
    pub(crate) fn outgoing(&self, mode: Mode) -> Outgoing {
        Outgoing::new(self.bill(), self.site.call_id.clone(), mode)
    }

    /// What is known of it so far.
    pub(crate) fn figures(&mut self) -> &mut EdgeFigures {
        &mut self.figures
    }

    pub(crate) fn encode<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let (result, cpu_ns) = account::timed_class(Class::Encode, f);
        self.encoded(cpu_ns);
        result
    }

    pub(crate) fn decode<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let (result, cpu_ns) = account::timed_class(Class::Decode, f);
        self.decoded(cpu_ns);
        result
    }

    /// Adds what encoding cost, in ns.
    pub(crate) fn encoded(&mut self, cpu_ns: i64) {
        add(&mut self.figures.encode_ns, cpu_ns);
    }

    /// Adds what decoding cost, in ns.
    pub(crate) fn decoded(&mut self, cpu_ns: i64) {
        add(&mut self.figures.decode_ns, cpu_ns);
    }

    /// A message went out.
    pub(crate) fn sent(&mut self, body_bytes: u64) {
        self.figures.request_messages += 1;
        self.figures.request_body_bytes += body_bytes;
        self.note(Direction::Request, body_bytes);
    }

    /// A message came back.
    pub(crate) fn received(&mut self, body_bytes: u64) {
        self.figures.response_messages += 1;
        self.figures.response_body_bytes += body_bytes;
        self.note(Direction::Response, body_bytes);
    }

    /// Notes the size of a message that is counted elsewhere.
    pub(crate) fn note(&mut self, direction: Direction, body_bytes: u64) {
        self.figures.sizes.push((direction, body_bytes));
        if self.figures.sizes.len() >= MESSAGES_HELD {
            let figures = std::mem::take(&mut self.figures);
            self.record(&figures);
        }
    }

    /// The request waits until it ends.
    pub(crate) fn is_waited_for(&mut self) {
        self.waited = true;
    }

    /// Runs a poll of the client in class `protocol`.
    pub(crate) fn poll<R>(&mut self, poll: impl FnOnce() -> Poll<R>) -> Poll<R> {
        let spent = Spent::begin_protocol();
        let result = poll();
        self.polled(spent.end(), result.is_pending());
        result
    }

    /// A poll of the client has cost this much protocol and io, and was ready or not.
    pub(crate) fn polled(&mut self, (protocol_ns, io_ns): (i64, i64), pending: bool) {
        add(&mut self.figures.protocol_ns, protocol_ns);
        add(&mut self.figures.io_ns, io_ns);
        self.waited |= pending;
    }

    /// The answer has come to its end, or nobody wants it any more: what follows is not waited for.
    pub(crate) fn over(&mut self) {
        if self.over_ns.is_none() {
            let now_ns = clock::monotonic_ns();
            self.over_ns = Some(now_ns);
            if let Some(token) = &mut self.token {
                token.end(now_ns, self.waited);
            }
        }
    }

    /// Ends it: recorded when dropped, at the latest.
    pub(crate) fn end(&mut self, failed: bool) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.over();
        let over_ns = self.over_ns.unwrap_or(self.start_ns);
        let mut figures = std::mem::take(&mut self.figures);
        figures.wait_ns = Some(over_ns.saturating_sub(self.start_ns));
        figures.errors = u64::from(failed);
        let edge = self.record(&figures);
        if let Some(token) = &mut self.token {
            token.recorded(edge);
        }
    }

    fn record(&self, figures: &EdgeFigures) -> Option<Arc<EdgeName>> {
        #[cfg(test)]
        super::observed::observe(&self.site.edge, figures);
        record_edge(self.bill(), &self.site.edge, figures)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Nobody said that it went well: an error came back, or it was cancelled while it waited.
        self.end(true);
    }
}

fn add(sum: &mut Option<i64>, ns: i64) {
    *sum = Some(sum.unwrap_or(0).saturating_add(ns));
}
