//! Carrying an account to another thread or task.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::spawn::{ChildTask, child_account};
use crate::account::{Account, enter};
use crate::bill::Child;

/// The current account, to be installed on another thread (a thread pool's, or one of one's own) or around a
/// future that something else spawns. The request stays open until the scope is dropped.
#[derive(Debug)]
pub struct Scope {
    account: Account,
    child: Option<Child>,
}

impl Scope {
    /// The scope of the current request; outside one that of the declared owner, or of the place of the call.
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        let (account, child) = child_account(Location::caller());
        Self { account, child }
    }

    /// Runs `f` in the account.
    pub fn install<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = enter(self.account.clone());
        f()
    }

    /// The future in the account: for spawners that have no wrapper here, such as a `TaskTracker`.
    ///
    /// ```
    /// # async fn handler(tracker: tokio::task::JoinSet<()>) {
    /// # let mut tracker = tracker;
    /// tracker.spawn(weighbridge_agent::Scope::current().wrap(async { /* the request's work */ }));
    /// # }
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub fn wrap<F: Future>(self, future: F) -> InScope<F> {
        InScope {
            inner: ChildTask::new((self.account, self.child), future),
        }
    }
}

pin_project! {
    /// A future that is polled and dropped in the account of a [`Scope`]. Made by [`Scope::wrap`].
    pub struct InScope<F> {
        #[pin]
        inner: ChildTask<F>,
    }
}

impl<F> std::fmt::Debug for InScope<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InScope").finish_non_exhaustive()
    }
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().inner.poll(cx)
    }
}
