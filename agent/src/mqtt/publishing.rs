//! A publish under way, with the caller's half of its edge.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::MqttError;
use crate::bill::Bill;
use crate::clock;
use crate::ledger::{Direction, EdgeFigures, EdgeId, record_edge};

/// Waits for the broker. Recorded once: settled, or dropped as failed.
#[derive(Debug)]
pub(super) struct Publishing {
    bill: Option<Arc<Bill>>,
    edge: EdgeId,
    body_bytes: u64,
    wire_bytes: Option<u64>,
    encode_ns: Option<i64>,
    start_ns: u64,
    done: Option<oneshot::Sender<Result<(), MqttError>>>,
    /// The room it takes.
    _permit: OwnedSemaphorePermit,
}

impl Publishing {
    /// A publish that is about to be handed to the event loop, and where its outcome will be told.
    pub(super) fn begin(
        bill: Option<Arc<Bill>>,
        edge: EdgeId,
        body_bytes: u64,
        wire_bytes: Option<u64>,
        encode_ns: Option<i64>,
        permit: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<(), MqttError>>) {
        let (done, outcome) = oneshot::channel();
        let publishing = Self {
            bill,
            edge,
            body_bytes,
            wire_bytes,
            encode_ns,
            start_ns: clock::monotonic_ns(),
            done: Some(done),
            _permit: permit,
        };
        (publishing, outcome)
    }

    /// The topic.
    pub(super) fn topic(&self) -> &str {
        &self.edge.target
    }

    /// The broker has it, or will not have it. The publisher may have gone; the figures count all the same.
    pub(super) fn settle(mut self, outcome: Result<(), MqttError>) {
        self.record(outcome.is_ok());
        if let Some(done) = self.done.take() {
            let _ = done.send(outcome);
        }
    }

    fn record(&self, published: bool) {
        let mut figures = EdgeFigures {
            encode_ns: self.encode_ns,
            wait_ns: Some(clock::monotonic_ns().saturating_sub(self.start_ns)),
            errors: u64::from(!published),
            ..EdgeFigures::default()
        };
        if published {
            figures.request_messages = 1;
            figures.request_body_bytes = self.body_bytes;
            figures.request_wire_bytes = self.wire_bytes;
            figures.sizes.push((Direction::Request, self.body_bytes));
        }
        #[cfg(test)]
        super::tests::observe(&self.edge, &figures);
        record_edge(self.bill.as_deref(), &self.edge, &figures);
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        if self.done.is_some() {
            self.record(false);
        }
    }
}
