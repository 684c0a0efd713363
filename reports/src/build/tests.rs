//! The document as a whole: sums, order, odd inputs.

use std::collections::BTreeSet;

use serde_json::Value;
use weighbridge_wire::{
    FoldedRange, FoldedWindow, Quality, RowKey, RowSet, RowValue, ServiceId, Window, column,
};

use crate::formats;
use crate::testing::{SECOND, System};
use crate::{Document, Options};

fn build(range: &FoldedRange) -> Document {
    Document::build(range, &Options::default())
}

fn pair() -> System {
    let mut s = System::new(40);
    s.root(
        "front",
        "POST /a",
        20,
        [400_000, 600_000, 600_000, 50_000, 50_000, 300_000],
    );
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20,
        12,
        240_000,
        60_000,
    );
    s.message(
        ("front", "POST /a"),
        ("audit", "CONSUME done"),
        20,
        "done",
        80_000,
        50_000,
    );
    s.owner(
        "broker",
        weighbridge_wire::OwnerKind::Driver,
        "mqtt",
        2_000_000,
    );
    s
}

fn empty_range() -> FoldedRange {
    FoldedRange {
        window: Window {
            start_unix_ns: 0,
            end_unix_ns: SECOND,
        },
        windows: Vec::new(),
    }
}

/// All row ids of a document; panics when one is there twice.
pub(crate) fn row_ids(d: &Document) -> BTreeSet<String> {
    let mut ids: Vec<String> = Vec::new();
    for s in &d.services {
        ids.push(s.id.clone());
        ids.extend(s.instances.iter().map(|i| i.id.clone()));
        ids.extend(s.owners.iter().map(|o| o.id.clone()));
        ids.extend(s.operations.iter().map(|o| o.id.clone()));
    }
    ids.extend(d.origins.iter().map(|o| o.id.clone()));
    ids.extend(d.edges.iter().map(|e| e.id.clone()));
    for e in &d.entities {
        ids.push(e.id.clone());
        ids.extend(e.places.iter().map(|p| p.id.clone()));
    }
    ids.extend(d.conservation.services.iter().map(|s| s.id.clone()));
    ids.extend(d.capacity.services.iter().map(|s| s.id.clone()));
    ids.extend(d.recommendations.iter().map(|r| r.id.clone()));
    for proposal in d.topologies.iter().flat_map(|found| &found.proposals) {
        ids.push(proposal.id.clone());
        ids.extend(proposal.deployables.iter().map(|d| d.id.clone()));
    }
    let set: BTreeSet<String> = ids.iter().cloned().collect();
    assert_eq!(set.len(), ids.len(), "a row id is there twice");
    set
}

fn all_finite(value: &Value, path: &str) {
    match value {
        // serde_json writes NaN and infinities as null; no field of the document is null.
        Value::Null => panic!("{path} is null"),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(i, v)| all_finite(v, &format!("{path}/{i}")));
        }
        Value::Object(map) => map
            .iter()
            .for_each(|(k, v)| all_finite(v, &format!("{path}/{k}"))),
        _ => {}
    }
}

fn check(document: &Document) -> Value {
    let text = formats::json(document).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    all_finite(&value, "");
    row_ids(document);
    let schema: Value =
        serde_json::from_str(include_str!("../../schema/report.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .take(3)
        .map(|e| format!("{e} at {}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    let back: Document = serde_json::from_str(&text).unwrap();
    assert_eq!(&back, document, "the document reads back as it was");
    for table in formats::csv(document) {
        let width = table.text.lines().next().unwrap().split(',').count();
        assert!(width >= 3, "{}", table.name);
        assert!(!table.text.contains("NaN") && !table.text.contains("inf,"));
    }
    let markdown = formats::markdown(document);
    assert!(!markdown.contains("NaN"));
    value
}

#[test]
fn the_top_level_keys_are_these() {
    let value = check(&build(&pair().range()));
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    let mut want = vec![
        "schema_version",
        "window",
        "services",
        "origins",
        "edges",
        "entities",
        "conservation",
        "capacity",
        "recommendations",
        "topologies",
        "map",
        "quality",
    ];
    want.sort_unstable();
    let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, want);
    assert_eq!(value["schema_version"], 1);
}

#[test]
fn the_schema_refuses_what_is_no_document() {
    let schema: Value =
        serde_json::from_str(include_str!("../../schema/report.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good: Value =
        serde_json::from_str(&formats::json(&build(&pair().range())).unwrap()).unwrap();
    for (path, bad) in [
        ("/schema_version", Value::from(2)),
        ("/services/0/cpu_cores/unit", Value::from("furlongs")),
        ("/edges/0/from", Value::from("front")),
        ("/window/windows", Value::from(-1)),
    ] {
        let mut document = good.clone();
        *document.pointer_mut(path).unwrap() = bad;
        assert!(!validator.is_valid(&document), "{path}");
    }
    let mut document = good.clone();
    document["surprise"] = Value::from(1);
    assert!(!validator.is_valid(&document));
    document = good;
    document.as_object_mut().unwrap().remove("edges");
    assert!(!validator.is_valid(&document));
}

#[test]
fn conservation_is_exact_to_the_nanosecond() {
    let d = build(&pair().range());
    assert!(d.conservation.cpu_exact);
    assert!(d.conservation.edges_exact);
    for s in &d.conservation.services {
        assert_eq!(s.difference_ns, Some(0), "{}", s.service);
        let sum: i64 = s.accounts.iter().map(|a| a.cpu_ns).sum();
        assert_eq!(sum + s.in_progress_ns.unwrap(), s.process_cpu_ns.unwrap());
        assert!(s.processes.iter().all(|p| p.difference_ns == Some(0)));
        let share = s.unexplained_share.value.unwrap();
        assert!(share > 0.0 && share < 0.05, "{share}");
    }
}

#[test]
fn a_missing_nanosecond_or_message_is_shown() {
    let mut range = pair().range();
    let keys: Vec<RowKey> = range.windows[0]
        .rows
        .iter()
        .map(|(key, _)| key.clone())
        .collect();
    let operation = keys.iter().find(|key| key.kind == 1).unwrap().clone();
    range.windows[0]
        .rows
        .row_mut(operation)
        .add(column::CPU_HANDLER_NS, -1);
    let edge_at = range
        .windows
        .iter()
        .position(|w| w.service.service == "back")
        .unwrap();
    let edge = range.windows[edge_at]
        .rows
        .of_kind(weighbridge_wire::RowKind::Edge)
        .next()
        .unwrap()
        .0
        .clone();
    range.windows[edge_at]
        .rows
        .row_mut(edge)
        .add(column::REQUEST_BODY_BYTES, -7);
    let d = build(&range);
    assert!(!d.conservation.cpu_exact);
    assert!(
        d.conservation
            .services
            .iter()
            .any(|s| s.difference_ns == Some(1))
    );
    assert!(!d.conservation.edges_exact);
    assert!(d.conservation.edges.iter().any(|e| e.difference == Some(7)));
}

#[test]
fn origins_hold_every_request_and_carrier() {
    let d = build(&pair().range());
    assert_eq!(d.origins.len(), 1);
    let o = &d.origins[0];
    assert_eq!(
        (o.service.as_str(), o.operation.as_str()),
        ("front", "POST /a")
    );
    let value = |f: &crate::document::Figure| f.value.unwrap();
    // Own CPU 2 ms; 12 · (60 µs work + 120 µs messages) at the callee; 12 · 60 µs in the pool; consumer 50 + 10
    // µs; driver 20 µs; broker 2 ms ÷ messages.
    let broker = value(
        d.edges
            .iter()
            .find(|e| e.mode == "async")
            .unwrap()
            .broker_cpu
            .as_ref()
            .unwrap(),
    );
    let want = 2_000_000.0 + 12.0 * 180_000.0 + 12.0 * 60_000.0 + 60_000.0 + 20_000.0 + broker;
    let got = value(&o.unit_cost.total);
    assert!((got / want - 1.0).abs() < 1e-6, "{got} instead of {want}");
    let parts: f64 = o.services.iter().map(|s| value(&s.cpu.total)).sum();
    assert!(
        (parts / got - 1.0).abs() < 1e-9,
        "services sum to the whole"
    );
    let shares: f64 = o.services.iter().map(|s| value(&s.share)).sum();
    assert!((shares - 1.0).abs() < 1e-9);
    let m = &o.message_overhead;
    assert!((value(&m.callee) / (12.0 * 120_000.0 + 10_000.0) - 1.0).abs() < 1e-6);
    assert!((value(&m.caller) / (12.0 * 120_000.0 + 40_000.0) - 1.0).abs() < 1e-6);
    assert!((value(&m.broker) / broker - 1.0).abs() < 1e-9);
    let sum: f64 = [&m.caller, &m.callee, &m.pool, &m.broker]
        .map(value)
        .iter()
        .sum();
    assert!((value(&m.total) / sum - 1.0).abs() < 1e-9);
    let calls = o
        .operations
        .iter()
        .find(|op| op.operation == "POST /b")
        .unwrap();
    assert!((value(&calls.calls) - 12.0).abs() < 1e-9);
}

#[test]
fn a_call_inside_one_process_is_no_message_overhead() {
    let mut s = System::new(40);
    s.root("front", "POST /a", 20, [100_000; 6]);
    s.http(
        ("front", "POST /a"),
        ("front", "POST /b"),
        20,
        12,
        240_000,
        60_000,
    )
    .transport = "local";
    let m = &build(&s.range()).origins[0].message_overhead;
    assert_eq!((m.caller.value, m.callee.value), (None, None));
}

#[test]
fn a_servers_connections_carry_what_it_answers() {
    let mut s = pair();
    let without = build(&s.range());
    s.owner(
        "back",
        weighbridge_wire::OwnerKind::Connection,
        "http1",
        2_400_000,
    );
    let with = build(&s.range());
    let http = |d: &Document| {
        let edge = d
            .edges
            .iter()
            .find(|e| e.transport == "http")
            .unwrap()
            .clone();
        (
            edge.overhead.value.unwrap(),
            edge.callee_cpu.pool.value,
            edge.calls.value.unwrap(),
        )
    };
    let ((before, none, calls), (after, share, _)) = (http(&without), http(&with));
    assert_eq!(none, None);
    let want = 2_400_000.0 * 40.0 / calls;
    assert!((share.unwrap() - want).abs() < 1e-6);
    assert!((after - before - want).abs() < 1e-6);
    let unit = |d: &Document| d.origins[0].unit_cost.total.value.unwrap();
    assert!((unit(&with) - unit(&without) - 12.0 * want).abs() < 1e-3);
    let carried = |d: &Document| d.origins[0].message_overhead.pool.value.unwrap();
    assert!((carried(&with) - carried(&without) - 12.0 * want).abs() < 1e-3);
}

#[test]
fn one_call_that_two_operations_answer_is_shared_out() {
    let mut s = System::new(40);
    s.root("front", "POST /a", 20, [900_000; 6]);
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20,
        4,
        240_000,
        60_000,
    );
    s.http(
        ("front", "POST /a"),
        ("back", "POST /c"),
        20,
        2,
        240_000,
        90_000,
    )
    .peer = "back";
    let d = build(&s.range());
    check(&d);
    // Both variants of the call have one id: six calls for each request.
    let of = |operation: &str| {
        d.edges
            .iter()
            .find(|e| e.to.operation == operation)
            .unwrap()
    };
    let (b, c) = (of("POST /b"), of("POST /c"));
    assert_eq!(
        (b.calls_per_request.value, c.calls_per_request.value),
        (Some(4.0), Some(2.0))
    );
    for edge in [b, c] {
        let t = &edge.traffic;
        assert!((t.request_messages_sent.value.unwrap() - edge.calls.value.unwrap()).abs() < 1e-6);
        assert!(
            edge.notes
                .iter()
                .any(|note| note.contains("Several operations"))
        );
    }
    assert!(d.conservation.edges_exact);
}

#[test]
fn edges_are_joined_and_their_sides_agree() {
    let d = build(&pair().range());
    let edge = d.edges.iter().find(|e| e.transport == "http").unwrap();
    assert!(edge.from.instrumented && edge.to.instrumented);
    assert_eq!(edge.calls_per_request.value, Some(12.0));
    assert!((edge.overhead.value.unwrap() - 240_000.0).abs() < 1e-6);
    assert!((edge.work.value.unwrap() - 60_000.0).abs() < 1e-6);
    assert!((edge.overhead_share.value.unwrap() - 0.8).abs() < 1e-9);
    let t = &edge.traffic;
    assert_eq!(
        t.request_body_bytes_sent.value,
        t.request_body_bytes_received.value
    );
    assert_eq!(
        t.response_messages_sent.value,
        t.response_messages_received.value
    );
    let async_edge = d.edges.iter().find(|e| e.transport == "mqtt").unwrap();
    assert_eq!(async_edge.broker.as_deref(), Some("broker"));
    assert_eq!(async_edge.wait.value, None);
    assert!((async_edge.lag.value.unwrap() - 2_000_000.0).abs() < 1e-6);
}

#[test]
fn same_rollup_same_bytes_in_any_order() {
    let range = pair().range();
    let first = formats::json(&build(&range)).unwrap();
    assert_eq!(first, formats::json(&build(&range)).unwrap());
    let mut shuffled = range.clone();
    shuffled.windows.reverse();
    let middle = shuffled.windows.len() / 3;
    shuffled.windows.rotate_left(middle);
    assert_eq!(first, formats::json(&build(&shuffled)).unwrap());
    // One window in two halves is the same window.
    let mut halved = range.clone();
    let whole = halved.windows[0].clone();
    let (mut a, mut b) = (RowSet::new(), RowSet::new());
    for (i, (key, value)) in whole.rows.iter().enumerate() {
        if i % 2 == 0 {
            a.add(key.clone(), value);
        } else {
            b.add(key.clone(), value);
        }
    }
    halved.windows[0].rows = a;
    halved.windows.push(FoldedWindow { rows: b, ..whole });
    assert_eq!(first, formats::json(&build(&halved)).unwrap());
    // Another load, other random numbers.
    let mut other = pair();
    other.windows = 41;
    assert_ne!(
        build(&other.range()).quality.seed,
        build(&range).quality.seed
    );
}

#[test]
fn an_empty_range_is_a_document_too() {
    let d = build(&empty_range());
    check(&d);
    assert!(d.services.is_empty() && d.recommendations.is_empty());
    assert!(d.window.notes[0].contains("No window"));
}

#[test]
fn one_service_without_edges() {
    let mut s = System::new(40);
    s.root("alone", "GET /", 30, [100_000; 6]);
    let d = build(&s.range());
    check(&d);
    assert!(d.edges.is_empty());
    assert_eq!(d.origins.len(), 1);
}

#[test]
fn zero_traffic_has_no_numbers_out_of_nothing() {
    let mut s = System::new(40);
    s.root("idle", "GET /", 0, [100_000; 6]);
    s.http(
        ("idle", "GET /"),
        ("other", "GET /x"),
        0,
        3,
        100_000,
        10_000,
    );
    let d = build(&s.range());
    check(&d);
    let op = &d
        .services
        .iter()
        .find(|s| s.service == "idle")
        .unwrap()
        .operations[0];
    assert_eq!(op.ended.value, Some(0.0));
    assert_eq!(op.cpu_per_request.total.value, None, "unknown is not zero");
    assert!(op.cpu_per_request.total.unknown_reason.is_some());
    assert!(
        d.recommendations
            .iter()
            .all(|r| r.verdict == crate::document::Verdict::CannotSay)
    );
}

#[test]
fn hostile_rows_do_no_harm() {
    let mut range = pair().range();
    let extremes = [i64::MAX, i64::MIN + 1, 0, -1];
    for (i, folded) in range.windows.iter_mut().enumerate() {
        let keys: Vec<RowKey> = folded.rows.iter().map(|(key, _)| key.clone()).collect();
        for (j, key) in keys.into_iter().enumerate() {
            let value = extremes[(i + j) % extremes.len()] >> 12;
            let row = folded.rows.row_mut(key);
            for column in [
                column::ENDED,
                column::CPU_HANDLER_NS,
                column::REQUEST_MESSAGES,
                column::CORES_MILLI,
            ] {
                row.add(column, value);
            }
        }
        // Too few key parts, and a kind from the future.
        for kind in 1..=13 {
            let key = RowKey {
                kind,
                quality: Quality::Other(9),
                parts: Box::new(["x".into()]),
            };
            folded
                .rows
                .add(key, &RowValue::new().with(column::CPU_HANDLER_NS, 5));
        }
        let key = RowKey {
            kind: 77,
            quality: Quality::Measured,
            parts: Box::new([]),
        };
        folded.rows.add(key, &RowValue::new().with(4, 5));
    }
    let d = build(&range);
    check(&d);
    assert_eq!(d.quality.unknown_kinds.len(), 1);
    assert_eq!(d.quality.unknown_kinds[0].kind, 77);
}

#[test]
fn services_of_one_name_in_two_namespaces_stay_apart() {
    let mut range = pair().range();
    let copies: Vec<FoldedWindow> = range
        .windows
        .iter()
        .map(|w| FoldedWindow {
            service: ServiceId {
                namespace: "other".to_owned(),
                ..w.service.clone()
            },
            ..w.clone()
        })
        .collect();
    range.windows.extend(copies);
    let d = build(&range);
    check(&d);
    assert_eq!(d.services.len(), 8);
    assert!(d.services.iter().any(|s| s.service == "other/front"));
    // Edges stay inside their namespace.
    for e in d.edges.iter().filter(|e| e.transport == "http") {
        assert_eq!(
            e.from.service.starts_with("other/"),
            e.to.service.starts_with("other/")
        );
    }
}

#[test]
fn capacity_grows_with_load_and_marks_what_was_not_seen() {
    let mut s = System::new(40);
    s.root("hot", "GET /", 100, [10_000_000, 0, 0, 0, 0, 0]);
    let d = build(&s.range());
    let c = &d.capacity.services[0];
    let cores: Vec<f64> = c.points.iter().map(|p| p.cores.value.unwrap()).collect();
    assert!(
        cores[1] > 1.9 * cores[0] && cores[2] > 4.8 * cores[0],
        "{cores:?}"
    );
    assert!(!c.points[0].extrapolated && c.points[1].extrapolated);
    assert!(c.points[2].saturated, "5 cores do not fit into 2");
    assert_eq!(c.points[2].wait.value, None);
    assert_eq!(c.points[0].wait.unit, crate::document::FigureUnit::Ns);
    assert_eq!(c.points[2].replicas.value, Some(4.0));
}

/// Documents of earlier versions are compared with; what they do not hold yet is not known, and no reason to refuse them.
#[test]
fn a_document_of_before_its_newer_figures_is_read_and_compared() {
    let now = build(&pair().range());
    let mut value = check(&now);
    for service in value["services"].as_array_mut().unwrap() {
        assert!(
            service["agent"]
                .as_object_mut()
                .unwrap()
                .remove("hooks")
                .is_some()
        );
    }
    for origin in value["origins"].as_array_mut().unwrap() {
        let overhead = origin["message_overhead"].as_object_mut().unwrap();
        assert!(overhead.remove("outside").is_some());
    }
    assert!(value.as_object_mut().unwrap().remove("map").is_some());
    assert!(
        value["capacity"]
            .as_object_mut()
            .unwrap()
            .remove("growth")
            .is_some()
    );
    let before: Document = serde_json::from_value(value).unwrap();
    let hooks = &before.services[0].agent.hooks;
    assert_eq!(hooks.value, None);
    assert!(hooks.unknown_reason.as_ref().unwrap().contains("before"));
    let change = crate::compare::compare(&before, &now);
    assert_eq!(change.origins.len(), now.origins.len());
    assert!(crate::html::render(&before).contains("Growth line: not known"));
}

#[test]
fn the_message_share_of_an_origin_that_crosses_nothing_is_that_of_its_own_edge() {
    let mut s = System::new(40);
    s.root(
        "front",
        "POST /a",
        20,
        [900_000, 10_000, 20_000, 30_000, 40_000, 0],
    );
    let mut range = s.range();
    for folded in &mut range.windows {
        let key = weighbridge_wire::EdgeKey {
            side: "callee".into(),
            mode: "sync".into(),
            transport: "http".into(),
            component: "".into(),
            operation: "POST /a".into(),
            class: "".into(),
            peer_service: "".into(),
            peer_operation: "".into(),
            call_id: "".into(),
            peer: "".into(),
            target: "".into(),
            origin_service: "front".into(),
            origin_operation: "POST /a".into(),
        };
        let row = folded.rows.row_mut(key.row_key(Quality::Measured));
        row.add(column::REQUEST_MESSAGES, 20);
        row.add(column::CPU_PROTOCOL_NS, 20 * 30_000);
        row.add(column::CPU_IO_NS, 20 * 40_000);
    }
    let document = build(&range);
    let value = |figure: &crate::document::Figure| figure.value.unwrap();
    let m = &document.origins[0].message_overhead;
    assert_eq!(
        (m.caller.value, m.callee.value),
        (None, None),
        "nothing between services"
    );
    let known = value(&m.outside);
    // 30 and 40 µs of each, over those that ended.
    let spent = known * value(&document.origins[0].ended);
    assert!(
        (spent / (40.0 * 20.0 * 70_000.0) - 1.0).abs() < 1e-9,
        "{spent}"
    );
    assert!((value(&m.total) - known).abs() < 1e-6);
    let whole = value(&document.origins[0].unit_cost.total);
    assert!((value(&m.share) - known / whole).abs() < 1e-9);
}
