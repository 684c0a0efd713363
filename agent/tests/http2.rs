//! HTTP/2: many requests share a connection, whose cost is apportioned; everything else is as on HTTP/1.

#![allow(clippy::unwrap_used)]

#[path = "support/http2.rs"]
mod client;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use client::Http2;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use support::{Connection, Served, burn, clock_mode, figure, outcome};
use tokio::sync::Notify;
use weighbridge_agent::wire::{
    Class, Delta, OperationKey, OwnerKey, Quality, RowKind, RowValue, column,
};
use weighbridge_agent::{background, spawn};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

const LARGE_BYTES: usize = 100_000;
const CHUNKS: usize = 4;
const CHUNK_BYTES: usize = 1_000;

fn app(entered: Arc<Notify>, go_on: Arc<Notify>) -> Router {
    let chunk = || Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'x'; CHUNK_BYTES])));
    Router::new()
        .route("/small", get(|| async { "small" }))
        .route("/large", get(|| async { vec![b'x'; LARGE_BYTES] }))
        .route("/echo", post(|body: Bytes| async { body }))
        .route(
            "/trailers",
            get(move || async move {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("1"));
                let frames = (0..CHUNKS).map(move |_| chunk());
                let end = std::iter::once(Ok(Frame::trailers(trailers)));
                Body::new(StreamBody::new(stream::iter(frames.chain(end))))
            }),
        )
        .route(
            "/endless",
            get(move || async move {
                let frames = stream::repeat_with(chunk).take(1_000_000);
                Body::new(StreamBody::new(frames))
            }),
        )
        .route(
            "/held",
            get(move || async move {
                entered.notify_one();
                go_on.notified().await;
                "released"
            }),
        )
        .route("/panic", get(support::panics))
        .route(
            "/child",
            get(|| async {
                spawn(async { burn(Duration::from_millis(5)) });
                "answered first"
            }),
        )
        .layer(weighbridge_agent::layer())
}

/// What stands in a window for HTTP/2: the apportioned rows by operation, and what the connection kept.
fn apportioned(delta: &Delta) -> (BTreeMap<String, [i64; 2]>, [i64; 2]) {
    let columns = [column::CPU_PROTOCOL_NS, column::CPU_IO_NS];
    let figures = |row: &RowValue| columns.map(|c| row.get(c).unwrap_or(0));
    let operations = delta
        .rows
        .of_kind(RowKind::Operation)
        .filter(|(key, _)| key.quality == Quality::Apportioned)
        .map(|(key, row)| {
            let name = OperationKey::read(key).unwrap().operation.to_string();
            (name, figures(row))
        })
        // A scaled clock makes all rows apportioned, also those without a share.
        .filter(|(_, figures)| figures[1] != 0)
        .collect();
    let kept = delta
        .rows
        .of_kind(RowKind::Owner)
        .filter(|(key, _)| *OwnerKey::read(key).unwrap().name == *"http2")
        .fold([0, 0], |sum, (_, row)| {
            let row = figures(row);
            [sum[0] + row[0], sum[1] + row[1]]
        });
    (operations, kept)
}

async fn requests(served: &Served, entered: &Notify, go_on: &Notify) {
    let (ledger, address) = (&served.ledger, served.address);
    // Many at a time on one connection: each is counted once, with its bytes.
    const MANY: i64 = 400;
    let connection = Http2::open(address).await;
    let load = (0..MANY).map(|n| {
        let mut connection = connection.clone();
        background("client", async move {
            if n % 2 == 0 {
                assert_eq!(connection.get("/small").await.body, "small");
            } else {
                assert_eq!(connection.get("/large").await.body.len(), LARGE_BYTES);
            }
        })
    });
    stream::iter(load)
        .buffer_unordered(32)
        .collect::<Vec<_>>()
        .await;
    let half = MANY / 2;
    let small = served.ended("GET /small", half).await;
    let large = served.ended("GET /large", half).await;
    for row in [&small, &large] {
        assert_eq!((figure(row, column::STARTED), outcome(row)), (half, [0, 0]));
        assert_eq!(
            figure(row, column::IN_FLIGHT_NS),
            figure(row, column::WALL_NS)
        );
        for class in [Class::Handler, Class::Protocol, Class::Io] {
            assert!(row.class_cpu_ns(class).unwrap() > 0, "{class:?}");
        }
    }
    let edge = ledger.select(RowKind::Edge, &[(0, "callee"), (4, "GET /large")]);
    assert_eq!(figure(&edge, column::RESPONSE_MESSAGES), half);
    let bytes = i64::try_from(LARGE_BYTES).unwrap();
    assert_eq!(figure(&edge, column::RESPONSE_BODY_BYTES), half * bytes);
    assert!(figure(&edge, column::CPU_IO_NS) > 0);

    // The connection's cost is shared out by bytes and heads, to the last nanosecond.
    let deltas = ledger.deltas();
    let mut windows = 0;
    for delta in &deltas {
        let (operations, kept) = apportioned(delta);
        if operations.len() != 2 {
            continue;
        }
        windows += 1;
        assert_eq!(kept, [0, 0], "nothing stays with the connection");
        let (small, large) = (operations["GET /small"], operations["GET /large"]);
        // Under a scaled clock what the requests' own tasks spent on protocol stands in the same row.
        let shared = if clock_mode(delta) == "scaled" {
            1..2
        } else {
            0..2
        };
        for class in shared {
            assert!(small[class] > 0);
            // All bodies were sent in one window: 2 heads and 5 bytes against 2 heads and the large body.
            let exact = i128::from(small[class]) * (100 + i128::from(bytes))
                - i128::from(large[class]) * 105;
            assert!(
                exact.abs() <= 100 + i128::from(bytes),
                "{small:?} {large:?}"
            );
        }
    }
    assert_eq!(windows, 1, "the window in which both were active");

    // Trailers, and bodies of requests.
    let mut one = connection.clone();
    let answer = one.get("/trailers").await;
    assert_eq!(
        (answer.body.len(), answer.trailers),
        (CHUNKS * CHUNK_BYTES, true)
    );
    assert_eq!(outcome(&served.ended("GET /trailers", 1).await), [0, 0]);
    let body = vec![b'y'; LARGE_BYTES];
    assert_eq!(one.post("/echo", body.clone()).await.body, body);
    served.ended("POST /echo", 1).await;
    let edge = ledger.select(RowKind::Edge, &[(0, "callee"), (4, "POST /echo")]);
    assert_eq!(figure(&edge, column::REQUEST_BODY_BYTES), bytes);
    assert_eq!(one.get("/none").await.status, StatusCode::NOT_FOUND);
    assert_eq!(outcome(&served.ended("GET <unmatched>", 1).await), [0, 1]);

    // A client that has enough resets its stream; the others go on.
    let request = Request::get("http://test/endless")
        .body(Body::empty())
        .unwrap();
    let mut endless = one.send(request).await.unwrap();
    endless.body_mut().frame().await.unwrap().unwrap();
    drop(endless);
    assert_eq!(outcome(&served.ended("GET /endless", 1).await), [0, 1]);
    let mut leaving = one.clone();
    let request = Request::get("http://test/held")
        .body(Body::empty())
        .unwrap();
    let held = tokio::spawn(background("client", async move {
        drop(leaving.send(request).await);
    }));
    entered.notified().await;
    held.abort();
    assert_eq!(outcome(&served.ended("GET /held", 1).await), [0, 1]);

    // A panic is an error of its request alone.
    let request = Request::get("http://test/panic")
        .body(Body::empty())
        .unwrap();
    assert!(one.send(request).await.is_err());
    let row = served.ended("GET /panic", 1).await;
    assert_eq!(outcome(&row), [1, 0]);
    assert!(row.cpu_ns() >= 1_000_000);

    // The bill waits for a child, whose cost is not late.
    assert_eq!(one.get("/child").await.body, "answered first");
    let row = served.ended("GET /child", 1).await;
    assert!(row.cpu_ns() >= 5_000_000);
    assert_eq!(figure(&row, column::LATE_CPU_NS), 0);

    // The same listener speaks HTTP/1, also when the first bytes come one by one.
    let mut http1 = Connection::open(address).await;
    assert_eq!(http1.ask("GET /small HTTP/1.1", b"").await.body, b"small");
    let mut slow = Connection::open(address).await;
    for byte in b"PRI /small HTTP/1.1\r\nhost: a\r\n\r\n" {
        slow.raw(&[*byte]).await;
    }
    assert_eq!(slow.answer().await.status, 405);
    served.ended("GET /small", half + 1).await;

    // Shutdown: requests in flight finish, the connections end.
    let mut last = connection.clone();
    let mut idle = Http2::open(address).await;
    idle.get("/small").await;
    let finishing = tokio::spawn(background(
        "client",
        async move { last.get("/held").await.body },
    ));
    entered.notified().await;
    served.stop();
    while !idle.is_refused().await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    go_on.notify_one();
    assert_eq!(finishing.await.unwrap(), "released");
    drop((one, connection, http1, slow, idle));
    served.stopped().await;
}

#[test]
fn http2_is_conserved_and_apportioned() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (entered.clone(), go_on.clone());
    let ledger = support::weigh_server(
        support::builder("multiplexed"),
        |_| app(tell, wait),
        |served| async move { requests(&served, &entered, &go_on).await },
    );
    support::assert_nothing_in_flight(&ledger);
    support::assert_explained(&ledger, 100);
}
