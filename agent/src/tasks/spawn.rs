//! Children of the current request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task::JoinHandle;
use weighbridge_wire::{Class, OwnerKind};

use crate::account::{Account, InAccount, OwnerRef, current, enter, owner};
use crate::bill::Child;

pin_project! {
    /// A child task: its bill stays open until it ends or is dropped.
    struct ChildTask<F> {
        #[pin]
        future: InAccount<F>,
        // Dropped after the future, so that the future's drop is still the request's.
        child: Option<Child>,
    }
}

impl<F: Future> Future for ChildTask<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let poll = this.future.poll(cx);
        if poll.is_ready() {
            drop(this.child.take());
        }
        poll
    }
}

/// Where a child's costs go, and what keeps the bill open.
pub(super) fn child_account() -> (Account, Option<Child>) {
    match current().map(|account| account.owner) {
        Some(OwnerRef::Bill(bill)) => {
            let child = bill.child();
            (
                Account::new(OwnerRef::Bill(bill), Class::Handler),
                Some(child),
            )
        }
        // Work of an owner that spawns is its own; the scheduler spawns nothing.
        Some(named) if !is_runtime(&named) => (Account::new(named, Class::Handler), None),
        _ => (
            Account::new(owner(OwnerKind::Background, "spawned"), Class::Handler),
            None,
        ),
    }
}

fn is_runtime(named: &OwnerRef) -> bool {
    named.same(&crate::account::runtime_owner())
}

/// Spawns a task whose costs belong to the current request, which stays open until the task ends (for at
/// most 10 s after its response; what comes later is counted as late). Outside a request the costs belong to
/// the current owner.
///
/// # Panics
/// As [`tokio::spawn`] does, outside a runtime.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (account, child) = child_account();
    tokio::spawn(ChildTask {
        future: InAccount::new(account, future),
        child,
    })
}

/// Runs a closure on Tokio's blocking threads; its costs belong to the current request, as with [`spawn`].
///
/// # Panics
/// As [`tokio::task::spawn_blocking`] does, outside a runtime.
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let (account, child) = child_account();
    tokio::task::spawn_blocking(move || {
        // Dropped last, also when `f` unwinds or is never run.
        let _child = child;
        let _entered = enter(account);
        f()
    })
}
