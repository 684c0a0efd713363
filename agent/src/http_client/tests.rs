//! The client against real servers on loopback. Each test has a peer name of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use weighbridge_wire::column;

use super::*;
use crate::ledger::{Direction, EdgeFigures, EdgeId};
use crate::propagation::{BAGGAGE, HOP, TRACEPARENT, extract};
use crate::tasks::job;
use crate::testing::{Books, eventually, figure};
use crate::trust::Trust;

static SEEN: Mutex<Vec<(EdgeId, EdgeFigures)>> = Mutex::new(Vec::new());

/// Notes what goes to the ledger, which all tests of the process share.
pub(super) fn observe(edge: &EdgeId, figures: &EdgeFigures) {
    SEEN.lock().unwrap().push((edge.clone(), figures.clone()));
}

fn seen(peer: &str) -> Vec<(EdgeId, EdgeFigures)> {
    SEEN.lock()
        .unwrap()
        .iter()
        .filter(|(edge, _)| &*edge.peer == peer)
        .cloned()
        .collect()
}

/// Waits until `count` calls of a peer are recorded: some are, in the background.
async fn recorded(peer: &str, count: usize) -> Vec<(EdgeId, EdgeFigures)> {
    eventually("calls recorded", || seen(peer).len() >= count).await;
    let found = seen(peer);
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A server that reads a request and then does what `answer` says, counting bytes both ways.
async fn raw(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let read = Arc::new(AtomicU64::new(0));
    let count = read.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 65_536];
            let n = socket.read(&mut bytes).await.unwrap_or(0);
            count.fetch_add(n as u64, Ordering::Relaxed);
            let _ = socket.write_all(answer).await;
        }
    });
    (address, read)
}

fn echo() -> Router {
    Router::new()
        .route(
            "/echo/{name}",
            post(|Path(name): Path<String>, body: Bytes| async move {
                (StatusCode::OK, [("x-name", name)], body)
            }),
        )
        .route("/big", get(|| async { vec![b'x'; 300_000] }))
        .route(
            "/missing",
            get(|| async { (StatusCode::NOT_FOUND, "no such thing") }),
        )
        .route(
            "/broken",
            get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "oops") }),
        )
        .route("/empty", get(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/headers",
            get(|headers: HeaderMap| async move { format!("{headers:?}") }),
        )
}

#[tokio::test]
async fn a_call_is_recorded_once_with_both_messages() {
    let client = Client::new("t-echo", &serve(echo()).await).unwrap();
    let text = "ä".repeat(500);
    let response = client
        .post("/echo/{name}")
        .param("name", "a b")
        .json(&text)
        .send()
        .await;
    let response = response.unwrap();
    assert_eq!(response.headers()["x-name"], "a b");
    assert_eq!(response.json::<String>().await.unwrap(), text);
    let (edge, figures) = recorded("t-echo", 1).await.remove(0);
    assert_eq!(&*edge.target, "POST /echo/{name}");
    assert_eq!(
        (edge.side, edge.mode, edge.transport),
        ("caller", "sync", "http")
    );
    let body = 1_002;
    assert_eq!(
        (figures.request_messages, figures.request_body_bytes),
        (1, body)
    );
    assert_eq!(
        (figures.response_messages, figures.response_body_bytes),
        (1, body)
    );
    assert_eq!(
        figures.sizes,
        [(Direction::Request, body), (Direction::Response, body)]
    );
    assert!(figures.request_wire_bytes.unwrap() > body, "{figures:?}");
    assert!(figures.response_wire_bytes.unwrap() > body, "{figures:?}");
    assert!(figures.encode_ns.is_some() && figures.decode_ns.is_some());
    assert_eq!((figures.errors, figures.retries), (0, 0));
}

#[tokio::test]
async fn wire_bytes_are_those_of_the_socket_and_of_one_request() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let (address, read) = raw(answer).await;
    let client = Client::new("t-wire", &format!("http://{address}")).unwrap();
    for _ in 0..3 {
        let response = client.get("/x").send().await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), "ok");
    }
    let calls = recorded("t-wire", 3).await;
    let sum: u64 = calls
        .iter()
        .map(|(_, f)| f.request_wire_bytes.unwrap())
        .sum();
    assert_eq!(sum, read.load(Ordering::Relaxed));
    for (_, figures) in calls {
        assert_eq!(figures.response_wire_bytes, Some(answer.len() as u64));
    }
}

#[tokio::test]
async fn a_connection_kept_alive_is_divided_among_its_requests() {
    let client = Client::new("t-alive", &serve(echo()).await).unwrap();
    for size in [10_000, 10, 10_000] {
        let body = vec![b'a'; size];
        let response = client
            .post("/echo/{name}")
            .param("name", "n")
            .body(body)
            .send()
            .await;
        assert_eq!(response.unwrap().bytes().await.unwrap().len(), size);
    }
    let calls = recorded("t-alive", 3).await;
    for (_, figures) in calls {
        let (body, wire) = (
            figures.request_body_bytes,
            figures.request_wire_bytes.unwrap(),
        );
        assert!(wire > body && wire < body + 1_000, "{figures:?}");
        let (body, wire) = (
            figures.response_body_bytes,
            figures.response_wire_bytes.unwrap(),
        );
        assert!(wire > body && wire < body + 1_000, "{figures:?}");
    }
}

#[tokio::test]
async fn an_unread_body_is_counted_all_the_same() {
    let client = Client::new("t-unread", &serve(echo()).await).unwrap();
    drop(client.get("/big").send().await.unwrap());
    let error = client
        .get("/missing")
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::NOT_FOUND));
    assert_eq!(
        error.to_string(),
        "t-unread answered GET /missing with 404 Not Found"
    );
    let mut calls = recorded("t-unread", 2).await;
    calls.sort_by_key(|(edge, _)| edge.target.clone());
    assert_eq!(calls[0].1.response_body_bytes, 300_000);
    assert_eq!(calls[1].1.response_body_bytes, "no such thing".len() as u64);
    assert_eq!(calls[1].1.errors, 0, "404 is not an error of the edge");
}

#[tokio::test]
async fn server_errors_count_as_errors_and_empty_bodies_as_messages() {
    let client = Client::new("t-status", &serve(echo()).await).unwrap();
    assert_eq!(client.get("/broken").send().await.unwrap().status(), 500);
    assert_eq!(
        client
            .get("/empty")
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .len(),
        0
    );
    let mut calls = recorded("t-status", 2).await;
    calls.sort_by_key(|(edge, _)| edge.target.clone());
    assert_eq!(calls[0].1.errors, 1);
    assert_eq!((calls[1].1.errors, calls[1].1.response_messages), (0, 1));
    assert_eq!(calls[1].1.response_body_bytes, 0);
}

#[tokio::test]
async fn a_peer_that_is_not_there_got_no_message() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new("t-absent", &base).unwrap();
    let error = client.post("/x").body("hello").send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("cannot connect to t-absent for POST /x"),
        "{error}"
    );
    let (_, figures) = recorded("t-absent", 1).await.remove(0);
    assert_eq!(
        (figures.request_messages, figures.request_body_bytes),
        (0, 0)
    );
    assert_eq!((figures.response_messages, figures.errors), (0, 1));
    assert_eq!(figures.request_wire_bytes, None, "unknown is never zero");
}

#[tokio::test]
async fn a_connection_that_breaks_counts_the_request_and_no_response() {
    let (address, _) = raw(b"").await;
    let client = Client::new("t-breaks", &format!("http://{address}")).unwrap();
    let error = client.post("/x").body("hello").send().await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    let (_, figures) = recorded("t-breaks", 1).await.remove(0);
    assert_eq!(
        (figures.request_messages, figures.request_body_bytes),
        (1, 5)
    );
    assert_eq!((figures.response_messages, figures.errors), (0, 1));
}

#[tokio::test]
async fn a_body_cut_short_is_an_error_with_what_came() {
    let (address, _) = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await;
    let client = Client::new("t-short", &format!("http://{address}")).unwrap();
    let error = client
        .get("/x")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    let (_, figures) = recorded("t-short", 1).await.remove(0);
    assert_eq!(
        (figures.response_messages, figures.response_body_bytes),
        (1, 3)
    );
    assert_eq!(figures.errors, 1);
}

#[tokio::test]
async fn a_silent_peer_is_left_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new("t-silent", &base)
        .unwrap()
        .with_timeout(Duration::from_secs(1));
    let error = client.get("/x").send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    let (_, figures) = recorded("t-silent", 1).await.remove(0);
    assert_eq!((figures.request_messages, figures.errors), (1, 1));
    assert!(figures.wait_ns.unwrap() >= 900_000_000);
}

#[tokio::test]
async fn a_request_waited_for_the_call_that_it_gave_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new("t-gave-up", &base).unwrap();
    let mut books = Books::open();
    // Dropped without another poll, as by a client that went away.
    tokio::select! {
        biased;
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
        _ = job("gives a call up", client.get("/x").send()) => unreachable!("nobody answers"),
    }
    books.rotate();
    let row = books.operation("JOB gives a call up", "");
    assert!(figure(&row, column::WAIT_CALL_NS) >= 150_000_000, "{row:?}");
}

#[tokio::test]
async fn hostile_answers_are_errors() {
    for answer in [
        &b"\x00\xff\xfenonsense\r\n\r\n"[..],
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
    ] {
        let (address, _) = raw(answer).await;
        let client = Client::new("t-hostile", &format!("http://{address}")).unwrap();
        assert!(client.get("/x").send().await.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let client = Client::new("t-large", &serve(echo()).await)
        .unwrap()
        .with_body_bytes_max(1_000);
    let error = client
        .get("/big")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::TooLarge {
                bytes_max: 1_000,
                ..
            }
        ),
        "{error:?}"
    );
    let mut response = client.get("/big").send().await.unwrap();
    let mut bytes = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes += chunk.len();
    }
    assert_eq!(bytes, 300_000, "in chunks there is no limit");
}

#[tokio::test]
async fn a_call_given_up_by_its_caller_is_recorded() {
    let (entered, arrived) = tokio::sync::oneshot::channel();
    let entered = Arc::new(Mutex::new(Some(entered)));
    let router = Router::new().route(
        "/slow",
        get(move || async move {
            entered.lock().unwrap().take().unwrap().send(()).unwrap();
            std::future::pending::<Body>().await
        }),
    );
    let client = Client::new("t-cancel", &serve(router).await).unwrap();
    tokio::select! {
        _ = client.get("/slow").send() => unreachable!("nobody answers"),
        arrived = arrived => arrived.unwrap(),
    }
    let (_, figures) = recorded("t-cancel", 1).await.remove(0);
    assert_eq!(
        (figures.request_messages, figures.response_messages),
        (1, 0)
    );
    assert_eq!(figures.errors, 0, "nothing went wrong");
}

#[tokio::test]
async fn trusted_peers_get_our_headers() {
    let client = Client::new("t-headers", &serve(echo()).await).unwrap();
    let text = client
        .get("/headers")
        .header(BAGGAGE, "tenant=7")
        .send()
        .await
        .unwrap();
    let text = String::from_utf8(text.bytes().await.unwrap().to_vec()).unwrap();
    for name in [TRACEPARENT, HOP, "tenant=7", "weighbridge.origin="] {
        assert!(text.contains(name), "{name} is missing in {text}");
    }
}

#[tokio::test]
async fn the_call_id_joins_both_ends() {
    let found = Arc::new(Mutex::new(None));
    let kept = found.clone();
    let router = Router::new().route(
        "/x",
        get(move |mut headers: HeaderMap| async move {
            let inbound = extract(&Trust::Loopback, "127.0.0.1".parse().ok(), &mut headers);
            *kept.lock().unwrap() = inbound.hop;
        }),
    );
    let client = Client::new("t-join", &serve(router).await).unwrap();
    client.get("/x").send().await.unwrap();
    let (edge, _) = recorded("t-join", 1).await.remove(0);
    let hop = found.lock().unwrap().clone().unwrap();
    assert_eq!(hop.call_id.to_arc(), edge.call_id);
    assert_eq!(&*hop.caller.operation, "", "no request calls");
}

#[tokio::test]
async fn mistakes_show_before_anything_is_sent() {
    assert!(Client::new("p", "https://localhost").is_err());
    assert!(Client::new("p", "localhost:80").is_err());
    let client = Client::new("t-mistakes", "http://127.0.0.1:9/base/").unwrap();
    assert!(matches!(
        client.get("/{id}").send().await,
        Err(ClientError::Build { .. })
    ));
    let bad = client.get("/").header("a b", "c").send().await;
    assert!(matches!(bad, Err(ClientError::Build { .. })));
    let map: std::collections::HashMap<(u8, u8), u8> = [((1, 2), 3)].into();
    assert!(matches!(
        client.post("/").json(&map).send().await,
        Err(ClientError::Encode { .. })
    ));
    assert!(seen("t-mistakes").is_empty());
    assert_eq!(
        client.uri("/x?y=1").unwrap(),
        "http://127.0.0.1:9/base/x?y=1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_side_by_side_are_each_recorded() {
    let client = Client::new("t-many", &serve(echo()).await).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let client = client.clone();
        tasks.spawn(async move {
            let body = vec![b'x'; n];
            let response = client
                .post("/echo/{name}")
                .param("name", n)
                .body(body)
                .send()
                .await;
            assert_eq!(response.unwrap().bytes().await.unwrap().len(), n);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let calls = recorded("t-many", 200).await;
    let sum: u64 = calls
        .iter()
        .map(|(_, figures)| figures.response_body_bytes)
        .sum();
    assert_eq!(sum, (0..200).sum::<u64>());
    assert!(
        calls
            .iter()
            .all(|(_, figures)| figures.request_wire_bytes.is_some())
    );
}
