//! The socket, in class io.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weighbridge_wire::Class;

use super::Served;
use crate::account::enter_class;

/// Books socket calls to class io of the current account, and tells the connection when it is flushed.
#[derive(Debug)]
pub(super) struct WeighedIo<T> {
    inner: T,
    served: Served,
}

impl<T> WeighedIo<T> {
    pub(super) fn new(inner: T, served: Served) -> Self {
        Self { inner, served }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WeighedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let _io = enter_class(Class::Io);
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WeighedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        let _io = enter_class(Class::Io);
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let _io = enter_class(Class::Io);
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // A TCP socket has nothing to flush: a reading of the clock would cost more than the call.
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        if poll.is_ready() {
            self.served.flushed();
        }
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let _io = enter_class(Class::Io);
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
