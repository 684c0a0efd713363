use expect_test::expect;
use weighbridge_wire::{Class, OwnerKind, ProcessKey, Window};

use super::*;
use crate::testing::WindowLedger;

fn operation(name: &str, class: &str, caller: &str) -> weighbridge_wire::RowKey {
    OperationKey {
        component: "".into(),
        operation: name.into(),
        class: class.into(),
        caller_service: caller.into(),
        caller_operation: "".into(),
        origin_service: "store".into(),
        origin_operation: name.into(),
    }
    .row_key(Quality::Measured)
}

fn owner(kind: OwnerKind, name: &str) -> weighbridge_wire::RowKey {
    OwnerKey {
        owner_kind: kind.as_str().into(),
        name: name.into(),
    }
    .row_key(Quality::Measured)
}

fn window() -> WindowLedger {
    let mut rows = RowSet::new();
    for caller in ["", "shop"] {
        let row = RowValue::new()
            .with(column::ENDED, 50)
            .with(column::ERRORS, 1)
            .with(Class::Handler.column(), 1_000_000)
            .with(Class::Io.column(), 500_000)
            .with(column::ALLOC_BYTES, 102_400)
            .with(column::PEAK_LIVE_BYTES, 4_096);
        rows.add(operation("GET /orders/{id}", "", caller), &row);
    }
    rows.add(
        operation("POST /imports/{month}/of/a/very/long/name", "bulk", ""),
        &RowValue::new()
            .with(column::STARTED, 1)
            .with(Class::Store.column(), 12_345_678),
    );
    rows.add(
        owner(OwnerKind::Runtime, "runtime or unwrapped"),
        &RowValue::new().with(Class::Handler.column(), 2_000_000),
    );
    rows.add(
        owner(OwnerKind::Unattributed, "unattributed"),
        &RowValue::new().with(Class::Handler.column(), -5_678),
    );
    let process = ProcessKey {
        instance: "i".into(),
        host: "h".into(),
        epoch: "e".into(),
        clock_mode: "thread".into(),
        agent_version: "0".into(),
    };
    let row = RowValue::new()
        .with(column::OBSERVED_NS, 10_000_000_000)
        .with(column::CPU_ACCOUNTS_NS, 17_345_678)
        .with(column::CPU_IN_PROGRESS_NS, 10_000)
        .with(column::CPU_UNATTRIBUTED_NS, -5_678)
        .with(column::CPU_PROCESS_NS, 17_350_000)
        .with(column::RSS_INIT_BYTES, 3 << 20);
    rows.add(process.row_key(Quality::Measured), &row);
    WindowLedger {
        end: WindowEnd {
            window: Window {
                start_unix_ns: 0,
                end_unix_ns: 10_000_000_000,
            },
            started: 101,
            ended: 100,
            process_cpu_ns: 17_350_000,
        },
        rows,
    }
}

#[test]
fn the_table_shows_costs_shares_and_the_sum() {
    let mut table = Table::new();
    let ended = window();
    table.add(&ended.rows);
    table.end_window(&ended.end);
    expect![[r#"

        weighbridge: what `store` cost in 10 s, 17.3 ms of CPU

        per ended request                     ended  errors        CPU   handler    encode    decode  protocol        io     store  allocated       peak   p99 wall
        POST /imports/{month}/of/a/very/l…        0       0          -         -         -         -         -         -         -          -          -          -
        GET /orders/{id}                        100       2    30.0 µs   20.0 µs      0 ns      0 ns      0 ns   10.0 µs      0 ns   2.00 KiB   4.00 KiB          -

        owner                                     CPU    share
        requests                              15.3 ms   88.4 %
        runtime runtime or unwrapped          2.00 ms   11.5 %
        unattributed                         -5.67 µs    0.0 %

        accounts 17345678 ns + in progress 10000 ns + unattributed -5678 ns = process 17350000 ns
        resident: 3.00 MiB at init, - at most (kernel's peak -)
    "#]].assert_eq(&table.render("store"));
}

#[test]
fn what_was_not_measured_stands_in_the_line_with_its_share() {
    let mut window = window();
    // An HTTP/2 connection's share, windows of a scaled clock, and what the exit of one left negative.
    let apportioned = |key: weighbridge_wire::RowKey| weighbridge_wire::RowKey {
        quality: Quality::Apportioned,
        ..key
    };
    window.rows.add(
        apportioned(operation("GET /orders/{id}", "", "")),
        &RowValue::new().with(Class::Io.column(), 1_000_000),
    );
    window.rows.add(
        apportioned(owner(OwnerKind::Runtime, "runtime or unwrapped")),
        &RowValue::new().with(Class::Handler.column(), -2_000_000),
    );
    let key = DistributionKey {
        component: "".into(),
        operation: "GET /orders/{id}".into(),
        class: "".into(),
        scope: scope::ALL.into(),
    };
    let mut wall = RowValue::new();
    wall.histogram_mut(column::HIST_WALL_NS).record(1_000_000);
    window.rows.add(key.row_key(Quality::Apportioned), &wall);
    let text = rendered(&window);
    let lines = |begin: &str| -> Vec<&str> {
        text.lines()
            .filter(|line| line.starts_with(begin))
            .collect()
    };
    expect![[r#"
        [
            "GET /orders/{id}                        100       2    40.0 µs   20.0 µs      0 ns      0 ns      0 ns   20.0 µs      0 ns   2.00 KiB   4.00 KiB    1.00 ms  25 % apportioned",
        ]
    "#]]
    .assert_debug_eq(&lines("GET /orders"));
    expect![[r#"
        [
            "requests                              16.3 ms   94.2 %  6 % apportioned",
        ]
    "#]]
    .assert_debug_eq(&lines("requests"));
    expect![[r#"
        [
            "runtime runtime or unwrapped             0 ns    0.0 %  50 % apportioned",
        ]
    "#]]
    .assert_debug_eq(&lines("runtime"));
    assert_eq!(lines("unattributed").len(), 1);
    assert!(!lines("unattributed")[0].contains("measured"));
}

#[test]
fn without_requests_it_says_what_to_do() {
    let mut table = Table::new();
    let mut empty = window();
    empty.rows = RowSet::new();
    table.add(&empty.rows);
    table.end_window(&empty.end);
    assert!(
        table
            .render("store")
            .contains("put `weighbridge_agent::layer()` on the router")
    );
}

#[test]
fn figures_keep_three_digits_and_their_sign() {
    assert_eq!(
        [0, 999, 1_000, 12_345, -1_234_567].map(time),
        ["0 ns", "999 ns", "1.00 µs", "12.3 µs", "-1.23 ms"]
    );
    assert_eq!(bytes(1_536), "1.50 KiB");
}

#[test]
fn the_regions_that_cost_most_come_first() {
    let mut window = window();
    assert!(!rendered(&window).contains("regions"), "none, no heading");
    for (region, own, quality) in [
        ("request;order", 1_000_000, Quality::Measured),
        ("request;order;lines", 4_000_000, Quality::Sampled),
    ] {
        let key = weighbridge_wire::RegionKey {
            operation: "GET /orders/{id}".into(),
            class: "bulk".into(),
            region: region.into(),
        };
        let row = RowValue::new()
            .with(column::CPU_EXCLUSIVE_NS, own)
            .with(column::CPU_INCLUSIVE_NS, 5_000_000)
            .with(column::COUNT, 10);
        window.rows.add(key.row_key(quality), &row);
    }
    let text = rendered(&window);
    let shown: Vec<_> = text
        .lines()
        .skip_while(|line| !line.contains("regions that cost most"))
        .take(3)
        .collect();
    // Without the indent, which the macro takes off what it expects.
    let shown: Vec<_> = shown.iter().map(|line| line.trim_start()).collect();
    expect![[r#"
        own CPU with inner    times  allocated  regions that cost most, of 2
        4.00 ms    5.00 ms       10          -  GET /orders/{id} (bulk): request;order;lines (sampled)
        1.00 ms    5.00 ms       10          -  GET /orders/{id} (bulk): request;order"#]].assert_eq(&shown.join("\n"));
}

fn rendered(window: &WindowLedger) -> String {
    let mut table = Table::new();
    table.add(&window.rows);
    table.end_window(&window.end);
    table.render("store")
}

#[test]
fn s7_names_cannot_steer_the_terminal() {
    const BAD: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\r\n\u{7}";
    let bad = |name: &str| -> String { format!("{name}{BAD}") };
    let mut rows = RowSet::new();
    let cost = || {
        RowValue::new()
            .with(column::ENDED, 50)
            .with(Class::Handler.column(), 1_000_000)
    };
    rows.add(operation(&bad("GET /o"), &bad("k"), ""), &cost());
    rows.add(owner(OwnerKind::Pool, &bad("p")), &cost());
    let region = weighbridge_wire::RegionKey {
        operation: bad("GET /o").into(),
        class: bad("k").into(),
        region: bad("r").into(),
    };
    rows.add(
        region.row_key(Quality::Measured),
        &RowValue::new().with(column::CPU_EXCLUSIVE_NS, 5),
    );
    let lost = weighbridge_wire::LossKey {
        place: bad("operations").into(),
        reason: bad("full").into(),
    };
    rows.add(
        lost.row_key(Quality::Measured),
        &RowValue::new().with(column::LOST, 3),
    );
    let mut table = Table::new();
    table.add(&rows);
    let shown = table.render(&bad("store"));
    assert!(
        shown.chars().all(|c| c == '\n' || !c.is_control()),
        "{shown:?}"
    );
    assert!(!shown.contains(['\u{202e}', '\u{200b}']), "{shown:?}");
    // Each place shows that there was something.
    for place in ["`store", "GET /o", "pool p", ": r", "operations", "full"] {
        assert!(
            shown.contains(&format!("{place}\\u{{1b}}[2J")),
            "{place} in {shown}"
        );
    }
}
