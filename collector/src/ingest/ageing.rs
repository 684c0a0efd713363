//! The thread that adds minutes up and removes what is old, a piece at a time. Neither an acknowledgement nor a reader
//! waits for more than one short transaction of it.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::{Job, Shared};
use crate::store::Marks;

/// How often minutes are added up and old windows looked for.
const EVERY: Duration = Duration::from_secs(10);
/// Most times that ages are halved because there is too much.
const HALVINGS_MAX: u32 = 12;

/// Works until nobody holds the other end of `stopped`.
pub(super) fn run(shared: &Shared, to_writer: &SyncSender<Job>, stopped: &Receiver<()>) {
    // How often the ages of the tiers are halved, because there is more than may be kept.
    let mut halvings = 0;
    let mut wait = Duration::ZERO;
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = EVERY;
        if shared.healthy.load(Ordering::Relaxed) && age(shared, to_writer, &mut halvings) {
            wait = Duration::ZERO;
        }
    }
}

/// One piece. True when there is more to do now.
fn age(shared: &Shared, to_writer: &SyncSender<Job>, halvings: &mut u32) -> bool {
    let tell = |job: Job| {
        shared.metrics.queued();
        // The writer works until this thread is gone.
        let _ = to_writer.send(job);
    };
    let now_unix_ns = shared.clock.now_unix_ns();
    let limits = &shared.limits;
    // What is refused as too old cannot be folded twice, so its epoch may be forgotten.
    let lateness_ns = u64::try_from(limits.lateness.as_nanos()).unwrap_or(u64::MAX);
    let epochs_before = now_unix_ns.saturating_sub(lateness_ns);
    let due = Marks::due(now_unix_ns, limits.keep(*halvings));
    let aged = match shared.store.age(due, epochs_before) {
        Ok(aged) => aged,
        Err(error) => {
            tell(Job::Broke(error));
            return false;
        }
    };
    let bytes = shared.store.window_bytes();
    shared.metrics.aged(aged.windows, bytes);
    if aged.epochs > 0 {
        tell(Job::Forgotten(epochs_before));
    }
    if aged.more {
        return true;
    }
    if bytes > limits.retention_bytes && *halvings < HALVINGS_MAX {
        *halvings += 1;
        tracing::warn!(
            bytes,
            limit = limits.retention_bytes,
            halvings = *halvings,
            "more than `retention_size`: every tier is kept half as long"
        );
        return true;
    }
    if bytes < limits.retention_bytes / 4 {
        *halvings = halvings.saturating_sub(1);
    }
    false
}
