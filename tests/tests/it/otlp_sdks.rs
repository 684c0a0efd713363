//! OpenTelemetry's own SDKs as clients: what they sent is what the collector counts.
//!
//! The one for Rust is built with the tests (`tests/src/bin/otlp_client.rs`). The others `cargo xtask test` installs and
//! runs; by hand: `WEIGHBRIDGE_OTLP_PYTHON` is an interpreter with
//! `tests/otlp/requirements.txt`, `WEIGHBRIDGE_OTLP_NODE` a folder in which `tests/otlp/package.json` is installed.

use std::path::PathBuf;
use std::process::Command;

use weighbridge_reports::{Document, Options};
use weighbridge_tests::{new_dir, rows, workspace_root};
use weighbridge_wire::{RowKind, RowSet, column};

use crate::otlp_conformance::Own;

const REQUESTS: i64 = 50;
/// What the clients say that they used, in two parts.
const CPU_NS: i64 = 7_000_000_000;
const MEMORY_BYTES: i64 = 64 << 20;

fn send(mut command: Command, own: &Own, language: &str, protocols: &[&str]) -> usize {
    let mut runs = 0;
    for protocol in protocols {
        // Both ways of counting CPU, and both ways of sending.
        for (compression, temporality) in [("none", "cumulative"), ("gzip", "delta")] {
            let service = format!("{language} {protocol} {compression}");
            // The SDK for Python knows no word for none over gRPC.
            if compression == "none" {
                command.env_remove("OTEL_EXPORTER_OTLP_COMPRESSION");
            } else {
                command.env("OTEL_EXPORTER_OTLP_COMPRESSION", compression);
            }
            let sent = command
                .env("OTEL_SERVICE_NAME", &service)
                .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
                .env(
                    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                    temporality,
                )
                .env(
                    "OTEL_EXPORTER_OTLP_ENDPOINT",
                    format!("http://{}", own.address()),
                )
                .env("OTEL_EXPORTER_OTLP_INSECURE", "true")
                .output()
                .expect("the client starts");
            assert!(
                sent.status.success(),
                "{service}: {}",
                String::from_utf8_lossy(&sent.stderr)
            );
            let range = own.range();
            let rows = rows::of_service(&range, &service);
            assert_requests(&rows, &service);
            assert_process(&rows, &service, temporality == "delta");
            let document = Document::build(&range, &Options::default());
            assert_report(&document, &service, temporality == "delta");
            runs += 1;
        }
    }
    runs
}

fn assert_requests(rows: &RowSet, service: &str) {
    let sum = |kind, of| rows::sum(rows, kind, of);
    assert_eq!(
        sum(RowKind::Operation, column::ENDED),
        REQUESTS,
        "{service}: requests"
    );
    assert_eq!(
        sum(RowKind::Operation, column::ERRORS),
        REQUESTS / 10,
        "{service}: errors"
    );
    assert_eq!(
        sum(RowKind::Edge, column::REQUEST_MESSAGES),
        REQUESTS,
        "{service}: calls"
    );
    assert!(
        rows.of_kind(RowKind::Edge)
            .all(|(key, _)| &*key.parts[4] == "GET /orders/{id}"),
        "{service}: each call stands in the request around it"
    );
}

fn assert_process(rows: &RowSet, service: &str, is_delta: bool) {
    let process = rows::process(rows);
    assert_eq!(
        process.get(column::RSS_BYTES),
        Some(MEMORY_BYTES),
        "{service}"
    );
    if is_delta {
        // Shared out to the last nanosecond.
        assert_eq!(rows::accounts_cpu_ns(rows), CPU_NS, "{service}");
    } else {
        assert_eq!(
            process.get(column::CPU_CUMULATIVE_NS),
            Some(CPU_NS),
            "{service}"
        );
    }
}

/// The report says the same.
fn assert_report(document: &Document, service: &str, is_delta: bool) {
    let mut of_name = document
        .services
        .iter()
        .filter(|report| report.service == service);
    let report = of_name.next().expect("the service");
    assert!(of_name.next().is_none(), "{service} twice");
    let [operation] = &report.operations[..] else {
        panic!("{service}: {:?}", report.operations);
    };
    assert_eq!(operation.operation, "GET /orders/{id}");
    assert_eq!(operation.ended.value, Some(REQUESTS as f64), "{service}");
    assert_eq!(
        operation.errors.value,
        Some(REQUESTS as f64 / 10.0),
        "{service}"
    );
    assert_eq!(report.rss.value, Some(MEMORY_BYTES as f64), "{service}");
    if is_delta {
        assert_eq!(report.cpu_process.value, Some(CPU_NS as f64), "{service}");
    }
}

#[test]
fn otlp_sdk_of_rust() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otlp_client"));
    command.arg(REQUESTS.to_string());
    let protocols = ["grpc", "http/protobuf", "http/json"];
    assert_eq!(
        send(command, &Own::start(&new_dir()), "rust", &protocols),
        6
    );
}

#[test]
#[ignore = "needs OpenTelemetry's SDK for Python: cargo xtask test installs it"]
fn otlp_sdk_of_python() {
    let python = std::env::var_os("WEIGHBRIDGE_OTLP_PYTHON").expect("WEIGHBRIDGE_OTLP_PYTHON");
    let mut command = Command::new(python);
    command
        .arg(workspace_root().join("tests/otlp/client.py"))
        .arg(REQUESTS.to_string());
    assert_eq!(
        send(
            command,
            &Own::start(&new_dir()),
            "python",
            &["grpc", "http/protobuf"]
        ),
        4
    );
}

#[test]
#[ignore = "needs OpenTelemetry's SDK for Node: cargo xtask test installs it"]
fn otlp_sdk_of_node() {
    let folder = std::env::var_os("WEIGHBRIDGE_OTLP_NODE").expect("WEIGHBRIDGE_OTLP_NODE");
    let mut command = Command::new("node");
    command
        .arg(PathBuf::from(folder).join("client.mjs"))
        .arg(REQUESTS.to_string());
    let protocols = ["grpc", "http/protobuf", "http/json"];
    assert_eq!(
        send(command, &Own::start(&new_dir()), "node", &protocols),
        6
    );
}
