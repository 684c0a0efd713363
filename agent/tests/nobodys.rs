//! Setting up, and threads being made, are on somebody's bill: between `init` and the end nothing is nobody's but what
//! the program itself does outside accounts.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // figures are shown with `--nocapture`

mod support;

use std::time::Duration;

use support::{Ledger, PATIENCE, assert_conserved, figure, thread_cpu};
use weighbridge_agent::wire::{RowKind, column};

const ROUNDS: usize = 15;

/// What is nobody's, in ns, where this thread does `work` after `init`: less what this thread spends itself outside
/// accounts, which the kernel tells. In the middle of several rounds, because a page fault more or less is chance.
fn nobodys_ns(work: impl Fn()) -> i64 {
    let mut rounds: Vec<i64> = (0..ROUNDS)
        .map(|_| {
            let ledger = Ledger::new();
            let agent = weighbridge_agent::builder()
                .service("nobodys")
                .window(Duration::from_secs(3_600))
                .sink(ledger.clone())
                .try_init()
                .unwrap();
            let begun = thread_cpu();
            work();
            assert!(agent.flush(PATIENCE));
            let own = i64::try_from((thread_cpu() - begun).as_nanos()).unwrap();
            let delta = ledger.deltas().remove(0);
            assert_conserved(&delta);
            let (_, process) = delta.rows.of_kind(RowKind::Process).next().unwrap();
            figure(process, column::CPU_UNATTRIBUTED_NS) - own
        })
        .collect();
    rounds.sort_unstable();
    println!("nobody's, besides the program's own, by round: {rounds:?} ns");
    rounds[ROUNDS / 2]
}

#[test]
fn setting_up_and_making_threads_are_on_somebodys_bill() {
    let set_up = nobodys_ns(|| ());
    assert!(set_up < 100_000, "{set_up} ns of setting up are nobody's");
    const THREADS: usize = 16;
    let made = nobodys_ns(|| {
        let runtime = weighbridge_agent::runtime()
            .worker_threads(THREADS)
            .build()
            .unwrap();
        runtime.shutdown_timeout(PATIENCE);
    });
    let each = (made - set_up) / i64::try_from(THREADS).unwrap();
    assert!(each < 40_000, "{each} ns of each thread are nobody's");
}
