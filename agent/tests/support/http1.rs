//! A client that speaks bare HTTP/1.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that sends requests and reads answers.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, head: &str, body: &[u8]) {
        let mut request = format!(
            "{head}\r\nhost: test\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await.unwrap();
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one answer with a declared length or chunks.
    pub async fn answer(&mut self) -> Answer {
        let head_end = loop {
            if let Some(n) = find(&self.buffer, b"\r\n\r\n") {
                break n + 4;
            }
            self.more().await;
        };
        let head = String::from_utf8(self.buffer.drain(..head_end).collect())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map(|length| length.trim().parse::<usize>().unwrap());
        let mut body = Vec::new();
        if let Some(length) = length {
            while self.buffer.len() < length {
                self.more().await;
            }
            body = self.buffer.drain(..length).collect();
        } else if head.contains("transfer-encoding: chunked") {
            loop {
                let line = loop {
                    if let Some(n) = find(&self.buffer, b"\r\n") {
                        break n;
                    }
                    self.more().await;
                };
                let size = std::str::from_utf8(&self.buffer[..line]).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                while self.buffer.len() < line + 2 + size + 2 {
                    self.more().await;
                }
                let chunk: Vec<u8> = self.buffer.drain(..line + 2 + size + 2).collect();
                body.extend_from_slice(&chunk[line + 2..line + 2 + size]);
                if size == 0 {
                    break;
                }
            }
        }
        Answer { status, body }
    }

    pub async fn ask(&mut self, head: &str, body: &[u8]) -> Answer {
        self.send(head, body).await;
        self.answer().await
    }

    /// Waits until the server closes the connection; false when it sends something instead.
    pub async fn ended(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0
    }

    async fn more(&mut self) {
        let n = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(n > 0, "the server closed the connection");
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
