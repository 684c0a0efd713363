//! The life of a bill under bodies that stream, clients that leave, and answers that come from elsewhere: costs are
//! booked when they are spent, and each request ends once, with the right outcome.

#![allow(clippy::unwrap_used)]

mod support;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::StatusCode;
use support::{Connection, Served, burn, figure};
use weighbridge_agent::wire::{RowKind, column};

const WORK: Duration = Duration::from_millis(2);
const WORK_NS: i64 = 2_000_000;

/// Gives each piece back as it comes.
async fn both_ways(body: Body) -> Body {
    Body::from_stream(body.into_data_stream().inspect(|_| burn(WORK)))
}

/// Does what a host may put around the layer: answers for handlers that panic or take too long.
async fn instead(request: Request, next: Next) -> Response {
    let late = request.uri().path() == "/late";
    let mut answer = Box::pin(AssertUnwindSafe(next.run(request)).catch_unwind());
    if late {
        // As a timeout does: the handler began and is given up.
        let begun = std::future::poll_fn(|cx| std::task::Poll::Ready(answer.poll_unpin(cx)));
        assert!(begun.await.is_pending());
        return (StatusCode::REQUEST_TIMEOUT, "late").into_response();
    }
    match answer.await {
        Ok(response) => response,
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "broken").into_response(),
    }
}

fn app() -> Router {
    let endless =
        || stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1_000])));
    Router::new()
        .route("/both", post(both_ways))
        .route(
            "/endless",
            get(move || async move { Body::from_stream(endless()) }),
        )
        .route("/unread", post(|| async { "did not look" }))
        .route("/panic", get(support::panics))
        .route("/late", get(std::future::pending::<&str>))
        .layer(weighbridge_agent::layer())
        .layer(from_fn(instead))
}

/// The row of an operation once its one request has ended, with its errors and client errors.
async fn ended(served: &Served, operation: &str, outcome: [i64; 2]) {
    let row = served.ended(operation, 1).await;
    assert_eq!(support::outcome(&row), outcome, "{operation}");
    assert_eq!(
        figure(&row, column::IN_FLIGHT_NS),
        figure(&row, column::WALL_NS)
    );
}

/// Messages and bytes of both directions at the callee.
fn carried(served: &Served, operation: &str) -> [i64; 4] {
    let edge = [(0, "callee"), (4, operation)];
    support::carried(&served.ledger.select(RowKind::Edge, &edge))
}

async fn lives(served: &Served) {
    let address = served.address;
    // Bodies that stream both ways: each piece is booked when it is spent, and the end comes with the last.
    let mut both = Connection::open(address).await;
    both.raw(b"POST /both HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for n in 1..=3 {
        both.raw(b"3\r\nabc\r\n").await;
        let column = column::CPU_HANDLER_NS;
        let row = served.reached("POST /both", column, n * WORK_NS).await;
        let figures = [column::STARTED, column::ENDED].map(|c| figure(&row, c));
        assert_eq!(figures, [1, 0], "booked while it is open");
    }
    both.raw(b"0\r\n\r\n").await;
    assert_eq!(both.answer().await.body, b"abcabcabc");
    ended(served, "POST /both", [0, 0]).await;
    assert_eq!(carried(served, "POST /both"), [1, 9, 1, 9]);

    // A client that leaves in the middle of an answer.
    let mut leaving = Connection::open(address).await;
    leaving.send("GET /endless HTTP/1.1", b"").await;
    assert!(!leaving.ended().await, "a part of it has come");
    drop(leaving);
    ended(served, "GET /endless", [0, 1]).await;

    // A body that nobody reads was sent all the same.
    let mut unread = Connection::open(address).await;
    let answer = unread.ask("POST /unread HTTP/1.1", &[b'y'; 700]).await;
    assert_eq!(answer.body, b"did not look");
    ended(served, "POST /unread", [0, 0]).await;
    assert_eq!(carried(served, "POST /unread"), [1, 700, 1, 12]);

    // Answers given outside the layer are the request's answers.
    let mut elsewhere = Connection::open(address).await;
    let answer = elsewhere.ask("GET /panic HTTP/1.1", b"").await;
    assert_eq!((answer.status, &*answer.body), (500, &b"broken"[..]));
    ended(served, "GET /panic", [1, 0]).await;
    assert_eq!(carried(served, "GET /panic"), [1, 0, 1, 6]);
    let answer = elsewhere.ask("GET /late HTTP/1.1", b"").await;
    assert_eq!((answer.status, &*answer.body), (408, &b"late"[..]));
    ended(served, "GET /late", [0, 1]).await;
    assert_eq!(carried(served, "GET /late"), [1, 0, 1, 4]);
}

#[test]
fn a_bill_lives_as_long_as_its_request() {
    support::weigh_server(
        support::builder("living"),
        |_| app(),
        |served| async move { lives(&served).await },
    );
}
