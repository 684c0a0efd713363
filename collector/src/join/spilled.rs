//! Halves that wait on disk, since more wait than memory may hold.
//!
//! Before a fold the ones that waited longest are put into runs; memory keeps the others. Some time later a run is taken
//! back and looked for again, in memory and in all runs of offers, and what is not found by then goes to disk again when
//! there is need. All of it happens in folds: a half that waits is in memory and in what the store holds of it, or in a
//! run, and never in both or neither.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::parked::WAITING_MAX;
use super::search::FoundChunk;
use super::{Corrections, Joiner, Want};
use crate::otlp::derived::{Reader, Writer};
use crate::store::{FoldBatch, Store, StoreError};

/// Halves in a run.
const RUN_WANTS: usize = if cfg!(test) { 512 } else { 32_768 };
/// Runs on disk; the oldest goes when there are more, and its halves are given up. 4.2 million halves, 260 MB.
pub(super) const RUNS_MAX: usize = if cfg!(test) { 48 } else { 128 };
/// How long a run stays on disk before it is taken back.
const AFTER: Duration = Duration::from_secs(15);

/// What is known of a run without reading it.
#[derive(Clone, Debug, Default)]
struct Run {
    /// How many halves, by tenant.
    wants: BTreeMap<Arc<str>, u64>,
    /// When its youngest half began to wait, seconds since the Unix epoch.
    newest_s: u32,
}

/// The runs on disk by name; ascending with the time at which they were written.
#[derive(Default)]
pub(super) struct Spilled(BTreeMap<u64, Run>);

impl Spilled {
    /// Halves in all runs.
    pub(super) fn len(&self) -> u64 {
        self.0.values().flat_map(|run| run.wants.values()).sum()
    }
}

/// Seconds of the monotonic clock, and since the Unix epoch, at one instant.
#[derive(Clone, Copy)]
struct Now {
    monotonic_s: u32,
    unix_s: u32,
}

impl Now {
    fn new(now: Duration, now_unix_ns: u64) -> Self {
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        Self {
            monotonic_s: seconds(now),
            unix_s: seconds(Duration::from_nanos(now_unix_ns)),
        }
    }

    fn to_unix_s(self, monotonic_s: u32) -> u32 {
        let ago = self.monotonic_s.saturating_sub(monotonic_s);
        self.unix_s.saturating_sub(ago)
    }

    /// After a start of the machine an instant may lie before the monotonic clock's beginning: it is that then.
    fn to_monotonic(self, unix_s: u32) -> Duration {
        let ago = self.unix_s.saturating_sub(unix_s);
        Duration::from_secs(u64::from(self.monotonic_s.saturating_sub(ago)))
    }
}

impl Joiner {
    /// True when more wait in memory than may: a fold puts them on disk.
    pub(crate) fn is_over(&self) -> bool {
        self.parked.len() > WAITING_MAX
    }

    /// Before a fold: drops runs whose time is over, takes one back, and puts what is too much on disk.
    pub(super) fn spill(
        &mut self,
        store: &dyn Store,
        now: Duration,
        now_unix_ns: u64,
        pending: &mut FoldBatch,
        out: &mut Corrections,
    ) -> Result<(), StoreError> {
        let at = Now::new(now, now_unix_ns);
        let within_s = u32::try_from(self.within.as_secs()).unwrap_or(u32::MAX);
        let over: Vec<u64> = self
            .spilled
            .0
            .iter()
            .filter(|(_, run)| run.newest_s.saturating_add(within_s) < at.unix_s)
            .map(|(run, _)| *run)
            .collect();
        for run in over {
            for (tenant, wants) in self.drop_run(run, pending) {
                self.counts.failed.entry(tenant).or_default().unjoined += wants;
            }
        }
        self.take_back(store, at, now_unix_ns, pending, out)?;
        if self.is_over() {
            let mut wants = self.parked.spill(self.parked.len() - WAITING_MAX / 2);
            wants.sort_unstable_by_key(|(_, since_s)| *since_s);
            for wants in wants.chunks(RUN_WANTS) {
                self.put(wants, at, now_unix_ns, pending);
            }
            self.changed = true;
        }
        while self.spilled.0.len() > RUNS_MAX {
            let Some(&oldest) = self.spilled.0.keys().next() else {
                break;
            };
            for (tenant, wants) in self.drop_run(oldest, pending) {
                self.counts.failed.entry(tenant).or_default().given_up += wants;
            }
        }
        Ok(())
    }

    /// Forgets a run; returns how many halves were in it, by tenant.
    fn drop_run(&mut self, run: u64, pending: &mut FoldBatch) -> BTreeMap<Arc<str>, u64> {
        // One that is not written yet need not be.
        let before = pending.spilled.len();
        pending.spilled.retain(|(written, _)| *written != run);
        if pending.spilled.len() == before {
            pending.spilled_gone.push(run);
        }
        self.changed = true;
        self.spilled.0.remove(&run).unwrap_or_default().wants
    }

    /// Writes a run of halves and since when each waits.
    fn put(&mut self, wants: &[(Want, u32)], at: Now, now_unix_ns: u64, pending: &mut FoldBatch) {
        let newest = self.spilled.0.keys().next_back().copied();
        let run = now_unix_ns.max(newest.unwrap_or_default() + 1);
        let mut out = Writer::default();
        out.u32(u32::try_from(wants.len()).unwrap_or(u32::MAX));
        let mut newest_s = 0;
        for (_, since_s) in wants {
            let since_s = at.to_unix_s(*since_s);
            newest_s = newest_s.max(since_s);
            out.u32(since_s);
        }
        let wants: Vec<Want> = wants.iter().map(|(want, _)| *want).collect();
        out.0.extend(self.encode(&[], &wants));
        let wants = self.by_tenant(&wants);
        self.spilled.0.insert(run, Run { wants, newest_s });
        pending.spilled.push((run, out.0));
    }

    /// Takes the oldest run back, unless it was written a moment ago or halves are being looked for.
    fn take_back(
        &mut self,
        store: &dyn Store,
        at: Now,
        now_unix_ns: u64,
        pending: &mut FoldBatch,
        out: &mut Corrections,
    ) -> Result<(), StoreError> {
        let after = u64::try_from(AFTER.as_nanos()).unwrap_or(u64::MAX);
        let Some(&run) = self.spilled.0.keys().next() else {
            return Ok(());
        };
        if self.is_searching() || run.saturating_add(after) > now_unix_ns {
            return Ok(());
        }
        let bytes = store.spilled(run)?.unwrap_or_default();
        self.drop_run(run, pending);
        let (since, from) = read_since(&bytes).ok_or_else(damaged)?;
        let halves = FoundChunk::read(from.0).ok_or_else(damaged)?.derived;
        let wants = self.wants_of(&halves);
        if wants.len() != since.len() {
            return Err(damaged());
        }
        let mut woken = Vec::new();
        for (want, since_s) in wants.into_iter().zip(since) {
            self.advance(want, at.to_monotonic(since_s), out, &mut woken);
        }
        let now = Duration::from_secs(u64::from(at.monotonic_s));
        while let Some(want) = woken.pop() {
            self.advance(want, now, out, &mut woken);
        }
        Ok(())
    }

    /// How many halves, by tenant.
    pub(super) fn by_tenant(&self, wants: &[Want]) -> BTreeMap<Arc<str>, u64> {
        let mut count: BTreeMap<&str, u64> = BTreeMap::new();
        for want in wants {
            *count.entry(self.tenant_of(want)).or_default() += 1;
        }
        let owned = |(tenant, count): (&str, u64)| (tenant.into(), count);
        count.into_iter().map(owned).collect()
    }

    /// Looks what the store holds of runs.
    pub(super) fn restore_spilled(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        for run in store.spilled_runs()? {
            let bytes = store.spilled(run)?.unwrap_or_default();
            let (since, from) = read_since(&bytes).ok_or_else(damaged)?;
            let halves = FoundChunk::read(from.0).ok_or_else(damaged)?.derived;
            let wants = self.wants_of(&halves);
            self.spilled.0.insert(
                run,
                Run {
                    wants: self.by_tenant(&wants),
                    newest_s: since.iter().copied().max().unwrap_or_default(),
                },
            );
        }
        Ok(())
    }
}

fn damaged() -> StoreError {
    StoreError::Failed("halves that wait on disk cannot be read".into())
}

/// Since when each half of a run waits, and what follows.
fn read_since(bytes: &[u8]) -> Option<(Vec<u32>, Reader<'_>)> {
    let mut from = Reader(bytes);
    let count = from.count(4)?;
    let since = (0..count).map(|_| from.u32()).collect::<Option<_>>()?;
    Some((since, from))
}
