//! What threads remember of spans, and what they have not yet booked of them.

use tracing::info_span;

use super::*;
use crate::account::flush_here;
use crate::state;

#[test]
fn a_span_with_the_number_of_a_closed_one_is_another_span() {
    let mut books = Books::open();
    with_regions(|| {
        request("NUMBERS", || {
            let first = info_span!("first");
            let number = first.id();
            first.in_scope(|| {});
            first.in_scope(|| burn(200 * US));
            drop(first);
            // The registry gives a number out again after some thousand spans.
            let again = (0..1 << 20)
                .map(|_| info_span!("second"))
                .find(|span| span.id() == number)
                .expect("the registry has no more numbers than this");
            again.in_scope(|| burn(500 * US));
            again.in_scope(|| burn(500 * US));
        });
    });
    books.rotate();
    let regions = books.regions("NUMBERS");
    check_tree(&regions);
    let (first, second) = (&regions["first"], &regions["second"]);
    assert_eq!((count(first), count(second)), (1, 1));
    assert!(exclusive(second) >= 1_000 * US);
    assert!((200 * US..1_000 * US).contains(&exclusive(first)));
}

#[test]
fn spans_of_two_registries_with_one_number_are_told_apart() {
    let mut books = Books::open();
    let one = tracing::Dispatch::new(tracing_subscriber::registry().with(regions()));
    let two = tracing::Dispatch::new(tracing_subscriber::registry().with(regions()));
    on_thread(|| {
        request("REGISTRIES", || {
            tracing::dispatcher::with_default(&one, || {
                let one = info_span!("one");
                one.in_scope(|| burn(200 * US));
                tracing::dispatcher::with_default(&two, || {
                    let two = info_span!("two");
                    assert_eq!(one.id(), two.id(), "or this tests nothing");
                    two.in_scope(|| burn(200 * US));
                });
                one.in_scope(|| burn(200 * US));
            });
        });
    });
    books.rotate();
    let regions = books.regions("REGISTRIES");
    assert_eq!(regions.keys().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!((count(&regions["one"]), count(&regions["two"])), (1, 1));
    assert!(exclusive(&regions["one"]) >= 400 * US);
}

/// Every path of `x` and `y` down to this depth, entered one after the other.
fn every_path(depth: usize) {
    if depth > 0 {
        info_span!("x").in_scope(|| every_path(depth - 1));
        info_span!("y").in_scope(|| every_path(depth - 1));
    } else {
        burn(10 * US);
    }
}

#[test]
fn a_poll_in_more_regions_than_can_wait_books_each_to_itself() {
    let mut books = Books::open();
    with_regions(|| {
        request("MANY", || {
            every_path(5);
            every_path(5);
        });
    });
    books.rotate();
    let regions = books.regions("MANY");
    check_tree(&regions);
    assert_eq!(regions.len(), 2 + 4 + 8 + 16 + 32);
    for (path, row) in &regions {
        assert_eq!(count(row), 2, "{path}");
        let leaf = path.len() == "x;x;x;x;x".len();
        assert!(!leaf || exclusive(row) >= 20 * US, "{path}");
    }
}

#[test]
fn a_flush_in_the_middle_of_a_region_takes_what_it_cost_so_far() {
    let mut books = Books::open();
    let bill = start("SO FAR");
    let mut windows = Vec::new();
    // On this thread, since it rotates.
    with_default(tracing_subscriber::registry().with(regions()), || {
        let entered = enter(account(&bill));
        let outer = info_span!("outer").entered();
        let inner = info_span!("inner").entered();
        // Far more than rotating all names of this process takes.
        burn(50_000 * US);
        flush_here();
        books.rotate();
        windows.push(books.regions("SO FAR"));
        burn(100 * US);
        drop((inner, outer, entered));
    });
    bill.end(Outcome::Ok);
    books.rotate();
    windows.push(books.regions("SO FAR"));
    let [first, both] = windows.as_slice() else {
        panic!("two windows")
    };
    // Counted in the window in which they began.
    for regions in [first, both] {
        check_tree(regions);
        assert_eq!(count(&regions["outer"]), 1);
        assert_eq!(count(&regions["outer;inner"]), 1);
    }
    let before = exclusive(&first["outer;inner"]);
    let after = exclusive(&both["outer;inner"]) - before;
    assert!(before >= 50_000 * US, "{before}");
    assert!(
        (100 * US..25_000 * US).contains(&after),
        "not twice: {after}"
    );
}

#[test]
fn what_a_span_cost_under_one_agent_is_not_in_the_next_ones_books() {
    let mut books = Books::open();
    let bill = start("ACROSS");
    with_regions(|| {
        let entered = enter(account(&bill));
        let span = info_span!("across");
        let open = span.enter();
        // Waits to be booked, with the request.
        info_span!("waiting").in_scope(|| burn(3_000 * US));
        state::stop_measuring();
        state::start_measuring();
        drop(open);
        span.in_scope(|| burn(100 * US));
        drop(entered);
    });
    bill.end(Outcome::Ok);
    books.rotate();
    let regions = books.regions("ACROSS");
    assert_eq!(regions.keys().collect::<Vec<_>>(), ["across"]);
    let across = exclusive(&regions["across"]);
    assert!((100 * US..2_000 * US).contains(&across), "{across}");
}

#[test]
fn a_thread_that_ends_inside_a_span_books_it() {
    thread_local! {
        static KEPT: std::cell::RefCell<Vec<tracing::span::EnteredSpan>> =
            const { std::cell::RefCell::new(Vec::new()) };
    }
    let mut books = Books::open();
    let lost = books.lost("agent.regions");
    // The guards are dropped before the agent's own storage, or after it.
    for guards_first in [true, false] {
        with_regions(|| {
            if !guards_first {
                KEPT.with(|kept| kept.borrow_mut().reserve(4));
            }
            request("CUT", || {
                let outer = info_span!("outer").entered();
                let inner = info_span!("inner");
                inner.in_scope(|| burn(300 * US));
                KEPT.with(|kept| kept.borrow_mut().extend([outer, inner.entered()]));
            });
        });
    }
    books.rotate();
    let regions = books.regions("CUT");
    check_tree(&regions);
    let (outer, inner) = (&regions["outer"], &regions["outer;inner"]);
    assert_eq!((count(outer), count(inner)), (2, 2));
    assert!(exclusive(inner) >= 600 * US, "{inner:?}");
    assert!(inclusive(outer) <= books.operation("CUT", "").cpu_ns());
    // What they cost after the request had left the thread is nobody's region.
    assert!(books.lost("agent.regions") - lost >= 4);
}
