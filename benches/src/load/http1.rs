//! HTTP/1.1 with keep-alive over plain sockets, as little as can be.

use std::cell::Cell;
use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Load;

/// Open connections, served by the calling thread alone.
#[derive(Debug)]
pub struct Http1 {
    runtime: tokio::runtime::Runtime,
    connections: Vec<Connection>,
    request: Vec<u8>,
}

impl Http1 {
    /// Opens the connections. `request` is sent as it is, head and body.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn connect(address: SocketAddr, connections: usize, request: Vec<u8>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let connections = runtime.block_on(async {
            let mut open = Vec::with_capacity(connections);
            for _ in 0..connections {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                open.push(Connection {
                    stream,
                    answer: vec![0; 64 * 1024],
                });
            }
            Ok::<_, Error>(open)
        })?;
        Ok(Self {
            runtime,
            connections,
            request,
        })
    }
}

impl Load for Http1 {
    fn run(&mut self, requests: u64) -> io::Result<()> {
        let left = Cell::new(requests);
        let request = self.request.as_slice();
        self.runtime.block_on(async {
            let asking = self.connections.iter_mut().map(|connection| async {
                while let Some(rest) = left.get().checked_sub(1) {
                    left.set(rest);
                    connection.ask(request).await?;
                }
                Ok::<_, Error>(())
            });
            futures_util::future::try_join_all(asking).await
        })?;
        Ok(())
    }
}

/// A `GET` of a path with further header lines, each ending in CR LF.
#[must_use]
pub fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n{headers}\r\n").into_bytes()
}

/// A `POST` of JSON.
#[must_use]
pub fn post_json(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.answer[filled..]).await?;
            if read == 0 {
                return Err(Error::new(
                    ErrorKind::UnexpectedEof,
                    "the server closed the connection, or its answer is longer than 64 KiB",
                ));
            }
            filled += read;
            let answer = &self.answer[..filled];
            match whole_length(answer)? {
                Some(length) if filled == length => return Ok(()),
                Some(length) if filled > length => {
                    return Err(Error::new(
                        ErrorKind::InvalidData,
                        "an answer is longer than its content-length says",
                    ));
                }
                _ => {}
            }
        }
    }
}

/// How long the answer will be, once its head is whole; it must be 200.
fn whole_length(answer: &[u8]) -> io::Result<Option<usize>> {
    let length = length(answer)?;
    if length.is_some() && !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("an answer is not 200:\n{}", String::from_utf8_lossy(answer)),
        ));
    }
    Ok(length)
}

/// How long the answer will be, whatever its status, once its head is whole.
pub(crate) fn length(answer: &[u8]) -> io::Result<Option<usize>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(head) = answer.windows(END.len()).position(|four| four == END) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&answer[..head]).unwrap_or_default();
    text.split("\r\n")
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
        .map(|length| Some(head + END.len() + length))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidData,
                format!("an answer has no content-length:\n{text}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_once_the_head_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(whole_length(&answer[..20]).unwrap(), None);
        assert_eq!(whole_length(answer).unwrap(), Some(answer.len()));
        assert!(whole_length(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(whole_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
