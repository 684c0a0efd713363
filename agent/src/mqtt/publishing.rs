//! A publish under way, with the caller's half of its edge.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::MqttError;
use crate::messages::Publication;

/// Waits for the broker. Recorded once: settled, or dropped as failed.
#[derive(Debug)]
pub(super) struct Publishing {
    publication: Publication,
    topic: &'static str,
    body_bytes: u64,
    wire_bytes: Option<u64>,
    done: oneshot::Sender<Result<(), MqttError>>,
    /// The room it takes.
    _permit: OwnedSemaphorePermit,
}

impl Publishing {
    /// A publish that is about to be handed to the event loop, and where its outcome will be told.
    pub(super) fn begin(
        publication: Publication,
        topic: &'static str,
        body_bytes: u64,
        wire_bytes: Option<u64>,
        permit: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<(), MqttError>>) {
        let (done, outcome) = oneshot::channel();
        let publishing = Self {
            publication,
            topic,
            body_bytes,
            wire_bytes,
            done,
            _permit: permit,
        };
        (publishing, outcome)
    }

    /// The topic.
    pub(super) fn topic(&self) -> &'static str {
        self.topic
    }

    /// The broker has it, or will not have it. The publisher may have gone; the figures count all the same.
    pub(super) fn settle(self, outcome: Result<(), MqttError>) {
        let mut publication = self.publication;
        if outcome.is_ok() {
            publication.sent(self.body_bytes);
            if let Some(bytes) = self.wire_bytes {
                publication.sent_wire(bytes);
            }
            publication.end();
        } else {
            publication.fail();
        }
        let _ = self.done.send(outcome);
    }
}
