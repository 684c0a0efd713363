//! The guard that the host holds.

use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use weighbridge_wire::Identity;

use super::Place;
use super::worker::Command;
use crate::state;

/// How long the guard's drop waits for the collector.
const DROP_PATIENCE: Duration = Duration::from_secs(2);
/// How much longer it waits for the agent's thread itself.
const THREAD_PATIENCE: Duration = Duration::from_millis(500);

/// Keeps the agent running. When it is dropped, the last window ends and is sent (for at most 2 s), and the
/// table of costs is printed if there is neither a collector nor a sink.
#[must_use = "the agent ends when the guard is dropped"]
#[derive(Debug)]
pub struct Agent {
    identity: Identity,
    handle: Option<Handle>,
    /// Held so that no second agent is made meanwhile.
    _place: Option<Place>,
}

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) thread: JoinHandle<()>,
}

impl Agent {
    pub(super) fn running(identity: Identity, place: Place, handle: Handle) -> Self {
        Self {
            identity,
            handle: Some(handle),
            _place: Some(place),
        }
    }

    /// Switched off by a variable.
    pub(super) fn off(identity: Identity, place: Place) -> Self {
        Self {
            identity,
            handle: None,
            _place: Some(place),
        }
    }

    /// Could not be set up.
    pub(super) fn idle(identity: Identity) -> Self {
        Self {
            identity,
            handle: None,
            _place: None,
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
        self.ask(patience, |reply| Command::Flush { patience, reply })
    }

    /// The same as dropping the guard.
    pub fn shutdown(self) {
        drop(self);
    }

    fn ask(
        &self,
        patience: Duration,
        command: impl FnOnce(std::sync::mpsc::SyncSender<bool>) -> Command,
    ) -> bool {
        let Some(handle) = &self.handle else {
            return false;
        };
        // What this thread spent so far belongs into the window that ends.
        crate::account::flush_here();
        let (reply, answer) = sync_channel(1);
        if handle.commands.try_send(command(reply)).is_err() {
            return false;
        }
        answer
            .recv_timeout(patience.saturating_add(THREAD_PATIENCE))
            .unwrap_or(false)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.handle.is_none() {
            return;
        }
        self.ask(DROP_PATIENCE, |reply| Command::Shutdown {
            patience: DROP_PATIENCE,
            reply,
        });
        state::stop_measuring();
        if let Some(handle) = self.handle.take()
            && handle.thread.is_finished()
        {
            // It ended by itself; whether it panicked concerns nobody now.
            let _ = handle.thread.join();
        }
    }
}
