//! Connections under bounds: how many there are, and how long one may be silent.
//!
//! The timeouts of requests begin with a complete head. A peer that sends none, or half a one, would hold its
//! connection for ever, and enough of them all file descriptors of the process.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use weighbridge_agent::Listener;

/// A listener whose connections are bounded.
pub(crate) struct Bounded {
    listener: TcpListener,
    connections: Arc<Semaphore>,
    silence: Duration,
}

impl Bounded {
    /// At most `connections` at once; further ones wait in the system's queue. One in which nothing moves for
    /// `silence` is closed.
    pub(crate) fn new(listener: TcpListener, connections: usize, silence: Duration) -> Self {
        let permits = connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            listener,
            connections: Arc::new(Semaphore::new(permits)),
            silence,
        }
    }
}

impl Listener for Bounded {
    type Io = Connection<TcpStream>;

    async fn accept(&mut self) -> io::Result<(Self::Io, SocketAddr)> {
        let permit = self
            .connections
            .clone()
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, peer) = Listener::accept(&mut self.listener).await?;
        Ok((Connection::new(stream, self.silence, Some(permit)), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when nothing moves in it.
pub(crate) struct Connection<S> {
    stream: S,
    silence: Duration,
    ends: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    fn new(stream: S, silence: Duration, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            stream,
            silence,
            ends: Box::pin(tokio::time::sleep(silence)),
            _permit: permit,
        }
    }

    /// Something moved, or nothing did: then perhaps it is time.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match moved {
            Poll::Ready(moved) => {
                self.ends.as_mut().reset(Instant::now() + self.silence);
                Poll::Ready(moved)
            }
            Poll::Pending => match self.ends.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watch(cx, moved)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, moved)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, moved)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // Flushing and closing move nothing by themselves: a socket is always ready for them.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_ends_and_a_slow_one_does_not() {
        let (near, mut far) = duplex(64);
        let mut near = Connection::new(near, Duration::from_secs(10), None);
        let mut byte = [0];
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(9)).await;
            far.write_all(b"x").await.unwrap();
            near.read_exact(&mut byte).await.unwrap();
        }
        let error = near.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_ends_the_write() {
        let (near, _far) = duplex(64);
        let mut near = Connection::new(near, Duration::from_secs(10), None);
        let error = near.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn beyond_the_limit_a_connection_waits_until_another_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 1, Duration::from_secs(10));
        let _clients = [
            TcpStream::connect(addr).await.unwrap(),
            TcpStream::connect(addr).await.unwrap(),
        ];
        let (first, _) = bounded.accept().await.unwrap();
        {
            let mut second = std::pin::pin!(bounded.accept());
            assert!(futures_util::poll!(second.as_mut()).is_pending());
        }
        drop(first);
        bounded.accept().await.unwrap();
    }
}
