use proptest::prelude::*;
use weighbridge_wire::{CallShapeKey, CallStepKey, RowKind, RowSet, RowValue, column};

use super::*;
use crate::bill::{Outcome, Start};
use crate::messages::Peer;
use crate::tasks::{job, spawn};
use crate::testing::{Books, burn, figure};

fn start(operation: &str) -> Arc<Bill> {
    Bill::start(Start {
        operation,
        ..Start::default()
    })
}

/// Shapes of an operation, and what stands in their rows.
fn shapes(rows: &RowSet, operation: &str) -> Vec<(String, RowValue)> {
    rows.of_kind(RowKind::CallShape)
        .filter_map(|(key, row)| Some((CallShapeKey::read(key)?, row)))
        .filter(|(key, _)| *key.operation == *operation)
        .map(|(key, row)| (key.signature.to_string(), row.clone()))
        .collect()
}

fn steps(rows: &RowSet, operation: &str) -> Vec<(String, String, i64)> {
    rows.of_kind(RowKind::CallStep)
        .filter_map(|(key, row)| Some((CallStepKey::read(key)?, row)))
        .filter(|(key, _)| *key.operation == *operation)
        .map(|(key, row)| {
            let count = figure(row, column::COUNT);
            (key.step.to_string(), key.call_id.to_string(), count)
        })
        .collect()
}

#[test]
fn a_loop_has_one_shape_and_every_call_is_counted() {
    let mut books = Books::open();
    let name: Arc<str> = "l".into();
    for calls in [2, 64, 65, 500] {
        let bill = start("loops");
        for _ in 0..calls {
            let mut token = bill.call_began(&name, true, clock::monotonic_ns());
            burn(1_000);
            token.end(clock::monotonic_ns(), false);
        }
        bill.end(Outcome::Ok);
    }
    books.rotate();
    let shapes = shapes(&books.rows, "loops");
    assert_eq!(shapes.len(), 1, "{shapes:?}");
    let (signature, row) = &shapes[0];
    assert_eq!((&**signature, figure(row, column::COUNT)), ("l*", 4));
    assert_eq!(steps(&books.rows, "loops"), [("0".into(), "l".into(), 631)]);
    let critical = figure(row, column::CRITICAL_NS);
    assert!(critical >= 631_000);
    assert_eq!(
        figure(row, column::OWN_NS) + critical,
        figure(row, column::WALL_NS),
        "a loop's calls are all on its path"
    );
}

#[test]
fn calls_beyond_the_limit_side_by_side_are_covered_once() {
    let mut books = Books::open();
    let bill = start("crowd");
    let names: Vec<Arc<str>> = ["x", "y", "unseen"].map(Into::into).to_vec();
    let mut tokens = Vec::new();
    for n in 0..100 {
        let name = if n < 90 { &names[n % 2] } else { &names[2] };
        tokens.push(bill.call_began(name, true, clock::monotonic_ns()));
    }
    burn(2_000_000);
    drop(tokens);
    bill.end(Outcome::Ok);
    books.rotate();
    let shapes = shapes(&books.rows, "crowd");
    let (signature, row) = &shapes[0];
    assert_eq!(signature, "x+|y+;…");
    let (own, wall) = (figure(row, column::OWN_NS), figure(row, column::WALL_NS));
    assert!((0..wall / 2).contains(&own), "{own} of {wall}");
    assert!(figure(row, column::CRITICAL_NS) <= wall);
    let counts: Vec<i64> = steps(&books.rows, "crowd").iter().map(|s| s.2).collect();
    assert_eq!(counts, [45, 45, 10]);
}

#[test]
fn what_is_under_way_at_the_end_was_not_waited_for() {
    let mut books = Books::open();
    let bill = start("leaves");
    let child = bill.child();
    let (asked, told, late): (Arc<str>, Arc<str>, Arc<str>) =
        ("asked".into(), "told".into(), "late".into());
    let open = bill.call_began(&asked, true, clock::monotonic_ns());
    // A message that nobody answers and that was on its way at once.
    drop(bill.call_began(&told, false, clock::monotonic_ns()));
    let mut broker = bill.call_began(&told, false, clock::monotonic_ns());
    burn(100_000);
    broker.end(clock::monotonic_ns(), true);
    bill.end(Outcome::Ok);
    drop(bill.call_began(&late, true, clock::monotonic_ns()));
    drop(child);
    // The bill has closed: this goes nowhere.
    drop(open);
    drop(bill.call_began(&late, true, clock::monotonic_ns()));
    books.rotate();
    let shapes = shapes(&books.rows, "leaves");
    assert_eq!(shapes.len(), 1);
    assert_eq!(shapes[0].0, "told;asked&;late&;told&");
    assert!(!bill.is_calling());
}

#[test]
fn a_request_without_calls_has_no_shape() {
    let mut books = Books::open();
    let bill = start("alone");
    bill.end(Outcome::Ok);
    assert!(lock(&bill.state).calls.is_none());
    books.rotate();
    assert!(shapes(&books.rows, "alone").is_empty());
}

#[test]
fn parallel_calls_are_waited_for_once() {
    let mut books = Books::open();
    let peer = Peer::new("queue", "p-parallel");
    // Both are answered at the same instant.
    let ask = |target, answer: tokio::sync::oneshot::Receiver<()>| {
        let mut call = peer.call(target);
        async move {
            call.wait(answer).await.unwrap();
            call.end();
        }
    };
    let answers = || {
        let (one, other) = (
            tokio::sync::oneshot::channel(),
            tokio::sync::oneshot::channel(),
        );
        std::thread::spawn(move || {
            burn(3_000_000);
            one.0.send(()).and(other.0.send(()))
        });
        (one.1, other.1)
    };
    let runtime = crate::runtime_current_thread().build().unwrap();
    runtime.block_on(job("both", async {
        let (one, other) = answers();
        tokio::join!(ask("one", one), ask("other", other));
    }));
    runtime.block_on(job("detaches", async {
        drop(spawn(ask("alone", answers().0)));
    }));
    // The child ends on its own, and with it the bill closes.
    let ended = |books: &mut Books| {
        books.rotate();
        let row = books.operation("JOB detaches", "");
        row.get(column::ENDED) == Some(1)
    };
    while !ended(&mut books) {
        runtime.block_on(tokio::task::yield_now());
    }
    let both = books.operation("JOB both", "");
    let (wait, wall) = (
        figure(&both, column::WAIT_CALL_NS),
        figure(&both, column::WALL_NS),
    );
    assert!(wait >= 2_000_000, "{wait}");
    assert!(wait + both.cpu_ns() <= wall, "{wait} of {wall}");
    let shapes_of = shapes(&books.rows, "JOB both");
    let (signature, row) = &shapes_of[0];
    assert_eq!(signature.matches('|').count(), 1, "{signature}");
    let edges = || {
        books
            .rows
            .of_kind(RowKind::Edge)
            .filter(|(key, _)| &*key.parts[9] == "p-parallel" && &*key.parts[4] == "JOB both")
    };
    let sum = |n| edges().map(|(_, row)| figure(row, n)).sum::<i64>();
    assert_eq!(sum(column::CRITICAL_NS), figure(row, column::CRITICAL_NS));
    assert!(sum(column::WAIT_NS) > sum(column::CRITICAL_NS) * 3 / 2);
    let own = figure(row, column::OWN_NS);
    assert!(own <= wall - wait, "{own} of {wall} without {wait}");
    let detached = shapes(&books.rows, "JOB detaches");
    assert!(detached[0].0.ends_with('&'), "{detached:?}");
    let loose = books.operation("JOB detaches", "");
    assert!(figure(&loose, column::WAIT_CALL_NS) < 1_000_000);
}

proptest! {
    /// A thread works for a request now and then; calls and statements begin and end while it does.
    #[test]
    fn waiting_is_the_time_between_stretches_in_which_something_was_under_way(
        turns in prop::collection::vec((0u64..50, 0u64..50, 0usize..5), 1..30)
    ) {
        let _books = Books::open();
        let bill = start("turns");
        let name: Arc<str> = "t".into();
        let mut now = bill.start_ns;
        let (mut calls, mut stores) = (Vec::new(), Vec::new());
        let (mut waited, mut worked) = ([0i64; 2], 0i64);
        for (gap, work, change) in turns {
            now += gap;
            let kind = if calls.is_empty() { 1 } else { 0 };
            if !calls.is_empty() || !stores.is_empty() {
                waited[kind] += i64::try_from(gap).unwrap();
            }
            let entered_ns = if bill.is_calling() { now } else { 0 };
            now += work;
            worked += i64::try_from(work).unwrap();
            match change {
                0 => calls.push(bill.call_began(&name, true, now)),
                1 => stores.push(bill.store_began(&name, now)),
                2 => drop(calls.pop()),
                3 => drop(stores.pop()),
                _ => {}
            }
            if entered_ns != 0 || bill.is_calling() {
                let stretch = Stretch { entered_ns, left_ns: now };
                lock(&bill.state).worked(stretch, bill.waiting_for());
            }
        }
        let state = lock(&bill.state);
        prop_assert_eq!([state.wait_call_ns, state.wait_store_ns], waited);
        let wall = i64::try_from(now - bill.start_ns).unwrap();
        prop_assert!(waited[0] + waited[1] + worked <= wall);
        drop(state);
        bill.end(Outcome::Ok);
    }
}
