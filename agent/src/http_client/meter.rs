//! What one connection of the pool has carried and cost.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use weighbridge_wire::Class;

use crate::account;
use crate::sync::lock;

/// The meter of one connection. It travels with each response in its extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    written_bytes: AtomicU64,
    /// Set before bytes are written: they may have arrived before they are counted.
    writing: AtomicBool,
    read_bytes: AtomicU64,
    /// Known from the first time the connection's task uses the socket.
    task: OnceLock<Arc<TaskCost>>,
    claimed: Mutex<Carried>,
}

/// What the task of a connection cost so far.
#[derive(Debug, Default)]
pub(super) struct TaskCost {
    protocol_ns: AtomicI64,
    io_ns: AtomicI64,
}

/// What went over a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    pub(super) written_bytes: u64,
    /// Something was written, whether or not it is counted yet.
    pub(super) begun: bool,
    pub(super) read_bytes: u64,
    pub(super) protocol_ns: i64,
    pub(super) io_ns: i64,
}

thread_local! {
    /// The task that is polled on this thread, so that its socket finds it.
    static TASK: RefCell<Option<Arc<TaskCost>>> = const { RefCell::new(None) };
}

impl Meter {
    /// Bytes are about to be written.
    pub(super) fn writing(&self) {
        self.0.writing.store(true, Ordering::Release);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.0
            .written_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: usize) {
        self.0.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes which task drives the socket. Called from inside its poll.
    pub(super) fn meet_task(&self) {
        if self.0.task.get().is_none()
            && let Some(task) = TASK.try_with(|task| task.borrow().clone()).ok().flatten()
        {
            let _ = self.0.task.set(task);
        }
    }

    /// What the connection has carried since the claim before this one.
    pub(super) fn claim(&self) -> Carried {
        let task = self.0.task.get();
        let now = Carried {
            written_bytes: self.0.written_bytes.load(Ordering::Relaxed),
            begun: self.0.writing.swap(false, Ordering::Acquire),
            read_bytes: self.0.read_bytes.load(Ordering::Relaxed),
            protocol_ns: task.map_or(0, |task| task.protocol_ns.load(Ordering::Relaxed)),
            io_ns: task.map_or(0, |task| task.io_ns.load(Ordering::Relaxed)),
        };
        let before = std::mem::replace(&mut *lock(&self.0.claimed), now);
        Carried {
            written_bytes: now.written_bytes.saturating_sub(before.written_bytes),
            begun: now.begun,
            read_bytes: now.read_bytes.saturating_sub(before.read_bytes),
            protocol_ns: now.protocol_ns - before.protocol_ns,
            io_ns: now.io_ns - before.io_ns,
        }
    }
}

impl TaskCost {
    /// Runs a poll of the task inside `account` and adds what it cost.
    pub(super) fn poll<R>(
        self: &Arc<Self>,
        account: account::Account,
        poll: impl FnOnce() -> R,
    ) -> R {
        let previous = TASK
            .try_with(|task| task.replace(Some(Arc::clone(self))))
            .ok()
            .flatten();
        let _back = Back(previous);
        let entered = account::enter(account);
        let before = account::class_totals_here();
        let result = poll();
        // Crossing books the last piece, so the sums are exact afterwards.
        drop(entered);
        let after = account::class_totals_here();
        for (sum, class) in [
            (&self.protocol_ns, Class::Protocol),
            (&self.io_ns, Class::Io),
        ] {
            let spent = after[class as usize] - before[class as usize];
            sum.fetch_add(spent, Ordering::Relaxed);
        }
        result
    }
}

/// Restores the task that was polled before, also when the poll panics.
struct Back(Option<Arc<TaskCost>>);

impl Drop for Back {
    fn drop(&mut self) {
        let previous = self.0.take();
        let _ = TASK.try_with(|task| *task.borrow_mut() = previous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_divide_what_was_carried() {
        let meter = Meter::default();
        meter.writing();
        assert!(
            meter.claim().begun,
            "they may be there before they are counted"
        );
        meter.writing();
        meter.wrote(10);
        meter.read(5);
        let first = meter.claim();
        assert_eq!((first.written_bytes, first.read_bytes), (10, 5));
        assert!(first.begun);
        meter.clone().wrote(3);
        assert_eq!(meter.claim().written_bytes, 3);
        assert_eq!(meter.claim(), Carried::default());
    }

    #[test]
    fn a_socket_finds_the_task_that_polls_it() {
        let (meter, task) = (Meter::default(), Arc::new(TaskCost::default()));
        meter.meet_task();
        assert!(meter.0.task.get().is_none());
        let account = account::Account::new(
            account::owner(weighbridge_wire::OwnerKind::Pool, "http test"),
            Class::Protocol,
        );
        task.poll(account, || meter.meet_task());
        assert!(meter.0.task.get().is_some());
        assert!(
            TASK.with(|task| task.borrow().is_none()),
            "the task is forgotten after its poll"
        );
    }
}
