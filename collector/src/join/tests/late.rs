//! Halves that come long after each other: joined within the setting, over restarts, and counted beyond it.

use std::path::Path;
use std::time::Duration;

use super::disk::{RULES_WINDOW_NS, derive, fold, search};
use super::*;
use crate::join::{Joiner, WITHIN_MAX};
use crate::store::FoldBatch;

/// A fold each so many seconds.
const FOLD_EVERY: u64 = 30;

/// A joiner on a store on disk, and what time it is.
struct Machine {
    store: RedbStore,
    joiner: Joiner,
    pending: FoldBatch,
    /// Since the tests began.
    seconds: u64,
    /// When the machine was started: its monotonic clock begins there.
    started: u64,
    unjoined: u64,
    others: u64,
}

impl Machine {
    fn start(directory: &Path, seconds: u64) -> Self {
        let store = RedbStore::open(directory, 1_000).unwrap();
        let mut joiner = Joiner::new(RULES_WINDOW_NS, WITHIN_MAX);
        joiner.restore(&store, Duration::ZERO).unwrap();
        Self {
            store,
            joiner,
            pending: FoldBatch::default(),
            seconds,
            started: seconds,
            unjoined: 0,
            others: seconds * 1_000,
        }
    }

    /// Stopped and started again, at this time.
    fn restart(self, directory: &Path, seconds: u64) -> Self {
        drop(self);
        Self::start(directory, seconds)
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.seconds - self.started)
    }

    fn take(&mut self, service: &str, spans: Vec<SpanSpec>) {
        let derived = derive(service, spans);
        let now = self.now();
        self.joiner.take(&derived, now, &mut self.pending, 1_000);
    }

    /// Time passes, and spans of others come.
    fn until(&mut self, seconds: u64) {
        while self.seconds < seconds {
            self.seconds += FOLD_EVERY;
            self.others += 1;
            let mut other = SpanSpec::server(self.others);
            other.trace = 2;
            self.take("other", vec![other]);
            self.fold();
        }
    }

    fn fold(&mut self) {
        let now_unix_ns = START_UNIX_NS + self.seconds * SECOND_NS;
        let now = self.now();
        let (joiner, pending) = (&mut self.joiner, &mut self.pending);
        fold(joiner, &self.store, pending, now, now_unix_ns);
        search(joiner, &self.store, pending, now);
        let failed = self.joiner.take_counts().failed;
        self.unjoined += failed.values().map(|of| of.unjoined).sum::<u64>();
    }

    fn rows(&self) -> Rows {
        let mut rows = stored(&self.store);
        rows.remove("other");
        rows
    }
}

/// Which services' spans come at once; the others come late.
const FIRST: [&[&str]; 2] = [&["shop", "mail"], &["stock", "mail"]];

#[test]
fn halves_almost_an_hour_apart_are_joined_in_either_order_over_restarts() {
    for first in FIRST {
        let directory = tempfile::tempdir().unwrap();
        let mut machine = Machine::start(directory.path(), 0);
        let (early, late): (Vec<_>, Vec<_>) = system()
            .into_iter()
            .partition(|(service, _)| first.contains(service));
        for (service, spans) in early {
            machine.take(service, spans);
        }
        machine.until(1_200);
        machine = machine.restart(directory.path(), 1_500);
        machine.until(3_000);
        machine = machine.restart(directory.path(), 3_300);
        machine.until(3_540);
        assert!(requests(&machine.rows()) != REQUESTS, "{first:?}");
        for (service, spans) in late {
            machine.take(service, spans);
        }
        machine.until(3_600);
        is_whole(&machine.rows());
        assert_eq!(machine.unjoined, 0, "{first:?}");
    }
}

#[test]
fn halves_further_apart_than_the_setting_are_counted_and_leave_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut machine = Machine::start(directory.path(), 0);
    for (service, spans) in system() {
        if service == "stock" {
            machine.take(service, spans);
        }
    }
    machine.fold();
    let runs = machine.store.halves().unwrap().0;
    machine.until(WITHIN_MAX.as_secs() + 2 * FOLD_EVERY);
    assert_eq!((machine.unjoined, machine.joiner.waiting()), (1, 0));
    let left = machine.store.halves().unwrap().0;
    assert!(!runs.is_empty() && runs.iter().all(|run| !left.contains(run)));
    for (service, spans) in system() {
        if service != "stock" {
            machine.take(service, spans);
        }
    }
    machine.until(machine.seconds + 60);
    assert!(
        requests(&machine.rows())
            .contains(&"stock GET /stock/:sku <-   of stock GET /stock/:sku: 1".to_owned()),
        "{:?}",
        requests(&machine.rows())
    );
}
