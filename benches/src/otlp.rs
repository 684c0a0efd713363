//! A collector that accepts everything and keeps nothing: where a peer's exporter sends to, and ours.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An empty message is a valid answer in protobuf.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// A running sink for what is sent over HTTP, OTLP or deltas alike. It runs until the process ends.
#[derive(Debug)]
pub struct Otlp {
    /// Where it listens.
    pub address: SocketAddr,
    taken: Arc<AtomicU64>,
}

impl Otlp {
    /// Starts it on a free loopback port.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let sink = Self {
            address: listener.local_addr()?,
            taken: Arc::default(),
        };
        let taken = Arc::clone(&sink.taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = Arc::clone(&taken);
                std::thread::spawn(move || drop(take(stream, &taken)));
            }
        });
        Ok(sink)
    }

    /// Bytes of bodies taken so far: that something was exported.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Answers every request of a connection.
fn take(stream: TcpStream, taken: &AtomicU64) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let read = io::copy(&mut requests.by_ref().take(length), &mut io::sink())?;
        taken.fetch_add(read, Ordering::Relaxed);
        answers.write_all(ANSWER)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_exports_over_one_connection_are_taken() {
        let sink = Otlp::start().unwrap();
        let mut stream = TcpStream::connect(sink.address).unwrap();
        for _ in 0..2 {
            stream
                .write_all(b"POST /v1/traces HTTP/1.1\r\nContent-Length: 7\r\n\r\n1234567")
                .unwrap();
            let mut answer = [0; ANSWER.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, ANSWER);
        }
        assert_eq!(sink.taken_bytes(), 14);
    }
}
