use std::sync::Barrier;

use weighbridge_wire::{Class, DistributionKey, Quality, RowKind, SeriesKey, column, scope};

use super::*;
use crate::account::{Account, enter};
use crate::ledger::EdgeFigures;
use crate::ledger::limits::CHILD_PATIENCE_NS;
use crate::testing::{Books, burn, figure, on_thread};

fn start(operation: &str) -> Arc<Bill> {
    Bill::start(Start {
        operation,
        ..Start::default()
    })
}

fn work(bill: &Arc<Bill>, class: Class, ns: i64) {
    on_thread(|| {
        let _entered = enter(Account::new(OwnerRef::Bill(bill.clone()), class));
        burn(ns);
    });
}

#[test]
fn a_bill_without_a_socket_closes_with_its_end() {
    let mut books = Books::open();
    let bill = start("close simple");
    work(&bill, Class::Handler, 1_000_000);
    work(&bill, Class::Io, 1_000_000);
    bill.add_wait(WaitKind::Call, 5);
    bill.add_wait(WaitKind::Store, 7);
    books.rotate();
    assert_eq!(
        figure(&books.operation("close simple", ""), column::ENDED),
        0
    );
    bill.end(Outcome::Error);
    bill.end(Outcome::Ok);
    books.rotate();
    let row = books.operation("close simple", "");
    let figures = [
        column::STARTED,
        column::ENDED,
        column::ERRORS,
        column::CLIENT_ERRORS,
    ]
    .map(|c| figure(&row, c));
    assert_eq!(figures, [1, 1, 1, 0], "only the first end counts");
    assert_eq!(
        (
            figure(&row, column::WAIT_CALL_NS),
            figure(&row, column::WAIT_STORE_NS)
        ),
        (5, 7)
    );
    let key = DistributionKey {
        component: "".into(),
        operation: "close simple".into(),
        class: "".into(),
        scope: scope::ALL.into(),
    };
    let row = books.of_cpu(|quality| key.clone().row_key(quality));
    let cpu = row.histogram(column::HIST_REQUEST_CPU_NS).unwrap();
    let ns = cpu.quantile(0.5).unwrap();
    assert!(
        (990_000..1_900_000).contains(&ns),
        "io is not in the request's own CPU: {ns}"
    );
}

#[test]
fn a_bill_waits_for_its_socket_and_its_children() {
    let mut books = Books::open();
    let bill = Bill::start(Start {
        operation: "close late",
        socket: true,
        ..Start::default()
    });
    let child = bill.child();
    let ended = |books: &mut Books| {
        books.rotate();
        figure(&books.operation("close late", ""), column::ENDED)
    };
    bill.end(Outcome::Ok);
    assert_eq!(ended(&mut books), 0, "the socket is not flushed");
    bill.socket_done();
    assert_eq!(ended(&mut books), 0, "a child runs");
    work(&bill, Class::Handler, 1_000_000);
    drop(child);
    assert_eq!(ended(&mut books), 1);
    bill.socket_done();
    assert_eq!(ended(&mut books), 1, "once");
    let row = books.operation("close late", "");
    assert_eq!(
        figure(&row, column::LATE_CPU_NS),
        0,
        "the child came in time"
    );
}

#[test]
fn a_detached_child_is_waited_for_ten_seconds_and_then_late() {
    let mut books = Books::open();
    let bill = start("close detached");
    let child = bill.child();
    bill.end(Outcome::Ok);
    let now = clock::monotonic_ns();
    sweep(now + CHILD_PATIENCE_NS - 2_000_000_000);
    books.rotate();
    assert_eq!(
        figure(&books.operation("close detached", ""), column::ENDED),
        0
    );
    sweep(now + CHILD_PATIENCE_NS);
    books.rotate();
    assert_eq!(
        figure(&books.operation("close detached", ""), column::ENDED),
        1
    );
    work(&bill, Class::Handler, 2_000_000);
    drop(child);
    books.rotate();
    let row = books.operation("close detached", "");
    let late = figure(&row, column::LATE_CPU_NS);
    assert!(late >= 2_000_000);
    assert_eq!(
        row.class_cpu_ns(Class::Handler),
        Some(late),
        "late costs stand in the class columns too"
    );
    assert_eq!(figure(&row, column::ENDED), 1);
}

#[test]
fn a_bill_closes_exactly_once_under_races() {
    let mut books = Books::open();
    const ROUNDS: i64 = 300;
    for _ in 0..ROUNDS {
        let bill = Bill::start(Start {
            operation: "close race",
            socket: true,
            ..Start::default()
        });
        let children: Vec<_> = (0..2).map(|_| bill.child()).collect();
        let together = Barrier::new(6);
        std::thread::scope(|scope| {
            let together = &together;
            let bill = &bill;
            for child in children {
                scope.spawn(move || {
                    together.wait();
                    drop(child);
                });
            }
            scope.spawn(move || {
                together.wait();
                bill.end(Outcome::Ok);
            });
            scope.spawn(move || {
                together.wait();
                bill.socket_done();
            });
            scope.spawn(move || {
                together.wait();
                bill.declare_class("raced");
            });
            scope.spawn(move || {
                together.wait();
                sweep(clock::monotonic_ns() + 2 * CHILD_PATIENCE_NS);
            });
        });
    }
    books.rotate();
    let rows = [
        books.operation("close race", ""),
        books.operation("close race", "raced"),
    ];
    for column in [column::STARTED, column::ENDED] {
        let sum: i64 = rows.iter().filter_map(|row| row.get(column)).sum();
        assert_eq!(sum, ROUNDS, "column {column}");
    }
    for row in rows {
        // Start and end stand in one row, whatever the order was.
        assert_eq!(row.get(column::STARTED), row.get(column::ENDED));
        assert_eq!(row.get(column::IN_FLIGHT_NS), row.get(column::WALL_NS));
    }
}

#[test]
fn a_class_takes_everything_along_even_across_windows() {
    let mut books = Books::open();
    let bill = start("class move");
    let other = start("class move");
    work(&bill, Class::Decode, 1_000_000);
    books.rotate();
    let before = books.operation("class move", "").cpu_ns();
    assert!(before >= 1_000_000);
    bill.declare_class("bulk");
    work(&bill, Class::Handler, 1_000_000);
    bill.end(Outcome::Ok);
    other.end(Outcome::Ok);
    books.rotate();
    let (plain, bulk) = (
        books.operation("class move", ""),
        books.operation("class move", "bulk"),
    );
    assert_eq!(
        plain.cpu_ns(),
        0,
        "what the first window showed is taken back"
    );
    assert!(bulk.cpu_ns() >= 2_000_000);
    for row in [&plain, &bulk] {
        assert_eq!(
            (figure(row, column::STARTED), figure(row, column::ENDED)),
            (1, 1)
        );
        assert_eq!(
            figure(row, column::IN_FLIGHT_NS),
            figure(row, column::WALL_NS)
        );
    }
    bill.declare_class("too late");
    books.rotate();
    assert!(books.operation("class move", "too late").is_empty());
}

#[test]
fn requests_in_flight_are_integrated_over_windows() {
    let mut books = Books::open();
    let (a, b) = (start("in flight"), start("in flight"));
    let integral = |books: &mut Books| {
        let window = books.rotate();
        let (_, process) = window.rows.of_kind(RowKind::Process).next().unwrap();
        let (key, row) = window
            .rows
            .of_kind(RowKind::Operation)
            .find(|(key, _)| key.parts.contains(&"in flight".into()))
            .unwrap();
        assert!(key.parts[1].contains("in flight"));
        (
            figure(row, column::IN_FLIGHT_NS),
            figure(process, column::OBSERVED_NS),
        )
    };
    integral(&mut books);
    let (carried, window) = integral(&mut books);
    assert_eq!(
        carried,
        2 * window,
        "two were in flight all through it, though nothing happened"
    );
    a.end(Outcome::Ok);
    integral(&mut books);
    let (carried, window) = integral(&mut books);
    assert_eq!(carried, window);
    b.end(Outcome::Ok);
    books.rotate();
    let row = books.operation("in flight", "");
    assert_eq!(
        figure(&row, column::IN_FLIGHT_NS),
        figure(&row, column::WALL_NS)
    );
    let silent = books.rotate();
    assert!(
        !silent
            .rows
            .of_kind(RowKind::Operation)
            .any(|(key, _)| key.parts.contains(&"in flight".into())),
        "an operation with nothing in flight needs no row"
    );
}

#[test]
fn arrivals_are_counted_in_slots_and_idle_slots_are_observed() {
    let mut books = Books::open();
    let key = SeriesKey {
        operation: "arrivals".into(),
        class: "".into(),
    }
    .row_key(Quality::Measured);
    let bills: Vec<_> = (0..5).map(|_| start("arrivals")).collect();
    books.rotate();
    let row = books.rows.get(&key).unwrap();
    assert_eq!(figure(row, column::ARRIVALS), 5);
    let squared = figure(row, column::ARRIVALS_SQUARED);
    // All in one slot, unless a boundary of 100 ms fell between them.
    assert!((9..=25).contains(&squared), "{squared}");
    assert_eq!(figure(row, column::IN_FLIGHT), 5);
    bills.iter().for_each(|bill| bill.end(Outcome::Ok));
    books.rotate();
    let idle = books.rotate();
    let row = idle.rows.get(&key).unwrap();
    assert_eq!(
        (
            figure(row, column::ARRIVALS),
            figure(row, column::IN_FLIGHT)
        ),
        (0, 0)
    );
}

#[test]
fn a_bill_that_nobody_ends_is_ended_by_its_drop() {
    let mut books = Books::open();
    drop(start("abandoned"));
    books.rotate();
    let row = books.operation("abandoned", "");
    let figures = [column::STARTED, column::ENDED, column::CLIENT_ERRORS].map(|c| figure(&row, c));
    assert_eq!(figures, [1, 1, 1]);
}

#[test]
fn beyond_the_limit_of_entities_statements_stay_whole() {
    use crate::ledger::{EntityFigures, record_entity};
    let mut books = Books::open();
    let limits = ledger().limits();
    ledger().set_limits(crate::ledger::Limits {
        entities_max: 2,
        ..limits
    });
    on_thread(|| {
        for n in 0..50 {
            let figures = EntityFigures {
                statements: 1,
                ..EntityFigures::default()
            };
            let entity = format!("entity {n}").into();
            record_entity(None, &"limits".into(), &entity, "limited", figures);
        }
    });
    ledger().set_limits(limits);
    books.rotate();
    let rows: Vec<_> = books
        .rows
        .of_kind(RowKind::Entity)
        .filter(|(key, _)| &*key.parts[5] == "limited")
        .map(|(_, row)| figure(row, column::STATEMENTS))
        .collect();
    assert_eq!(rows.iter().sum::<i64>(), 50);
    assert!(rows.len() <= 3, "{} rows", rows.len());
    assert!(books.lost("agent.entities") >= 47);
}

#[test]
fn only_the_first_end_counts_while_the_socket_is_open() {
    let mut books = Books::open();
    let bill = Bill::start(Start {
        operation: "ended twice",
        socket: true,
        ..Start::default()
    });
    bill.end(Outcome::Error);
    bill.end(Outcome::Ok);
    bill.socket_done();
    books.rotate();
    let row = books.operation("ended twice", "");
    let figures = [column::ENDED, column::ERRORS].map(|c| figure(&row, c));
    assert_eq!(figures, [1, 1]);
}

#[test]
fn beyond_the_limits_totals_stay_whole() {
    let mut books = Books::open();
    let limits = ledger().limits();
    let (operations_max, edges_max) = (1, 2);
    ledger().set_limits(crate::ledger::Limits {
        operations_max,
        edges_max,
        ..limits
    });
    for n in 0..50 {
        let id = crate::ledger::EdgeId {
            side: weighbridge_wire::side::CALLEE,
            mode: weighbridge_wire::mode::SYNC,
            transport: "limits",
            peer_service: "".into(),
            peer_operation: "".into(),
            call_id: format!("call {n}").into(),
            peer: "".into(),
            target: "".into(),
        };
        let figures = EdgeFigures {
            request_messages: 1,
            request_body_bytes: 10,
            ..EdgeFigures::default()
        };
        let bill = Bill::start(Start {
            operation: &format!("limited {n}"),
            callee: Some((id, figures)),
            ..Start::default()
        });
        bill.end(Outcome::Ok);
    }
    ledger().set_limits(limits);
    books.rotate();
    let other = books.operation(weighbridge_wire::OTHER, "");
    // Tests beside this one may fall under the limit too.
    assert!(figure(&other, column::STARTED) >= 49 && figure(&other, column::ENDED) >= 49);
    assert!(books.lost("agent.operations") >= 49);
    let (mut messages, mut bytes, mut rows) = (0, 0, 0);
    for (key, row) in books
        .rows
        .of_kind(RowKind::Edge)
        .filter(|(key, _)| &*key.parts[2] == "limits")
    {
        assert!(key.parts.len() > 2);
        messages += figure(row, column::REQUEST_MESSAGES);
        bytes += figure(row, column::REQUEST_BODY_BYTES);
        rows += 1;
    }
    assert_eq!((messages, bytes), (50, 500));
    assert!(rows <= 3, "{rows} rows");
    assert!(books.lost("agent.edges") >= 47);
}

#[test]
fn what_is_folded_survives_the_end_of_a_window() {
    use crate::account::owner;
    use weighbridge_wire::{OTHER, OperationKey, OwnerKind};
    let mut books = Books::open();
    let limits = ledger().limits();
    let window = |books: &mut Books| {
        ledger().set_limits(crate::ledger::Limits {
            owners_max: 0,
            origins_max: 0,
            callers_max: 0,
            ..limits
        });
        on_thread(|| {
            let folded = owner(OwnerKind::Pool, "beyond the limit of owners");
            let _entered = enter(Account::new(folded, Class::Handler));
            burn(2_000_000);
            let bill = Bill::start(Start {
                operation: "of a folded chain",
                caller: Some(("folded caller", "GET /a")),
                origin: Some(("folded origin", "GET /b")),
                ..Start::default()
            });
            work(&bill, Class::Handler, 1_000_000);
            bill.end(Outcome::Ok);
            assert_eq!(&**bill.origin().1, OTHER);
        });
        ledger().set_limits(limits);
        books.rotate().rows
    };
    for _ in 0..2 {
        let rows = window(&mut books);
        let pools = rows
            .of_kind(RowKind::Owner)
            .filter(|(key, _)| {
                &*key.parts[0] == OwnerKind::Pool.as_str() && &*key.parts[1] == OTHER
            })
            .map(|(_, row)| row.cpu_ns())
            .sum::<i64>();
        assert!(pools >= 2_000_000, "{pools}");
        let mut folded = rows.of_kind(RowKind::Operation).filter_map(|(key, row)| {
            let key = OperationKey::read(key)?;
            (&*key.operation == "of a folded chain").then_some((key, row))
        });
        let (key, row) = folded.next().unwrap();
        assert_eq!(&*key.origin_service, OTHER);
        assert_eq!(&*key.caller_service, OTHER);
        assert_eq!(figure(row, column::ENDED), 1);
        assert!(row.cpu_ns() >= 1_000_000);
        assert!(folded.next().is_none());
    }
    assert!(books.lost("agent.owners") >= 2 && books.lost("agent.origins") >= 2);
}

#[test]
fn many_rows_over_many_threads_add_up() {
    use crate::ledger::EdgeId;
    const ROWS: usize = 300;
    let mut books = Books::open();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..ROWS {
                    let edge = EdgeId {
                        side: weighbridge_wire::side::CALLEE,
                        mode: weighbridge_wire::mode::SYNC,
                        transport: "spilled",
                        peer_service: "".into(),
                        peer_operation: "".into(),
                        call_id: format!("{n}").into(),
                        peer: "".into(),
                        target: "".into(),
                    };
                    let figures = EdgeFigures {
                        request_messages: 1,
                        request_body_bytes: 3,
                        ..EdgeFigures::default()
                    };
                    let bill = Bill::start(Start {
                        operation: &format!("spilled {}", n % 40),
                        caller: Some(("spilled", &format!("{}", n / 40))),
                        callee: Some((edge, figures)),
                        ..Start::default()
                    });
                    bill.end(Outcome::Ok);
                }
            });
        }
    });
    books.rotate();
    let sum = |kind: RowKind, part: usize, prefix: &str, column: u32| -> (usize, i64) {
        let found = books
            .rows
            .of_kind(kind)
            .filter(|(key, _)| key.parts[part].starts_with(prefix))
            .filter_map(|(_, row)| row.get(column));
        let figures: Vec<i64> = found.collect();
        (figures.len(), figures.iter().sum())
    };
    let ended = sum(RowKind::Operation, 1, "spilled", column::ENDED);
    assert_eq!(ended, (ROWS, 8 * ROWS as i64));
    let started = sum(RowKind::Operation, 1, "spilled", column::STARTED);
    assert_eq!(started, (ROWS, 8 * ROWS as i64));
    let bytes = sum(RowKind::Edge, 2, "spilled", column::REQUEST_BODY_BYTES);
    assert_eq!(bytes, (ROWS, 8 * 3 * ROWS as i64));
    let arrivals = sum(RowKind::Series, 0, "spilled", column::ARRIVALS);
    assert_eq!(arrivals, (40, 8 * ROWS as i64));
    let histograms: u64 = books
        .rows
        .of_kind(RowKind::Distribution)
        .filter(|(key, _)| key.parts[1].starts_with("spilled") && &*key.parts[3] == "all")
        .filter_map(|(_, row)| row.histogram(column::HIST_WALL_NS))
        .map(weighbridge_wire::Histogram::count)
        .sum();
    assert_eq!(histograms, 8 * ROWS as u64);
}
