mod remembered;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use proptest::prelude::*;
use tracing::subscriber::with_default;
use tracing::{Instrument as _, Span, info_span};
use tracing_subscriber::layer::SubscriberExt as _;
use weighbridge_wire::{Class, OwnerKind, Quality, RegionKey, RowKind, RowValue, column};

use super::{ALL, OFF, regions, set_regions_level};
use crate::account::{Account, OwnerRef, enter, owner};
use crate::bill::{Bill, Outcome, Start};
use crate::ledger::limits::{REGION_DEPTH_MAX, REGION_STACK_MAX};
use crate::ledger::{Limits, ledger};
use crate::testing::{Books, burn, figure, on_thread};

const US: i64 = 1_000;

/// Runs `f` on a thread of its own whose spans are regions.
fn with_regions<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    on_thread(|| with_default(tracing_subscriber::registry().with(regions()), f))
}

fn start(operation: &str) -> Arc<Bill> {
    Bill::start(Start {
        operation,
        ..Start::default()
    })
}

fn account(bill: &Arc<Bill>) -> Account {
    Account::new(OwnerRef::Bill(bill.clone()), Class::Handler)
}

/// Runs a request on this thread.
fn request(operation: &str, f: impl FnOnce()) {
    let bill = start(operation);
    let entered = enter(account(&bill));
    f();
    drop(entered);
    bill.end(Outcome::Ok);
}

fn exclusive(row: &RowValue) -> i64 {
    figure(row, column::CPU_EXCLUSIVE_NS)
}

fn inclusive(row: &RowValue) -> i64 {
    figure(row, column::CPU_INCLUSIVE_NS)
}

fn count(row: &RowValue) -> i64 {
    figure(row, column::COUNT)
}

fn sum_exclusive(regions: &BTreeMap<String, RowValue>) -> i64 {
    regions.values().map(exclusive).sum()
}

/// inclusive = exclusive + Σ inclusive of the regions right below, for every region.
fn check_tree(regions: &BTreeMap<String, RowValue>) {
    for (path, row) in regions {
        let inner: i64 = regions
            .iter()
            .filter(|(other, _)| {
                other
                    .strip_prefix(path.as_str())
                    .and_then(|rest| rest.strip_prefix(';'))
                    .is_some_and(|rest| !rest.contains(';'))
            })
            .map(|(_, row)| inclusive(row))
            .sum();
        assert_eq!(inclusive(row), exclusive(row) + inner, "{path}");
    }
}

#[test]
fn spans_are_told_apart_with_and_without_what_is_inside() {
    let mut books = Books::open();
    with_regions(|| {
        for _ in 0..3 {
            request("NESTED", || {
                burn(300 * US);
                let outer = info_span!("outer").entered();
                burn(200 * US);
                info_span!("inner").in_scope(|| burn(400 * US));
                info_span!("inner").in_scope(|| burn(400 * US));
                drop(outer);
            });
        }
    });
    books.rotate();
    let regions = books.regions("NESTED");
    check_tree(&regions);
    assert_eq!(regions.len(), 2);
    let (outer, inner) = (&regions["outer"], &regions["outer;inner"]);
    assert_eq!((count(outer), count(inner)), (3, 6));
    assert!(exclusive(outer) >= 600 * US && exclusive(inner) >= 2_400 * US);
    assert!(exclusive(outer) < 1_500 * US, "{outer:?}");
    // The rest lies outside of any span.
    let rest = books.operation("NESTED", "").cpu_ns() - sum_exclusive(&regions);
    assert!((900 * US..1_800 * US).contains(&rest), "{rest}");
}

#[test]
fn a_future_keeps_its_region_on_every_thread() {
    let mut books = Books::open();
    let registry = tracing_subscriber::registry().with(regions());
    let dispatch = tracing::Dispatch::new(registry);
    let bill = start("MIGRATES");
    let mut future = tracing::dispatcher::with_default(&dispatch, || {
        let mut polls = 0;
        let work = poll_fn(move |_| {
            polls += 1;
            burn(200 * US);
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        Box::pin(work.instrument(info_span!("work")))
    });
    for _ in 0..3 {
        on_thread(|| {
            tracing::dispatcher::with_default(&dispatch, || {
                let _entered = enter(account(&bill));
                let waker = std::task::Waker::noop();
                let _ = future
                    .as_mut()
                    .poll(&mut std::task::Context::from_waker(waker));
            });
        });
    }
    bill.end(Outcome::Ok);
    tracing::dispatcher::with_default(&dispatch, || drop(future));
    books.rotate();
    let regions = books.regions("MIGRATES");
    assert_eq!(count(&regions["work"]), 1, "a span is counted once");
    assert!(exclusive(&regions["work"]) >= 600 * US);
}

#[test]
fn work_handed_to_another_thread_stays_below_its_span() {
    let mut books = Books::open();
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(regions()));
    let bill = start("HANDED ON");
    on_thread(|| {
        tracing::dispatcher::with_default(&dispatch, || {
            let _entered = enter(account(&bill));
            let outer = info_span!("outer");
            let _outer = outer.enter();
            let inner = info_span!("inner");
            on_thread(|| {
                tracing::dispatcher::with_default(&dispatch, || {
                    let _entered = enter(account(&bill));
                    inner.in_scope(|| burn(300 * US));
                });
            });
        });
    });
    books.rotate();
    let regions = books.regions("HANDED ON");
    check_tree(&regions);
    assert!(exclusive(&regions["outer;inner"]) >= 300 * US);
    assert!(inclusive(&regions["outer"]) >= 300 * US);
}

#[test]
fn a_request_inside_a_span_of_another_is_not_its_cost() {
    // Far apart, so that what a host takes away in the middle of a piece, and gives back later, decides nothing.
    const MS: i64 = 1_000 * US;
    let mut books = Books::open();
    with_regions(|| {
        request("AROUND", || {
            let _span = info_span!("around").entered();
            burn(2 * MS);
            request("WITHIN", || {
                burn(20 * MS);
                info_span!("within").in_scope(|| burn(5 * MS));
            });
            let _owner = enter(Account::new(
                owner(OwnerKind::Background, "in a span"),
                Class::Handler,
            ));
            burn(20 * MS);
        });
    });
    books.rotate();
    let (around, within) = (books.regions("AROUND"), books.regions("WITHIN"));
    check_tree(&around);
    assert_eq!(around.len(), 1);
    assert!((2 * MS..12 * MS).contains(&inclusive(&around["around"])));
    assert_eq!(
        within.keys().collect::<Vec<_>>(),
        ["within"],
        "not below a span of another"
    );
    assert!((5 * MS..15 * MS).contains(&inclusive(&within["within"])));
}

#[test]
fn the_same_span_may_be_entered_again_and_guards_dropped_in_any_order() {
    let mut books = Books::open();
    with_regions(|| {
        request("ORDER", || {
            let (a, b) = (info_span!("a"), info_span!("b"));
            let first = a.enter();
            let second = b.enter();
            let third = a.enter();
            burn(300 * US);
            drop(first);
            burn(300 * US);
            drop(second);
            burn(300 * US);
            drop(third);
            burn(300 * US);
        });
    });
    books.rotate();
    let regions = books.regions("ORDER");
    check_tree(&regions);
    let all = sum_exclusive(&regions);
    assert!((900 * US..1_150 * US).contains(&all), "{all}");
    let rest = books.operation("ORDER", "").cpu_ns() - all;
    assert!(rest >= 300 * US, "{rest}");
    assert!(regions.values().all(|row| exclusive(row) >= 0));
}

fn recurse(depth: usize) {
    info_span!("recursion").in_scope(|| {
        burn(20 * US);
        if depth > 1 {
            recurse(depth - 1);
        }
    });
}

#[test]
fn recursion_and_deep_stacks_are_bounded_and_lose_no_cost() {
    let mut books = Books::open();
    let lost = books.lost("agent.regions");
    let depth = REGION_STACK_MAX + 20;
    with_regions(|| request("DEEP", || recurse(depth)));
    books.rotate();
    let regions = books.regions("DEEP");
    check_tree(&regions);
    assert_eq!(regions.len(), REGION_DEPTH_MAX);
    let all = sum_exclusive(&regions);
    let spent = i64::try_from(depth).unwrap() * 20 * US;
    assert!(all >= spent, "{all} of {spent}");
    assert!(all <= books.operation("DEEP", "").cpu_ns());
    let lost = books.lost("agent.regions") - lost;
    assert!(
        lost >= i64::try_from(depth - REGION_DEPTH_MAX).unwrap(),
        "{lost}"
    );
}

#[test]
fn guards_kept_beyond_their_request_are_found_out() {
    let mut books = Books::open();
    let lost = books.lost("agent.regions");
    with_regions(|| {
        let mut kept = Vec::new();
        for _ in 0..3 {
            request("KEPT", || {
                kept.push(info_span!("kept").entered());
                burn(200 * US);
            });
        }
        request("AFTER", || info_span!("after").in_scope(|| burn(200 * US)));
        drop(kept);
    });
    books.rotate();
    let after = books.regions("AFTER");
    assert!((200 * US..900 * US).contains(&inclusive(&after["after"])));
    // What a kept span cost after its last boundary is nobody's region, never another one's.
    assert!(sum_exclusive(&books.regions("KEPT")) <= books.operation("KEPT", "").cpu_ns());
    assert!(books.lost("agent.regions") - lost >= 3);
}

#[test]
fn a_span_around_the_account_is_no_region_of_the_request() {
    let mut books = Books::open();
    with_regions(|| {
        let _outside = info_span!("outside").entered();
        request("INSIDE", || {
            info_span!("inside").in_scope(|| burn(200 * US));
        });
    });
    books.rotate();
    let regions = books.regions("INSIDE");
    assert_eq!(regions.keys().collect::<Vec<_>>(), ["inside"]);
}

#[test]
fn a_full_table_folds_newcomers_and_keeps_the_totals() {
    let mut books = Books::open();
    let limits = ledger().limits();
    ledger().set_limits(Limits {
        regions_max: 0,
        ..limits
    });
    with_regions(|| {
        request("FULL", || {
            let _outer = info_span!("not told apart").entered();
            burn(200 * US);
            info_span!("nor this").in_scope(|| burn(200 * US));
        });
    });
    let lost = books.lost("agent.regions");
    books.rotate();
    ledger().set_limits(limits);
    let regions = books.regions("FULL");
    assert_eq!(regions.keys().collect::<Vec<_>>(), ["__other__"]);
    assert!(exclusive(&regions["__other__"]) >= 400 * US);
    assert_eq!(
        inclusive(&regions["__other__"]),
        exclusive(&regions["__other__"])
    );
    assert_eq!(books.lost("agent.regions") - lost, 2);

    // The names that found no room do when there is some.
    with_regions(|| {
        request("FULL", || {
            info_span!("not told apart").in_scope(|| burn(200 * US));
        });
    });
    books.rotate();
    assert!(exclusive(&books.regions("FULL")["not told apart"]) >= 200 * US);
}

#[test]
fn switched_off_there_are_no_regions_and_open_spans_are_left() {
    let mut books = Books::open();
    with_regions(|| {
        request("SWITCHED", || {
            let open = info_span!("open").entered();
            set_regions_level(OFF);
            info_span!("unseen").in_scope(|| burn(200 * US));
            drop(open);
            set_regions_level(ALL);
            info_span!("seen").in_scope(|| burn(200 * US));
        });
    });
    books.rotate();
    let regions = books.regions("SWITCHED");
    assert_eq!(regions.keys().collect::<Vec<_>>(), ["open", "seen"]);
    assert!(
        exclusive(&regions["open"]) >= 200 * US,
        "it was open all the while"
    );
}

#[test]
fn thinned_out_regions_stand_for_all_requests_and_say_so() {
    let mut books = Books::open();
    set_regions_level(4);
    let requests = 2_000;
    with_regions(|| {
        for _ in 0..requests {
            request("THINNED", || {
                info_span!("outer").in_scope(|| {
                    info_span!("inner").in_scope(|| burn(3 * US));
                });
            });
        }
    });
    set_regions_level(ALL);
    books.rotate();
    let regions = books.regions("THINNED");
    check_tree(&regions);
    for path in ["outer", "outer;inner"] {
        let key = RegionKey {
            operation: "THINNED".into(),
            class: "".into(),
            region: path.into(),
        };
        assert!(
            books
                .rows
                .get(&key.clone().row_key(Quality::Measured))
                .is_none()
        );
        let row = books.rows.get(&key.row_key(Quality::Sampled)).unwrap();
        // Four standard deviations of a binomial count, times four.
        assert!((count(row) - requests).abs() < 4 * 4 * 20, "{}", count(row));
        assert_eq!(count(row) % 4, 0);
    }
    assert_eq!(
        count(&regions["outer"]),
        count(&regions["outer;inner"]),
        "whole requests"
    );
    let cpu = exclusive(&regions["outer;inner"]);
    assert!(cpu >= count(&regions["outer;inner"]) * 3 * US, "{cpu}");
}

#[test]
fn regions_stand_under_the_declared_class() {
    let mut books = Books::open();
    with_regions(|| {
        request("CLASSED", || {
            crate::class("bulk");
            info_span!("step").in_scope(|| burn(100 * US));
        });
    });
    books.rotate();
    let key = RegionKey {
        operation: "CLASSED".into(),
        class: "bulk".into(),
        region: "step".into(),
    };
    let row = books.of_cpu(|quality| key.clone().row_key(quality));
    assert_eq!(figure(&row, column::COUNT), 1);
}

#[test]
fn regions_are_of_which_rows() {
    let mut books = Books::open();
    with_regions(|| {
        request("OF WHICH", || {
            info_span!("part").in_scope(|| burn(500 * US));
        });
    });
    let window = books.rotate();
    let accounts: i64 = window
        .rows
        .iter()
        .filter(|(key, _)| {
            matches!(
                RowKind::from_wire(key.kind),
                Some(RowKind::Operation | RowKind::Owner)
            )
        })
        .map(|(_, row)| row.cpu_ns())
        .sum();
    assert_eq!(window.rows.accounts_cpu_ns(), accounts);
    let region = &books.regions("OF WHICH")["part"];
    assert_eq!(
        region.cpu_ns(),
        0,
        "no class column, so no sum of accounts takes it twice"
    );
}

/// What may happen inside a request.
#[derive(Clone, Debug)]
enum Step {
    Burn(u8),
    Span(usize, Vec<Step>),
    /// Enters the span that is current once more.
    Again(Vec<Step>),
    /// Two spans, left in the order in which they were entered.
    Crossed(usize, Vec<Step>),
    /// A request inside.
    Request(usize, Vec<Step>),
    /// The same request inside, as a child polled in place.
    Child(Vec<Step>),
    Class(Vec<Step>),
    /// Spans without a parent.
    Detached(usize, Vec<Step>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = (0u8..30).prop_map(Step::Burn);
    let step = leaf.prop_recursive(4, 40, 5, |inner| {
        let inner = prop::collection::vec(inner, 0..5);
        prop_oneof![
            (0..NAMES, inner.clone()).prop_map(|(n, steps)| Step::Span(n, steps)),
            inner.clone().prop_map(Step::Again),
            (0..NAMES, inner.clone()).prop_map(|(n, steps)| Step::Crossed(n, steps)),
            (0..3usize, inner.clone()).prop_map(|(n, steps)| Step::Request(n, steps)),
            inner.clone().prop_map(Step::Child),
            inner.clone().prop_map(Step::Class),
            (0..NAMES, inner).prop_map(|(n, steps)| Step::Detached(n, steps)),
        ]
    });
    prop::collection::vec(step, 1..8)
}

const NAMES: usize = 3;

fn span(n: usize) -> Span {
    match n {
        0 => info_span!("x"),
        1 => info_span!("y"),
        _ => info_span!("z"),
    }
}

/// What was burnt inside spans, by request.
type Burnt = [i64; 4];

fn perform(steps: &[Step], names: &[String], current: usize, burnt: &mut Burnt) {
    for step in steps {
        match step {
            Step::Burn(us) => {
                burn(i64::from(*us) * US);
                burnt[current] += i64::from(*us) * US;
            }
            Step::Span(n, inner) => {
                span(*n).in_scope(|| perform(inner, names, current, burnt));
            }
            Step::Again(inner) => {
                Span::current().in_scope(|| perform(inner, names, current, burnt));
            }
            Step::Crossed(n, inner) => {
                let (first, second) = (span(*n), span((*n + 1) % NAMES));
                let (first, second) = (first.enter(), second.enter());
                perform(inner, names, current, burnt);
                drop(first);
                perform(inner, names, current, burnt);
                drop(second);
            }
            Step::Request(n, inner) => run(inner, names, *n, burnt),
            Step::Child(inner) => {
                let Some(bill) = Bill::current() else { return };
                let _entered = enter(account(&bill));
                perform(inner, names, current, burnt);
            }
            Step::Class(inner) => {
                let _class = crate::account::enter_class(Class::Encode);
                perform(inner, names, current, burnt);
            }
            Step::Detached(n, inner) => {
                let span = match n {
                    0 => info_span!(parent: None, "x"),
                    _ => info_span!(parent: None, "w"),
                };
                span.in_scope(|| perform(inner, names, current, burnt));
            }
        }
    }
}

/// A request that spends everything inside a span.
fn run(steps: &[Step], names: &[String], n: usize, burnt: &mut Burnt) {
    request(&names[n], || {
        info_span!("all").in_scope(|| perform(steps, names, n, burnt));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn regions_add_up_however_spans_and_owners_nest(steps in steps(), case in any::<u64>()) {
        let mut books = Books::open();
        let names: Vec<String> = (0..4).map(|n| format!("SPANS {n} {case}")).collect();
        let burnt = with_regions(|| {
            let mut burnt = Burnt::default();
            run(&steps, &names, 3, &mut burnt);
            burnt
        });
        books.rotate();
        for (name, burnt) in names.iter().zip(burnt) {
            let regions = books.regions(name);
            check_tree(&regions);
            let own = sum_exclusive(&regions);
            let operation = books.operation(name, "").cpu_ns();
            prop_assert!(own <= operation, "{own} of {operation}");
            prop_assert!(own >= burnt, "{own} of {burnt}");
            for (path, row) in &regions {
                prop_assert!(exclusive(row) >= 0, "{path}");
                prop_assert!(inclusive(row) >= exclusive(row), "{path}");
            }
        }
    }
}
