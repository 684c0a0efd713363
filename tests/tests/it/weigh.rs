//! Two services, a client, a collector: what the report's figures rest on.

use serde_json::{Value, json};
use weighbridge_tests::{Collector, Counted, Fixture, http, new_dir, rows};
use weighbridge_wire::{FoldedRange, OperationKey, RowKind, column, side};

/// Orders sent one after the other, with a growing number of lines.
pub(crate) const ORDERS: usize = 40;

pub(crate) fn fixture(role: &str, args: &[&str], settings: &[(&str, &str)]) -> Fixture {
    Fixture::start(env!("CARGO_BIN_EXE_fixture"), role, args, settings)
}

pub(crate) fn order(lines: usize) -> Vec<u8> {
    let lines: Vec<Value> = (0..lines)
        .map(|n| json!({ "sku": format!("part-{n}") }))
        .collect();
    json!({ "lines": lines }).to_string().into_bytes()
}

/// What was sent from outside, and what everybody counted.
struct Weighed {
    range: FoldedRange,
    sent_orders: i64,
    sent_bytes: i64,
    answered_bytes: i64,
    store: Counted,
    warehouse: Counted,
}

fn weigh() -> Weighed {
    let dir = new_dir();
    let collector = Collector::start(dir.path());
    let url = collector.url();
    let settings = [("WEIGHBRIDGE_ENDPOINT", url.as_str())];
    let warehouse = fixture("warehouse", &[], &settings);
    let store = fixture("store", &[&warehouse.url()], &settings);
    let (mut sent_bytes, mut answered_bytes) = (0, 0);
    for n in 0..ORDERS {
        let body = order(n % 9);
        let answer = http::post(store.address(), "/orders", "application/json", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        sent_bytes += body.len() as i64;
        answered_bytes += answer.body.len() as i64;
    }
    // The store first: its connections to the warehouse are idle then.
    let store = store.end();
    let warehouse = warehouse.end();
    Weighed {
        range: collector.range(),
        sent_orders: ORDERS as i64,
        sent_bytes,
        answered_bytes,
        store,
        warehouse,
    }
}

#[test]
fn a_request_is_weighed_across_services_to_the_unit() {
    let weighed = weigh();
    let store = rows::of_service(&weighed.range, "store");
    let warehouse = rows::of_service(&weighed.range, "warehouse");

    // Requests.
    let ended = |rows, kind| rows::sum(rows, kind, column::ENDED);
    assert_eq!(ended(&store, RowKind::Operation), weighed.sent_orders);
    assert_eq!(
        ended(&warehouse, RowKind::Operation),
        weighed.warehouse.get("requests")
    );
    assert_eq!(
        weighed.store.get("calls"),
        weighed.warehouse.get("requests"),
        "the fixture itself"
    );
    for rows in [&store, &warehouse] {
        assert_eq!(
            rows::sum(rows, RowKind::Operation, column::STARTED),
            rows::sum(rows, RowKind::Operation, column::ENDED)
        );
        assert_eq!(rows::sum(rows, RowKind::Operation, column::ERRORS), 0);
    }

    // The edges between them: what one side sent is what the other side received.
    let calls = rows::calls_made(&store);
    assert_eq!(
        calls
            .iter()
            .map(|(target, _)| target.as_str())
            .collect::<Vec<_>>(),
        ["GET /stock/{sku}", "POST /reservations"]
    );
    let mut all = [0; 4];
    for (target, call_id) in &calls {
        let caller = rows::edge_messages(&store, side::CALLER, call_id);
        let callee = rows::edge_messages(&warehouse, side::CALLEE, call_id);
        assert_eq!(caller, callee, "both sides of {target}");
        for (sum, figure) in all.iter_mut().zip(caller) {
            *sum += figure;
        }
    }
    let calls = weighed.store.get("calls");
    let fixture = [
        calls,
        weighed.store.get("sent_bytes"),
        calls,
        weighed.store.get("received_bytes"),
    ];
    assert_eq!(
        all, fixture,
        "edges against what the services counted on their own"
    );

    // The edge at which it all began has no caller with an agent, and its bytes are those of the test.
    let [requests, request_bytes, responses, response_bytes] =
        rows::edge_messages(&store, side::CALLEE, "");
    assert_eq!(
        [requests, request_bytes, responses, response_bytes],
        [
            weighed.sent_orders,
            weighed.sent_bytes,
            weighed.sent_orders,
            weighed.answered_bytes
        ]
    );

    // All that the warehouse did began with an order at the store.
    for (key, value) in warehouse.of_kind(RowKind::Operation) {
        let Some(key) = OperationKey::read(key) else {
            continue;
        };
        if value.get(column::ENDED).unwrap_or(0) > 0 {
            assert_eq!(
                (
                    &*key.origin_service,
                    &*key.origin_operation,
                    &*key.caller_service,
                    &*key.caller_operation
                ),
                ("store", "POST /orders", "store", "POST /orders"),
                "{}",
                key.operation
            );
        }
    }

    conservation_holds(&weighed.range, &["store", "warehouse"]);
}

/// Invariant 1, exactly, in each window and over all.
pub(crate) fn conservation_holds(range: &FoldedRange, services: &[&str]) {
    for window in &range.windows {
        let process = rows::process(&window.rows);
        let Some(kernel) = process.get(column::CPU_PROCESS_NS) else {
            continue;
        };
        let part = |column| {
            process
                .get(column)
                .unwrap_or_else(|| panic!("column {column} is absent"))
        };
        let unattributed = part(column::CPU_UNATTRIBUTED_NS);
        assert_eq!(
            part(column::CPU_ACCOUNTS_NS) + part(column::CPU_IN_PROGRESS_NS) + unattributed,
            kernel,
            "{} {:?}",
            window.service.service,
            window.window
        );
        assert_eq!(
            rows::owner_cpu_ns(&window.rows, "unattributed"),
            unattributed
        );
        assert_eq!(
            rows::accounts_cpu_ns(&window.rows) - unattributed,
            part(column::CPU_ACCOUNTS_NS),
            "the rows of {} do not sum to the accounts",
            window.service.service
        );
    }
    for service in services {
        let rows = rows::of_service(range, service);
        let process = rows::process(&rows);
        assert_eq!(
            process.get(column::CPU_PROCESS_NS),
            process.get(column::CPU_CUMULATIVE_NS),
            "the windows of {service} sum to its CPU time since init"
        );
        assert!(process.get(column::CPU_PROCESS_NS) > Some(0));
    }
}

#[test]
fn a_service_that_is_switched_off_sends_nothing_and_works() {
    let dir = new_dir();
    let collector = Collector::start(dir.path());
    let url = collector.url();
    let warehouse = fixture("warehouse", &[], &[("WEIGHBRIDGE_ENDPOINT", &url)]);
    let off = [
        ("WEIGHBRIDGE_ENDPOINT", url.as_str()),
        ("WEIGHBRIDGE_ENABLED", "false"),
    ];
    let store = fixture("store", &[&warehouse.url()], &off);
    let answer = http::post(store.address(), "/orders", "application/json", &order(3));
    assert_eq!(answer.status, 200);
    drop((store.end(), warehouse.end()));
    let range = collector.range();
    assert!(rows::of_service(&range, "store").is_empty());
    // Propagation is not switched off with it.
    let callers: Vec<_> = rows::of_service(&range, "warehouse")
        .of_kind(RowKind::Operation)
        .filter_map(|(key, _)| OperationKey::read(key))
        .map(|key| format!("{} {}", key.caller_service, key.caller_operation))
        .collect();
    assert!(
        callers.iter().all(|caller| caller == "store POST /orders"),
        "{callers:?}"
    );
    assert!(!callers.is_empty());
}
