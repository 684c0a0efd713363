//! Setting up, and threads being made, are on somebody's bill: between `init` and the end nothing is nobody's but what
//! the program itself does outside accounts, and what the kernel spends on threads that have ended.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // figures are shown with `--nocapture`

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use support::{Ledger, PATIENCE, assert_conserved, figure, thread_cpu};
use weighbridge_agent::hooks;
use weighbridge_agent::wire::{Delta, RowKind, column};

const ROUNDS: usize = 15;
const THREADS: usize = 16;
/// What two clocks that are read one after the other may differ by, per thread.
const READINGS_NS: i64 = 2_000;

fn thread_cpu_ns() -> i64 {
    i64::try_from(thread_cpu().as_nanos()).unwrap()
}

/// What `init` costs the thread that calls it, how much is nobody's when `work` is done, less what this thread itself
/// spends on it outside accounts (both in ns), and the ledger of it all.
fn round(work: impl Fn()) -> (i64, i64, Delta) {
    let ledger = Ledger::new();
    let before_ns = thread_cpu_ns();
    let agent = weighbridge_agent::builder()
        .service("nobodys")
        .window(Duration::from_secs(3_600))
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    let begun_ns = thread_cpu_ns();
    work();
    assert!(agent.flush(PATIENCE));
    let own_ns = thread_cpu_ns() - begun_ns;
    let delta = ledger.deltas().remove(0);
    assert_conserved(&delta);
    let (_, process) = delta.rows.of_kind(RowKind::Process).next().unwrap();
    let nobodys_ns = figure(process, column::CPU_UNATTRIBUTED_NS) - own_ns;
    (begun_ns - before_ns, nobodys_ns, delta)
}

/// The one in the middle, because a page fault more or less is chance.
fn median(what: &str, mut rounds: Vec<i64>) -> i64 {
    rounds.sort_unstable();
    println!("{what}, by round: {rounds:?} ns");
    rounds[rounds.len() / 2]
}

#[test]
fn setting_up_and_making_threads_are_on_somebodys_bill() {
    let (set_up, nobodys): (Vec<_>, Vec<_>) = (0..ROUNDS)
        .map(|_| {
            let (set_up_ns, nobodys_ns, _) = round(|| ());
            (set_up_ns, nobodys_ns)
        })
        .unzip();
    let set_up = median("setting up", set_up);
    let nobodys = median("of it nobody's", nobodys);
    // A part comes before the process is measured. 4 % are nobody's, and 23 % where `start` has no account.
    assert!(
        nobodys < set_up / 8,
        "{nobodys} of the {set_up} ns of setting up are nobody's"
    );
    let unbooked = median(
        "less on the runtime's bill than its threads spent",
        (0..ROUNDS).map(|_| unbooked_of_threads_ns()).collect(),
    );
    // Below nothing, because a thread ends after the kernel is asked; 370 000 where births are not booked.
    assert!(
        unbooked < READINGS_NS * i64::try_from(THREADS).unwrap(),
        "{unbooked} ns that {THREADS} threads spent are not on the runtime's bill"
    );
}

/// What the threads of a runtime spent until they ended, by the kernel, less what is on the runtime's bill.
fn unbooked_of_threads_ns() -> i64 {
    let spent_ns = Arc::new(AtomicI64::new(0));
    let (_, _, delta) = round(|| {
        let spent_ns = Arc::clone(&spent_ns);
        let runtime = hooks::chain()
            .on_thread_stop(move || {
                spent_ns.fetch_add(thread_cpu_ns(), Ordering::Relaxed);
            })
            .install(&mut tokio::runtime::Builder::new_multi_thread())
            .worker_threads(THREADS)
            .build()
            .unwrap();
        runtime.shutdown_timeout(PATIENCE);
    });
    let spent_ns = spent_ns.load(Ordering::Relaxed);
    assert!(spent_ns > 0, "no thread ended");
    let booked_ns: i64 = delta
        .rows
        .of_kind(RowKind::Owner)
        .filter(|(key, _)| *key.parts[0] == *"runtime")
        .map(|(_, row)| row.cpu_ns())
        .sum();
    spent_ns - booked_ns
}
