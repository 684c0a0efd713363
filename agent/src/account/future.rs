//! A future that always runs inside its account.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Account, enter};

pin_project! {
    /// Polls its future inside the account, and drops it there too: cancellation and drop are real cost.
    #[derive(Debug)]
    pub(crate) struct InAccount<F> {
        #[pin]
        future: Option<F>,
        account: Account,
    }

    impl<F> PinnedDrop for InAccount<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let entered = enter(this.account.clone());
                this.future.set(None);
                drop(entered);
            }
        }
    }
}

impl<F> InAccount<F> {
    pub(crate) fn new(account: Account, future: F) -> Self {
        Self {
            future: Some(future),
            account,
        }
    }
}

impl<F: Future> Future for InAccount<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _entered = enter(this.account.clone());
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            // Polled after it was ready, against the contract of futures: never ready again.
            return Poll::Pending;
        };
        let poll = future.poll(cx);
        if poll.is_ready() {
            this.future.set(None);
        }
        poll
    }
}
