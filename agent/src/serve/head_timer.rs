//! How long a client may take for a request's head.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::Served;
use super::connection::Phase;

/// A deadline that exists only while a head is incomplete when its connection's poll ends: requests whose head
/// comes in one piece, and idle connections, cost no timer.
#[derive(Debug)]
pub(super) struct HeadTimer {
    patience: Option<Duration>,
    running: Option<Pin<Box<Sleep>>>,
}

impl HeadTimer {
    pub(super) fn new(patience: Option<Duration>) -> Self {
        Self {
            patience,
            running: None,
        }
    }

    /// Ready when the head that is being read took too long. To be called after each poll of the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, served: &Served) -> Poll<()> {
        let Some(patience) = self.patience else {
            return Poll::Pending;
        };
        if !served.is(Phase::Head) {
            if self.running.is_some() {
                self.running = None;
            }
            return Poll::Pending;
        }
        self.running
            .get_or_insert_with(|| Box::pin(sleep(patience)))
            .as_mut()
            .poll(cx)
    }
}
