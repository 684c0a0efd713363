//! Spans of an axum app with tower-http's `TraceLayer` and instrumented handlers, under `serve`: rows per
//! operation, and the same figures on the OpenTelemetry spans.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::Request;
use axum::routing::get;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use support::{Connection, Ledger, burn, figure};
use tower_http::trace::TraceLayer;
use tracing::{Instrument as _, instrument};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use weighbridge_agent::wire::{RegionKey, RowKind, RowValue, column};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

const LINES_BYTES: usize = 100_000;
const ORDER_CPU: Duration = Duration::from_micros(300);
const LINES_CPU: Duration = Duration::from_micros(600);

#[instrument]
async fn order(Path(id): Path<u64>) -> String {
    burn(ORDER_CPU);
    let lines = lines(id).await;
    tokio::task::yield_now().await;
    // A child on another worker, below its span.
    let child = async { burn(LINES_CPU) }.instrument(tracing::info_span!("child"));
    weighbridge_agent::spawn(child).await.unwrap();
    format!("order {id} with {} bytes", lines.len())
}

#[instrument]
async fn lines(id: u64) -> Vec<u8> {
    tokio::task::yield_now().await;
    burn(LINES_CPU);
    vec![id as u8; LINES_BYTES]
}

fn app() -> Router {
    let traced =
        TraceLayer::new_for_http().make_span_with(|_: &Request<_>| tracing::info_span!("request"));
    Router::new()
        .route("/orders/{id}", get(order))
        .route("/plain", get(|| async { burn(ORDER_CPU) }))
        .layer(traced)
        .layer(weighbridge_agent::layer())
}

const ROUNDS: i64 = 40;

fn regions(ledger: &Ledger, operation: &str) -> BTreeMap<String, RowValue> {
    ledger
        .rows()
        .of_kind(RowKind::Region)
        .filter_map(|(key, row)| Some((RegionKey::read(key)?, row.clone())))
        .filter(|(key, _)| *key.operation == *operation)
        .map(|(key, row)| (key.region.to_string(), row))
        .collect()
}

/// An attribute summed over spans, as an integer: seconds come back as nanoseconds.
fn attribute(spans: &[&SpanData], name: &str) -> i64 {
    spans
        .iter()
        .map(|span| {
            let found: Vec<_> = span
                .attributes
                .iter()
                .filter(|attribute| attribute.key.as_str() == name)
                .collect();
            assert_eq!(found.len(), 1, "{name} once on {span:?}");
            match &found[0].value {
                opentelemetry::Value::F64(seconds) => (seconds * 1e9).round() as i64,
                opentelemetry::Value::I64(value) => *value,
                other => panic!("{other:?}"),
            }
        })
        .sum()
}

fn assert_same(row: &RowValue, spans: &[&SpanData]) {
    for (name, column) in [
        ("weighbridge.cpu.time.exclusive", column::CPU_EXCLUSIVE_NS),
        ("weighbridge.cpu.time.inclusive", column::CPU_INCLUSIVE_NS),
        (
            "weighbridge.memory.allocated.exclusive",
            column::ALLOC_BYTES,
        ),
        (
            "weighbridge.memory.allocated.inclusive",
            column::ALLOC_INCLUSIVE_BYTES,
        ),
        (
            "weighbridge.memory.allocations.exclusive",
            column::ALLOC_COUNT,
        ),
        (
            "weighbridge.memory.allocations.inclusive",
            column::ALLOC_INCLUSIVE_COUNT,
        ),
    ] {
        assert_eq!(attribute(spans, name), figure(row, column), "{name}");
    }
    assert_eq!(
        figure(row, column::COUNT),
        i64::try_from(spans.len()).unwrap()
    );
}

async fn load(address: std::net::SocketAddr) {
    let mut connection = Connection::open(address).await;
    for n in 0..ROUNDS {
        let order = format!("GET /orders/{n} HTTP/1.1");
        assert_eq!(connection.ask(&order, b"").await.status, 200);
        assert_eq!(connection.ask("GET /plain HTTP/1.1", b"").await.status, 200);
    }
}

#[test]
fn spans_are_rows_of_their_operation_and_know_what_they_cost() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    tracing_subscriber::registry()
        .with(weighbridge_agent::regions())
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
        .init();

    let agent = support::builder("tested")
        .window(Duration::from_millis(100))
        // Readings of a slow clock are a large share of so little work.
        .overhead_max_permille(1_000);
    let ledger = support::weigh_server(
        agent,
        |_| app(),
        |served| async move { tokio::spawn(load(served.address)).await.unwrap() },
    );

    let spans = exporter.get_finished_spans().unwrap();
    let order_spans: Vec<_> = spans.iter().filter(|span| span.name == "order").collect();
    let traces: Vec<_> = order_spans
        .iter()
        .map(|span| span.span_context.trace_id())
        .collect();
    let of_orders = |name: &str| -> Vec<&SpanData> {
        spans
            .iter()
            .filter(|span| span.name == *name)
            .filter(|span| traces.contains(&span.span_context.trace_id()))
            .collect()
    };

    let orders = regions(&ledger, "GET /orders/{id}");
    assert_eq!(
        orders.keys().collect::<Vec<_>>(),
        [
            "request",
            "request;order",
            "request;order;child",
            "request;order;lines"
        ]
    );
    for (path, row) in &orders {
        let name = path.rsplit(';').next().unwrap();
        let spans = of_orders(name);
        assert_eq!(figure(row, column::COUNT), ROUNDS, "{path}");
        assert_same(row, &spans);
    }
    let burnt = |each: Duration| ROUNDS * i64::try_from(each.as_nanos()).unwrap();
    let cpu = |path: &str, column| figure(&orders[path], column);
    for (path, each) in [
        ("request;order", ORDER_CPU),
        ("request;order;lines", LINES_CPU),
        ("request;order;child", LINES_CPU),
    ] {
        assert!(cpu(path, column::CPU_EXCLUSIVE_NS) >= burnt(each), "{path}");
    }
    let lines = figure(&orders["request;order;lines"], column::ALLOC_BYTES);
    assert!(lines >= ROUNDS * i64::try_from(LINES_BYTES).unwrap());
    assert!(figure(&orders["request;order"], column::ALLOC_BYTES) < lines / 2);

    // What lies outside of any span is the rest, and nothing is counted twice.
    for operation in ["GET /orders/{id}", "GET /plain"] {
        let whole = ledger.operation(operation, "");
        let regions = regions(&ledger, operation);
        let sum = |column| -> i64 { regions.values().map(|row| figure(row, column)).sum() };
        let exclusive = sum(column::CPU_EXCLUSIVE_NS);
        assert!(exclusive <= whole.cpu_ns(), "{operation}");
        assert_eq!(
            figure(&regions["request"], column::CPU_INCLUSIVE_NS),
            exclusive,
            "{operation}: one root"
        );
        assert!(sum(column::ALLOC_BYTES) <= figure(&whole, column::ALLOC_BYTES));
    }
    assert_eq!(regions(&ledger, "GET /plain").len(), 1);
    let lost = ledger.select(RowKind::Loss, &[(0, "agent.regions")]);
    assert!(lost.is_empty(), "nothing was folded: {lost:?}");
}
