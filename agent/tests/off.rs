//! Switched off, nothing is measured, and the chain of a request still holds together.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::process::Command;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use support::collector::{Collector, Mood};
use support::{Connection, PATIENCE, serve};
use weighbridge_agent::http_client::Client;
use weighbridge_agent::{BAGGAGE, HOP, TRACEPARENT};

const SUBJECT: &str = "WEIGHBRIDGE_TEST_ROLE";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// A second service, which tells what it gets to see: a line of hop, baggage and trace.
#[derive(Clone)]
struct Second(Client);

impl Second {
    async fn start() -> Self {
        let app = Router::new()
            .route("/b", get(echo))
            .layer(weighbridge_agent::layer());
        let address = serve(app).await;
        Self(Client::new("second", &format!("http://{address}")).unwrap())
    }

    async fn ask(self) -> Bytes {
        let answer = self.0.get("/b").send().await.unwrap();
        answer.bytes().await.unwrap()
    }
}

async fn echo(headers: HeaderMap) -> String {
    let show = |name| {
        headers
            .get(name)
            .map_or("-", |value| value.to_str().unwrap())
    };
    format!("{} {} {}\n", show(HOP), show(BAGGAGE), show(TRACEPARENT))
}

/// What the second service saw of the requests that the first one sent while it answered.
async fn seen(first: SocketAddr, head: &str) -> Vec<[String; 3]> {
    let answer = Connection::open(first).await.ask(head, b"").await;
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body)
        .unwrap()
        .lines()
        .map(|line| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            words.try_into().unwrap()
        })
        .collect()
}

fn trace_id(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap()
}

/// The request carries the headers of a caller.
async fn a_chain_goes_on() {
    let second = Second::start().await;
    let first = serve(
        Router::new()
            .route("/a/{id}", get(move || second.clone().ask()))
            .layer(weighbridge_agent::layer()),
    )
    .await;
    let head = format!(
        "GET /a/1 HTTP/1.1\r\n{TRACEPARENT}: 00-{TRACE_ID}-b7ad6b7169203331-01\r\n\
         {BAGGAGE}: weighbridge.origin=shop;GET%20%2F,tenant=7\r\n\
         {HOP}: 1;shop;GET%20%2F;0123456789abcdef;s;1"
    );
    let [[hop, baggage, trace]] = seen(first, &head).await.try_into().unwrap();
    assert!(
        hop.starts_with("1;subject;GET%20%2Fa%2F"),
        "the caller is the service between: {hop}"
    );
    assert!(
        baggage.contains("weighbridge.origin=shop;GET%20%2F"),
        "the origin is kept: {baggage}"
    );
    assert!(trace.contains(TRACE_ID), "{trace}");
    let head = format!("GET /a/1 HTTP/1.1\r\n{TRACEPARENT}: 00-{TRACE_ID}-b7ad6b7169203331-01");
    let [[_, baggage, trace]] = seen(first, &head).await.try_into().unwrap();
    assert!(baggage.contains("=subject;GET%20%2Fa%2F"), "{baggage}");
    assert!(trace.contains(TRACE_ID), "{trace}");
}

/// The request brings nothing: its chain begins here, wherever it calls from.
async fn a_chain_begins() {
    let second = Second::start().await;
    let everywhere = move || async move {
        let handler = second.clone().ask().await;
        let task = weighbridge_agent::spawn(second.clone().ask())
            .await
            .unwrap();
        // Somebody else's work, polled in the middle of the request's.
        let other = weighbridge_agent::background("cache", second.clone().ask());
        let again = second.clone();
        let (other, side_by_side) = tokio::join!(other, again.ask());
        let pieces = [handler, task, side_by_side, other].map(Ok::<_, std::io::Error>);
        let body = stream::once(async move { Ok(second.ask().await) });
        Body::from_stream(body.chain(stream::iter(pieces)))
    };
    let first = serve(
        Router::new()
            .route("/all/{id}", get(everywhere))
            .layer(weighbridge_agent::layer()),
    )
    .await;
    let [body, handler, task, side_by_side, other] =
        seen(first, "GET /all/1 HTTP/1.1").await.try_into().unwrap();
    let id = trace_id(&handler[2]);
    for [hop, baggage, trace] in [&body, &handler, &task, &side_by_side] {
        assert!(
            hop.starts_with("1;subject;GET%20%2Fall%2F%7Bid%7D;"),
            "{hop}"
        );
        assert_eq!(
            baggage,
            "weighbridge.origin=subject;GET%20%2Fall%2F%7Bid%7D"
        );
        assert_eq!(trace_id(trace), id, "one request is one trace");
    }
    assert!(other[0].starts_with("1;subject;;"), "background: {other:?}");
    assert_ne!(trace_id(&other[2]), id);
    let [again, ..] = &seen(first, "GET /all/2 HTTP/1.1").await[..] else {
        panic!("an answer");
    };
    assert_ne!(trace_id(&again[2]), id, "another request, another trace");
}

async fn of_two_layers_the_outer_one_counts() {
    let second = Second::start().await;
    let inner = Router::new()
        .route("/in/{id}", get(move || second.clone().ask()))
        .layer(weighbridge_agent::layer());
    let outer = Router::new()
        .fallback_service(inner)
        .layer(weighbridge_agent::layer());
    let [[hop, ..]] = seen(serve(outer).await, "GET /in/1 HTTP/1.1")
        .await
        .try_into()
        .unwrap();
    assert!(hop.starts_with("1;subject;GET%20%3Cunmatched%3E;"), "{hop}");
}

/// Names of the threads of this process, where the system tells them.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

#[test]
fn propagation_goes_on_when_everything_is_off() {
    if std::env::var(SUBJECT).is_ok() {
        let agent = weighbridge_agent::init();
        assert!(!weighbridge_agent::is_enabled());
        let runtime = weighbridge_agent::runtime().build().unwrap();
        runtime.block_on(async {
            a_chain_goes_on().await;
            a_chain_begins().await;
            of_two_layers_the_outer_one_counts().await;
        });
        // Nothing runs, and nothing reads a clock for us.
        assert!(threads().iter().all(|name| name != "weighbridge"));
        assert!(!agent.flush(PATIENCE), "there is nothing to send");
        return;
    }
    let collector = Collector::start(Mood::Honest);
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "propagation_goes_on_when_everything_is_off",
            "--nocapture",
        ])
        .env(SUBJECT, "off")
        .env("OTEL_SERVICE_NAME", "subject")
        .env("WEIGHBRIDGE_ENABLED", "false")
        .env("WEIGHBRIDGE_ENDPOINT", collector.url())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(collector.attempts(), 0, "nobody is told anything");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!printed.contains("what `subject` cost"), "{printed}");
}
