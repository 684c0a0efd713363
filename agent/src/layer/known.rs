//! Entrances that a thread has seen lately: found again by comparing texts, without a lock and without making
//! a name. The commonest are found by comparing addresses.

use std::cell::RefCell;
use std::hash::Hasher as _;
use std::ptr;

use rustc_hash::FxHasher;

use super::operation::{Asked, Template};
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

/// An entrance of requests that bring no hop, found by where its texts stand.
struct Lately {
    method: &'static str,
    /// Keeps the text where it is, so that no other can stand there.
    template: Template,
    entrance: RememberedEntrance,
}

/// How many of these a thread remembers: a power of two.
const LATELY_PLACES: usize = 16;

thread_local! {
    static KNOWN: RefCell<Vec<Option<Known>>> = const { RefCell::new(Vec::new()) };
    static LATELY: RefCell<[Option<Lately>; LATELY_PLACES]> =
        const { RefCell::new([const { None }; LATELY_PLACES]) };
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
    /// which also says whether it may be remembered. `template` is the route's, if it stays where it is.
    pub(super) fn entrance(
        &self,
        ledger: &Ledger,
        template: impl FnOnce() -> Option<Template>,
        find: impl FnOnce() -> (Entrance, bool),
    ) -> Entrance {
        if self.chain.is_some() || self.asked.is_grpc {
            return self.entrance_by_text(ledger, find);
        }
        let place = self.place_lately();
        let recall = |lately: &RefCell<[Option<Lately>; LATELY_PLACES]>| {
            let lately = lately.try_borrow().ok()?;
            let lately = lately[place].as_ref()?;
            let same = ptr::eq(lately.method, self.asked.method)
                && ptr::eq(lately.template.text(), self.asked.name);
            same.then(|| lately.entrance.recall(ledger)).flatten()
        };
        if let Ok(Some(entrance)) = LATELY.try_with(recall) {
            return entrance;
        }
        let entrance = self.entrance_by_text(ledger, find);
        if let Some(entrance) = entrance.remembered()
            && let Some(template) = template()
        {
            let lately = Lately {
                method: self.asked.method,
                template,
                entrance,
            };
            let _ = LATELY.try_with(|known| {
                if let Ok(mut known) = known.try_borrow_mut() {
                    known[place] = Some(lately);
                }
            });
        }
        entrance
    }

    fn place_lately(&self) -> usize {
        let method = self.asked.method.len();
        (self.asked.name.as_ptr().addr() / 16 + method) % LATELY_PLACES
    }

    fn entrance_by_text(
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
            let remembered = entrance.remember(generation);
            self.remember(hash, remembered);
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
