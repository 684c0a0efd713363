//! Rows as a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use pin_project_lite::pin_project;
use tokio_postgres::{Error, Row};

use crate::store::Statement;

pin_project! {
    /// The rows of a statement. It ends with the stream.
    pub struct RowStream {
        #[pin]
        inner: tokio_postgres::RowStream,
        weighed: Counting,
    }
}

impl std::fmt::Debug for RowStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowStream").finish_non_exhaustive()
    }
}

impl RowStream {
    pub(super) fn new(inner: tokio_postgres::RowStream, statement: Statement) -> Self {
        Self {
            inner,
            weighed: Counting::new(statement),
        }
    }

    /// How many rows the statement touched, once the stream has ended.
    #[must_use]
    pub fn rows_affected(&self) -> Option<u64> {
        self.inner.rows_affected()
    }
}

impl Stream for RowStream {
    type Item = Result<Row, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let next = ready!(this.weighed.poll(|| this.inner.poll_next(cx)));
        match &next {
            Some(Ok(_)) => this.weighed.count += 1,
            Some(Err(_)) => this.weighed.fail(),
            None => this.weighed.end(),
        }
        Poll::Ready(next)
    }
}

/// A statement whose parts are counted one by one. Whoever stops in the middle has had what he wanted.
pub(super) struct Counting {
    statement: Option<Statement>,
    pub(super) count: u64,
}

impl Counting {
    pub(super) fn new(statement: Statement) -> Self {
        Self {
            statement: Some(statement),
            count: 0,
        }
    }

    pub(super) fn poll<R>(&mut self, poll: impl FnOnce() -> Poll<R>) -> Poll<R> {
        match &mut self.statement {
            Some(statement) => statement.poll(poll),
            None => poll(),
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(statement) = self.statement.take() {
            statement.end(Some(self.count));
        }
    }

    pub(super) fn fail(&mut self) {
        self.statement = None;
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.end();
    }
}
