//! What is on disk: offers in sorted runs, and what waits.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::search::{FoundChunk, VERSION};
use super::{Corrections, Joiner, Names, Offer, Want};
use crate::otlp::derived::{Derived, NONE, Reader, Writer};
use crate::store::{FoldBatch, HalfRun, Store, StoreError};

/// Offers in one chunk of a run.
const CHUNK_OFFERS: usize = 2_048;
/// Offers at which a run is written without waiting for the next fold, so that a fold stays short however much came.
const RUN_OFFERS: usize = 60_000;
/// Runs on disk; the oldest goes when there are more. At most 4.4 GB; ten minutes at 220 000 spans/s.
const RUNS_MAX: usize = 2_048;
/// Runs that memory takes up at a start.
const RUNS_IN_MEMORY: usize = 8;

impl Joiner {
    /// Before a fold: adds to `pending` what the store must hold of halves when the rows in it are written.
    pub(crate) fn prepare_fold(
        &mut self,
        store: &dyn Store,
        now: Duration,
        now_unix_ns: u64,
        pending: &mut FoldBatch,
        rows_max: usize,
    ) -> Result<(), StoreError> {
        for key in &pending.corrected {
            if let Some(rows) = pending.windows.get_mut(key) {
                crate::fold::prune(rows);
            }
        }
        let seconds = |before: Duration| {
            u32::try_from(now.saturating_sub(before).as_secs()).unwrap_or(u32::MAX)
        };
        let gone = self.parked.expire(seconds(self.within));
        for (tenant, wants) in self.by_tenant(&gone) {
            self.counts.failed.entry(tenant).or_default().unjoined += wants;
        }
        self.changed |= !gone.is_empty();
        self.search(store, now, pending, rows_max)?;
        let mut corrections = Corrections::default();
        self.spill(store, now, now_unix_ns, pending, &mut corrections)?;
        self.apply(&corrections, pending, rows_max);
        let horizon = u64::try_from(self.within.as_nanos()).unwrap_or(u64::MAX);
        while let Some(&oldest) = self.runs.first() {
            if oldest.saturating_add(horizon) >= now_unix_ns && self.runs.len() < RUNS_MAX {
                break;
            }
            self.runs.remove(&oldest);
            pending.half_runs_gone.push(oldest);
        }
        if !self.changed {
            return Ok(());
        }
        self.changed = false;
        if !self.fresh.is_empty() {
            pending.half_run = Some(self.run(now_unix_ns));
        }
        let waiting: Vec<Want> = self.parked.iter().copied().collect();
        let mut parked = Writer::default();
        parked.u32(u32::try_from(self.bodies_in_order.len()).unwrap_or(u32::MAX));
        self.bodies_in_order
            .iter()
            .for_each(|hash| parked.u64(*hash));
        parked.0.extend(self.encode(&[], &waiting));
        pending.parked = Some(parked.0);
        Ok(())
    }

    /// A run to be written now, when enough came for one. Its offers also stand in blobs that are not folded, so it
    /// does not matter whether it is written before a crash or not.
    pub(crate) fn full_run(&mut self, now_unix_ns: u64) -> Option<HalfRun> {
        (self.fresh.len() >= RUN_OFFERS).then(|| self.run(now_unix_ns))
    }

    fn run(&mut self, now_unix_ns: u64) -> HalfRun {
        let newest = self.runs.last().copied().unwrap_or_default();
        let run = now_unix_ns.max(newest + 1);
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_unstable_by_key(|offer| offer.key);
        let chunks = fresh
            .chunks(CHUNK_OFFERS)
            .filter_map(|chunk| Some((chunk.first()?.key, self.encode(chunk, &[]))))
            .collect();
        fresh.clear();
        self.fresh = fresh;
        self.runs.insert(run);
        HalfRun { run, chunks }
    }

    /// Halves with the names that they need.
    pub(super) fn encode(&self, offers: &[Offer], wants: &[Want]) -> Vec<u8> {
        let mut derived = Derived::default();
        let mut parties = FxHashMap::default();
        let mut targets = FxHashMap::default();
        let mut party = |at: u32| local(at, &self.parties, &mut parties, &mut derived.parties);
        let mut target = |at: u32| local(at, &self.targets, &mut targets, &mut derived.targets);
        derived.offers = offers
            .iter()
            .map(|offer| Offer {
                op: party(offer.op),
                call: target(offer.call),
                ..*offer
            })
            .collect();
        derived.wants = wants
            .iter()
            .map(|want| Want {
                subject: if want.is_request() {
                    party(want.subject)
                } else {
                    target(want.subject)
                },
                op: party(want.op),
                call: target(want.call),
                ..*want
            })
            .collect();
        let mut out = Writer::default();
        out.u8(VERSION);
        derived.encode_halves(&mut out);
        out.0
    }

    /// Takes up what the store holds: what waits, and the newest offers, for as long a time as is kept in memory.
    pub(crate) fn restore(&mut self, store: &dyn Store, now: Duration) -> Result<(), StoreError> {
        *self = Self::new(self.window_ns, self.within);
        let (runs, parked) = store.halves()?;
        self.runs = runs.into_iter().collect();
        // Nothing waits yet, so nothing is joined, and nothing is fresh afterwards: it is all on disk.
        let mut nothing = Corrections::default();
        let in_memory: Vec<u64> = self
            .runs
            .iter()
            .rev()
            .copied()
            .take(RUNS_IN_MEMORY)
            .collect();
        for run in in_memory.into_iter().rev() {
            for chunk in store.half_chunks(run)? {
                if let Some(chunk) = FoundChunk::read(&chunk) {
                    self.take_halves(&chunk.derived, now, &mut nothing);
                }
            }
        }
        if let Some(parked) = parked {
            let damaged = || StoreError::Failed("what waits to be joined cannot be read".into());
            let mut from = Reader(&parked);
            for _ in 0..from.u32().ok_or_else(damaged)? {
                let hash = from.u64().ok_or_else(damaged)?;
                self.remember_body(hash);
            }
            let waiting = FoundChunk::read(from.0).ok_or_else(damaged)?.derived;
            for want in self.wants_of(&waiting) {
                self.parked.park(want, now);
            }
        }
        self.restore_spilled(store)?;
        self.fresh.clear();
        self.changed = false;
        Ok(())
    }
}

fn local<T: Clone + Eq + std::hash::Hash>(
    at: u32,
    names: &Names<T>,
    index: &mut FxHashMap<u32, u32>,
    list: &mut Vec<T>,
) -> u32 {
    let Some(name) = names.get(at) else {
        return NONE;
    };
    *index.entry(at).or_insert_with(|| {
        list.push(name.clone());
        u32::try_from(list.len() - 1).unwrap_or(NONE)
    })
}
