//! The guard that the host holds.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::mpsc;
use weighbridge_wire::Identity;

use super::worker::{Command, Shutdown};
use super::{Place, life};
use crate::{account, state};

/// How long the guard's drop waits for the collector.
const DROP_PATIENCE: Duration = Duration::from_secs(2);
/// How much longer it waits for the agent's thread itself.
pub(super) const THREAD_PATIENCE: Duration = Duration::from_millis(500);

/// Keeps the agent running. When it is dropped, the last window ends and is sent (for at most 2 s), and the
/// table of costs is printed if there is neither a collector nor a sink.
///
/// In a forked child the guard of the parent does nothing: call [`init`](crate::init) again there.
#[must_use = "the agent ends when the guard is dropped"]
#[derive(Debug)]
pub struct Agent {
    identity: Identity,
    handle: Option<Handle>,
    /// Held so that no second agent is made meanwhile.
    place: Option<Place>,
}

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) last: Last,
}

/// Asks the agent's thread to end. It has a channel of its own, so that flushes that wait are not in its way.
#[derive(Clone, Debug)]
pub(super) struct Last(pub(super) mpsc::Sender<Shutdown>);

impl Last {
    /// Ends the last window and waits until it is sent, for a bounded time.
    pub(super) fn shut_down(&self) {
        account::flush_here();
        let (reply, answer) = sync_channel(1);
        let shutdown = Shutdown {
            patience: DROP_PATIENCE,
            reply,
        };
        if self.0.try_send(shutdown).is_ok() {
            // Whether it was sent concerns nobody any more.
            let _ = answer.recv_timeout(DROP_PATIENCE.saturating_add(THREAD_PATIENCE));
        }
    }
}

impl Agent {
    pub(super) fn running(identity: Identity, place: Place, handle: Handle) -> Self {
        Self {
            identity,
            handle: Some(handle),
            place: Some(place),
        }
    }

    /// Switched off by a variable.
    pub(super) fn off(identity: Identity, place: Place) -> Self {
        Self {
            identity,
            handle: None,
            place: Some(place),
        }
    }

    /// Could not be set up.
    pub(super) fn idle(identity: Identity) -> Self {
        Self {
            identity,
            handle: None,
            place: None,
        }
    }

    /// Who this process says it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Ends the window now and waits until everything is acknowledged. False when that takes longer than
    /// `patience`, or when there is nobody to send to. Blocks the calling thread.
    pub fn flush(&self, patience: Duration) -> bool {
        let Some(handle) = self.handle_here() else {
            return false;
        };
        // What this thread spent so far belongs into the window that ends.
        account::flush_here();
        let (reply, answer) = sync_channel(1);
        let command = Command { patience, reply };
        if handle.commands.try_send(command).is_err() {
            return false;
        }
        answer
            .recv_timeout(patience.saturating_add(THREAD_PATIENCE))
            .unwrap_or(false)
    }

    /// The same as dropping the guard.
    pub fn shutdown(self) {
        drop(self);
    }

    /// The way to the agent's thread, in the process that has it.
    fn handle_here(&self) -> Option<&Handle> {
        let here = self.place.as_ref().is_some_and(Place::is_here);
        self.handle.as_ref().filter(|_| here)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(handle) = self.handle_here() {
            life::end();
            handle.last.shut_down();
            state::stop_measuring();
        }
    }
}
