//! What is answered when the answer comes too late, or not at all.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get as on_get, post as on_post};
use http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::ingest::Engine;
use crate::metrics::Metrics;
use crate::store::MemoryStore;

/// Bodies that stop in the middle.
async fn half_a_body(running: &Running, path: &str, content_type: &str) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
         content-type: {content_type}\r\ncontent-length: 100\r\n\r\nabc",
        running.http_addr
    );
    raw(running.http_addr, head.as_bytes()).await
}

#[tokio::test]
async fn s3_an_otlp_body_that_does_not_come_is_answered_so_that_its_client_sends_again() {
    let (running, _directory) =
        start(|config| config.request_timeout = Duration::from_millis(200)).await;
    for content_type in ["application/json", PROTOBUF.1] {
        let answer = half_a_body(&running, "/v1/traces", content_type).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("content-type"), Some(content_type));
    }
    let answer = half_a_body(&running, crate::otlp::grpc::TRACES, "application/grpc").await;
    assert_eq!(answer.header("grpc-status"), Some("14"), "{}", answer.head);
    assert!(
        answer.header("grpc-status-details-bin").is_some(),
        "RetryInfo"
    );
    running.shutdown().await.unwrap();
}

/// The collector around ways in that never answer, or panic.
fn around(timeout: Duration) -> (Router, Metrics) {
    let (app, metrics) = app(timeout);
    let never = std::future::pending::<&'static str>;
    let mut routes = Router::new()
        .route("/api/v1/range", on_get(never))
        .route("/live", on_get(|| async { "yes" }))
        .route("/panic", on_get(panics));
    for path in [
        "/v1/ledger",
        crate::otlp::http::TRACES,
        crate::otlp::grpc::METRICS,
    ] {
        routes = routes.route(path, on_post(never));
    }
    (app.around(routes), metrics)
}

fn app(timeout: Duration) -> (crate::http::App, Metrics) {
    let config = Config {
        request_timeout: timeout,
        ..Config::default()
    };
    let metrics = Metrics::new();
    let engine = Engine::start(
        Arc::new(MemoryStore::new(1_000)),
        Limits::default(),
        Clock::system(),
        metrics.clone(),
    )
    .unwrap();
    let listen = [([127, 0, 0, 1], 0).into()];
    let app = crate::http::App::new(
        &config,
        &listen,
        Arc::new(engine),
        metrics.clone(),
        Clock::system(),
    );
    (app, metrics)
}

async fn panics() -> &'static str {
    panic!("a defect of the test's own")
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_answered_in_the_form_of_its_way_in_and_counted() {
    let (router, metrics) = around(Duration::from_secs(30));
    for (line, content_type, answered_as) in [
        ("POST /v1/ledger", PROTOBUF.1, "text/plain; charset=utf-8"),
        ("POST /v1/traces", "application/json", "application/json"),
        ("POST /v1/traces", PROTOBUF.1, PROTOBUF.1),
        ("GET /api/v1/range", PROTOBUF.1, "text/plain; charset=utf-8"),
    ] {
        let (method, path) = line.split_once(' ').unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", content_type)
            .body(Body::empty())
            .unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 503, "{line}");
        assert_eq!(answer.headers()["retry-after"], "5", "{line}");
        assert_eq!(answer.headers()["content-type"], answered_as, "{line}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        if content_type == "application/json" {
            let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(status["code"], 14);
        }
    }
    let request = Request::builder()
        .method("POST")
        .uri(crate::otlp::grpc::METRICS)
        .header("host", "localhost")
        .header("content-type", "application/grpc")
        .body(Body::empty())
        .unwrap();
    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "14");
    assert!(answer.headers().contains_key("grpc-status-details-bin"));
    let text = metrics.encode();
    for line in [
        "timed_out_requests_total 5\n",
        "refused_deltas_total{reason=\"timed_out\"} 1\n",
        "otlp_refused_requests_total{signal=\"traces\",reason=\"timed_out\"} 2\n",
        "otlp_refused_requests_total{signal=\"metrics\",reason=\"timed_out\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

#[tokio::test]
async fn s11_a_handler_that_panics_is_answered_and_the_others_go_on() {
    let (router, metrics) = around(Duration::from_secs(30));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { weighbridge_agent::serve(listener, router).await });
    for _ in 0..3 {
        let answer = get(addr, "/panic").await;
        assert_eq!(answer.status, 500);
        assert!(!answer.text().contains("test's own"), "{}", answer.text());
        assert_eq!(get(addr, "/live").await.status, 200);
    }
    // On one connection, too: it is answered before and after.
    let line = |path: &str, close: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: {close}\r\n\r\n")
    };
    let both = line("/panic", "keep-alive") + &line("/live", "close");
    let answers = raw(addr, both.as_bytes()).await;
    assert_eq!(answers.status, 500);
    assert!(answers.text().ends_with("yes"), "{}", answers.text());
    assert!(metrics.encode().contains("handler_panics_total 4\n"));
    assert!(!server.is_finished());
    server.abort();
}

/// Sends a body of traces on each way in. Returns the statuses: HTTP's of the ledger and of OTLP, gRPC's, and what each
/// says of when to come again.
async fn sent_to(router: &Router, body: &[u8]) -> [(String, Option<String>); 3] {
    let framed = framed(false, body);
    let ways = [
        ("/v1/ledger", PROTOBUF.1, body, "retry-after"),
        (crate::otlp::http::TRACES, PROTOBUF.1, body, "retry-after"),
        (
            crate::otlp::grpc::TRACES,
            "application/grpc",
            &framed,
            "grpc-status-details-bin",
        ),
    ];
    let mut said = Vec::new();
    for (path, content_type, body, again) in ways {
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header("host", "localhost")
            .header("content-type", content_type)
            .body(Body::from(body.to_vec()))
            .unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let status = header("grpc-status").unwrap_or_else(|| answer.status().as_u16().to_string());
        said.push((status, header(again)));
    }
    said.try_into().unwrap()
}

#[tokio::test]
async fn more_bytes_at_once_than_the_limit_are_refused_for_now_on_every_way_in_and_counted() {
    let (app, metrics) = app(Duration::from_secs(30));
    let in_flight = app.in_flight.clone();
    let router = app.router();
    let all = in_flight.available_permits();
    let held = in_flight
        .clone()
        .try_acquire_many_owned(u32::try_from(all).unwrap())
        .unwrap();
    let [ledger, http, grpc] = sent_to(&router, b"some body").await;
    let a_second = Some("1".to_owned());
    assert_eq!(ledger, ("503".into(), a_second.clone()));
    assert_eq!(http, ("503".into(), a_second));
    assert_eq!(grpc.0, "14");
    assert!(grpc.1.is_some(), "RetryInfo");
    let text = metrics.encode();
    for line in [
        "refused_deltas_total{reason=\"busy\"} 1\n",
        "otlp_refused_requests_total{signal=\"traces\",reason=\"busy\"} 2\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    // Once the others are answered there is room again: what is refused now is refused for what it is.
    drop(held);
    let [ledger, http, grpc] = sent_to(&router, b"some body").await;
    assert_eq!((ledger.0.as_str(), ledger.1), ("400", None));
    assert_eq!((http.0.as_str(), http.1), ("400", None));
    assert_eq!(grpc.0, "3");
    assert_eq!(in_flight.available_permits(), all, "all was given back");
}
