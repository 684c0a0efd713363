use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message as _;
use tokio::net::TcpListener;
use weighbridge_wire::{
    Identity, LossKey, OTHER, OperationKey, ProcessKey, Quality, RowSet, RowValue, Window, column,
};

use super::*;
use crate::config::Env;

/// Somebody else's receiver.
#[derive(Default)]
struct Receiver {
    requests: Vec<(HeaderMap, ExportMetricsServiceRequest)>,
    /// What it answers first.
    refusals: Vec<StatusCode>,
}

type Shared = Arc<Mutex<Receiver>>;

async fn receive(State(receiver): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut receiver = receiver.lock().unwrap();
    if let Some(status) = receiver.refusals.pop() {
        return status;
    }
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    receiver.requests.push((headers, request));
    StatusCode::OK
}

async fn serve(refusals: Vec<StatusCode>) -> (Shared, String) {
    let receiver = Shared::default();
    receiver.lock().unwrap().refusals = refusals;
    let router = Router::new()
        .route("/v1/metrics", post(receive))
        .with_state(receiver.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (receiver, base)
}

fn exporter(base: &str, temporality: &str) -> OtlpExporter {
    let mut env = Env::new(|name| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(base.to_owned()),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("api-key=theirs".to_owned()),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE" => Some(temporality.to_owned()),
        "WEIGHBRIDGE_TOKEN" => Some("ours".to_owned()),
        _ => None,
    });
    let identity = Identity {
        service: "shop".into(),
        instance: "shop-1".into(),
        ..Identity::default()
    };
    OtlpExporter::new(OtlpSettings::read(&mut env).unwrap(), identity)
}

fn operation(name: &str, origin: &str) -> weighbridge_wire::RowKey {
    OperationKey {
        component: "".into(),
        operation: name.into(),
        class: "".into(),
        caller_service: "".into(),
        caller_operation: "".into(),
        origin_service: "shop".into(),
        origin_operation: origin.into(),
    }
    .row_key(Quality::Measured)
}

/// A window's rows: two origins of one operation, and the process.
fn rows(cpu_ns: i64, rss_bytes: i64) -> RowSet {
    let mut rows = RowSet::new();
    for (origin, ns) in [("a", cpu_ns), ("b", -3)] {
        let row = RowValue::new().with(column::CPU_HANDLER_NS, ns);
        rows.add(operation("GET /orders/{id}", origin), &row);
    }
    let process = ProcessKey {
        instance: "shop-1".into(),
        host: "h".into(),
        epoch: "e".into(),
        clock_mode: "rseq".into(),
        agent_version: "1".into(),
    };
    let row = RowValue::new()
        .with(column::CPU_USER_NS, 1_500_000_000)
        .with(column::RSS_BYTES, rss_bytes);
    rows.add(process.row_key(Quality::Measured), &row);
    rows
}

fn window(n: u64) -> Window {
    Window {
        start_unix_ns: n * 1_000,
        end_unix_ns: (n + 1) * 1_000,
    }
}

fn has(attributes: &[KeyValue], key: &str, value: &str) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.value.as_ref().and_then(|any| any.value.as_ref());
        attribute.key == key
            && matches!(text, Some(any_value::Value::StringValue(text)) if text == value)
    })
}

/// Points of a metric: temporality, start, end, value, attributes.
type Point = (i32, u64, u64, f64, Vec<KeyValue>);

#[allow(clippy::cast_precision_loss)]
fn points(request: &ExportMetricsServiceRequest, name: &str) -> Vec<Point> {
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics);
    let metrics = scopes.flat_map(|scope| &scope.metrics);
    let mut points = Vec::new();
    for metric in metrics.filter(|metric| metric.name == name) {
        let (temporality, data) = match metric.data.as_ref().unwrap() {
            metric::Data::Sum(sum) => (sum.aggregation_temporality, &sum.data_points),
            metric::Data::Gauge(gauge) => (0, &gauge.data_points),
            _ => panic!("neither sum nor gauge"),
        };
        for point in data {
            let value = match point.value.unwrap() {
                number_data_point::Value::AsInt(value) => value as f64,
                number_data_point::Value::AsDouble(value) => value,
            };
            points.push((
                temporality,
                point.start_time_unix_nano,
                point.time_unix_nano,
                value,
                point.attributes.clone(),
            ));
        }
    }
    points
}

const CPU: &str = "weighbridge.operation.cpu_handler_ns";
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn figures_arrive_unchanged_and_cumulative() {
    let (receiver, base) = serve(Vec::new()).await;
    let exporter = exporter(&base, "");
    for (n, cpu_ns, rss) in [(0, 100, 50), (1, 900_719_925_474_000, 40)] {
        exporter.add(&rows(cpu_ns, rss));
        exporter.end_window(window(n));
        exporter.flush(PATIENCE).await;
    }
    exporter.flush(PATIENCE).await;
    let receiver = receiver.lock().unwrap();
    assert_eq!(receiver.requests.len(), 2, "nothing new is not sent");
    let (headers, last) = &receiver.requests[1];
    assert_eq!(headers["api-key"], "theirs");
    assert!(headers.get("authorization").is_none());
    let resource = last.resource_metrics[0].resource.as_ref().unwrap();
    assert!(has(&resource.attributes, "service.name", "shop"));
    let cpu = points(last, CPU);
    assert_eq!(cpu.len(), 1, "origins are added up");
    let (temporality, start, end, value, attributes) = &cpu[0];
    assert_eq!((*temporality, *start, *end), (2, 0, 2_000));
    assert_eq!(*value, 900_719_925_474_000.0 + 100.0 - 6.0);
    assert!(has(attributes, "http.route", "/orders/{id}"));
    assert!(has(attributes, "http.request.method", "GET"));
    assert!(has(attributes, "weighbridge.quality", "measured"));
    let user = points(last, "process.cpu.time");
    assert_eq!((user.len(), user[0].3), (1, 3.0));
    assert!(has(&user[0].4, "cpu.mode", "user"));
    let rss = points(last, "process.memory.usage");
    assert_eq!((rss[0].0, rss[0].3), (0, 40.0), "a gauge is of its window");
}

#[tokio::test]
async fn deltas_add_up_to_the_ledger_also_when_the_receiver_was_away() {
    let (receiver, base) = serve(vec![StatusCode::SERVICE_UNAVAILABLE]).await;
    let exporter = Arc::new(exporter(&base, "delta"));
    let pumping = exporter.clone();
    let pump = tokio::spawn(async move { pumping.pump().await });
    for n in 0..3 {
        exporter.add(&rows(10 + i64::try_from(n).unwrap(), 1));
        exporter.end_window(window(n));
        exporter.flush(PATIENCE).await;
    }
    let arrived = || {
        let receiver = receiver.lock().unwrap();
        let cpu = receiver.requests.iter().flat_map(|(_, r)| points(r, CPU));
        let cpu: Vec<Point> = cpu.collect();
        assert!(cpu.iter().all(|point| point.0 == 1));
        (
            cpu.iter().map(|point| point.3).sum::<f64>(),
            cpu.last().map(|point| point.2),
        )
    };
    let patience = tokio::time::timeout(PATIENCE, async {
        while arrived() != (10.0 + 11.0 + 12.0 - 9.0, Some(3_000)) {
            tokio::task::yield_now().await;
        }
    });
    patience.await.expect("all that was offered");
    pump.abort();
}

#[tokio::test]
async fn what_is_refused_is_given_up() {
    let (receiver, base) = serve(vec![StatusCode::BAD_REQUEST]).await;
    let exporter = exporter(&base, "delta");
    exporter.add(&rows(1, 1));
    exporter.end_window(window(0));
    exporter.flush(PATIENCE).await;
    assert!(receiver.lock().unwrap().refusals.is_empty(), "it was asked");
    exporter.flush(PATIENCE).await;
    assert!(
        receiver.lock().unwrap().requests.is_empty(),
        "and not again"
    );
}

#[test]
fn a_full_table_folds_and_keeps_the_sum() {
    let (mut into, mut rows) = (RowSet::new(), RowSet::new());
    for n in 0..OTLP_ROWS_MAX + 100 {
        let row = RowValue::new().with(column::CPU_HANDLER_NS, 1);
        rows.add(operation(&format!("GET /{n}"), "a"), &row);
    }
    let loss = LossKey {
        place: "agent.edges".into(),
        reason: "table full".into(),
    };
    rows.add(
        loss.clone().row_key(Quality::Measured),
        &RowValue::new().with(column::LOST, 7),
    );
    assert_eq!(metrics::add(&mut into, &rows), 100);
    assert!(into.len() <= OTLP_ROWS_MAX + 2);
    assert_eq!(into.accounts_cpu_ns(), rows.accounts_cpu_ns());
    let folded = into
        .iter()
        .find(|(key, _)| &*key.parts[1] == OTHER)
        .and_then(|(_, row)| row.get(column::CPU_HANDLER_NS));
    assert_eq!(folded, Some(100));
    assert!(into.get(&loss.row_key(Quality::Measured)).is_some());
}
