use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use weighbridge_wire::{Class, OwnerKind, column};

use super::*;
use crate::bill::{Outcome, Start};
use crate::clock;
use crate::testing::{Books, burn, figure, on_thread};

fn named(name: &str, class: Class) -> Account {
    Account::new(owner(OwnerKind::Background, name), class)
}

fn cpu_of(books: &Books, names: &[String]) -> i64 {
    names
        .iter()
        .map(|name| books.owner(OwnerKind::Background, name).cpu_ns())
        .sum()
}

/// What a thread may do at a boundary.
#[derive(Clone, Debug)]
enum Step {
    /// Enter an account, do the steps, leave it.
    Owner(usize, Vec<Step>),
    Class(usize, Vec<Step>),
    /// Enter an account, do the steps, panic, be caught.
    Panic(usize, Vec<Step>),
    /// A request that ends.
    Request(Vec<Step>),
    /// A future in an account that does the first steps in its first poll and the others in its second, and
    /// holds something that burns in its drop.
    Future(usize, Vec<Step>, Vec<Step>, Fate),
    /// Two futures polled side by side until one is ready; the other is dropped where it stands.
    Select(usize, usize, Vec<Step>, Vec<Step>),
    Burn(u8),
    Flush,
}

/// What becomes of a future.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Ends,
    /// Dropped after its first poll.
    Cancelled,
    /// Dropped before its first poll.
    NeverPolled,
    /// Its second poll panics.
    Panics,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Ends),
        Just(Fate::Cancelled),
        Just(Fate::NeverPolled),
        Just(Fate::Panics)
    ]
}

#[test]
fn what_is_left_soon_is_left_with_the_next_reading_and_nothing_is_lost() {
    const PIECE_NS: i64 = 2_000_000;
    let books = Books::open();
    let [soon, at_once, again] = on_thread(|| {
        let spent = |leave: fn(InClass)| {
            let entered = enter(named("left soon", Class::Protocol));
            let before = class_totals_here();
            let io = enter_class(Class::Io);
            burn(PIECE_NS);
            leave(io);
            assert_eq!(current().unwrap().class, Class::Protocol);
            burn(PIECE_NS);
            have_left();
            burn(PIECE_NS);
            drop(entered);
            let after = class_totals_here();
            let of = |class: Class| after[class as usize] - before[class as usize];
            [of(Class::Io), of(Class::Protocol)]
        };
        [
            spent(InClass::leave_soon),
            spent(drop),
            // Left soon and entered again: one piece, and no reading between.
            spent(|io| {
                io.leave_soon();
                let readings = readings_here();
                drop(enter_class(Class::Io));
                assert_eq!(readings_here() - readings, 1, "the one that leaves");
            }),
        ]
    });
    let about = |ns: i64, times: i64| (ns - times * PIECE_NS).abs() < PIECE_NS * 2 / 5;
    assert!(about(soon[0], 2) && about(soon[1], 1), "{soon:?}");
    assert!(about(at_once[0], 1) && about(at_once[1], 2), "{at_once:?}");
    assert!(about(again[0], 1) && about(again[1], 2), "{again:?}");
    drop(books);
}

struct BurnsInDrop;

const IN_DROP_NS: i64 = 5_000;

impl Drop for BurnsInDrop {
    fn drop(&mut self) {
        burn(IN_DROP_NS);
    }
}

/// Who does the steps, and what each has burnt at least: the three owners, and the requests as the fourth.
#[derive(Clone, Copy, Debug)]
struct Doers<'a> {
    names: &'a [String],
    request: &'a str,
    now: usize,
    burnt_ns: &'a [Cell<i64>; 4],
}

const REQUESTS: usize = 3;

impl<'a> Doers<'a> {
    fn account(self, n: usize) -> Account {
        named(&self.names[n], Class::Handler)
    }

    fn as_owner(self, now: usize) -> Doers<'a> {
        Doers { now, ..self }
    }

    fn add(self, ns: i64) {
        let burnt = &self.burnt_ns[self.now];
        burnt.set(burnt.get() + ns);
    }
}

fn in_two_polls<'a>(
    doers: Doers<'a>,
    first: &'a [Step],
    then: &'a [Step],
    fate: Fate,
) -> InAccount<impl Future<Output = ()> + 'a> {
    let held = BurnsInDrop;
    doers.add(IN_DROP_NS);
    let future = async move {
        let _held = held;
        perform(first, doers);
        let mut waited = false;
        poll_fn(|_| {
            if std::mem::replace(&mut waited, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        perform(then, doers);
        if matches!(fate, Fate::Panics) {
            std::panic::resume_unwind(Box::new(()));
        }
    };
    InAccount::new(doers.account(doers.now), future)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![(0u8..40).prop_map(Step::Burn), Just(Step::Flush)];
    let step = leaf.prop_recursive(4, 40, 6, |inner| {
        let inner = prop::collection::vec(inner, 0..6);
        prop_oneof![
            (0..3usize, inner.clone()).prop_map(|(n, steps)| Step::Owner(n, steps)),
            (0..6usize, inner.clone()).prop_map(|(n, steps)| Step::Class(n, steps)),
            (0..3usize, inner.clone()).prop_map(|(n, steps)| Step::Panic(n, steps)),
            inner.clone().prop_map(Step::Request),
            (0..3usize, inner.clone(), inner.clone(), fates())
                .prop_map(|(n, first, then, fate)| Step::Future(n, first, then, fate)),
            (0..3usize, 0..3usize, inner.clone(), inner)
                .prop_map(|(n, m, left, right)| Step::Select(n, m, left, right)),
        ]
    });
    prop::collection::vec(step, 1..8)
}

fn perform(steps: &[Step], doers: Doers<'_>) {
    for step in steps {
        match step {
            Step::Owner(n, inner) => {
                let _entered = enter(doers.account(*n));
                perform(inner, doers.as_owner(*n));
            }
            Step::Class(n, inner) => {
                let _entered = enter_class(weighbridge_wire::ALL_CLASSES[*n]);
                perform(inner, doers);
            }
            Step::Panic(n, inner) => {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let _entered = enter(doers.account(*n));
                    let _class = enter_class(Class::Encode);
                    perform(inner, doers.as_owner(*n));
                    std::panic::resume_unwind(Box::new(()));
                }));
                assert!(caught.is_err());
            }
            Step::Request(inner) => {
                let bill = Bill::start(Start {
                    operation: doers.request,
                    ..Start::default()
                });
                let entered = enter(Account::new(OwnerRef::Bill(bill.clone()), Class::Handler));
                perform(inner, doers.as_owner(REQUESTS));
                drop(entered);
                bill.end(Outcome::Ok);
            }
            Step::Future(n, first, then, fate) => {
                let future = in_two_polls(doers.as_owner(*n), first, then, *fate);
                let mut future = Box::pin(future);
                let mut context = Context::from_waker(Waker::noop());
                match fate {
                    Fate::NeverPolled => {}
                    Fate::Cancelled => {
                        assert!(future.as_mut().poll(&mut context).is_pending());
                    }
                    Fate::Ends => while future.as_mut().poll(&mut context).is_pending() {},
                    Fate::Panics => {
                        assert!(future.as_mut().poll(&mut context).is_pending());
                        let again = AssertUnwindSafe(|| future.as_mut().poll(&mut context));
                        assert!(catch_unwind(again).is_err());
                    }
                }
                drop(future);
            }
            Step::Select(n, m, left, right) => {
                let left = in_two_polls(doers.as_owner(*n), left, &[], Fate::Ends);
                let right = in_two_polls(doers.as_owner(*m), right, right, Fate::Ends);
                let both = futures_util::future::select(Box::pin(left), Box::pin(right));
                let mut both = std::pin::pin!(both);
                let mut context = Context::from_waker(Waker::noop());
                while both.as_mut().poll(&mut context).is_pending() {}
            }
            Step::Burn(us) => {
                burn(i64::from(*us) * 1_000);
                doers.add(i64::from(*us) * 1_000);
            }
            Step::Flush => flush_here(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn accounts_add_up_to_the_threads_cpu_time_however_scopes_nest(steps in steps(), case in any::<u64>()) {
        let mut books = Books::open();
        let names: Vec<String> = (0..3).map(|n| format!("sum {n}")).collect();
        let request = format!("PROPERTY {case}");
        let (before, after, burnt_ns) = on_thread(|| {
            let burnt_ns = <[Cell<i64>; 4]>::default();
            let doers = Doers { names: &names, request: &request, now: 0, burnt_ns: &burnt_ns };
            let base = enter(named(&names[0], Class::Handler));
            // The reading that made the account current is the zero point of the sum. Readings of the kernel's
            // clock at both ends, so that what the fast clock is off by there is not ours to tell apart.
            flush_here();
            let before = clock::thread_cpu_ns();
            perform(&steps, doers);
            let after = clock::thread_cpu_ns();
            flush_here();
            drop(base);
            (before, after, burnt_ns.map(Cell::into_inner))
        });
        books.rotate();
        let mut each: Vec<i64> = names.iter().map(|name| books.owner(OwnerKind::Background, name).cpu_ns()).collect();
        each.push(books.operation(&request, "").cpu_ns());
        let booked: i64 = each.iter().sum();
        // Off by what passes between our own readings and those at the ends.
        let spent = after - before;
        prop_assert!(booked >= spent, "{booked} booked of {spent}");
        prop_assert!(booked - spent < 300_000, "{booked} booked of {spent}");
        // Each has what it burnt itself, but for what the fast clock is off by between two of its own checks.
        for (booked, burnt) in each.iter().zip(burnt_ns) {
            prop_assert!(booked + 2_000 + burnt / 50 >= burnt, "{each:?} booked, {burnt_ns:?} burnt");
        }
    }
}

#[test]
fn the_innermost_class_wins_and_store_takes_all() {
    let mut books = Books::open();
    on_thread(|| {
        let _owner = enter(named("classes", Class::Handler));
        let _decode = enter_class(Class::Decode);
        burn(1_000_000);
        let store = enter_class(Class::Store);
        let encode = enter_class(Class::Encode);
        burn(2_000_000);
        drop((encode, store));
        assert_eq!(current().unwrap().class, Class::Decode);
    });
    books.rotate();
    let row = books.owner(OwnerKind::Background, "classes");
    assert!(row.class_cpu_ns(Class::Decode).unwrap() >= 1_000_000);
    assert!(row.class_cpu_ns(Class::Store).unwrap() >= 2_000_000);
    assert_eq!(row.class_cpu_ns(Class::Encode), Some(0));
}

#[test]
fn a_timed_piece_returns_exactly_what_is_booked() {
    let mut books = Books::open();
    let (outer, inner) = on_thread(|| {
        let _owner = enter(named("timed", Class::Handler));
        let (inner, outer) = timed_class(Class::Encode, || {
            burn(300_000);
            // Counted by the outer piece already.
            let ((), inner) = timed_class(Class::Encode, || burn(300_000));
            // Another owner's work is not ours.
            let _other = enter(named("timed other", Class::Handler));
            burn(300_000);
            inner
        });
        (outer, inner)
    });
    books.rotate();
    let row = books.owner(OwnerKind::Background, "timed");
    assert_eq!((row.class_cpu_ns(Class::Encode), inner), (Some(outer), 0));
    assert!(books.owner(OwnerKind::Background, "timed other").cpu_ns() >= 300_000);
}

#[test]
fn guards_dropped_out_of_order_lose_nothing() {
    let mut books = Books::open();
    let names = ["order a".to_owned(), "order b".to_owned()];
    let spent = on_thread(|| {
        let first = enter(named(&names[0], Class::Handler));
        let begun = clock::thread_cpu_ns();
        let second = enter(named(&names[1], Class::Handler));
        burn(200_000);
        let spent = clock::thread_cpu_ns() - begun;
        drop(first);
        drop(second);
        // The guard dropped last put back what it had found.
        assert!(current().is_some());
        drop(thread::cross(None));
        spent
    });
    books.rotate();
    assert!(cpu_of(&books, &names) >= spent);
}

#[test]
fn a_future_is_polled_and_dropped_in_its_account() {
    // Making the runtime costs something outside, on a busy machine a millisecond.
    const DROP_NS: i64 = 20_000_000;
    struct BurnsInDrop;
    impl Drop for BurnsInDrop {
        fn drop(&mut self) {
            burn(DROP_NS);
        }
    }
    let mut books = Books::open();
    on_thread(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let _outside = enter(named("outside the future", Class::Handler));
        let held = BurnsInDrop;
        let future = InAccount::new(named("cancelled future", Class::Handler), async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        runtime.block_on(async {
            let mut future = Box::pin(future);
            poll_fn(|cx| {
                assert!(future.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            drop(future);
        });
    });
    books.rotate();
    assert!(
        books
            .owner(OwnerKind::Background, "cancelled future")
            .cpu_ns()
            >= DROP_NS
    );
    assert!(
        books
            .owner(OwnerKind::Background, "outside the future")
            .cpu_ns()
            < DROP_NS / 2
    );
}

#[test]
fn many_owners_inside_one_task_each_get_their_own() {
    use futures_util::StreamExt as _;
    use futures_util::stream::FuturesUnordered;
    let mut books = Books::open();
    on_thread(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let _task = enter(named("mixed task", Class::Handler));
        runtime.block_on(async {
            let work = |name: &'static str, ns| {
                InAccount::new(named(name, Class::Handler), async move {
                    for _ in 0..4 {
                        burn(ns);
                        tokio::task::yield_now().await;
                    }
                })
            };
            let mut both: FuturesUnordered<_> =
                [work("mixed a", 500_000), work("mixed b", 1_500_000)]
                    .into_iter()
                    .collect();
            while both.next().await.is_some() {}
        });
    });
    books.rotate();
    let cpu = |name| books.owner(OwnerKind::Background, name).cpu_ns();
    assert!(
        (2_000_000..4_000_000).contains(&cpu("mixed a")),
        "{}",
        cpu("mixed a")
    );
    assert!(
        (6_000_000..9_000_000).contains(&cpu("mixed b")),
        "{}",
        cpu("mixed b")
    );
}

#[test]
fn a_thread_that_ends_in_the_middle_of_its_account_loses_nothing() {
    let mut books = Books::open();
    on_thread(|| {
        // Declared before the account's storage is first used, so dropped after it: silent by then.
        thread_local! { static LATE: RefCell<Option<Late>> = const { RefCell::new(None) }; }
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                let _entered = enter(Account::new(OwnerRef::Named(OwnerId(0)), Class::Handler));
            }
        }
        LATE.with(|late| *late.borrow_mut() = Some(Late));
        drop(thread::cross(Some(named("ends inside", Class::Handler))));
        burn(1_000_000);
    });
    // The scope waits for the closure, not for the thread's storage to be dropped.
    let begun = clock::monotonic_ns();
    while books.owner(OwnerKind::Background, "ends inside").cpu_ns() < 1_000_000 {
        books.rotate();
        assert!(
            clock::monotonic_ns() - begun < 10_000_000_000,
            "never booked"
        );
    }
}

#[test]
fn cpu_in_progress_is_told_and_taken_back() {
    let mut books = Books::open();
    let (burnt, wait_burnt) = std::sync::mpsc::sync_channel(0);
    let (end, wait_end) = std::sync::mpsc::sync_channel::<()>(0);
    let thread = std::thread::spawn(move || {
        let entered = enter(named("in progress", Class::Handler));
        burn(20_000_000);
        burnt.send(()).unwrap();
        wait_end.recv().unwrap();
        drop(entered);
    });
    wait_burnt.recv().unwrap();
    let progress = |ledger: crate::testing::WindowLedger| {
        let (_, process) = ledger
            .rows
            .of_kind(weighbridge_wire::RowKind::Process)
            .next()
            .unwrap();
        figure(process, column::CPU_IN_PROGRESS_NS)
    };
    let first = progress(books.rotate());
    assert!(first >= 20_000_000, "{first}");
    assert_eq!(
        books.owner(OwnerKind::Background, "in progress").cpu_ns(),
        0,
        "not booked yet"
    );
    end.send(()).unwrap();
    thread.join().unwrap();
    let second = progress(books.rotate());
    assert!(second <= -20_000_000 + 5_000_000, "{second}");
    assert!(books.owner(OwnerKind::Background, "in progress").cpu_ns() >= 20_000_000);
}

#[test]
fn memory_that_nobody_counts_is_unknown_and_not_zero() {
    let mut books = Books::open();
    on_thread(|| drop(enter(named("uncounted", Class::Handler))));
    let bill = Bill::start(Start {
        operation: "UNCOUNTED",
        ..Start::default()
    });
    bill.end(Outcome::Ok);
    drop(bill);
    books.rotate();
    let operation = books.operation("UNCOUNTED", "");
    assert_eq!(figure(&operation, column::ENDED), 1);
    for row in [operation, books.owner(OwnerKind::Background, "uncounted")] {
        // The tests of this crate run on the bare allocator.
        for column in [
            column::ALLOC_BYTES,
            column::ALLOC_COUNT,
            column::FREED_BYTES,
            column::PEAK_LIVE_BYTES,
        ] {
            assert_eq!(row.get(column), None, "{column}");
        }
    }
}

#[test]
fn a_bill_is_freed_when_nobody_holds_it() {
    let _books = Books::open();
    let bill = Bill::start(Start {
        operation: "FREED",
        ..Start::default()
    });
    let weak = Arc::downgrade(&bill);
    on_thread(move || {
        let entered = enter(Account::new(OwnerRef::Bill(bill.clone()), Class::Handler));
        drop(entered);
        bill.end(Outcome::Ok);
    });
    assert!(weak.upgrade().is_none(), "no thread keeps it");
}

#[test]
fn a_mark_tells_what_the_owner_spent_and_nothing_of_others() {
    let mut books = Books::open();
    let (spent, in_class) = on_thread(|| {
        assert!(mark().is_none(), "nobody is current");
        let _owner = enter(named("marked", Class::Handler));
        let first = mark().unwrap();
        burn(300_000);
        {
            let _other = enter(named("marked other", Class::Handler));
            burn(5_000_000);
            let other = mark().unwrap();
            assert!(other.stretch > first.stretch && other.totals.cpu_ns < 10_000_000);
        }
        flush_here();
        let second = mark().unwrap();
        let class = enter_class(Class::Encode);
        burn(300_000);
        drop(class);
        let third = mark().unwrap();
        assert_eq!(third.stretch, first.stretch);
        (
            second.totals.since(first.totals).cpu_ns,
            third.totals.since(second.totals).cpu_ns,
        )
    });
    assert!((300_000..4_000_000).contains(&spent), "{spent}");
    assert!((300_000..4_000_000).contains(&in_class), "{in_class}");
    books.rotate();
    let row = books.owner(OwnerKind::Background, "marked");
    assert!(spent + in_class <= row.cpu_ns());
}

#[test]
fn owners_that_take_turns_are_booked_once_and_in_whole() {
    let mut books = Books::open();
    let names: Vec<String> = (0..4).map(|n| format!("turn {n}")).collect();
    let owners: Vec<_> = names
        .iter()
        .map(|name| named(name, Class::Handler))
        .collect();
    let (turned, wait_turned) = std::sync::mpsc::sync_channel(0);
    let (go, wait_go) = std::sync::mpsc::sync_channel::<()>(0);
    let thread = std::thread::spawn(move || {
        let base = enter(owners[0].clone());
        let before = clock::thread_cpu_ns();
        for n in 0..400 {
            let _turn = enter(owners[n % owners.len()].clone());
            burn(20_000);
        }
        turned.send(()).unwrap();
        wait_go.recv().unwrap();
        let spent = clock::thread_cpu_ns() - before;
        drop(base);
        spent
    });
    wait_turned.recv().unwrap();
    books.rotate();
    // Longer than costs may wait: most of it is in the tables, though nobody flushed.
    let halfway = cpu_of(&books, &names);
    assert!(halfway >= 400 * 20_000 - 3_000_000, "{halfway}");
    go.send(()).unwrap();
    let spent = thread.join().unwrap();
    books.rotate();
    let booked = cpu_of(&books, &names);
    assert!(
        (0..500_000).contains(&(booked - spent)),
        "{booked} of {spent}"
    );
}
