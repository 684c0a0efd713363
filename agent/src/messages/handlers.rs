//! Handlers of messages on tasks of their own: a panic ends its own only.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::task::{JoinError, JoinSet};

/// The handlers that run at one time. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Handlers {
    tasks: JoinSet<()>,
    at_once: usize,
}

impl Handlers {
    /// At most this many at one time, and at least one.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            at_once: at_once.max(1),
        }
    }

    /// Waits until another one may run.
    pub(crate) async fn room(&mut self) {
        while self.tasks.len() >= self.at_once {
            told(self.tasks.join_next().await);
        }
    }

    /// Starts one. Call [`room`](Self::room) before the message is taken.
    pub(crate) fn start(&mut self, handler: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(handler);
    }

    /// Waits until all have ended.
    pub(crate) async fn finish(mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            told(Some(ended));
        }
    }
}

fn told(ended: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = ended
        && error.is_panic()
    {
        // Not what it panicked with: that may hold data of the message.
        tracing::error!("the handler of a message panicked");
    }
}

/// The future's output, or `None` if it panicked. What it held is dropped by then.
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(Some(future));
    std::future::poll_fn(move |cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| match future.as_mut().as_pin_mut() {
            Some(running) => running.poll(cx).map(Some),
            None => Poll::Ready(None),
        }));
        match poll {
            Ok(poll) => poll,
            Err(_) => {
                future.set(None);
                tracing::error!("the handler of a message panicked");
                Poll::Ready(None)
            }
        }
    })
    .await
}
