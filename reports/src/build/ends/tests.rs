use proptest::prelude::*;
use weighbridge_wire::{
    CallShapeKey, CallStepKey, EdgeKey, FoldedRange, FoldedWindow, Quality, RowSet, RowValue,
    ServiceId, Window, column, mode, side,
};

use crate::Options;
use crate::document::{Document, EdgeReport};
use crate::testing::SECOND;

const CALL: &str = "00000000000000a1";

/// One window's rows of one end.
fn end(side: &str, mode: &str, n: i64, times: [i64; 2], redelivered: i64) -> RowSet {
    let is_caller = side == side::CALLER;
    let key = EdgeKey {
        side: side.into(),
        mode: mode.into(),
        transport: "http".into(),
        component: "".into(),
        operation: if is_caller { "GET /a" } else { "GET /b" }.into(),
        class: "".into(),
        peer_service: if is_caller { "" } else { "front" }.into(),
        peer_operation: if is_caller { "" } else { "GET /a" }.into(),
        call_id: CALL.into(),
        peer: if is_caller { "back" } else { "" }.into(),
        target: "GET /b".into(),
        origin_service: "front".into(),
        origin_operation: "GET /a".into(),
    };
    let mut row = RowValue::new()
        .with(column::REQUEST_MESSAGES, n)
        .with(column::REQUEST_BODY_BYTES, 7 * n)
        .with(column::RESPONSE_MESSAGES, n)
        .with(column::RESPONSE_BODY_BYTES, 11 * n)
        .with(column::REDELIVERED, redelivered);
    if is_caller {
        row.add(column::WAIT_NS, n * times[0]);
    } else {
        row.add(column::WALL_NS, n * times[1]);
    }
    let mut rows = RowSet::new();
    rows.add(key.row_key(Quality::Measured), &row);
    rows
}

fn document(windows: Vec<(&str, u64, RowSet)>) -> Document {
    let window = |n: u64| Window {
        start_unix_ns: n * SECOND,
        end_unix_ns: (n + 1) * SECOND,
    };
    let last = windows.iter().map(|(_, n, _)| *n).max().unwrap_or(0);
    let range = FoldedRange {
        window: Window {
            start_unix_ns: 0,
            end_unix_ns: window(last).end_unix_ns,
        },
        windows: windows
            .into_iter()
            .map(|(service, n, rows)| FoldedWindow {
                service: ServiceId {
                    service: service.to_owned(),
                    ..ServiceId::default()
                },
                window: window(n),
                rows,
            })
            .collect(),
    };
    Document::build(&range, &Options::default())
}

fn only(document: &Document) -> &EdgeReport {
    assert_eq!(document.edges.len(), 1);
    &document.edges[0]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What the caller sent less what arrived is shown to the unit, also when the other end reports windows late.
    #[test]
    fn the_difference_of_both_ends_is_shown(
        sent in prop::collection::vec((1i64..1_000, 0i64..10, 0u64..4), 1..12),
        wait in 1_000_000i64..9_000_000,
        wall in 0i64..1_000_000,
    ) {
        let mut windows = Vec::new();
        let mut lost_all = 0;
        for ((n, lost, late), at) in sent.iter().zip(0u64..) {
            let lost = lost.min(n);
            lost_all += lost;
            windows.push(("front", at, end(side::CALLER, mode::SYNC, *n, [wait, 0], 0)));
            windows.push(("back", at + late, end(side::CALLEE, mode::SYNC, n - lost, [0, wall], 0)));
        }
        let all: i64 = sent.iter().map(|(n, _, _)| n).sum();
        let document = document(windows);
        let edge = only(&document);
        prop_assert!(edge.from.instrumented && edge.to.instrumented);
        #[allow(clippy::cast_precision_loss)]
        let exact = |n: i64| Some(n as f64);
        prop_assert_eq!(edge.ends.request_messages.value, exact(lost_all));
        prop_assert_eq!(edge.ends.request_body_bytes.value, exact(7 * lost_all));
        prop_assert_eq!(edge.ends.response_messages.value, exact(-lost_all));
        prop_assert_eq!(edge.ends.response_body_bytes.value, exact(-11 * lost_all));
        prop_assert_eq!(document.conservation.edges_exact, lost_all == 0);
        if lost_all < all {
            let wire = edge.ends.wire.value.unwrap();
            #[allow(clippy::cast_precision_loss)]
            let expected = (wait - wall) as f64;
            prop_assert!((wire - expected).abs() < 1.0, "{wire} {expected}");
        }
    }
}

#[test]
fn an_end_without_an_agent_is_uninstrumented_and_its_figures_unknown() {
    for (service, side) in [("front", side::CALLER), ("back", side::CALLEE)] {
        let document = document(vec![(service, 0, end(side, mode::SYNC, 5, [9, 9], 0))]);
        let edge = only(&document);
        let (seen, other) = if side == side::CALLER {
            (&edge.from, &edge.to)
        } else {
            (&edge.to, &edge.from)
        };
        assert!(seen.instrumented && !other.instrumented);
        for figure in [
            &edge.ends.request_messages,
            &edge.ends.response_body_bytes,
            &edge.ends.wire,
        ] {
            assert_eq!(figure.value, None);
            assert!(figure.unknown_reason.is_some(), "unknown, and it says why");
        }
        assert!(crate::html::render(&document).contains("uninstrumented"));
    }
}

#[test]
fn messages_delivered_again_are_no_difference() {
    let document = document(vec![
        ("front", 0, end(side::CALLER, mode::ASYNC, 10, [9, 0], 0)),
        ("back", 1, end(side::CALLEE, mode::ASYNC, 13, [0, 9], 3)),
    ]);
    let ends = &only(&document).ends;
    assert_eq!(ends.request_messages.value, Some(0.0));
    assert_eq!(ends.request_body_bytes.value, None, "not told apart");
    assert_eq!(ends.wire.value, None);
}

#[test]
fn bytes_balance_too_where_those_that_came_again_are_told() {
    let mut back = RowSet::new();
    for (key, row) in end(side::CALLEE, mode::ASYNC, 13, [0, 9], 3).iter() {
        let row = row.clone().with(column::REDELIVERED_BYTES, 3 * 7);
        back.add(key.clone(), &row);
    }
    let document = document(vec![
        ("front", 0, end(side::CALLER, mode::ASYNC, 10, [9, 0], 0)),
        ("back", 1, back),
    ]);
    let ends = &only(&document).ends;
    assert_eq!(ends.request_messages.value, Some(0.0));
    assert_eq!(ends.request_body_bytes.value, Some(0.0));
    assert!(document.conservation.edges_exact);
}

#[test]
fn several_queues_of_one_service_are_compared_each_by_itself() {
    // Two queues had all ten, one of them three twice; what was rejected came to a third one.
    let ends = [
        ("CONSUME a", 10, 0),
        ("CONSUME b", 13, 3),
        ("CONSUME dead", 2, 2),
    ];
    let document = |lost: i64| {
        let mut windows = vec![("front", 0, end(side::CALLER, mode::ASYNC, 10, [9, 0], 0))];
        for (operation, n, again) in ends {
            let mut back = RowSet::new();
            let n = n - if operation == "CONSUME b" { lost } else { 0 };
            for (key, row) in end(side::CALLEE, mode::ASYNC, n, [0, 9], again).iter() {
                let mut key = key.clone();
                key.parts = (key.parts.iter().enumerate())
                    .map(|(at, part)| match at {
                        4 => operation.into(),
                        _ => part.clone(),
                    })
                    .collect();
                let row = row.clone().with(column::REDELIVERED_BYTES, again * 7);
                back.add(key, &row);
            }
            windows.push(("back", 0, back));
        }
        document(windows)
    };
    let exact = document(0);
    assert_eq!(exact.edges.len(), 3);
    for edge in &exact.edges {
        let ends = &edge.ends;
        assert_eq!(ends.request_messages.value, Some(0.0), "{}", edge.id);
        assert_eq!(ends.request_body_bytes.value, Some(0.0), "{}", edge.id);
    }
    assert!(exact.conservation.edges_exact);
    assert_eq!(
        exact.conservation.edges.len(),
        4,
        "messages and bytes of two"
    );
    let lost = document(1);
    let shown = |document: &Document| -> Vec<f64> {
        let edges = document.edges.iter();
        edges
            .map(|edge| edge.ends.request_messages.value.unwrap())
            .collect()
    };
    assert_eq!(shown(&lost).iter().sum::<f64>(), 1.0, "{:?}", shown(&lost));
    assert!(!lost.conservation.edges_exact);
}

#[test]
fn shapes_stand_with_the_operation_and_tell_how_an_edge_ran() {
    let mut rows = end(side::CALLER, mode::SYNC, 9, [1_000, 0], 0);
    let operation = weighbridge_wire::OperationKey {
        component: "".into(),
        operation: "GET /a".into(),
        class: "".into(),
        caller_service: "".into(),
        caller_operation: "".into(),
        origin_service: "front".into(),
        origin_operation: "GET /a".into(),
    };
    let ended = RowValue::new()
        .with(column::ENDED, 3)
        .with(column::WALL_NS, 30_000);
    rows.add(operation.row_key(Quality::Measured), &ended);
    let shapes = [
        (format!("{CALL}*;@db&"), 2, 8, 1_000),
        (format!("{CALL}|b"), 1, 1, 500),
    ];
    for (signature, requests, calls, critical) in shapes {
        let key = CallShapeKey {
            operation: "GET /a".into(),
            class: "".into(),
            signature: signature.as_str().into(),
        };
        let row = RowValue::new()
            .with(column::COUNT, requests)
            .with(column::WALL_NS, requests * 10_000)
            .with(column::OWN_NS, requests * 4_000)
            .with(column::CRITICAL_NS, requests * 6_000);
        rows.add(key.row_key(Quality::Measured), &row);
        let key = CallStepKey {
            operation: "GET /a".into(),
            class: "".into(),
            signature: signature.as_str().into(),
            step: "0".into(),
            call_id: CALL.into(),
        };
        let row = RowValue::new()
            .with(column::COUNT, calls)
            .with(column::WALL_NS, calls * 1_000)
            .with(column::CRITICAL_NS, calls * critical)
            .with(column::OFFSET_NS, calls * 50);
        rows.add(key.row_key(Quality::Measured), &row);
    }
    let document = document(vec![("front", 0, rows)]);
    let shape = &only(&document).shape;
    let near = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 1e-9;
    assert!(near(shape.serial.value, 8.0 / 9.0));
    assert!(near(shape.parallel.value, 1.0 / 9.0));
    assert!(near(shape.repeated.value, 8.0 / 9.0));
    assert_eq!(shape.detached.value, Some(0.0));
    let operation = &document.services[0].operations[0];
    let first = &operation.shapes[0];
    assert_eq!(
        first.shown,
        "back GET /b again and again → @db (not waited for)"
    );
    assert!(near(first.share.value, 2.0 / 3.0));
    assert!(near(first.own.value, 4_000.0));
    let step = &first.steps[0];
    assert_eq!(step.order, "serial");
    assert!(near(step.calls.value, 4.0) && near(step.offset.value, 50.0));
    assert_eq!(operation.shapes[1].steps[0].order, "parallel");
    let page = crate::html::render(&document);
    assert!(page.contains("chatty") && page.contains("How the calls of a request run"));
}
