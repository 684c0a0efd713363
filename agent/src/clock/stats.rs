//! What the clock says of itself: how often it asked the kernel, why, and how far off it was.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why the thread's clock was read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The kernel's flag was cleared: the thread was preempted, moved or got a signal.
    Interrupted,
    /// The piece was longer than a counter is trusted for.
    Long,
    /// The scheduler's piece was long enough to hide a sleep.
    Runtime,
    /// The last reading of the thread's clock is old.
    Aged,
    /// It was asked for: the thread ends, parks, or somebody needs an exact figure.
    Settled,
}

const REASONS: usize = 5;

/// Sums since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Re-reads by reason: interrupted, long, runtime, aged, settled.
    pub(crate) rereads: [u64; REASONS],
    /// Sum of the absolute corrections, in ns.
    pub(crate) corrections_ns: u64,
    /// CPU time between the readings of the thread's clock, in ns.
    pub(crate) covered_ns: u64,
    /// Switches that the flag did not show and that moved more than 50 µs.
    pub(crate) missed: u64,
    /// CPU time that was judged, in ns.
    pub(crate) judged_ns: u64,
    /// How often the process took a mode that trusts the counter less.
    pub(crate) degradations: u64,
}

impl Totals {
    /// All re-reads.
    pub(crate) fn rereads(&self) -> u64 {
        self.rereads.iter().sum()
    }
}

/// Counters of several threads, on a cache line of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    rereads: [AtomicU64; REASONS],
    corrections_ns: AtomicU64,
    covered_ns: AtomicU64,
    missed: AtomicU64,
    judged_ns: AtomicU64,
}

/// A re-read costs a system call, so that counting it in a shared place costs little beside it; few threads
/// share a shard.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(super) struct Stats([Shard; SHARDS]);

fn positive(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or(0)
}

impl Stats {
    pub(super) const fn new() -> Self {
        Self(
            [const {
                Shard {
                    rereads: [const { AtomicU64::new(0) }; REASONS],
                    corrections_ns: AtomicU64::new(0),
                    covered_ns: AtomicU64::new(0),
                    missed: AtomicU64::new(0),
                    judged_ns: AtomicU64::new(0),
                }
            }; SHARDS],
        )
    }

    fn shard(&self, thread: usize) -> &Shard {
        &self.0[thread % SHARDS]
    }

    pub(super) fn reread(
        &self,
        thread: usize,
        reason: Reason,
        correction_ns: i64,
        covered_ns: i64,
    ) {
        let shard = self.shard(thread);
        shard.rereads[reason as usize].fetch_add(1, Ordering::Relaxed);
        if correction_ns != 0 {
            let amount = correction_ns.unsigned_abs();
            shard.corrections_ns.fetch_add(amount, Ordering::Relaxed);
        }
        let covered = positive(covered_ns);
        shard.covered_ns.fetch_add(covered, Ordering::Relaxed);
    }

    pub(super) fn judged(&self, thread: usize, ns: i64) {
        let shard = self.shard(thread);
        shard.judged_ns.fetch_add(positive(ns), Ordering::Relaxed);
    }

    pub(super) fn missed(&self, thread: usize) {
        self.shard(thread).missed.fetch_add(1, Ordering::Relaxed);
    }

    /// The sums over all threads, degradations not included.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.0 {
            for (sum, n) in totals.rereads.iter_mut().zip(&shard.rereads) {
                *sum += n.load(Ordering::Relaxed);
            }
            totals.corrections_ns += shard.corrections_ns.load(Ordering::Relaxed);
            totals.covered_ns += shard.covered_ns.load(Ordering::Relaxed);
            totals.missed += shard.missed.load(Ordering::Relaxed);
            totals.judged_ns += shard.judged_ns.load(Ordering::Relaxed);
        }
        totals
    }
}
