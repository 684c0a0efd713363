//! HTTP/1.1 as bytes: what a hostile or careless client would send, without a library that would refuse to.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::patience::patience;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code; 0 when the connection was closed without an answer.
    pub status: u16,
    /// The head as text.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends a GET and reads the answer.
///
/// # Panics
/// When there is no connection.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, &[], b"")
}

/// Sends a GET and reads the answer; `None` without a connection.
#[must_use]
pub fn try_get(address: SocketAddr, path: &str) -> Option<Answer> {
    drop(TcpStream::connect(address).ok()?);
    Some(get(address, path)).filter(|answer| answer.status != 0)
}

/// Sends a POST with a body and reads the answer.
///
/// # Panics
/// When there is no connection.
#[must_use]
pub fn post(address: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> Answer {
    request(
        address,
        "POST",
        path,
        &[("content-type", content_type)],
        body,
    )
}

/// Sends a request and reads the answer. `Host` is the address unless the headers hold one.
///
/// # Panics
/// When there is no connection.
#[must_use]
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        head.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    exchange(address, &bytes)
}

/// Sends bytes and reads to the end of the connection.
///
/// # Panics
/// When there is no connection.
#[must_use]
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address)
        .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    let _ = stream.set_read_timeout(Some(patience()));
    // A server may answer and close before it has read everything; its answer counts.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while let Ok(n) = stream.read(&mut chunk) {
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..n]);
    }
    parse(&answer)
}

fn parse(bytes: &[u8]) -> Answer {
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = match split {
        Some(at) => (&bytes[..at], &bytes[at + 4..]),
        None => (bytes, &[][..]),
    };
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        dechunk(body)
    } else {
        body.to_vec()
    };
    Answer { status, head, body }
}

fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        let length = std::str::from_utf8(&rest[..at])
            .ok()
            .and_then(|text| usize::from_str_radix(text.split(';').next()?.trim(), 16).ok())
            .unwrap_or(0);
        if length == 0 || rest.len() < at + 2 + length {
            break;
        }
        body.extend_from_slice(&rest[at + 2..at + 2 + length]);
        rest = rest.get(at + 4 + length..).unwrap_or_default();
    }
    body
}
