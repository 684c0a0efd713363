//! The callee's side of the edge over which a request came, until its bill closes.

use std::mem;
use std::sync::Arc;

use super::Bill;
use crate::ledger::{EdgeFigures, EdgeName};
use crate::sync::lock;

/// Messages and bytes of bodies, each way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) request_messages: u64,
    pub(super) request_body_bytes: u64,
    pub(super) response_messages: u64,
    pub(super) response_body_bytes: u64,
}

/// An edge and what is known of it so far.
#[derive(Debug)]
pub(super) struct Callee {
    pub(super) edge: Arc<EdgeName>,
    pub(super) counts: Counts,
    /// What most requests do not have; its counts are added to those above. Boxed: each bill is copied once,
    /// and this is a third of it.
    more: Option<Box<EdgeFigures>>,
}

impl Callee {
    /// One message came, unless something else is known.
    #[inline]
    pub(super) fn new(edge: Arc<EdgeName>, known: Option<EdgeFigures>) -> Self {
        Self {
            edge,
            counts: Counts {
                request_messages: u64::from(known.is_none()),
                ..Counts::default()
            },
            more: known.map(Box::new),
        }
    }

    /// The request and its answer, where they are one message each and nothing else is known: their bodies' bytes.
    #[inline]
    pub(super) fn plain(&self) -> Option<(u64, u64)> {
        let counts = &self.counts;
        let single = counts.request_messages == 1 && counts.response_messages == 1;
        (single && self.more.is_none())
            .then_some((counts.request_body_bytes, counts.response_body_bytes))
    }

    /// For what most requests do not have.
    pub(super) fn more(&mut self) -> &mut EdgeFigures {
        self.more.get_or_insert_default()
    }

    /// Bytes of bodies, both ways.
    pub(super) fn body_bytes(&self) -> u64 {
        let more = self.more.as_ref();
        let more = more.map_or(0, |more| more.request_body_bytes + more.response_body_bytes);
        self.counts.request_body_bytes + self.counts.response_body_bytes + more
    }

    /// The head of the answer is there.
    pub(super) fn answer(&mut self) {
        self.counts.response_messages = 1;
        if let Some(more) = &mut self.more {
            more.response_messages = 0;
        }
    }

    /// All of it, and leaves nothing.
    pub(super) fn take(&mut self) -> EdgeFigures {
        let counts = mem::take(&mut self.counts);
        let mut figures = self
            .more
            .take()
            .map_or_else(EdgeFigures::default, |more| *more);
        figures.request_messages += counts.request_messages;
        figures.request_body_bytes += counts.request_body_bytes;
        figures.response_messages += counts.response_messages;
        figures.response_body_bytes += counts.response_body_bytes;
        figures
    }
}

impl Bill {
    /// Adds to the figures of the edge over which the request came.
    pub(crate) fn with_callee(&self, change: impl FnOnce(&mut EdgeFigures)) {
        if let Some(callee) = &mut lock(&self.state).callee {
            change(callee.more());
        }
    }

    /// Bytes of the request's body were read.
    pub(crate) fn add_request_bytes(&self, bytes: u64) {
        if let Some(callee) = &mut lock(&self.state).callee {
            callee.counts.request_body_bytes += bytes;
        }
    }

    /// Bytes of the response's body were handed out.
    pub(crate) fn add_response_bytes(&self, bytes: u64) {
        if let Some(callee) = &mut lock(&self.state).callee {
            callee.counts.response_body_bytes += bytes;
        }
    }
}
