use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use weighbridge_wire::{ALL_CLASSES, OperationKey, Quality, RowKind, RowValue, column};

use super::*;
use crate::account::{Split, class_totals_here};
use crate::bill::{Bill, Outcome, Start, sweep};
use crate::clock;
use crate::ledger::limits::CHILD_PATIENCE_NS;
use crate::ledger::{Cost, Spent};
use crate::tasks::{Stamped, job};
use crate::testing::{Books, burn, figure, on_thread};

fn start(operation: &str) -> Arc<Bill> {
    Bill::start(Start {
        operation,
        ..Start::default()
    })
}

/// The rows of an operation by quality.
fn rows(books: &Books, operation: &str) -> [RowValue; 2] {
    [Quality::Measured, Quality::Apportioned].map(|quality| {
        let mut sum = RowValue::new();
        for (key, row) in books.rows.of_kind(RowKind::Operation) {
            if key.quality == quality && *OperationKey::read(key).unwrap().operation == *operation {
                sum.merge(row);
            }
        }
        sum
    })
}

/// What a split books of a cost, by request.
fn booked(name: &str, weights: &[u64], pieces: &[Spent]) -> Vec<RowValue> {
    let mut books = Books::open();
    let bills: Vec<_> = (0..weights.len())
        .map(|n| start(&format!("{name} {n}")))
        .collect();
    let split = Split::new(&bills.iter().collect::<Vec<_>>(), weights).unwrap();
    for piece in pieces {
        let mut times = 0;
        split.book(piece, 0, |_| times += 1);
        assert_eq!(times, 1, "the thread's own sums are booked once");
    }
    drop(split);
    bills.iter().for_each(|bill| bill.end(Outcome::Ok));
    books.rotate();
    (0..weights.len())
        .map(|n| rows(&books, &format!("{name} {n}"))[1].clone())
        .collect()
}

fn spent(cpu_ns: i64, alloc_bytes: i64) -> Spent {
    let mut cost = Cost {
        alloc_bytes,
        ..Cost::default()
    };
    cost.cpu_ns[0] = cpu_ns;
    cost.cpu_ns[ALL_CLASSES.len() - 1] = -cpu_ns / 7;
    Spent {
        cost,
        ..Spent::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_shares_add_up_to_the_cost(
        weights in proptest::collection::vec(
            prop_oneof![Just(0), 1..10u64, 1..1_000_000u64, Just(u64::MAX)], 1..20),
        costs in proptest::collection::vec(-1_000_000..1_000_000_000i64, 1..20),
    ) {
        let pieces: Vec<_> = costs.iter().map(|ns| spent(*ns, ns.abs())).collect();
        let shares = booked("split property", &weights, &pieces);
        let sum = |of: &dyn Fn(&RowValue) -> i64| shares.iter().map(of).sum::<i64>();
        let class = |n: usize| ALL_CLASSES[n].column();
        let last = ALL_CLASSES.len() - 1;
        let cpu_ns: i64 = costs.iter().sum();
        prop_assert_eq!(sum(&|row| row.get(class(0)).unwrap_or(0)), cpu_ns);
        let other_ns: i64 = costs.iter().map(|ns| -ns / 7).sum();
        prop_assert_eq!(sum(&|row| row.get(class(last)).unwrap_or(0)), other_ns);
        // Each within one of its part.
        let equal = weights.iter().all(|weight| *weight == 0);
        let weight = |n: usize| if equal { 1.0 } else { weights[n] as f64 };
        let whole: f64 = (0..weights.len()).map(weight).sum();
        for (n, row) in shares.iter().enumerate() {
            let exact = cpu_ns as f64 * weight(n) / whole;
            let share = row.get(class(0)).unwrap_or(0) as f64;
            prop_assert!((share - exact).abs() <= 1.001, "{} of {}", share, exact);
        }
    }
}

#[test]
fn what_is_done_for_several_stands_in_rows_of_its_own() {
    let mut books = Books::open();
    let (outer, inner) = on_thread(|| {
        let bills = [start("split own 0"), start("split own 1")];
        let contexts: Vec<_> = bills.iter().map(Context::of).collect();
        let before = class_totals_here();
        let mut inside = [0; ALL_CLASSES.len()];
        let work = async {
            let before = class_totals_here();
            burn(3_000_000);
            crate::encode(|| burn(1_000_000));
            let after = class_totals_here();
            inside = std::array::from_fn(|class| after[class] - before[class]);
        };
        charge_split(&contexts, &[1, 3], work)
            .now_or_never()
            .unwrap();
        let after = class_totals_here();
        drop(contexts);
        bills.iter().for_each(|bill| bill.end(Outcome::Ok));
        (
            after.iter().sum::<i64>() - before.iter().sum::<i64>(),
            inside.iter().sum::<i64>(),
        )
    });
    books.rotate();
    let [one, three] = ["split own 0", "split own 1"].map(|name| rows(&books, name));
    let (one_ns, three_ns) = (one[1].cpu_ns(), three[1].cpu_ns());
    assert!(one_ns + three_ns >= inner && one_ns + three_ns <= outer);
    assert!((three_ns - 3 * one_ns).abs() <= 24, "{one_ns} {three_ns}");
    assert!(figure(&three[1], column::CPU_ENCODE_NS) >= 700_000);
    for row in [&one[0], &three[0]] {
        assert_eq!(
            (figure(row, column::STARTED), figure(row, column::ENDED)),
            (1, 1)
        );
        assert_eq!(figure(row, column::LATE_CPU_NS), 0);
    }
    assert!(one[1].get(column::STARTED).is_none(), "counted once");
    // Histograms say of what quality they are, too.
    let of = |quality| {
        books
            .rows
            .of_kind(RowKind::Distribution)
            .filter(|(key, _)| key.quality == quality && key.parts[1].starts_with("split own"))
            .filter_map(|(_, row)| row.histogram(column::HIST_REQUEST_CPU_NS))
            .map(weighbridge_wire::Histogram::count)
            .sum::<u64>()
    };
    assert_eq!((of(Quality::Measured), of(Quality::Apportioned)), (0, 2));
}

#[test]
fn a_declared_class_takes_the_shares_along() {
    let mut books = Books::open();
    on_thread(|| {
        let bill = start("split class");
        let contexts = [Context::of(&bill)];
        charge_split(&contexts, &[], async { burn(1_000_000) })
            .now_or_never()
            .unwrap();
        bill.declare_class("bulk");
        drop(contexts);
        bill.end(Outcome::Ok);
    });
    books.rotate();
    assert_eq!(books.operation("split class", "").cpu_ns(), 0);
    assert!(books.operation("split class", "bulk").cpu_ns() >= 1_000_000);
}

#[test]
fn panics_and_cancellation_are_charged_too() {
    let mut books = Books::open();
    on_thread(|| {
        let bills = [start("split broken"), start("split broken")];
        let contexts: Vec<_> = bills.iter().map(Context::of).collect();
        let work = charge_split(&contexts, &[2, 5], async {
            burn(2_000_000);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(catch_unwind(AssertUnwindSafe(|| work.now_or_never())).is_err());
        struct BurnsWhenDropped;
        impl Drop for BurnsWhenDropped {
            fn drop(&mut self) {
                burn(3_000_000);
            }
        }
        let cancelled = charge_split(&contexts, &[2, 5], async {
            let _burns = BurnsWhenDropped;
            std::future::pending::<()>().await;
        });
        assert!(cancelled.now_or_never().is_none());
        let burns = BurnsWhenDropped;
        let unpolled = charge_split(&contexts, &[2, 5], async move { drop(burns) });
        drop(unpolled);
        drop(contexts);
        bills.iter().for_each(|bill| bill.end(Outcome::Ok));
    });
    books.rotate();
    let [own, shared] = rows(&books, "split broken");
    assert!(shared.cpu_ns() >= 8_000_000, "{}", shared.cpu_ns());
    assert_eq!(figure(&own, column::ENDED), 2);
    assert_eq!(figure(&shared, column::LATE_CPU_NS), 0);
}

#[test]
fn what_comes_after_the_end_is_late() {
    let mut books = Books::open();
    on_thread(|| {
        let bills = [start("split late"), start("split late")];
        let contexts: Vec<_> = bills.iter().map(Context::of).collect();
        let work = charge_split(&contexts, &[], async { burn(2_000_000) });
        bills.iter().for_each(|bill| bill.end(Outcome::Ok));
        sweep(clock::monotonic_ns() + 2 * CHILD_PATIENCE_NS);
        work.now_or_never().unwrap();
    });
    books.rotate();
    let [own, shared] = rows(&books, "split late");
    assert_eq!(figure(&own, column::ENDED), 2);
    assert!(figure(&shared, column::LATE_CPU_NS) >= 2_000_000);
}

#[test]
fn children_and_calls_inside_belong_to_those_for_whom_it_is_done() {
    use crate::messages::Peer;
    let mut books = Books::open();
    on_thread(|| {
        let bills: Vec<_> = (0..4)
            .map(|n| start(&format!("split calls {}", n % 2)))
            .collect();
        let contexts: Vec<_> = bills.iter().map(Context::of).collect();
        let runtime = crate::runtime_current_thread().build().unwrap();
        let peer = Peer::new("queue", "split-peer");
        for _ in 0..300 {
            runtime.block_on(charge_split(&contexts, &[1, 0, 1, 1], async {
                let mut publication = peer.publish("written");
                publication.sent(1);
                publication.end();
            }));
        }
        runtime.block_on(charge_split(&contexts, &[1, 1, 1, 1], async {
            crate::spawn(async { burn(4_000_000) }).await.unwrap();
        }));
        drop(contexts);
        bills.iter().for_each(|bill| bill.end(Outcome::Ok));
    });
    books.rotate();
    let calls = |operation: &str| -> i64 {
        books
            .rows
            .of_kind(RowKind::Edge)
            .filter(|(key, _)| &*key.parts[9] == "split-peer" && &*key.parts[4] == operation)
            .filter_map(|(_, row)| row.get(column::REQUEST_MESSAGES))
            .sum()
    };
    // Three of the four have a weight, two of them of the even operation.
    let (even, odd) = (calls("split calls 0"), calls("split calls 1"));
    assert_eq!(even + odd, 300);
    assert!((195..=205).contains(&even), "{even} of 300");
    let [even, odd] = ["split calls 0", "split calls 1"].map(|name| rows(&books, name)[1].cpu_ns());
    assert!(even >= 2_000_000 && odd >= 2_000_000, "{even} {odd}");
}

#[test]
fn stamped_values_are_worked_on_for_whoever_sent_them() {
    let mut books = Books::open();
    on_thread(|| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(8);
        job("stamps", async {
            sender.send(Stamped::new("order")).unwrap();
        })
        .now_or_never()
        .unwrap();
        sender.send(Stamped::new("nobody's")).unwrap();
        let order: Stamped<&str> = receiver.recv().unwrap();
        assert!(order.context().is_request());
        assert_eq!(order.len(), 5);
        order
            .run(|order| async move {
                assert_eq!(order, "order");
                burn(2_000_000);
            })
            .now_or_never()
            .unwrap();
        let nobodys = receiver.recv().unwrap();
        assert!(!nobodys.context().is_request());
        assert!(nobodys.waited().as_nanos() > 0);
        let (_, context) = nobodys.into_parts();
        charge_split(&[context], &[1], async { burn(100_000) })
            .now_or_never()
            .unwrap();
    });
    books.rotate();
    let row = books.operation("JOB stamps", "");
    assert!(row.cpu_ns() >= 2_000_000);
    assert_eq!(
        (
            figure(&row, column::ENDED),
            figure(&row, column::LATE_CPU_NS)
        ),
        (1, 0)
    );
}
