//! The poll hooks: each task of the runtime in its account, wrapped or not.
//!
//! A task's account is decided when it is spawned, kept in a sharded table until it ends, and entered around
//! each of its polls.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use tokio::runtime::TaskMeta;
use tokio::task::Id;
use weighbridge_wire::{Class, OwnerKind};

use super::living::Living;
use super::rules::{Place, place};
use super::site::spawned_owner;
use crate::account::{
    Account, Entered, OwnerRef, become_seen_runtime_thread, current, enter, owner,
};
use crate::bill::Child;
use crate::ledger::ledger;
use crate::ledger::limits::TASKS_MAX;
use crate::sync::lock;
use crate::tasks::child_account;

/// A task that lives.
#[derive(Debug)]
struct Task {
    account: Account,
    /// Keeps the request open that spawned it.
    child: Mutex<Option<Child>>,
    polled: AtomicBool,
}

static TASKS: LazyLock<Living<Arc<Task>>> = LazyLock::new(Living::default);
/// A runtime of this process has the poll hooks.
static LIVE: AtomicBool = AtomicBool::new(false);

/// A poll under way on this thread.
struct Frame {
    id: Id,
    task: Arc<Task>,
    entered: Entered,
    /// Nothing of the task ran before.
    first: bool,
}

thread_local! {
    /// More than one where a task runs another runtime inside `block_in_place`.
    static POLLS: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    /// The task that ended last on this thread. One that is refused by a runtime that has shut down ends
    /// before Tokio tells that it was spawned.
    static ENDED: Cell<Option<Id>> = const { Cell::new(None) };
    /// The scheduler's account on this thread is known to be seen.
    static SEEN: Cell<bool> = const { Cell::new(false) };
}

/// True once a runtime has the poll hooks.
pub(super) fn are_live() -> bool {
    LIVE.load(Ordering::Relaxed)
}

pub(super) fn go_live() {
    LIVE.store(true, Ordering::Relaxed);
}

/// Call when a task is spawned, on the spawning thread: decides whose it is.
pub fn on_task_spawn(meta: &TaskMeta<'_>) {
    if ENDED.try_with(Cell::get).ok().flatten() == Some(meta.id()) {
        return;
    }
    let Some((account, child)) = account_at(meta.spawned_at()) else {
        return;
    };
    TASKS.keep(meta.id(), TASKS_MAX, || {
        Arc::new(Task {
            account,
            child: Mutex::new(child),
            polled: AtomicBool::new(false),
        })
    });
}

/// The account of a task spawned here; `None` where its future carries its own.
fn account_at(spawned_at: &'static Location<'static>) -> Option<(Account, Option<Child>)> {
    let named = |owner| Some((Account::new(owner, Class::Handler), None));
    match place(spawned_at) {
        Place::Agent => None,
        // All that a client's own tasks do is to carry messages.
        Place::Known(known, OwnerKind::Driver) => {
            let owner = of_peer(&known).unwrap_or(known);
            Some((Account::new(owner, Class::Protocol), None))
        }
        Place::Known(known, _) => named(of_peer(&known).unwrap_or(known)),
        Place::HyperExecutor => match current().map(|account| account.owner) {
            Some(OwnerRef::Bill(_) | OwnerRef::Split(_)) => {
                named(owner(OwnerKind::Pool, "hyper-util"))
            }
            Some(current) if !super::is_anonymous(&current) => named(current),
            _ => named(spawned_owner(spawned_at)),
        },
        Place::Program => Some(child_account(spawned_at)),
    }
}

/// The current owner, if it is this one of a peer: a client that was told whom it connects to.
fn of_peer(known: &OwnerRef) -> Option<OwnerRef> {
    let OwnerRef::Named(known) = known else {
        return None;
    };
    match current()?.owner {
        OwnerRef::Named(id) if ledger().names().is_of_peer(*known, id) => Some(OwnerRef::Named(id)),
        _ => None,
    }
}

/// Call before each poll of a task: its account becomes current.
pub fn on_before_task_poll(meta: &TaskMeta<'_>) {
    if !SEEN.try_with(|seen| seen.replace(true)).unwrap_or(true) {
        go_live();
        become_seen_runtime_thread();
    }
    let id = meta.id();
    let Some(task) = TASKS.get(id) else {
        return;
    };
    let entered = enter(task.account.clone());
    let _ = POLLS.try_with(|polls| {
        polls.borrow_mut().push(Frame {
            id,
            first: !task.polled.swap(true, Ordering::Relaxed),
            task,
            entered,
        });
    });
}

/// Call after each poll of a task: the account before it comes back.
pub fn on_after_task_poll(meta: &TaskMeta<'_>) {
    let id = meta.id();
    let frame = POLLS
        .try_with(|polls| {
            let mut polls = polls.borrow_mut();
            polls.pop_if(|frame| frame.id == id)
        })
        .ok()
        .flatten();
    if let Some(frame) = frame {
        // The account is left first: a child whose task has ended may close its request's bill.
        drop(frame.entered);
        drop(frame.task);
    }
}

/// Call when a task has ended or was cancelled: it is forgotten.
pub fn on_task_terminate(meta: &TaskMeta<'_>) {
    let id = meta.id();
    let _ = ENDED.try_with(|ended| ended.set(Some(id)));
    // Inside its last poll this is not the last reference: that one is dropped after the poll.
    drop(TASKS.end(id));
}

/// The current task turned out to be an owner of its own (a driver, background work): the request that
/// spawned it does not wait for it. Only at the beginning of the task, when it has done nothing else yet.
pub(super) fn detach_current() {
    let child = POLLS.try_with(|polls| {
        let mut polls = polls.borrow_mut();
        let frame = polls.last_mut()?;
        if !std::mem::take(&mut frame.first) {
            return None;
        }
        lock(&frame.task.child).take()
    });
    drop(child);
}

#[cfg(test)]
mod tests {
    use hyper::rt::Executor as _;
    use hyper_util::rt::TokioExecutor;

    use super::*;

    fn kept() -> usize {
        TASKS.len()
    }

    #[test]
    fn nothing_is_kept_of_tasks_that_ended_or_died_with_their_runtime_or_came_after_it() {
        let before = kept();
        let runtime = crate::runtime_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        runtime.block_on(async {
            let (end, ended) = tokio::sync::oneshot::channel::<()>();
            // Spawned in a file that is not the agent's, whose tasks are left alone.
            TokioExecutor::new().execute(async { drop(end) });
            TokioExecutor::new().execute(std::future::pending::<()>());
            assert_eq!(kept(), before + 2);
            assert!(ended.await.is_err());
            tokio::task::yield_now().await;
            assert_eq!(kept(), before + 1);
        });
        drop(runtime);
        assert_eq!(kept(), before);
        let _inside = handle.enter();
        TokioExecutor::new().execute(std::future::pending::<()>());
        assert_eq!(kept(), before);
    }
}
