//! Children of the current request.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use weighbridge_wire::Class;

use crate::account::{Account, InAccount, OwnerRef, current, enter};
use crate::bill::Child;
use crate::hooks;

pin_project! {
    /// A future in an account; a request's bill stays open until it ends or is dropped.
    pub(super) struct ChildTask<F> {
        #[pin]
        future: InAccount<F>,
        // Dropped after the future, so that the future's drop is still the request's.
        child: Option<Child>,
    }
}

impl<F> ChildTask<F> {
    pub(super) fn new((account, child): (Account, Option<Child>), future: F) -> Self {
        Self {
            future: InAccount::new(account, future),
            child,
        }
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

/// Where the costs of a child spawned here go, and what keeps the bill open.
pub(crate) fn child_account(spawned_at: &'static Location<'static>) -> (Account, Option<Child>) {
    match current().map(|account| account.owner) {
        Some(OwnerRef::Bill(bill)) => {
            let child = bill.child();
            (
                Account::new(OwnerRef::Bill(bill), Class::Handler),
                Some(child),
            )
        }
        // What a declared owner spawns is its own.
        Some(named) if !hooks::is_anonymous(&named) => (Account::new(named, Class::Handler), None),
        _ => (
            Account::new(hooks::spawned_owner(spawned_at), Class::Handler),
            None,
        ),
    }
}

/// A future as a child spawned by the caller of the caller.
#[track_caller]
pub(super) fn child<F>(future: F) -> ChildTask<F> {
    ChildTask::new(child_account(Location::caller()), future)
}

/// A closure as a child spawned by the caller of the caller.
#[track_caller]
pub(super) fn blocking_child<F, R>(f: F) -> impl FnOnce() -> R
where
    F: FnOnce() -> R,
{
    let (account, child) = child_account(Location::caller());
    move || {
        // Dropped last, also when `f` unwinds or is never run.
        let _child = child;
        let _entered = enter(account);
        f()
    }
}

/// Spawns a task whose costs belong to the current request, which stays open until the task ends (for at
/// most 10 s after its response; what comes later is counted as late). Outside a request the costs belong to
/// the declared owner that spawns ([`background`](crate::background()), a driver, a pool, a connection), and
/// where there is none to the owner `background` under the place of the call, such as `src/jobs.rs:41`.
///
/// # Panics
/// As [`tokio::spawn`] does, outside a runtime.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(child(future))
}

/// [`spawn`] on the runtime of this handle.
#[track_caller]
pub fn spawn_on<F>(future: F, runtime: &Handle) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    runtime.spawn(child(future))
}

/// [`spawn`] for a future that stays on its thread, inside a `LocalSet` or a `LocalRuntime`.
///
/// # Panics
/// As [`tokio::task::spawn_local`] does, outside both.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    tokio::task::spawn_local(child(future))
}

/// Runs a closure on Tokio's blocking threads; its costs belong to the current request, as with [`spawn`].
///
/// # Panics
/// As [`tokio::task::spawn_blocking`] does, outside a runtime.
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    tokio::task::spawn_blocking(blocking_child(f))
}

/// [`spawn_blocking`] on the blocking threads of this handle's runtime.
#[track_caller]
pub fn spawn_blocking_on<F, R>(f: F, runtime: &Handle) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    runtime.spawn_blocking(blocking_child(f))
}
