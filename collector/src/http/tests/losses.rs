//! What is refused stands in the report of the tenant whose it was, once.

use super::advisories::{INGEST, OTHER, READ, tokens};
use super::*;
use crate::otlp::grpc;
use crate::testing::losses::{expected, lost};
use crate::testing::otlp::{SpanSpec, traces};

/// Sends what is refused, and returns its status.
async fn refused(running: &Running, path: &str, secret: &str, kind: &str, body: &[u8]) -> u16 {
    let bearer = format!("Bearer {secret}");
    let headers = [("content-type", kind), ("authorization", bearer.as_str())];
    let line = format!("POST {path}");
    request(running.http_addr, &line, &headers, body)
        .await
        .status
}

async fn refuse_some(running: &Running) {
    let traces_of = |service: &str, span| traces(service, vec![span]).encode_to_vec();
    let malformed = b"7";
    // Nobody knows whose these are.
    assert_eq!(
        refused(running, "/v1/traces", "nobody", PROTOBUF.1, b"").await,
        401
    );
    assert_eq!(
        refused(running, "/v1/ledger", "nobody", PROTOBUF.1, b"").await,
        401
    );
    // Of a: a token that may not send, a service that it may not send, and no delta.
    assert_eq!(
        refused(running, grpc::TRACES, READ, "application/grpc", b"").await,
        200
    );
    let span = SpanSpec::server(1).with("http.route", "/");
    let foreign = traces_of("warehouse", span.clone());
    assert_eq!(
        refused(running, "/v1/traces", INGEST, PROTOBUF.1, &foreign).await,
        403
    );
    assert_eq!(
        refused(running, "/v1/ledger", INGEST, PROTOBUF.1, malformed).await,
        400
    );
    // Of b: what is no OTLP, in three ways, and a span that is too old among others.
    assert_eq!(
        refused(running, "/v1/traces", OTHER, "application/json", malformed).await,
        400
    );
    assert_eq!(
        refused(running, "/v1/logs", OTHER, "text/plain", b"").await,
        415
    );
    assert_eq!(
        refused(running, grpc::METRICS, OTHER, "application/grpc", b"").await,
        200
    );
    let mut old = span;
    old.end_unix_ns = SECOND_NS;
    old.start_unix_ns = SECOND_NS;
    let old = traces_of("warehouse", old);
    assert_eq!(
        refused(running, "/v1/traces", OTHER, PROTOBUF.1, &old).await,
        200
    );
}

#[tokio::test]
async fn a_loss_stands_once_in_the_report_of_the_tenant_whose_it_was() {
    let (running, directory) = start(tokens).await;
    for round in 1..=2 {
        refuse_some(&running).await;
        // The second fold has nothing new to tell.
        for _ in 0..2 {
            running.engine().fold_now().await.unwrap();
        }
        for (tenant, losses) in [
            (
                "",
                &[
                    (
                        "collector.otlp: requests of traces refused: unauthorized",
                        1,
                    ),
                    ("collector.refused: unauthorized", 1),
                ][..],
            ),
            (
                "a",
                &[
                    ("collector.otlp: requests of traces refused: service", 1),
                    (
                        "collector.otlp: requests of traces refused: unauthorized",
                        1,
                    ),
                    ("collector.refused: malformed", 1),
                ],
            ),
            (
                "b",
                &[
                    ("collector.otlp: requests of logs refused: content_type", 1),
                    ("collector.otlp: requests of metrics refused: malformed", 1),
                    ("collector.otlp: requests of traces refused: malformed", 1),
                    ("collector.otlp: spans rejected: too_old", 1),
                ],
            ),
        ] {
            let losses = losses.iter().map(|(what, count)| (*what, count * round));
            let losses: Vec<_> = losses.collect();
            assert_eq!(
                lost(running.engine(), tenant),
                expected(&losses),
                "of {tenant:?}"
            );
        }
    }
    let bearer = format!("Bearer {OTHER}");
    let headers = [("authorization", bearer.as_str())];
    let report = request(running.http_addr, "GET /api/v1/report.json", &headers, b"").await;
    let report = report.text();
    assert!(
        report.contains("requests of metrics refused: malformed"),
        "{report}"
    );
    assert!(
        !report.contains("refused: service"),
        "another tenant's: {report}"
    );
    running.shutdown().await.unwrap();
    // It is on disk, of all tenants together.
    let range = crate::read_range(directory.path(), crate::Span::default()).unwrap();
    assert_eq!(sum(&range, RowKind::Loss, column::LOST), 18);
}
