//! Connections: which part of their life belongs to which request, and what happens when things go wrong.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use support::{Connection, Served, burn, figure, outcome};
use tokio::sync::Notify;
use weighbridge_agent::spawn;
use weighbridge_agent::wire::{RowKind, column};

/// Larger than what the sockets of a loopback connection hold.
const LARGE_BYTES: usize = 32 << 20;

fn app(entered: Arc<Notify>, go_on: Arc<Notify>) -> Router {
    Router::new()
        .route("/small", get(|| async { "small" }))
        .route("/wordy", get(|| async { "read it all" }))
        .route("/large", get(|| async { vec![b'x'; LARGE_BYTES] }))
        .route("/panic", get(support::panics))
        .route(
            "/held",
            get(move || async move {
                entered.notify_one();
                go_on.notified().await;
                "released"
            }),
        )
        .route(
            "/post",
            post(|body: Body| async move { axum::body::to_bytes(body, 1 << 20).await.unwrap() }),
        )
        .route(
            "/detached",
            get(|| async {
                spawn(async { burn(Duration::from_millis(5)) });
                "answered first"
            }),
        )
        .layer(weighbridge_agent::layer())
}

async fn connections(served: &Served, entered: &Notify, go_on: &Notify) {
    let (ledger, address) = (&served.ledger, served.address);
    // Reading and parsing a head is the request's own cost, though there is no request yet. A connection that
    // stays open keeps little for itself.
    let mut wordy = Connection::open(address).await;
    let head = (0..80).fold("GET /wordy HTTP/1.1".to_owned(), |head, n| {
        format!("{head}\r\nx-word-{n}: {}", "w".repeat(300))
    });
    assert_eq!(wordy.ask(&head, b"").await.body, b"read it all");
    served.ended("GET /wordy", 1).await;
    let connections = || ledger.select(RowKind::Owner, &[(0, "connection")]).cpu_ns();
    let before = connections();
    for _ in 0..100 {
        wordy.ask(&head, b"").await;
    }
    let row = served.ended("GET /wordy", 101).await;
    let (heads, idle) = (
        figure(&row, column::CPU_PROTOCOL_NS),
        connections() - before,
    );
    assert!(
        heads > 2 * idle,
        "{heads} ns for heads, {idle} ns for connections"
    );

    // A slow reader keeps the bill open: the bytes are not on their way yet.
    let mut slow = Connection::open(address).await;
    slow.send("GET /large HTTP/1.1", b"").await;
    let mut fast = Connection::open(address).await;
    assert_eq!(fast.ask("GET /small HTTP/1.1", b"").await.body, b"small");
    served.ended("GET /small", 1).await;
    served.reached("GET /large", column::STARTED, 1).await;
    // By now the server has filled the sockets' buffers at least once.
    assert_eq!(fast.ask("GET /small HTTP/1.1", b"").await.body, b"small");
    served.ended("GET /small", 2).await;
    let large = ledger.operation("GET /large", "");
    assert_eq!(
        (large.get(column::STARTED), large.get(column::ENDED)),
        (Some(1), Some(0))
    );
    assert_eq!(slow.answer().await.body.len(), LARGE_BYTES);
    let large = served.ended("GET /large", 1).await;
    assert!(figure(&large, column::CPU_IO_NS) > 0);
    assert!(figure(&large, column::WALL_NS) > 0);

    // Pipelined requests are two requests.
    fast.raw(b"GET /small HTTP/1.1\r\nhost: a\r\n\r\nGET /small HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert_eq!(fast.answer().await.body, b"small");
    assert_eq!(fast.answer().await.body, b"small");
    let small = served.ended("GET /small", 4).await;
    assert_eq!(
        (figure(&small, column::STARTED), outcome(&small)),
        (4, [0, 0])
    );
    assert_eq!(
        figure(&small, column::IN_FLIGHT_NS),
        figure(&small, column::WALL_NS)
    );

    // A chunked body counts without its framing.
    fast.raw(b"POST /post HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    assert_eq!(fast.answer().await.body, b"abcde");
    served.ended("POST /post", 1).await;
    let edge = ledger.select(RowKind::Edge, &[(4, "POST /post")]);
    assert_eq!(figure(&edge, column::REQUEST_BODY_BYTES), 5);
    assert_eq!(figure(&edge, column::RESPONSE_BODY_BYTES), 5);

    // A panic costs the connection and is an error; the server lives on.
    let mut broken = Connection::open(address).await;
    broken.send("GET /panic HTTP/1.1", b"").await;
    let row = served.ended("GET /panic", 1).await;
    assert_eq!(outcome(&row), [1, 0]);
    assert!(row.cpu_ns() >= 1_000_000);

    // A client that goes away cancels its request.
    let mut leaving = Connection::open(address).await;
    leaving.send("GET /held HTTP/1.1", b"").await;
    entered.notified().await;
    drop(leaving);
    let row = served.ended("GET /held", 1).await;
    assert_eq!(outcome(&row), [0, 1]);

    // The bill waits for the child that the handler left behind.
    assert_eq!(
        fast.ask("GET /detached HTTP/1.1", b"").await.body,
        b"answered first"
    );
    let row = served.ended("GET /detached", 1).await;
    assert!(row.cpu_ns() >= 5_000_000);
    assert_eq!(figure(&row, column::LATE_CPU_NS), 0);

    // Shutdown: no new connections, requests in flight finish, idle connections close.
    let mut last = Connection::open(address).await;
    last.send("GET /held HTTP/1.1", b"").await;
    entered.notified().await;
    served.stop();
    go_on.notify_one();
    assert_eq!(last.answer().await.body, b"released");
    served.stopped().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[test]
fn a_connection_works_for_its_request_until_the_flush() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (entered.clone(), go_on.clone());
    let ledger = support::weigh_server(
        support::builder("served"),
        |_| app(tell, wait),
        |served| async move { connections(&served, &entered, &go_on).await },
    );
    support::assert_nothing_in_flight(&ledger);
}
