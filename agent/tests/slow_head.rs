//! Clients that are slow with a request's head lose their connection; all others keep it.

#![allow(clippy::unwrap_used)]

#[cfg(feature = "http2")]
#[path = "support/http2.rs"]
mod client;
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use support::{Connection, PATIENCE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const HEAD_PATIENCE: Duration = Duration::from_millis(100);

async fn serve(patience: Option<Duration>) -> SocketAddr {
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: String| async { body }));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = weighbridge_agent::serve(listener, app).with_header_read_timeout(patience);
    tokio::spawn(server.into_future());
    address
}

/// Sends these bytes and waits until the server closes the connection. Returns how long that took.
async fn closed_after(address: SocketAddr, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    end.expect("the server closes the connection").ok();
    assert!(rest.is_empty(), "nothing was asked, nothing is answered");
    begun.elapsed()
}

#[tokio::test]
async fn a_slow_head_costs_the_connection_and_nothing_else_does() {
    let address = serve(Some(HEAD_PATIENCE)).await;
    let mut idle = Connection::open(address).await;
    assert_eq!(idle.ask("GET / HTTP/1.1", b"").await.body, b"hello");
    #[cfg(feature = "http2")]
    let mut idle_http2 = client::Http2::open(address).await;
    let mut slow_body = Connection::open(address).await;
    slow_body
        .raw(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab")
        .await;

    // Nothing at all, a part of a head, and a part of what tells HTTP/2.
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\nx-slow: ", b"PRI * HT"] {
        let took = closed_after(address, bytes).await;
        // The clock of the test begins after the server's.
        assert!(took >= HEAD_PATIENCE / 2, "{took:?}");
    }
    // The second head is waited for as long as the first.
    let mut again = Connection::open(address).await;
    assert_eq!(again.ask("GET / HTTP/1.1", b"").await.body, b"hello");
    again.raw(b"GET / HTT").await;
    assert!(timeout(PATIENCE, again.ended()).await.unwrap());

    // All this took longer than a head may; none of these has one on the way.
    assert_eq!(idle.ask("GET / HTTP/1.1", b"").await.body, b"hello");
    slow_body.raw(b"cd").await;
    assert_eq!(slow_body.answer().await.body, b"abcd");
    #[cfg(feature = "http2")]
    assert_eq!(idle_http2.get("/").await.body, "hello");
}

#[tokio::test]
async fn without_a_limit_a_head_may_take_its_time() {
    let address = serve(None).await;
    let mut slow = Connection::open(address).await;
    slow.raw(b"GET / HTTP/1.1\r\n").await;
    let quick = serve(Some(HEAD_PATIENCE)).await;
    closed_after(quick, b"GET").await;
    slow.raw(b"host: a\r\n\r\n").await;
    assert_eq!(slow.answer().await.body, b"hello");
}
