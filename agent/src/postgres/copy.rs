//! `COPY`, both ways.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use pin_project_lite::pin_project;
use tokio_postgres::Error;

use crate::store::Statement;

pin_project! {
    /// What a table is filled from. Dropped before [`finish`](Self::finish) the server drops what it has got, and the
    /// statement has failed.
    pub struct CopyInSink<U: 'static> {
        #[pin]
        inner: tokio_postgres::CopyInSink<U>,
        statement: Option<Statement>,
    }
}

impl<U> std::fmt::Debug for CopyInSink<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyInSink").finish_non_exhaustive()
    }
}

impl<U: Buf + Send + 'static> CopyInSink<U> {
    pub(super) fn new(inner: tokio_postgres::CopyInSink<U>, statement: Statement) -> Self {
        Self {
            inner,
            statement: Some(statement),
        }
    }

    /// Ends the copy and returns how many rows it wrote.
    ///
    /// # Errors
    /// What the client says.
    pub async fn finish(self: Pin<&mut Self>) -> Result<u64, Error> {
        let mut this = self.project();
        match this.statement.take() {
            Some(mut weighed) => {
                let result = weighed.wait(this.inner.as_mut().finish()).await;
                weighed.end_with(result, |rows| Some(*rows))
            }
            None => this.inner.as_mut().finish().await,
        }
    }
}

/// Polls in the account of the statement.
fn polled(
    statement: &mut Option<Statement>,
    poll: impl FnOnce() -> Poll<Result<(), Error>>,
) -> Poll<Result<(), Error>> {
    match statement {
        Some(weighed) => weighed.poll(poll),
        None => poll(),
    }
}

impl<U: Buf + Send + 'static> Sink<U> for CopyInSink<U> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.project();
        polled(this.statement, || this.inner.poll_ready(cx))
    }

    fn start_send(self: Pin<&mut Self>, item: U) -> Result<(), Error> {
        let this = self.project();
        if let Some(statement) = this.statement {
            statement.add_bytes(item.remaining() as u64);
        }
        this.inner.start_send(item)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.project();
        polled(this.statement, || this.inner.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.project();
        polled(this.statement, || this.inner.poll_close(cx))
    }
}

pin_project! {
    /// What a `COPY … TO STDOUT` returns: pieces of text or binary rows. The rows are not counted.
    pub struct CopyOutStream {
        #[pin]
        inner: tokio_postgres::CopyOutStream,
        statement: Option<Statement>,
    }

    impl PinnedDrop for CopyOutStream {
        fn drop(this: Pin<&mut Self>) {
            // Whoever stops in the middle has had what he wanted.
            if let Some(statement) = this.project().statement.take() {
                statement.end(None);
            }
        }
    }
}

impl std::fmt::Debug for CopyOutStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyOutStream").finish_non_exhaustive()
    }
}

impl CopyOutStream {
    pub(super) fn new(inner: tokio_postgres::CopyOutStream, statement: Statement) -> Self {
        Self {
            inner,
            statement: Some(statement),
        }
    }
}

impl Stream for CopyOutStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let Some(statement) = this.statement else {
            return this.inner.poll_next(cx);
        };
        let next = ready!(statement.poll(|| this.inner.poll_next(cx)));
        match &next {
            Some(Ok(piece)) => statement.add_bytes(piece.len() as u64),
            Some(Err(_)) => *this.statement = None,
            None => {
                if let Some(statement) = this.statement.take() {
                    statement.end(None);
                }
            }
        }
        Poll::Ready(next)
    }
}
