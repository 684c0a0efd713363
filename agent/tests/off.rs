//! Switched off, nothing is measured, and the chain of a request still holds together.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::get;
use support::{Connection, serve};
use weighbridge_agent::http_client::Client;
use weighbridge_agent::{BAGGAGE, HOP, TRACEPARENT};

const SUBJECT: &str = "WEIGHBRIDGE_TEST_ROLE";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// What the second service of a chain gets to see.
async fn chain() -> String {
    let echo = |headers: HeaderMap| async move {
        let show = |name| {
            headers
                .get(name)
                .map_or("-", |value| value.to_str().unwrap())
        };
        format!("{}\n{}\n{}", show(HOP), show(BAGGAGE), show(TRACEPARENT))
    };
    let second = serve(
        Router::new()
            .route("/b", get(echo))
            .layer(weighbridge_agent::layer()),
    )
    .await;
    let client = Client::new("second", &format!("http://{second}")).unwrap();
    let ask = move || {
        let client = client.clone();
        async move {
            client
                .get("/b")
                .send()
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap()
        }
    };
    let first = serve(
        Router::new()
            .route("/a/{id}", get(ask))
            .layer(weighbridge_agent::layer()),
    )
    .await;
    let head = format!(
        "GET /a/1 HTTP/1.1\r\n{TRACEPARENT}: 00-{TRACE_ID}-b7ad6b7169203331-01\r\n\
         {BAGGAGE}: weighbridge.origin=shop;GET%20%2F,tenant=7\r\n\
         {HOP}: 1;shop;GET%20%2F;0123456789abcdef;s;1"
    );
    let answer = Connection::open(first).await.ask(&head, b"").await;
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn propagation_goes_on_when_everything_is_off() {
    if std::env::var(SUBJECT).is_ok() {
        let _agent = weighbridge_agent::init();
        assert!(!weighbridge_agent::is_enabled());
        let runtime = weighbridge_agent::runtime().build().unwrap();
        let seen = runtime.block_on(chain());
        let [hop, baggage, trace] = seen.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(
            hop.starts_with("1;subject;GET%20%2Fa%2F"),
            "the caller is the service between: {hop}"
        );
        assert!(
            baggage.contains("weighbridge.origin=shop;GET%20%2F"),
            "the origin is kept: {baggage}"
        );
        assert!(trace.contains(TRACE_ID), "{trace}");
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "propagation_goes_on_when_everything_is_off",
            "--nocapture",
        ])
        .env(SUBJECT, "off")
        .env("OTEL_SERVICE_NAME", "subject")
        .env("WEIGHBRIDGE_ENABLED", "false")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
