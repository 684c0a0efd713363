//! Accounts on a clock whose rate is wrong.

use weighbridge_wire::{Class, OwnerKind, ProcessKey, RowKind, column};

use super::*;
use crate::account::owner;
use crate::clock::Mode;
use crate::testing::{Books, burn, figure, on_thread};

/// By how much the fast clock and the kernel's may differ over a stretch, in ns.
const AGREE_NS: i64 = 500_000;

/// Two owners take turns on a thread with this clock, in pieces of a few µs, until the thread has spent `ns`. Returns
/// what it spent, by the kernel.
fn take_turns(setup: &'static Setup, names: [&str; 2], ns: i64) -> i64 {
    on_thread(|| {
        // Instead of the thread's own, for which nobody asks here: a thread has one clock.
        let thread = Thread::new(setup);
        let accounts =
            names.map(|name| Account::new(owner(OwnerKind::Background, name), Class::Handler));
        let turn_to = |account: &Account| drop(thread.turn(Some(account.clone()), None, false));
        let [first, second] = &accounts;
        turn_to(first);
        thread.flush(ThreadClock::settle);
        let begun = clock::thread_cpu_ns();
        while clock::thread_cpu_ns() - begun < ns {
            for _ in 0..50 {
                burn(1_000);
                turn_to(second);
                burn(1_000);
                turn_to(first);
            }
        }
        let spent = clock::thread_cpu_ns() - begun;
        thread.flush(ThreadClock::settle);
        spent
    })
}

fn booked_ns(books: &Books, names: [&str; 2]) -> i64 {
    let each = names.map(|name| books.owner(OwnerKind::Background, name).cpu_ns());
    each.into_iter().sum()
}

#[test]
fn what_a_fast_counter_ran_ahead_is_taken_back_from_the_account_being_left() {
    const NAMES: [&str; 2] = ["ran ahead a", "ran ahead b"];
    let Some(fast) = clock::wanted(Mode::Rseq, 1_030) else {
        return;
    };
    let mut books = Books::open();
    let spent_ns = take_turns(fast, NAMES, 100_000_000);
    books.rotate();
    let booked_ns = booked_ns(&books, NAMES);
    // Without the steps back it would be 1.5 ms at least: only after 50 ms a rate is known to be wrong.
    assert!(
        (booked_ns - spent_ns).abs() < AGREE_NS,
        "{booked_ns} booked of {spent_ns}"
    );
    let corrected_ns = fast.totals().corrections_ns;
    assert!(
        corrected_ns > 1_000_000,
        "{corrected_ns}: it had to be corrected"
    );
}

#[test]
fn a_window_tells_how_its_clock_was_read_corrected_and_given_up() {
    const NAMES: [&str; 2] = ["given up a", "given up b"];
    let Some(fast) = clock::wanted(Mode::Rseq, 1_030) else {
        return;
    };
    // Or the end of a window finds out first.
    fast.forget_beginning();
    let mut books = Books::open_on(fast);
    let told = |books: &mut Books| {
        let window = books.rotate();
        let (key, row) = window.rows.of_kind(RowKind::Process).next().unwrap();
        let clock_mode = ProcessKey::read(key).unwrap().clock_mode.to_string();
        let figures = [
            column::CLOCK_DEGRADATIONS,
            column::CLOCK_REREADS,
            column::CLOCK_CORRECTIONS_NS,
        ];
        (clock_mode, figures.map(|column| figure(row, column)))
    };
    assert_eq!(
        told(&mut books),
        ("rseq".to_owned(), [0; 3]),
        "nobody asked it"
    );
    let mut spent_ns = 0;
    // Interrupted stretches tell nothing, so that a busy machine takes longer to find out.
    while fast.mode() == Mode::Rseq && spent_ns < 3_000_000_000 {
        spent_ns += take_turns(fast, NAMES, 100_000_000);
    }
    let totals = fast.totals();
    let (clock_mode, [degradations, rereads, corrections_ns]) = told(&mut books);
    assert_eq!((clock_mode.as_str(), degradations), ("scaled", 1));
    // Every 2 ms at least.
    assert!(
        rereads >= spent_ns / 2_000_000,
        "{rereads} in {spent_ns} ns"
    );
    assert!(corrections_ns > 1_000_000, "{corrections_ns}");
    let signed = |n| i64::try_from(n).unwrap();
    assert_eq!(
        [rereads, corrections_ns],
        [signed(totals.rereads()), signed(totals.corrections_ns)],
        "each in its column"
    );
    let after = told(&mut books);
    assert_eq!(after, ("scaled".to_owned(), [0; 3]), "each once");
    assert!((booked_ns(&books, NAMES) - spent_ns).abs() < spent_ns / 100);
}
