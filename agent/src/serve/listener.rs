//! Where connections come from.

use std::future::Future;
use std::io::Result;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A source of connections: tokio's [`TcpListener`], or one that adds TLS to it.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection and its peer. Must not lose one when the future is dropped.
    fn accept(&mut self) -> impl Future<Output = Result<(Self::Io, SocketAddr)>> + Send;

    /// The address that it listens on.
    ///
    /// # Errors
    /// When the system cannot tell.
    fn local_addr(&self) -> Result<SocketAddr>;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        // Small answers must not wait for the peer's acknowledgement. A socket that refuses works all the same.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Self::local_addr(self)
    }
}
