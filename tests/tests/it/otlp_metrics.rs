//! The ledger as OTLP metrics: what another receiver gets is what the collector has, to the integer.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message as _;
use weighbridge_tests::{Collector, http, new_dir, rows};
use weighbridge_wire::{ColumnInfo, Merge, RowKind, RowSet};

use crate::weigh::{ORDERS, fixture, order};

/// What is compared: everything but the process itself, whose columns have other names too.
const KINDS: [RowKind; 5] = [
    RowKind::Operation,
    RowKind::Edge,
    RowKind::Entity,
    RowKind::Owner,
    RowKind::CallShape,
];

/// Name of a metric and attributes of a point.
type Point = (String, BTreeMap<String, String>);

/// The last request of each service: sums since its process began.
type Received = Arc<Mutex<BTreeMap<String, ExportMetricsServiceRequest>>>;

fn text(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => panic!("{} is {other:?}", attribute.key),
    }
}

async fn receive(State(received): State<Received>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert!(
        headers.get("authorization").is_none(),
        "that is the collector's"
    );
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let resource = request.resource_metrics[0].resource.as_ref().unwrap();
    let service = resource
        .attributes
        .iter()
        .find(|attribute| attribute.key == "service.name")
        .map(text)
        .unwrap();
    received.lock().unwrap().insert(service, request);
}

/// Somebody else's receiver, for as long as the test runs.
fn receiver(runtime: &tokio::runtime::Runtime) -> (Received, String) {
    let received = Received::default();
    let router = Router::new()
        .route("/v1/metrics", post(receive))
        .with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
    let listener = runtime.block_on(listener).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, router).await });
    (received, url)
}

/// The points of a request that are sums of integers.
fn points(request: &ExportMetricsServiceRequest) -> BTreeMap<Point, i64> {
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|of| &of.scope_metrics);
    let mut points = BTreeMap::new();
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let of = |kind: &RowKind| {
            metric
                .name
                .starts_with(&format!("weighbridge.{}.", kind.as_str()))
        };
        let Some(metric::Data::Sum(sum)) = &metric.data else {
            continue;
        };
        if !KINDS.iter().any(of) {
            continue;
        }
        assert_eq!(sum.aggregation_temporality, 2, "cumulative");
        for point in &sum.data_points {
            let Some(number_data_point::Value::AsInt(value)) = point.value else {
                panic!("{} is no integer", metric.name);
            };
            let ours = |attribute: &&KeyValue| attribute.key.starts_with("weighbridge.");
            let attributes = point.attributes.iter().filter(ours);
            let attributes = attributes.map(|of| (of.key.clone(), text(of))).collect();
            let twice = points.insert((metric.name.clone(), attributes), value);
            assert_eq!(twice, None, "{} twice", metric.name);
        }
    }
    points
}

/// The same of the collector's rows, by what `docs/integrations.md` says.
fn sums(rows: &RowSet) -> BTreeMap<Point, i64> {
    let mut sums = BTreeMap::new();
    for kind in KINDS {
        // Callers and origins are added up.
        let dropped: &[&str] = match kind {
            RowKind::Operation | RowKind::Edge => &[
                "caller_service",
                "caller_operation",
                "origin_service",
                "origin_operation",
            ],
            _ => &[],
        };
        for (key, row) in rows.of_kind(kind) {
            let parts = kind.part_names().iter().zip(&key.parts);
            let mut attributes: BTreeMap<String, String> = parts
                .filter(|(name, part)| !part.is_empty() && !dropped.contains(*name))
                .map(|(name, part)| (format!("weighbridge.{name}"), part.to_string()))
                .collect();
            let quality = key.quality.as_str().to_owned();
            attributes.insert("weighbridge.quality".to_owned(), quality);
            for (column, value) in row.columns() {
                let Some(info) = ColumnInfo::find(column) else {
                    continue;
                };
                if Merge::of(column) == Merge::Sum {
                    let name = info.name.to_lowercase();
                    let name = format!("weighbridge.{}.{name}", kind.as_str());
                    *sums.entry((name, attributes.clone())).or_insert(0) += value;
                }
            }
        }
    }
    sums
}

#[test]
fn what_another_receiver_gets_is_what_the_collector_has() {
    let dir = new_dir();
    let collector = Collector::start(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (received, metrics) = receiver(&runtime);
    let url = collector.url();
    let settings = [
        ("WEIGHBRIDGE_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", metrics.as_str()),
    ];
    let warehouse = fixture("warehouse", &[], &settings);
    let store = fixture("store", &[&warehouse.url()], &settings);
    let vault = fixture("vault", &[], &settings);
    for n in 0..ORDERS {
        let answer = http::post(
            store.address(),
            "/orders",
            "application/json",
            &order(n % 9),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let answer = http::request(vault.address(), "GET", "/vault/7", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    for service in [store, warehouse, vault] {
        drop(service.end());
    }
    let range = collector.range();
    let received = received.lock().unwrap();
    for service in ["store", "warehouse", "vault"] {
        let sums = sums(&rows::of_service(&range, service));
        let points = points(&received[service]);
        let of = |kind: &str| {
            points
                .keys()
                .filter(|(name, _)| name.starts_with(kind))
                .count()
        };
        assert!(of("weighbridge.operation.") > 10 && of("weighbridge.owner.") > 10);
        assert!(of("weighbridge.edge.") > 10, "{service}");
        assert_eq!(service == "vault", of("weighbridge.entity.") > 0);
        for (point, sum) in &sums {
            assert_eq!(points.get(point), Some(sum), "{service}: {point:?}");
        }
        assert_eq!(points.len(), sums.len(), "{service}: and nothing else");
    }
}
