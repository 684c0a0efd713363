//! Connections in memory: a listener that accepts pipes, and a client that asks over one.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;

use crate::load::http1::length;

/// The address that clients seem to come from.
pub const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4_000);

/// Accepts in-memory pipes.
#[derive(Debug)]
pub struct Pipes(pub mpsc::Receiver<DuplexStream>);

impl Pipes {
    /// The next pipe; waits for ever when nobody is left to send one.
    pub async fn next(&mut self) -> DuplexStream {
        match self.0.recv().await {
            Some(pipe) => pipe,
            None => std::future::pending().await,
        }
    }
}

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        (self.next().await, PEER)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(PEER)
    }
}

impl weighbridge_agent::Listener for Pipes {
    type Io = DuplexStream;

    fn accept(&mut self) -> impl Future<Output = io::Result<(DuplexStream, SocketAddr)>> + Send {
        let pipe = self.next();
        async { Ok((pipe.await, PEER)) }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(PEER)
    }
}

/// Opens a pipe of so many bytes each way to the server that accepts from `pipes`.
///
/// # Errors
/// When the server is gone.
pub async fn connect(pipes: &mpsc::Sender<DuplexStream>, bytes: usize) -> io::Result<DuplexStream> {
    let (pipe, served) = tokio::io::duplex(bytes);
    pipes
        .send(served)
        .await
        .map_err(|_| io::Error::new(ErrorKind::BrokenPipe, "the server is gone"))?;
    Ok(pipe)
}

/// Sends a request and reads its answer, whatever its status, of at most 1 KiB.
///
/// # Errors
/// When the server closes the pipe, or answers more, or without a length.
pub async fn ask(pipe: &mut DuplexStream, request: &[u8]) -> io::Result<()> {
    pipe.write_all(request).await?;
    let mut answer = [0; 1_024];
    let mut filled = 0;
    loop {
        match pipe.read(&mut answer[filled..]).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
        if length(&answer[..filled])?.is_some_and(|length| filled >= length) {
            return Ok(());
        }
    }
}
