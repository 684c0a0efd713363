//! The socket, in class io.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weighbridge_wire::Class;

use super::Served;
use super::connection::Phase;
use crate::account::{self, enter_class};

/// Books socket calls to class io of the current account, and tells the connection when it is flushed.
#[derive(Debug)]
pub(super) struct WeighedIo<T> {
    inner: T,
    served: Served,
    /// What was read to tell the protocol, and is still to be handed on.
    #[cfg(feature = "http2")]
    ahead: Vec<u8>,
}

impl<T> WeighedIo<T> {
    pub(super) fn new(inner: T, served: Served) -> Self {
        Self {
            inner,
            served,
            #[cfg(feature = "http2")]
            ahead: Vec::new(),
        }
    }
}

#[cfg(feature = "http2")]
impl<T: AsyncRead + Unpin> WeighedIo<T> {
    /// Reads until it is clear whether the client speaks HTTP/2: its first bytes are a fixed text then. What was
    /// read will be read again.
    pub(super) fn poll_is_http2(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        // Large enough for the head of most requests: telling the protocol must not cost another socket call.
        const READ_BYTES: usize = 2_048;
        loop {
            let seen = self.ahead.len().min(PREFACE.len());
            if self.ahead[..seen] != PREFACE[..seen] {
                return Poll::Ready(Ok(false));
            }
            if seen == PREFACE.len() {
                return Poll::Ready(Ok(true));
            }
            let mut bytes = [0; READ_BYTES];
            let mut buf = ReadBuf::new(&mut bytes);
            let _io = enter_class(Class::Io);
            std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                // The end, which HTTP/1 knows how to take.
                return Poll::Ready(Ok(false));
            }
            self.ahead.extend_from_slice(buf.filled());
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WeighedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        #[cfg(feature = "http2")]
        if !self.ahead.is_empty() {
            let n = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..n]);
            self.ahead.drain(..n);
            if self.ahead.is_empty() {
                // The head of one request shall not stay as long as the connection.
                self.ahead = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        // The connection reads when a poll begins, and again to see whether the client is still there. For most of
        // that nothing has come, and a socket that is known to be empty is not asked: two readings of the clock
        // would cost more. So the piece is the read's where it has read.
        let io = (!self.served.may_read_nothing()).then(|| enter_class(Class::Io));
        let poll = Pin::new(&mut self.inner).poll_read(cx, buf);
        match io {
            // Nothing to parse: the poll ends, or the handler's goes on.
            Some(io) if poll.is_pending() => io.leave_soon(),
            Some(io) => drop(io),
            None if poll.is_ready() => account::was_in_class(Class::Io),
            None => {}
        }
        if buf.filled().len() > before {
            self.served.pass(Phase::Idle, Phase::Head);
        }
        poll
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WeighedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize>> {
        let io = enter_class(Class::Io);
        let poll = Pin::new(&mut self.inner).poll_write(cx, buf);
        if matches!(poll, Poll::Ready(Ok(n)) if n == buf.len()) {
            // A flush comes next, and its reading.
            io.leave_soon();
        }
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let io = enter_class(Class::Io);
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(n)) = poll
            && n == bufs.iter().map(|buf| buf.len()).sum::<usize>()
        {
            // A flush comes next, and its reading.
            io.leave_soon();
        }
        poll
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
        account::have_left();
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let _io = enter_class(Class::Io);
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
