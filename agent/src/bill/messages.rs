//! The messages of a request: those within its bodies, and what their frames weigh on HTTP/2.

use super::{Bill, State};
use crate::account;
use crate::ledger::{Direction, frame_weight, ledger};
use crate::sync::lock;

/// How many messages a stream may have before its edge is recorded in between: a bill must not grow with them.
const MESSAGES_HELD: usize = 64;

/// What a request's frames weigh on the HTTP/2 connection that it shares.
#[derive(Debug, Default)]
pub(super) struct Http2Weight {
    /// Frames of heads and trailers besides the request's head.
    header_frames: u64,
    /// Bytes of bodies whose edge was recorded in between.
    body_bytes: u64,
    /// Added to operation rows so far.
    booked: i64,
    /// Added to edge rows so far.
    on_edge: i64,
}

impl Http2Weight {
    pub(super) fn booked(&self) -> i64 {
        self.booked
    }
}

impl State {
    /// The weight since the last call, to be added to the row.
    #[inline]
    pub(super) fn take_http2_weight(&mut self) -> i64 {
        let (Some(http2), Some(callee)) = (&mut self.http2, &self.callee) else {
            return 0;
        };
        let bytes = http2.body_bytes + callee.body_bytes();
        let weight = frame_weight(1 + http2.header_frames, bytes);
        weight - std::mem::replace(&mut http2.booked, weight)
    }

    /// The booked weight since the last call, to be added to the edge's row.
    #[inline]
    pub(super) fn take_edge_weight(&mut self) -> i64 {
        let Some(http2) = &mut self.http2 else {
            return 0;
        };
        http2.booked - std::mem::replace(&mut http2.on_edge, http2.booked)
    }

    /// The head of the answer is there.
    pub(super) fn answer(&mut self) {
        if let Some(callee) = &mut self.callee {
            callee.answer();
        }
        self.count_header_frame();
    }

    fn count_header_frame(&mut self) {
        if let Some(http2) = &mut self.http2 {
            http2.header_frames += 1;
        }
    }
}

impl Bill {
    /// The handler has answered: the head of a response is there.
    pub(crate) fn answered(&self) {
        lock(&self.state).answer();
    }

    /// Counts a frame of trailers.
    pub(crate) fn count_trailers(&self) {
        lock(&self.state).count_header_frame();
    }

    /// True when what the layer counts is wanted while the request runs, and not only at its end.
    pub(crate) fn tells_at_once(&self) -> bool {
        self.http2 || self.counts_messages
    }

    /// True when the layer is to count the messages within the bodies.
    pub(crate) fn counts_messages(&self) -> bool {
        self.counts_messages
    }

    /// Counts a message within a body. The exchange itself stands for the first one of each direction, so a
    /// call without streams counts one out and one in, like any HTTP request.
    pub(crate) fn count_message(&self, direction: Direction, bytes: u64) {
        let mut state = lock(&self.state);
        let State {
            callee, messages, ..
        } = &mut *state;
        let Some(callee) = callee else { return };
        let counts = &mut callee.counts;
        let (seen, count) = match direction {
            Direction::Request => (&mut messages[0], &mut counts.request_messages),
            Direction::Response => (&mut messages[1], &mut counts.response_messages),
        };
        if *seen > 0 {
            *count += 1;
        }
        *seen += 1;
        let sizes = &mut callee.more().sizes;
        sizes.push((direction, bytes));
        if sizes.len() >= MESSAGES_HELD && self.is_recorded() {
            self.record_edge_so_far(&mut state);
        }
    }

    fn record_edge_so_far(&self, state: &mut State) {
        let mut shard = ledger().shard(account::shard_here());
        let weight = state.take_http2_weight();
        shard.operation(self.row(state)).http2_weight += weight;
        let weight = state.take_edge_weight();
        let Some(callee) = &mut state.callee else {
            return;
        };
        let mut figures = callee.take();
        figures.http2_weight = weight;
        if let Some(http2) = &mut state.http2 {
            http2.body_bytes += figures.request_body_bytes + figures.response_body_bytes;
        }
        shard.edge(&callee.edge, &figures, &figures.sizes);
    }
}
