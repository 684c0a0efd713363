//! One scenario at a time under an agent of its own: accounts and CPU clocks are the process's.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Ledger, PATIENCE, UNATTRIBUTED_NS_MAX, assert_conserved, burn, by_window};
use weighbridge_agent::wire::RowKind;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a scenario and returns what the agent saw of it. Its rows must add up to the process's CPU time, with
/// next to nothing unexplained.
pub fn weigh(scenario: impl FnOnce()) -> Arc<Ledger> {
    let _alone = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let ledger = Ledger::new();
    let agent = weighbridge_agent::builder()
        .service("shapes")
        .window(Duration::from_millis(100))
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    scenario();
    assert!(agent.flush(PATIENCE));
    agent.shutdown();
    ledger.deltas().iter().for_each(assert_conserved);
    let unexplained = ledger
        .select(RowKind::Owner, &[(0, "unattributed")])
        .cpu_ns();
    println!(
        "{unexplained} ns are nobody's; by window: {:?}",
        by_window(&ledger)
    );
    assert!(
        unexplained.abs() < UNATTRIBUTED_NS_MAX,
        "{unexplained} ns are nobody's"
    );
    ledger
}

/// As much as was burnt, and little more.
#[track_caller]
pub fn assert_cpu(ns: i64, burnt_ms: u64) {
    let burnt = i64::try_from(burnt_ms).unwrap() * 1_000_000;
    let most = burnt + burnt / 10 + 2_000_000;
    assert!(
        (burnt..most).contains(&ns),
        "{ns} ns booked where {burnt} ns were burnt"
    );
}

/// Burns this many milliseconds of this thread's CPU time.
pub fn burn_ms(ms: u64) {
    burn(Duration::from_millis(ms));
}

/// Burns when dropped.
pub struct BurnInDrop(pub u64);

impl Drop for BurnInDrop {
    fn drop(&mut self) {
        burn_ms(self.0);
    }
}

/// Waits for a condition.
#[allow(clippy::disallowed_methods)] // patience is measured on the wall
pub fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never came true");
        std::thread::yield_now();
    }
}
