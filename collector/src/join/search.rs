//! The search on disk for what did not come while it was waited for.
//!
//! The halves that waited for some seconds are looked for together, run by run, the newest first, a few runs at a time:
//! ingest never waits for more than those, however many runs there are. What comes meanwhile is joined in memory.

use std::time::Duration;

use super::{Corrections, Joiner, Offer};
use crate::otlp::derived::{Derived, Reader};
use crate::store::{FoldBatch, Store, StoreError};

/// Halves that are looked for together.
const TOGETHER_MAX: usize = 65_536;
/// Steps from one half on disk to the next before others have their turn.
const ROUNDS: usize = 4;
/// How long a half waits for what comes before it is looked for on disk.
const AFTER: Duration = Duration::from_secs(3);
/// Runs that are read at a time: at most 0.5 ms each.
const RUNS_AT_A_TIME: usize = 16;
/// Version of a stored chunk.
pub(super) const VERSION: u8 = 1;

/// How far a search has come.
#[derive(Default)]
pub(super) struct Search {
    /// Sorted.
    keys: Vec<u64>,
    /// Still to be read, the newest last.
    runs: Vec<u64>,
    /// True when something was found that may lead on to what is on disk too.
    found: bool,
    rounds: usize,
}

impl Joiner {
    /// True while runs are left to be read.
    pub(crate) fn is_searching(&self) -> bool {
        !self.search.runs.is_empty()
    }

    /// Goes on with the search for a few runs, or begins one.
    pub(crate) fn search(
        &mut self,
        store: &dyn Store,
        now: Duration,
        pending: &mut FoldBatch,
        rows_max: usize,
    ) -> Result<(), StoreError> {
        let mut corrections = Corrections::default();
        for _ in 0..RUNS_AT_A_TIME {
            if self.search.runs.is_empty() && !self.begin_search(now) {
                break;
            }
            let Some(run) = self.search.runs.pop() else {
                break;
            };
            for derived in found_in(store, run, &self.search.keys)? {
                self.search.found = true;
                self.take_halves(&derived, now, &mut corrections);
            }
        }
        self.apply(&corrections, pending, rows_max);
        Ok(())
    }

    /// False when nothing is to be looked for.
    fn begin_search(&mut self, now: Duration) -> bool {
        let leads_on = self.search.found && self.search.rounds < ROUNDS;
        let since_s = if leads_on {
            u32::MAX
        } else if now > AFTER && !self.runs.is_empty() {
            u32::try_from(now.saturating_sub(AFTER).as_secs()).unwrap_or(u32::MAX)
        } else {
            return false;
        };
        self.search = Search {
            keys: self.parked.unchecked(since_s, TOGETHER_MAX),
            rounds: if leads_on { self.search.rounds + 1 } else { 0 },
            ..Search::default()
        };
        if self.search.keys.is_empty() {
            return false;
        }
        self.search.runs = self.runs.iter().copied().collect();
        true
    }
}

/// The offers of these keys, which are sorted, in a run, with their names.
fn found_in(store: &dyn Store, run: u64, mut keys: &[u64]) -> Result<Vec<Derived>, StoreError> {
    let mut found = Vec::new();
    while let Some((&first, others)) = keys.split_first() {
        let chunk = store.half_chunk(run, first)?.map(|(_, bytes)| bytes);
        let bytes = chunk.as_deref().unwrap_or_default();
        let offers = Offers::find(bytes);
        // The chunk of the first key serves those that follow, as far as it reaches.
        let reaches = |key: &u64| offers.is_some_and(|offers| !offers.ends_before(*key));
        let served = 1 + others.iter().take_while(|key| reaches(key)).count();
        let (here, later) = keys.split_at(served);
        keys = later;
        let has = |key: &u64| offers.is_some_and(|offers| offers.has(*key));
        if here.iter().any(has)
            && let Some(chunk) = FoundChunk::read(bytes)
        {
            found.push(Derived {
                offers: here.iter().filter_map(|key| chunk.offer(*key)).collect(),
                parties: chunk.derived.parties,
                targets: chunk.derived.targets,
                ..Derived::default()
            });
        }
    }
    Ok(found)
}

/// The offers of a chunk where they stand: most chunks do not have what is looked for, and are not read further.
#[derive(Clone, Copy)]
struct Offers<'a>(&'a [[u8; Offer::BYTES]]);

impl<'a> Offers<'a> {
    fn find(chunk: &'a [u8]) -> Option<Self> {
        let (&version, rest) = chunk.split_first()?;
        let (offers, rest) = Derived::offers_of_halves(rest)?.as_chunks();
        (version == VERSION && rest.is_empty()).then_some(Self(offers))
    }

    fn key(offer: &[u8; Offer::BYTES]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *offer;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn ends_before(self, key: u64) -> bool {
        self.0.last().is_none_or(|last| Self::key(last) < key)
    }

    fn has(self, key: u64) -> bool {
        self.0.binary_search_by_key(&key, Self::key).is_ok()
    }
}

/// Reads what the store holds of halves: a chunk of a run.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn read_stored(bytes: &[u8]) {
    let offers = Offers::find(bytes);
    if let Some(chunk) = FoundChunk::read(bytes) {
        let offers = offers.unwrap_or(Offers(&[]));
        let is_sorted = chunk.derived.offers.is_sorted_by_key(|offer| offer.key);
        for offer in &chunk.derived.offers {
            let is_found = chunk.offer(offer.key).is_some();
            assert!(!is_sorted || (is_found && offers.has(offer.key)), "lost");
        }
    }
}

/// A chunk of a run, read.
pub(super) struct FoundChunk {
    pub(super) derived: Derived,
}

impl FoundChunk {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != VERSION {
            return None;
        }
        let derived = Derived::decode_halves(&mut from)?;
        Some(Self { derived })
    }

    fn offer(&self, key: u64) -> Option<Offer> {
        let offers = &self.derived.offers;
        let at = offers.binary_search_by_key(&key, |offer| offer.key).ok()?;
        offers.get(at).copied()
    }
}
