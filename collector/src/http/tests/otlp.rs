//! OTLP in every form and encoding, over both ways in: each span counts once.

use super::*;
use crate::otlp::grpc;
use crate::testing::otlp::{SpanSpec, traces};

/// A body in an encoding.
fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => gzip(body),
        "zstd" => zstd(body),
        _ => body.to_vec(),
    }
}

#[tokio::test]
async fn otlp_is_taken_in_every_encoding_over_both_ways_in() {
    let (running, _directory) = start(|_| {}).await;
    let mut sent = 0;
    let mut request_of = || {
        sent += 1;
        let span = SpanSpec::server(sent)
            .with("http.request.method", "GET")
            .with("http.route", "/");
        traces("shop", vec![span])
    };
    for encoding in ["identity", "gzip", "zstd"] {
        let protobuf = request_of().encode_to_vec();
        let json = serde_json::to_vec(&request_of()).unwrap();
        for (content_type, body) in [(PROTOBUF.1, protobuf), ("application/json", json)] {
            let mut headers = vec![("content-type", content_type)];
            if encoding != "identity" {
                headers.push(("content-encoding", encoding));
            }
            let body = encoded(encoding, &body);
            let answer = request(running.http_addr, "POST /v1/traces", &headers, &body).await;
            assert_eq!(answer.status, 200, "{encoding}: {}", answer.text());
        }
        let message = encoded(encoding, &request_of().encode_to_vec());
        let body = framed(encoding != "identity", &message);
        let headers = [
            ("content-type", "application/grpc"),
            ("grpc-encoding", encoding),
        ];
        let line = format!("POST {}", grpc::TRACES);
        let answer = request(running.http_addr, &line, &headers, &body).await;
        // Over HTTP/1.1 trailers come behind the body; a refusal is told in the head.
        assert_eq!(
            answer.header("grpc-status"),
            None,
            "{encoding}: {}",
            answer.head
        );
        assert_eq!(answer.status, 200);
    }
    let answer = get(running.http_addr, "/api/v1/range").await;
    let range = FoldedRange::decode(&answer.body).unwrap();
    assert_eq!(sum(&range, RowKind::Operation, column::ENDED), 9);
    // What is said to be compressed and is not, or in another way, is refused, and nothing of it counted.
    for (encoding, body) in [
        ("gzip", zstd(b"no")),
        ("zstd", gzip(b"no")),
        ("br", b"no".to_vec()),
    ] {
        let headers = [PROTOBUF, ("content-encoding", encoding)];
        let answer = request(running.http_addr, "POST /v1/traces", &headers, &body).await;
        assert!(
            [400, 415].contains(&answer.status),
            "{encoding}: {}",
            answer.text()
        );
        let headers = [
            ("content-type", "application/grpc"),
            ("grpc-encoding", encoding),
        ];
        let frame = framed(true, &body);
        let line = format!("POST {}", grpc::TRACES);
        let answer = request(running.http_addr, &line, &headers, &frame).await;
        let status = answer.header("grpc-status").expect("refused");
        assert!(["3", "12"].contains(&status), "{encoding}: {status}");
    }
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn logs_and_what_comes_again_are_counted_and_not_used() {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

    let (running, directory) = start(|_| {}).await;
    let send = async |path: &str, content_type: &str, body: &[u8]| {
        let headers = [("content-type", content_type)];
        let line = format!("POST {path}");
        let answer = request(running.http_addr, &line, &headers, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let record = LogRecord {
        severity_text: "words of somebody".into(),
        ..Default::default()
    };
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record; 3],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    send("/v1/logs", PROTOBUF.1, &logs.encode_to_vec()).await;
    let json = serde_json::to_vec(&logs).unwrap();
    send("/v1/logs", "application/json", &json).await;

    let server = |id| SpanSpec::server(id).named("GET /");
    let once = traces("shop", vec![server(1)]).encode_to_vec();
    send("/v1/traces", PROTOBUF.1, &once).await;
    send("/v1/traces", PROTOBUF.1, &once).await;
    let more = traces("shop", vec![server(1), server(2)]).encode_to_vec();
    send("/v1/traces", PROTOBUF.1, &more).await;

    let metrics = get(running.http_addr, "/metrics").await.text();
    for (line, count) in [
        ("otlp_accepted_items_total{signal=\"logs\"}", 6),
        ("otlp_accepted_items_total{signal=\"traces\"}", 2),
        ("otlp_repeated_requests_total{signal=\"traces\"}", 1),
        ("otlp_duplicate_items_total{signal=\"traces\"}", 1),
    ] {
        let line = format!("weighbridge_collector_{line} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    running.shutdown().await.unwrap();
    let stored = std::fs::read(directory.path().join(crate::store::DATABASE_FILE)).unwrap();
    let words = b"words of somebody";
    assert!(!stored.windows(words.len()).any(|at| at == words));
    let range = crate::read_range(directory.path(), crate::Span::default()).unwrap();
    assert_eq!(sum(&range, RowKind::Operation, column::ENDED), 2);
}
