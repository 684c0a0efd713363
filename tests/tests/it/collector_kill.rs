//! The collector goes away: no request notices, and no figure is lost or counted twice.

use weighbridge_tests::{Collector, http, new_dir, rows};
use weighbridge_wire::{RowKind, column};

use crate::weigh::{conservation_holds, fixture, order};

/// How often the collector is killed; `WEIGHBRIDGE_TEST_KILLS` for the long form.
fn kills() -> usize {
    std::env::var("WEIGHBRIDGE_TEST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3)
}

#[test]
fn a_killed_collector_loses_nothing_and_no_request_fails() {
    let dir = new_dir();
    let mut collector = Collector::start(dir.path());
    let url = collector.url();
    // Short windows, so that each kill falls between deltas in all states.
    let settings = [
        ("WEIGHBRIDGE_ENDPOINT", url.as_str()),
        ("WEIGHBRIDGE_WINDOW", "100ms"),
    ];
    let warehouse = fixture("warehouse", &[], &settings);
    let store = fixture("store", &[&warehouse.url()], &settings);
    let mut sent = 0;
    let mut send = |count: usize| {
        for _ in 0..count {
            let answer = http::post(store.address(), "/orders", "application/json", &order(4));
            assert_eq!(answer.status, 200, "a request failed: {}", answer.text());
            sent += 1;
        }
    };
    for _ in 0..kills() {
        send(40);
        collector.kill();
        send(20);
        collector = collector.kill_and_restart();
        send(20);
    }
    let store = store.end();
    let warehouse = warehouse.end();
    let range = collector.range();
    let ended = |service| {
        rows::sum(
            &rows::of_service(&range, service),
            RowKind::Operation,
            column::ENDED,
        )
    };
    assert_eq!(ended("store"), sent);
    assert_eq!(ended("store"), store.get("requests"));
    assert_eq!(ended("warehouse"), warehouse.get("requests"));
    conservation_holds(&range, &["store", "warehouse"]);

    // What is on disk is what was answered.
    let before = range.windows;
    let ended = collector.shut_down();
    assert!(ended.status.success(), "{}", ended.stderr);
    let after = Collector::start(dir.path()).range().windows;
    let ours = |windows: Vec<weighbridge_wire::FoldedWindow>| {
        windows
            .into_iter()
            .filter(|window| ["store", "warehouse"].contains(&window.service.service.as_str()))
            .collect::<Vec<_>>()
    };
    assert_eq!(ours(before), ours(after));
}

#[test]
fn a_service_starts_and_works_before_there_is_a_collector() {
    let dir = new_dir();
    // A port that was free a moment ago.
    let collector = Collector::start(dir.path());
    let address = collector.address();
    assert!(collector.shut_down().status.success());
    let url = format!("http://{address}");
    let settings = [
        ("WEIGHBRIDGE_ENDPOINT", url.as_str()),
        ("WEIGHBRIDGE_WINDOW", "100ms"),
    ];
    let warehouse = fixture("warehouse", &[], &settings);
    let ask = || http::get(warehouse.address(), "/stock/part-1").status;
    for _ in 0..30 {
        assert_eq!(ask(), 200);
    }
    let collector = Collector::start_at(dir.path(), &address.to_string());
    for _ in 0..30 {
        assert_eq!(ask(), 200);
    }
    drop(warehouse.end());
    let rows = rows::of_service(&collector.range(), "warehouse");
    assert_eq!(rows::sum(&rows, RowKind::Operation, column::ENDED), 60);
}
