//! From bytes to rows.

mod bounds;
mod readings;

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message as _;
use weighbridge_wire::{OperationKey, ProcessKey, RowKind, column};

use super::derive::{Rules, Tally};
use super::derived::Derived;
use super::{Format, Signal, derive};
use crate::testing::otlp::{SpanSpec, number, text, traces};
use crate::testing::{SECOND_NS, START_UNIX_NS};

fn rules() -> Rules {
    Rules {
        tenant: "".into(),
        window_ns: 10 * SECOND_NS,
        not_before_unix_ns: START_UNIX_NS - 100 * SECOND_NS,
        not_after_unix_ns: START_UNIX_NS + 100 * SECOND_NS,
    }
}

fn of(signal: Signal, format: Format, body: &[u8]) -> Option<(Derived, Tally)> {
    derive(signal, format, body, &rules(), &|_, _| false).ok()
}

fn taken(request: &ExportTraceServiceRequest) -> (Derived, Tally) {
    of(Signal::Traces, Format::Protobuf, &request.encode_to_vec()).unwrap()
}

fn operations(derived: &Derived) -> Vec<String> {
    let mut names: Vec<String> = derived
        .windows
        .iter()
        .flat_map(|(_, _, rows)| rows.of_kind(RowKind::Operation))
        .map(|(key, _)| OperationKey::read(key).unwrap().operation.to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn operations_are_named_by_the_conventions_of_today_and_of_before() {
    let server = SpanSpec::server;
    let request = traces(
        "shop",
        vec![
            server(1)
                .with("http.request.method", "GET")
                .with("http.route", "/orders/{id}"),
            server(2)
                .with("http.method", "POST")
                .with("http.target", "/a?b=secret"),
            server(3)
                .with("rpc.system", "grpc")
                .with("rpc.service", "shop.Cart")
                .with("rpc.method", "Add"),
            server(4)
                .with("rpc.system.name", "grpc")
                .with("rpc.method", "shop.Cart/Remove"),
            SpanSpec::consumer(5)
                .with("messaging.system", "kafka")
                .with("messaging.destination.name", "orders.created"),
            SpanSpec::internal(6).named("nightly closing 4711"),
            server(7)
                .with("http.request.method", "PWN")
                .with("http.route", "/x"),
            server(8).named("mail jane@example.org"),
        ],
    );
    let (derived, tally) = taken(&request);
    assert_eq!(tally.spans, 8);
    assert_eq!(
        operations(&derived),
        [
            "CONSUME orders.created",
            "GET /orders/{id}",
            "JOB nightly closing {id}",
            "POST <unmatched>",
            "_OTHER /x",
            "mail {id}",
            "shop.Cart/Add",
            "shop.Cart/Remove",
        ]
    );
}

#[test]
fn s18_what_identifies_somebody_reaches_neither_disk_nor_report() {
    let secrets = [
        "jane@example.org",
        "4111111111111111",
        "Bearer",
        "s3cr3t-t0ken-0000",
        "WHERE",
        "hunter2",
    ];
    let spans = vec![
        SpanSpec::server(1)
            .named("GET /u/jane@example.org")
            .with("http.request.method", "GET")
            .with("http.route", "/u/jane@example.org/4111111111111111")
            .with("url.path", "/u/jane@example.org")
            .with("url.query", "token=s3cr3t-t0ken-0000")
            .with("http.request.header.authorization", "Bearer x")
            .with("enduser.id", "hunter2"),
        SpanSpec::client(2)
            .with("db.system.name", "postgresql")
            .with(
                "db.query.text",
                "SELECT * FROM u WHERE mail='jane@example.org'",
            )
            .with("db.collection.name", "u"),
        SpanSpec::producer(3)
            .with("messaging.system", "nats")
            .with("messaging.destination.name", "user jane@example.org"),
        SpanSpec::internal(4).named("hello ?hunter2"),
    ];
    let encoded = taken(&traces("shop", spans)).0.encode();
    let text = String::from_utf8_lossy(&encoded);
    assert!(text.contains("GET /u/{id}/{id}"), "{text}");
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn errors_and_mistakes_of_callers_are_told_apart() {
    let server = |id| {
        SpanSpec::server(id)
            .with("http.request.method", "GET")
            .with("http.route", "/")
    };
    let (derived, _) = taken(&traces(
        "shop",
        vec![
            server(1).with_number("http.response.status_code", 503),
            server(2).with_number("http.response.status_code", 404),
            server(3).with_number("http.response.status_code", 200),
            server(4).failed(),
        ],
    ));
    let (_, _, rows) = &derived.windows[0];
    let (_, row) = rows.of_kind(RowKind::Operation).next().unwrap();
    assert_eq!(row.get(column::ENDED), Some(4));
    assert_eq!(row.get(column::ERRORS), Some(2));
    assert_eq!(row.get(column::CLIENT_ERRORS), Some(1));
    assert_eq!(row.get(column::WALL_NS), Some(4_000_000));
    assert_eq!(row.get(column::CPU_HANDLER_NS), None, "unknown is not zero");
}

#[test]
fn what_cannot_be_used_is_rejected_by_reason_and_the_rest_stands() {
    let mut old = SpanSpec::server(2);
    old.end_unix_ns = START_UNIX_NS - 101 * SECOND_NS;
    let mut ahead = SpanSpec::server(3);
    ahead.end_unix_ns = START_UNIX_NS + 101 * SECOND_NS;
    let mut request = traces(
        "shop",
        vec![SpanSpec::server(1), old, ahead, SpanSpec::server(4)],
    );
    request.resource_spans[0].scope_spans[0].spans[3].trace_id = vec![1, 2, 3];
    let (derived, tally) = taken(&request);
    assert_eq!(
        (tally.spans, tally.too_old, tally.ahead, tally.invalid),
        (1, 1, 1, 1)
    );
    assert_eq!(operations(&derived).len(), 1);
}

/// A consumer of so many messages.
fn batch(id: u64, messages: u64) -> SpanSpec {
    let mut batch = SpanSpec::consumer(id).with("messaging.destination.name", "t");
    batch.link = 1_000;
    batch.further_links = (1..messages).map(|n| (7, 1_000 + n)).collect();
    batch
}

#[test]
fn json_and_protobuf_say_the_same() {
    let request = traces(
        "shop",
        vec![
            SpanSpec::server(1)
                .with("http.request.method", "GET")
                .with("http.route", "/o"),
            SpanSpec::client(2)
                .child_of(1)
                .with("http.request.method", "GET")
                .with("server.address", "b")
                .with_number("server.port", 80),
            SpanSpec::consumer(3)
                .linked_to(9)
                .with("messaging.destination.name", "t"),
            SpanSpec::server(4).failed(),
            batch(5, 140),
        ],
    );
    let json = serde_json::to_vec(&request).unwrap();
    let mut from_json = of(Signal::Traces, Format::Json, &json).unwrap();
    let mut from_protobuf = taken(&request);
    from_json.0.body_hash = 0;
    from_protobuf.0.body_hash = 0;
    assert_eq!(from_json, from_protobuf);
}

#[test]
fn json_takes_ids_of_either_case_quoted_numbers_nulls_and_what_it_does_not_know() {
    let body = format!(
        r#"{{"resourceSpans":[{{"resource":null,"future":{{"x":[1]}},"schemaUrl":"","scopeSpans":[{{"spans":[
            {{"traceId":"0AF7651916CD43DD8448EB211C80319C","spanId":"b7ad6b7169203331","kind":2,"name":"a",
              "startTimeUnixNano":"{START_UNIX_NS}","endTimeUnixNano":{START_UNIX_NS},"parentSpanId":"",
              "attributes":[{{"key":"x","value":{{}}}},{{"key":"http.status_code","value":{{"intValue":"500"}}}},
                            {{"key":"n","value":null}}],"status":{{"code":2}},"flags":257}}]}}]}}]}}"#
    );
    let (derived, tally) = of(Signal::Traces, Format::Json, body.as_bytes()).unwrap();
    assert_eq!((tally.spans, tally.rejected()), (1, 0));
    let (_, row) = derived.windows[0]
        .2
        .of_kind(RowKind::Operation)
        .next()
        .unwrap();
    assert_eq!(row.get(column::ERRORS), Some(1));
    for empty in [
        "",
        "{}",
        r#"{"resourceSpans":[]}"#,
        r#"{"resourceSpans":null}"#,
    ] {
        assert!(
            of(Signal::Traces, Format::Json, empty.as_bytes()).is_some(),
            "{empty}"
        );
    }
    for wrong in [
        "[",
        "7",
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SPAN_KIND_SERVER"}]}]}]}"#,
    ] {
        assert!(
            of(Signal::Traces, Format::Json, wrong.as_bytes()).is_none(),
            "{wrong}"
        );
    }
}

#[test]
fn s04_deep_nesting_ends_in_an_answer() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let json = format!(r#"{{"resourceSpans":[{{"x":{deep}}}]}}"#);
    // What is not known is skipped without recursion.
    assert!(of(Signal::Traces, Format::Json, json.as_bytes()).is_some());
    let json = format!(r#"{{"resourceSpans":{deep}}}"#);
    assert!(of(Signal::Traces, Format::Json, json.as_bytes()).is_none());
    let mut value = vec![];
    for _ in 0..10_000 {
        let mut outer = Vec::new();
        super::proto::put_bytes(5, &value, &mut outer);
        value = outer;
        if value.len() > 1 << 20 {
            break;
        }
    }
    let mut pair = Vec::new();
    super::proto::put_bytes(1, b"k", &mut pair);
    super::proto::put_bytes(2, &value, &mut pair);
    let mut body = pair;
    for field in [9, 2, 2, 1] {
        let mut outer = Vec::new();
        super::proto::put_bytes(field, &body, &mut outer);
        body = outer;
    }
    // The span has no id; its depth was never descended into.
    assert_eq!(
        of(Signal::Traces, Format::Protobuf, &body)
            .unwrap()
            .1
            .invalid,
        1
    );
}

fn cpu(value: f64, time_unix_ns: u64, state: &str) -> metrics::NumberDataPoint {
    metrics::NumberDataPoint {
        attributes: vec![text("cpu.mode", state)],
        start_time_unix_nano: START_UNIX_NS,
        time_unix_nano: time_unix_ns,
        value: Some(metrics::number_data_point::Value::AsDouble(value)),
        ..Default::default()
    }
}

#[test]
fn cpu_and_memory_of_a_process_become_its_row() {
    let metric = |name: &str, data| metrics::Metric {
        name: name.into(),
        unit: "s".into(),
        data: Some(data),
        ..Default::default()
    };
    let time = START_UNIX_NS + 20 * SECOND_NS;
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![metrics::ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "shop"),
                    text("service.instance.id", "one"),
                    number("process.pid", 7),
                ],
                ..Default::default()
            }),
            scope_metrics: vec![metrics::ScopeMetrics {
                metrics: vec![
                    metric(
                        "process.cpu.time",
                        metrics::metric::Data::Sum(metrics::Sum {
                            data_points: vec![
                                cpu(1.5, time, "user"),
                                cpu(0.25, time, "system"),
                                cpu(99.0, time, "idle"),
                            ],
                            aggregation_temporality: 2,
                            is_monotonic: true,
                        }),
                    ),
                    metric(
                        "process.memory.usage",
                        metrics::metric::Data::Gauge(metrics::Gauge {
                            data_points: vec![metrics::NumberDataPoint {
                                time_unix_nano: time,
                                value: Some(metrics::number_data_point::Value::AsInt(1_000)),
                                ..Default::default()
                            }],
                        }),
                    ),
                    metric(
                        "http.server.request.duration",
                        metrics::metric::Data::Histogram(metrics::Histogram {
                            data_points: vec![metrics::HistogramDataPoint::default()],
                            aggregation_temporality: 2,
                        }),
                    ),
                ],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let body = request.encode_to_vec();
    let (derived, tally) = of(Signal::Metrics, Format::Protobuf, &body).unwrap();
    assert_eq!((tally.spans, tally.rejected()), (5, 0));
    let [(window, service, rows)] = &derived.windows[..] else {
        panic!("{derived:?}");
    };
    assert_eq!(
        window.end_unix_ns, time,
        "a reading at the end of a window is its"
    );
    assert_eq!(service.service, "shop");
    let mut found = rows.of_kind(RowKind::Process).map(|(key, value)| {
        let key = ProcessKey::read(key).unwrap();
        assert_eq!(&*key.instance, "one");
        (
            value.get(column::CPU_CUMULATIVE_NS),
            value.get(column::RSS_BYTES),
        )
    });
    assert_eq!(found.next(), Some((Some(1_750_000_000), Some(1_000))));
    assert_eq!(found.next(), None, "one process, one row");
    let json = serde_json::to_vec(&request).unwrap();
    let (from_json, _) = of(Signal::Metrics, Format::Json, &json).unwrap();
    assert_eq!(from_json.windows, derived.windows);
}

#[test]
fn a_derived_request_reads_back_and_half_of_it_does_not() {
    let (derived, _) = taken(&traces(
        "shop",
        vec![
            SpanSpec::server(1)
                .child_of(7)
                .with("http.request.method", "GET"),
            SpanSpec::client(2).child_of(1).with("server.address", "b"),
            SpanSpec::client(3)
                .child_of(1)
                .with("db.system.name", "redis"),
        ],
    ));
    let encoded = derived.encode();
    assert_eq!(Derived::decode(&encoded).as_ref(), Some(&derived));
    for end in 0..encoded.len() {
        assert_eq!(Derived::decode(&encoded[..end]), None, "{end}");
    }
}

/// Inputs that once were wrong, or that are worth keeping.
const SEEDS: [&[u8]; 6] = [
    b"",
    b"\x0a\x00",
    b"\x0a\x02\x12\x00",
    b"\x0a\x04\x12\x02\x12\x00",
    b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"0\"}]}]}]}",
];

fn every_decoder(bytes: &[u8]) {
    for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
        for format in [Format::Protobuf, Format::Json] {
            if let Some((derived, _)) = of(signal, format, bytes) {
                // At most as many halves as there could be spans, and nothing that cannot be written and read.
                assert!(derived.offers.len() <= bytes.len());
                assert_eq!(Derived::decode(&derived.encode()), Some(derived));
            }
        }
    }
    let _ = Derived::decode(bytes);
}

#[test]
fn the_kept_seeds_are_read_or_refused() {
    SEEDS.into_iter().for_each(every_decoder);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        every_decoder(&bytes);
    }

    #[test]
    fn broken_requests_are_read_or_refused(at in 0usize..2_000, to in any::<u8>(), json in any::<bool>()) {
        let request = traces("shop", vec![
            SpanSpec::server(1).child_of(9).with("http.request.method", "GET").with_number("http.response.status_code", 500),
            SpanSpec::consumer(2).linked_to(4).with("messaging.system", "nats"),
            SpanSpec::client(3).child_of(1).with("db.system", "redis"),
        ]);
        let mut bytes = if json { serde_json::to_vec(&request).unwrap() } else { request.encode_to_vec() };
        let len = bytes.len();
        bytes[at % len] = to;
        every_decoder(&bytes);
        bytes.truncate(at % len);
        every_decoder(&bytes);
    }
}

#[test]
fn tenants_never_share_a_key() {
    let request = traces("shop", vec![SpanSpec::server(1)]).encode_to_vec();
    let other = Rules {
        tenant: Arc::from("other"),
        ..rules()
    };
    let mine = of(Signal::Traces, Format::Protobuf, &request).unwrap().0;
    let theirs = derive(
        Signal::Traces,
        Format::Protobuf,
        &request,
        &other,
        &|_, _| false,
    )
    .unwrap()
    .0;
    assert_ne!(mine.offers[0].key, theirs.offers[0].key);
    assert_ne!(mine.body_hash, theirs.body_hash);
}

#[test]
fn a_span_that_stands_twice_in_a_request_counts_once() {
    let server = || SpanSpec::server(1).named("GET /");
    // The two ends of a call may share an id; they are two spans.
    let client = || SpanSpec::client(1).with("http.request.method", "GET");
    let mut request = traces("shop", vec![server(), client(), server()]);
    // As a batch processor puts a request and its repetition together.
    request
        .resource_spans
        .extend(traces("shop", vec![client(), server(), SpanSpec::server(2)]).resource_spans);
    let (derived, tally) = taken(&request);
    assert_eq!((tally.spans, tally.duplicates), (3, 3));
    let ended: i64 = derived
        .windows
        .iter()
        .flat_map(|(.., rows)| rows.of_kind(RowKind::Operation))
        .filter_map(|(_, row)| row.get(column::ENDED))
        .sum();
    assert_eq!(ended, 2);
}
