//! Entrances that a thread has seen lately: found again by comparing texts, without a lock and without making
//! a name.

use std::cell::RefCell;
use std::hash::Hasher as _;

use rustc_hash::FxHasher;

use super::operation::Asked;
use crate::bill::{Entrance, RememberedEntrance};
use crate::ledger::Ledger;
use crate::propagation::Chain;

/// How many entrances a thread remembers: a power of two.
const PLACES: usize = 128;
/// Longest texts of an entrance that is remembered, in bytes all together.
const TEXT_BYTES_MAX: usize = 1_024;

struct Known {
    hash: u64,
    method: &'static str,
    is_grpc: bool,
    name: Box<str>,
    hop: Box<str>,
    origin: Box<str>,
    entrance: RememberedEntrance,
}

thread_local! {
    static KNOWN: RefCell<Vec<Option<Known>>> = const { RefCell::new(Vec::new()) };
}

/// What a request has in common with others that enter where it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind<'a> {
    pub(super) asked: &'a Asked<'a>,
    /// The hop and the origin, if they are believed.
    pub(super) chain: Option<&'a Chain<'a>>,
}

impl Kind<'_> {
    fn texts(&self) -> [&str; 4] {
        let (hop, origin) = self.chain.map_or(("", ""), |c| (c.hop, c.origin));
        [self.asked.method, self.asked.name, hop, origin]
    }

    fn hash(&self) -> u64 {
        let mut hasher = FxHasher::default();
        for text in self.texts() {
            hasher.write(text.as_bytes());
            hasher.write_usize(text.len());
        }
        hasher.finish()
    }

    fn is(&self, known: &Known, hash: u64) -> bool {
        known.hash == hash
            && known.is_grpc == self.asked.is_grpc
            && [known.method, &known.name, &known.hop, &known.origin] == self.texts()
    }

    /// The entrance, if this thread knows it and its names were not forgotten; else looks it up with `find`,
    /// which also says whether it may be remembered.
    pub(super) fn entrance(
        &self,
        ledger: &Ledger,
        find: impl FnOnce() -> (Entrance, bool),
    ) -> Entrance {
        let hash = self.hash();
        let recall = |known: &RefCell<Vec<Option<Known>>>| {
            let known = known.try_borrow().ok()?;
            places(hash)
                .into_iter()
                .filter_map(|place| known.get(place)?.as_ref())
                .find(|known| self.is(known, hash))?
                .entrance
                .recall(ledger)
        };
        if let Ok(Some(entrance)) = KNOWN.try_with(recall) {
            return entrance;
        }
        let generation = ledger.names().generation();
        let (entrance, whole) = find();
        if whole {
            self.remember(hash, entrance.remember(generation));
        }
        entrance
    }

    #[cold]
    fn remember(&self, hash: u64, entrance: RememberedEntrance) {
        let [_, name, hop, origin] = self.texts();
        if name.len() + hop.len() + origin.len() > TEXT_BYTES_MAX {
            return;
        }
        let new = Known {
            hash,
            method: self.asked.method,
            is_grpc: self.asked.is_grpc,
            name: name.into(),
            hop: hop.into(),
            origin: origin.into(),
            entrance,
        };
        let _ = KNOWN.try_with(|known| {
            let Ok(mut known) = known.try_borrow_mut() else {
                return;
            };
            if known.is_empty() {
                known.resize_with(PLACES, || None);
            }
            // An outdated entrance of the same kind, an empty place, or either of the two.
            let [first, second] = places(hash);
            let taken = |place: usize| known.get(place).and_then(Option::as_ref);
            let place = if taken(first).is_some_and(|known| self.is(known, hash)) {
                first
            } else if taken(second).is_none_or(|known| self.is(known, hash)) || hash & 1 == 1 {
                second
            } else {
                first
            };
            if let Some(slot) = known.get_mut(place) {
                *slot = Some(new);
            }
        });
    }
}

/// Where an entrance may stand.
fn places(hash: u64) -> [usize; 2] {
    let first = (hash >> 32) as usize % PLACES;
    [first, first ^ 1]
}
