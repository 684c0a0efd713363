//! The scheduler's account: what no other account claims on a thread of the runtime's.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use weighbridge_wire::{Class, OwnerKind};

use super::{THREAD, Thread, replace, with_owner};
use crate::account::{Account, OwnerRef, owner};
use crate::clock::ThreadClock;
use crate::ledger::OwnerId;

/// The name of scheduler time where it contains tasks that nothing wrapped.
pub(crate) const RUNTIME_OR_UNWRAPPED: &str = "runtime or unwrapped";
/// Its name where the poll hooks see each task.
#[cfg(tokio_unstable)]
pub(crate) const RUNTIME: &str = "runtime";

/// Numbers of the owners of scheduler time, whose pieces may contain sleep; the largest number before there is one.
static RUNTIME_ID: AtomicU32 = AtomicU32::new(u32::MAX);
#[cfg(tokio_unstable)]
static SEEN_RUNTIME_ID: AtomicU32 = AtomicU32::new(u32::MAX);

fn noted(owner: OwnerRef, number: &AtomicU32) -> OwnerRef {
    if let OwnerRef::Named(id) = owner {
        number.store(id.0, Ordering::Relaxed);
    }
    owner
}

/// True for the number of an owner of scheduler time.
pub(super) fn may_sleep(id: OwnerId) -> bool {
    #[cfg(tokio_unstable)]
    if id.0 == SEEN_RUNTIME_ID.load(Ordering::Relaxed) {
        return true;
    }
    id.0 == RUNTIME_ID.load(Ordering::Relaxed)
}

/// The owner of scheduler time on threads where tasks may run unseen.
pub(crate) fn runtime_owner() -> OwnerRef {
    static OWNER: LazyLock<OwnerRef> =
        LazyLock::new(|| noted(owner(OwnerKind::Runtime, RUNTIME_OR_UNWRAPPED), &RUNTIME_ID));
    OWNER.clone()
}

/// The owner of scheduler time on threads where the poll hooks see each task.
#[cfg(tokio_unstable)]
pub(crate) fn seen_runtime_owner() -> OwnerRef {
    static OWNER: LazyLock<OwnerRef> =
        LazyLock::new(|| noted(owner(OwnerKind::Runtime, RUNTIME), &SEEN_RUNTIME_ID));
    OWNER.clone()
}

/// True for the owners of scheduler time.
pub(crate) fn is_runtime(named: &OwnerRef) -> bool {
    #[cfg(tokio_unstable)]
    if named.same(&seen_runtime_owner()) {
        return true;
    }
    named.same(&runtime_owner())
}

/// Makes everything outside accounts on this thread the runtime's.
pub(crate) fn become_runtime_thread() {
    replace(Account::new(runtime_owner(), Class::Handler));
}

/// Makes everything outside accounts on this thread the scheduler's alone: the poll hooks see its tasks.
#[cfg(tokio_unstable)]
pub(crate) fn become_seen_runtime_thread() {
    let unseen = |owner: Option<&OwnerRef>| owner.is_none_or(|o| o.same(&runtime_owner()));
    if with_owner(unseen).unwrap_or(false) {
        replace(Account::new(seen_runtime_owner(), Class::Handler));
    }
}

/// A runtime thread is about to sleep: its sums go to the tables, so that an idle thread holds nothing back.
/// A thread that drives a runtime without having been started by it has no account so far.
pub(crate) fn on_park() {
    if with_owner(|owner| owner.is_some()).unwrap_or(true) {
        // On a driver's thread the piece that ends is the driver's, and is not put off as the scheduler's may be.
        let _ = THREAD.try_with(|thread| thread.flush(|clock| clock.park(thread.leaving.get())));
    } else {
        become_runtime_thread();
    }
}

/// A runtime thread woke up. Where a scheduler runs in somebody's account (a runtime inside a task), that
/// account slept, which the clock expects of the scheduler's alone: the kernel is asked.
pub(crate) fn on_unpark() {
    let sleeper = with_owner(|owner| match owner {
        None => Some(true),
        Some(OwnerRef::Named(id)) if may_sleep(*id) => None,
        Some(_) => Some(false),
    });
    match sleeper.flatten() {
        Some(true) => become_runtime_thread(),
        Some(false) => {
            let _ = THREAD.try_with(|thread| thread.flush(ThreadClock::settle));
        }
        None => {}
    }
}

/// A runtime thread ends.
pub(crate) fn leave_thread() {
    let _ = THREAD.try_with(Thread::end);
}
