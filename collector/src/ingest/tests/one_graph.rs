//! Services with the agent and without, in one report.

use prost::Message as _;
use serde_json::{Value, json};
use weighbridge_wire::{EdgeKey, Quality, side};

use super::*;
use crate::document;
use crate::otlp::{Format, Signal};
use crate::span::Span;
use crate::store::Encoding;
use crate::testing::otlp::{self, SpanSpec, traces};

/// Windows of the OTLP service, 10 s each.
const WINDOWS: u64 = 40;
const LEN_NS: u64 = 10 * SECOND_NS;

/// A reading of the counter of CPU: 0.2 s a window.
fn metrics(n: u64) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    json!({"resourceMetrics": [{
        "resource": {"attributes": [attribute("service.name", "stock"), attribute("service.instance.id", "one")]},
        "scopeMetrics": [{"metrics": [{"name": "process.cpu.time", "unit": "s", "sum": {
            "aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [{
                "startTimeUnixNano": START_UNIX_NS.to_string(),
                "timeUnixNano": (START_UNIX_NS + n * LEN_NS).to_string(),
                "asDouble": 0.2 * n as f64,
            }],
        }}]}],
    }]})
}

async fn send_otlp(engine: &Engine, signal: Signal, format: Format, body: Vec<u8>) {
    let outcome = otlp::send(engine, signal, format, body).await;
    assert_eq!(outcome.tally.rejected(), 0, "{outcome:?}");
}

/// One request of a browser's at stock, and one of store's, whose span never comes: store has the agent.
fn requests(n: u64) -> Vec<SpanSpec> {
    let at = |id: u64, route: &str, wall_ns: u64| {
        let mut span = SpanSpec::server(id)
            .with("http.request.method", "GET")
            .with("http.route", route);
        span.trace = u128::from(id);
        span.end_unix_ns = START_UNIX_NS + n * LEN_NS + 5 * SECOND_NS;
        span.start_unix_ns = span.end_unix_ns - wall_ns;
        span
    };
    let mut called = at(1_000 + n, "/stock/{sku}", 30_000_000);
    called.parent = 7;
    vec![called, at(2_000 + n, "/health", 1_000_000)]
}

fn store_calls_stock(seq: u64) -> Delta {
    let mut spec = DeltaSpec::new(1, seq)
        .service("store")
        .start(START_UNIX_NS + seq * LEN_NS);
    spec.len_ns = LEN_NS;
    let mut delta = spec.delta();
    let key = EdgeKey {
        side: side::CALLER.into(),
        mode: "sync".into(),
        transport: "http".into(),
        component: "".into(),
        operation: "GET /".into(),
        class: "".into(),
        peer_service: "".into(),
        peer_operation: "".into(),
        call_id: "0000000000000001".into(),
        peer: "stock".into(),
        target: "GET /stock/{sku}".into(),
        origin_service: "store".into(),
        origin_operation: "GET /".into(),
    };
    let value = RowValue::new()
        .with(column::REQUEST_MESSAGES, 1)
        .with(column::RESPONSE_MESSAGES, 1);
    delta.rows.add(key.row_key(Quality::Measured), &value);
    delta
}

#[tokio::test]
async fn services_with_and_without_the_agent_stand_in_one_report_with_the_bounds_of_what_is_estimated()
 {
    let clock = Clock::fixed(START_UNIX_NS + (WINDOWS + 1) * LEN_NS);
    let engine = Engine::start(
        Arc::new(MemoryStore::new(1_000)),
        limits(),
        clock,
        Metrics::new(),
    )
    .unwrap();
    for n in 0..WINDOWS {
        send(&engine, &store_calls_stock(n)).await.unwrap();
        let spans = traces("stock", requests(n)).encode_to_vec();
        send_otlp(&engine, Signal::Traces, Format::Protobuf, spans).await;
        let body = serde_json::to_vec(&metrics(n)).unwrap();
        send_otlp(&engine, Signal::Metrics, Format::Json, body).await;
    }
    let view = engine.view("", 0, u64::MAX).unwrap();
    let built = document::build(view, Span::default()).unwrap();
    let report: Value = serde_json::from_slice(&document::json(&built).unwrap()).unwrap();
    engine.stop();

    let service = |name: &str| {
        let services = report["services"].as_array().unwrap();
        let found = services.iter().find(|service| service["service"] == name);
        found
            .unwrap_or_else(|| panic!("no {name}: {services:#?}"))
            .clone()
    };
    let (store, stock) = (service("store"), service("stock"));
    assert_eq!(
        store["operations"][0]["cpu_per_request"]["total"]["quality"][0]["quality"],
        "measured"
    );
    let operations = stock["operations"].as_array().unwrap();
    assert_eq!(operations.len(), 2);
    for operation in operations {
        for figure in [
            &operation["cpu_per_request"]["total"],
            &operation["cpu_cores"],
        ] {
            assert_eq!(figure["quality"][0]["quality"], "estimated", "{figure}");
            let [low, value, high] =
                ["low", "value", "high"].map(|key| figure[key].as_f64().unwrap());
            // Both rise and fall together, so each may have been none or all of it.
            assert!(low <= value * 0.01 && value < high, "{figure}");
        }
        let high = operation["cpu_per_request"]["total"]["high"]
            .as_f64()
            .unwrap();
        // Less the first window, before which there is no reading.
        assert!(high >= 0.19e9, "not all of 0.2 s a request: {high}");
    }
    // The agent's call ends at the service that its peer is named as.
    let edges = report["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 1, "{edges:#?}");
    assert_eq!(edges[0]["from"]["service"], "store");
    assert_eq!(edges[0]["to"]["service"], "stock");
}

/// One request at web, which has no agent, and its call to store, which has one.
fn web_calls_store(n: u64) -> Vec<SpanSpec> {
    let at = |mut span: SpanSpec, wall_ns: u64| {
        span.trace = u128::from(9_000 + n);
        span.end_unix_ns = START_UNIX_NS + n * LEN_NS + 5 * SECOND_NS;
        span.start_unix_ns = span.end_unix_ns - wall_ns;
        span.with("http.request.method", "GET")
    };
    let asked = at(SpanSpec::server(10_000 + n), 9_000_000).with("http.route", "/shop");
    let call = at(SpanSpec::client(20_000 + n).child_of(10_000 + n), 7_000_000)
        .with("server.address", "store")
        .with("url.template", "/orders/{id}");
    vec![asked, call]
}

#[tokio::test]
async fn a_call_of_a_service_without_the_agent_to_one_with_it_is_one_edge_of_the_same_graph() {
    let clock = Clock::fixed(START_UNIX_NS + (WINDOWS + 1) * LEN_NS);
    let store = Arc::new(MemoryStore::new(1_000));
    let engine = Engine::start(store, limits(), clock, Metrics::new()).unwrap();
    for n in 0..WINDOWS {
        // The other way round as well, so that both directions stand in one graph.
        send(&engine, &store_calls_stock(n)).await.unwrap();
        let spans = traces("web", web_calls_store(n)).encode_to_vec();
        send_otlp(&engine, Signal::Traces, Format::Protobuf, spans).await;
        let spans = traces("stock", requests(n)).encode_to_vec();
        send_otlp(&engine, Signal::Traces, Format::Protobuf, spans).await;
    }
    let view = engine.view("", 0, u64::MAX).unwrap();
    let built = document::build(view, Span::default()).unwrap();
    let report: Value = serde_json::from_slice(&document::json(&built).unwrap()).unwrap();
    engine.stop();
    let ends: Vec<[&str; 2]> = report["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| ["from", "to"].map(|end| edge[end]["service"].as_str().unwrap()))
        .collect();
    let count = |from: &str, to: &str| ends.iter().filter(|end| **end == [from, to]).count();
    assert_eq!(
        (count("web", "store"), count("store", "stock")),
        (1, 1),
        "{ends:?}"
    );
    assert_eq!(
        count("store", "web") + count("stock", "store"),
        0,
        "{ends:?}"
    );
    let edges = report["edges"].as_array().unwrap();
    let edge = edges
        .iter()
        .find(|edge| edge["from"]["service"] == "web")
        .unwrap();
    assert_eq!(edge["from"]["operation"], "GET /shop");
    assert_eq!(
        edge["calls"]["value"].as_f64(),
        Some(WINDOWS as f64),
        "{edge:#}"
    );
    let services = report["services"].as_array().unwrap();
    let mut names: Vec<&str> = services
        .iter()
        .filter_map(|s| s["service"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["stock", "store", "web"]);
}

#[tokio::test]
async fn a_request_of_metrics_that_comes_again_is_known_by_its_body_also_after_a_restart() {
    let store = Arc::new(MemoryStore::new(1_000));
    let body = serde_json::to_vec(&metrics(1)).unwrap();
    for is_repeated in [false, true] {
        let engine = start(store.clone());
        for is_repeated in [is_repeated, true] {
            let (tenant, body) = ("".into(), body.clone().into());
            let outcome = engine
                .ingest_otlp(
                    &tenant,
                    Signal::Metrics,
                    Format::Json,
                    Encoding::Identity,
                    body,
                    &|_| true,
                )
                .await
                .unwrap();
            assert_eq!(outcome.is_repeated, is_repeated);
        }
        engine.stop();
    }
}
