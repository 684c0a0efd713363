//! Joins the halves of calls: a request with the span that caused it, a call with the request around it, and both
//! with the request at which their trace began.
//!
//! Rows stand as soon as a span has come, with what is known by then; what a join adds is a correction: the row is
//! taken back where it was not known better, and added where it is. Corrections are sums like everything else, so
//! halves may come in any order and as late as they are kept.
//!
//! Offers (every span, 33 bytes) are in memory for three generations and on disk, in runs sorted by key, from a moment
//! after they came for as long as a half may wait for the other. What waits is in memory and written with every fold, in the transaction
//! that writes its rows, so that a restart neither forgets nor repeats a join; what is too much for memory waits on disk.

mod halves;
mod parked;
mod runs;
mod search;
mod spilled;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use weighbridge_wire::{OTHER, ServiceId, Window};

use crate::otlp::derived::{Derived, NONE, Party, Target};
use crate::otlp::rows::{self, Figures};
use crate::store::FoldBatch;

pub(crate) use halves::{Offer, Want, key_of, root_key_of};
use parked::Parked;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use search::read_stored;

/// Longest time that halves may be kept: what the runs of offers hold where each fold writes one.
pub(crate) const WITHIN_MAX: Duration = Duration::from_secs(3_600);
/// Shortest: some folds.
pub(crate) const WITHIN_MIN: Duration = Duration::from_secs(10);
/// Offers of one generation in memory: what a hash table of 2^18 places holds.
const GENERATION_OFFERS_MAX: usize = 229_376;
/// Generations in memory. With three of them it reaches back over two full ones at least.
const GENERATIONS: usize = 3;
/// How long a generation takes in offers, so that memory reaches back at least twice so far, unless it is full.
const GENERATION: Duration = Duration::from_secs(10);
/// Operations, and calls and statements, that are known by name; further ones join as `__other__` or not at all.
const NAMES_MAX: usize = 65_536;
/// Bodies that are known again.
const BODIES_MAX: usize = 16_384;
/// Steps from one span to the next that one half may take.
const STEPS_MAX: usize = 64;

/// An offer without its key, 24 bytes: where it leads on by `via`, its own operation does not matter.
#[derive(Clone, Copy, Debug)]
struct Known {
    via_or_op: u64,
    end_unix_ns: u64,
    call: u32,
    is_via: bool,
    kind: u8,
}

impl Known {
    fn new(offer: &Offer) -> Self {
        let is_via = offer.via != 0 && (offer.op == NONE || offer.kind == Offer::ROOT);
        Self {
            via_or_op: if is_via {
                offer.via
            } else {
                u64::from(offer.op)
            },
            end_unix_ns: offer.end_unix_ns,
            call: offer.call,
            is_via,
            kind: offer.kind,
        }
    }

    /// The span through which its operation is found.
    fn via(&self) -> Option<u64> {
        self.is_via.then_some(self.via_or_op)
    }

    /// The request that it is, or that it is part of; `NONE` when that is to be found, or there is none.
    fn op(&self) -> u32 {
        match u32::try_from(self.via_or_op) {
            Ok(op) if !self.is_via => op,
            _ => NONE,
        }
    }
}

/// A row that a join corrects, by what stands in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Row {
    Request {
        own: u32,
        caller: u32,
        origin: u32,
    },
    Answered {
        own: u32,
        caller: u32,
        origin: u32,
        call: u32,
    },
    Called {
        target: u32,
        op: u32,
        origin: u32,
    },
}

/// Corrections of one step of work.
type Corrections = FxHashMap<(Row, u32), Figures>;

/// What the joiner did since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Halves that found the other.
    pub(crate) joined: u64,
    /// What came to nothing, by tenant.
    pub(crate) failed: BTreeMap<Arc<str>, Failed>,
}

/// Of one tenant, what came to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failed {
    /// Halves that waited as long as they may.
    pub(crate) unjoined: u64,
    /// Halves that had to go because too many waited on disk.
    pub(crate) given_up: u64,
    /// Halves whose names found no place.
    pub(crate) unnamed: u64,
    /// Ends of calls that contradict each other's clocks.
    pub(crate) skewed: u64,
}

struct Names<T> {
    index: FxHashMap<T, u32>,
    list: Vec<T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            index: FxHashMap::default(),
            list: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Names<T> {
    fn of(&mut self, item: &T) -> Option<u32> {
        if let Some(&known) = self.index.get(item) {
            return Some(known);
        }
        if self.list.len() >= NAMES_MAX {
            return None;
        }
        let at = u32::try_from(self.list.len()).ok()?;
        self.list.push(item.clone());
        self.index.insert(item.clone(), at);
        Some(at)
    }

    fn get(&self, at: u32) -> Option<&T> {
        self.list.get(at as usize)
    }
}

/// An index among other names.
fn at(names: &[u32], index: u32) -> u32 {
    names.get(index as usize).copied().unwrap_or(NONE)
}

/// The same half with other indices of its names.
fn renamed(want: &Want, parties: &[u32], targets: &[u32]) -> Want {
    let subjects = if want.is_request() { parties } else { targets };
    Want {
        subject: at(subjects, want.subject),
        op: at(parties, want.op),
        call: at(targets, want.call),
        ..*want
    }
}

/// Whose a half is, by its names.
fn tenant_of<'a>(want: &Want, parties: &'a [Party], targets: &'a [Target]) -> &'a str {
    let subject = want.subject as usize;
    let service = if want.is_request() {
        parties.get(subject).map(|party| &party.service)
    } else {
        targets.get(subject).map(rows::service_of)
    };
    service.map_or("", |service| &service.tenant)
}

/// See the module.
pub(crate) struct Joiner {
    window_ns: u64,
    /// How long a half waits for the other.
    within: Duration,
    parties: Names<Party>,
    targets: Names<Target>,
    /// The youngest first.
    generations: [FxHashMap<u64, Known>; GENERATIONS],
    young_since: Duration,
    parked: Parked,
    spilled: spilled::Spilled,
    /// Came since the last run was written; sorted and written as the next.
    fresh: Vec<Offer>,
    bodies: FxHashSet<u64>,
    bodies_in_order: VecDeque<u64>,
    /// On disk.
    runs: BTreeSet<u64>,
    search: search::Search,
    counts: Counts,
    changed: bool,
}

impl Joiner {
    pub(crate) fn new(window_ns: u64, within: Duration) -> Self {
        Self {
            window_ns: window_ns.max(1),
            within,
            parties: Names::default(),
            targets: Names::default(),
            generations: Default::default(),
            young_since: Duration::ZERO,
            parked: Parked::default(),
            spilled: spilled::Spilled::default(),
            fresh: Vec::new(),
            bodies: FxHashSet::default(),
            bodies_in_order: VecDeque::new(),
            runs: BTreeSet::new(),
            search: search::Search::default(),
            counts: Counts::default(),
            changed: false,
        }
    }

    /// True when a span of this kind with this key is in memory.
    pub(crate) fn has(&self, key: u64, kind: u8) -> bool {
        self.find(key).is_some_and(|known| known.kind == kind)
    }

    /// True when one of the spans of a request is in memory: it, or a part of it, came before.
    pub(crate) fn has_any(&self, derived: &Derived) -> bool {
        derived
            .offers
            .iter()
            .any(|offer| offer.kind != Offer::ROOT && self.has(offer.key, offer.kind))
    }

    /// True when this very body is remembered.
    pub(crate) fn has_body(&self, hash: u64) -> bool {
        hash != 0 && self.bodies.contains(&hash)
    }

    fn remember_body(&mut self, hash: u64) {
        if hash == 0 || !self.bodies.insert(hash) {
            return;
        }
        self.bodies_in_order.push_back(hash);
        if self.bodies_in_order.len() > BODIES_MAX
            && let Some(oldest) = self.bodies_in_order.pop_front()
        {
            self.bodies.remove(&oldest);
        }
    }

    #[inline]
    fn find(&self, key: u64) -> Option<Known> {
        self.generations.iter().find_map(|of| of.get(&key)).copied()
    }

    /// Takes a request's halves in, and adds its rows and the corrections of all joins to `pending`. Returns how
    /// many rows had to be folded into `__other__` or cut.
    pub(crate) fn take(
        &mut self,
        derived: &Derived,
        now: Duration,
        pending: &mut FoldBatch,
        rows_max: usize,
    ) -> u64 {
        let mut cut = 0;
        for (window, service, rows) in &derived.windows {
            let into = pending
                .windows
                .entry((*window, (**service).clone()))
                .or_default();
            cut += crate::fold::merge(into, rows, rows_max);
        }
        self.remember_body(derived.body_hash);
        self.changed = true;
        let mut corrections = Corrections::default();
        self.take_halves(derived, now, &mut corrections);
        cut + self.apply(&corrections, pending, rows_max)
    }

    fn take_halves(&mut self, derived: &Derived, now: Duration, out: &mut Corrections) {
        let (parties, targets) = self.names_of(derived);
        let mut woken = Vec::new();
        for offer in &derived.offers {
            let offer = Offer {
                op: at(&parties, offer.op),
                call: at(&targets, offer.call),
                ..*offer
            };
            self.insert(offer, now);
            self.parked.take(offer.key, &mut woken);
        }
        for want in &derived.wants {
            let ours = renamed(want, &parties, &targets);
            if ours.subject == NONE {
                let tenant = tenant_of(want, &derived.parties, &derived.targets);
                let failed = self.counts.failed.entry(tenant.into()).or_default();
                failed.unnamed += 1;
            } else {
                woken.push(ours);
            }
        }
        while let Some(want) = woken.pop() {
            self.advance(want, now, out, &mut woken);
        }
        self.changed |= !derived.offers.is_empty();
    }

    /// What waits, with our indices of its names.
    fn wants_of(&mut self, halves: &Derived) -> Vec<Want> {
        let (parties, targets) = self.names_of(halves);
        let ours = |want| renamed(want, &parties, &targets);
        halves.wants.iter().map(ours).collect()
    }

    /// Indices of a request's names in ours.
    fn names_of(&mut self, derived: &Derived) -> (Vec<u32>, Vec<u32>) {
        let parties = derived
            .parties
            .iter()
            .map(|party| self.party(party))
            .collect();
        let targets = derived
            .targets
            .iter()
            .map(|target| self.targets.of(target).unwrap_or(NONE))
            .collect();
        (parties, targets)
    }

    fn party(&mut self, party: &Party) -> u32 {
        self.parties.of(party).unwrap_or_else(|| {
            // The names of the services themselves fit, or nothing does.
            let other = Party {
                service: party.service.clone(),
                operation: OTHER.into(),
            };
            self.parties.index.get(&other).copied().unwrap_or(NONE)
        })
    }

    fn insert(&mut self, offer: Offer, now: Duration) {
        let is_full = self.generations[0].len() >= GENERATION_OFFERS_MAX;
        if is_full || now.saturating_sub(self.young_since) > GENERATION {
            // The oldest becomes the youngest; its memory is used again.
            self.generations.rotate_right(1);
            self.generations[0].clear();
            self.young_since = now;
        }
        let known = Known::new(&offer);
        if let std::collections::hash_map::Entry::Vacant(place) =
            self.generations[0].entry(offer.key)
        {
            place.insert(known);
            self.fresh.push(offer);
        }
    }

    /// Moves a half on as far as what is known goes, and parks it there unless it is done.
    fn advance(
        &mut self,
        mut want: Want,
        now: Duration,
        out: &mut Corrections,
        woken: &mut Vec<Want>,
    ) {
        for _ in 0..STEPS_MAX {
            let Some(known) = self.find(want.key) else {
                self.parked.park(want, now);
                self.changed = true;
                return;
            };
            match self.step(want, known, now, out, woken) {
                Some(next) => want = next,
                None => {
                    self.counts.joined += 1;
                    self.changed = true;
                    return;
                }
            }
        }
        self.failed(&want).unjoined += 1;
    }

    /// Whose a half with our indices is.
    fn tenant_of(&self, want: &Want) -> &str {
        tenant_of(want, &self.parties.list, &self.targets.list)
    }

    /// Where it is counted that a half comes to nothing.
    fn failed(&mut self, want: &Want) -> &mut Failed {
        let tenant = self.tenant_of(want).into();
        self.counts.failed.entry(tenant).or_default()
    }

    /// One step; `None` when nothing is left to find.
    fn step(
        &mut self,
        mut want: Want,
        known: Known,
        now: Duration,
        out: &mut Corrections,
        woken: &mut Vec<Want>,
    ) -> Option<Want> {
        let window_s = want.window_s;
        let mut correct = |row: Row, figures: &Figures| {
            out.entry((row, window_s)).or_default().add(figures);
        };
        let figures = self.figures(&want);
        if want.is_at_root()
            && let Some(via) = known.via()
        {
            want.key = via;
            return Some(want);
        }
        if want.is_at_root() {
            let (subject, op, call, origin) = (want.subject, want.op, want.call, known.op());
            if want.is_request() {
                if origin == NONE || origin == subject {
                    return None;
                }
                let request = |origin| Row::Request {
                    own: subject,
                    caller: op,
                    origin,
                };
                if !want.is_further() {
                    correct(request(subject), &figures.minus());
                    correct(request(origin), &figures);
                }
                if call != NONE {
                    let answered = |origin| Row::Answered {
                        own: subject,
                        caller: op,
                        origin,
                        call,
                    };
                    correct(answered(subject), &figures.minus());
                    correct(answered(origin), &figures);
                }
            } else if origin != NONE && origin != op {
                let called = |origin| Row::Called {
                    target: subject,
                    op,
                    origin,
                };
                correct(called(op), &figures.minus());
                correct(called(origin), &figures);
            }
            return None;
        }
        if want.is_request() && want.call == NONE && known.call != NONE {
            want.call = known.call;
            want = self.compare_clocks(want, known);
        }
        if let Some(via) = known.via() {
            want.key = via;
            return Some(want);
        }
        let figures = self.figures(&want);
        if !want.is_request() {
            if known.op() == NONE {
                return None;
            }
            let called = |op| Row::Called {
                target: want.subject,
                op,
                origin: op,
            };
            correct(called(NONE), &figures.minus());
            correct(called(known.op()), &figures);
            want.op = known.op();
            return (!want.is_entity()).then(|| want.at_root());
        }
        let own = want.subject;
        let caller = self.caller(known.op(), want.call);
        let request = |caller| Row::Request {
            own,
            caller,
            origin: own,
        };
        if !want.is_further() {
            correct(request(NONE), &figures.minus());
            correct(request(caller), &figures);
        }
        if want.call != NONE {
            correct(
                Row::Answered {
                    own,
                    caller,
                    origin: own,
                    call: want.call,
                },
                &figures,
            );
        }
        if known.op() == NONE {
            // Nothing called the caller: the chain begins here.
            let root = Offer {
                key: want.root,
                via: 0,
                end_unix_ns: 0,
                op: own,
                call: NONE,
                kind: Offer::ROOT,
            };
            if self.find(want.root).is_none() {
                self.insert(root, now);
                self.parked.take(want.root, woken);
            }
            return None;
        }
        want.op = caller;
        Some(want.at_root())
    }

    fn figures(&self, want: &Want) -> Figures {
        let mut figures = want.figures();
        let is_async = matches!(
            self.targets.get(want.call),
            Some(Target::Call { is_async: true, .. })
        );
        if want.is_request() && is_async {
            // Since the clocks were compared, this is the lag.
            figures.lag_ns = i64::try_from(want.start_unix_ns).unwrap_or(i64::MAX);
        }
        figures
    }

    /// Both ends of a call are known: what contradicts itself is clamped and counted.
    fn compare_clocks(&mut self, mut want: Want, known: Known) -> Want {
        let is_async = matches!(
            self.targets.get(want.call),
            Some(Target::Call { is_async: true, .. })
        );
        let is_skewed = if is_async {
            want.start_unix_ns < known.end_unix_ns
        } else {
            // The answer was there before it was given.
            known.end_unix_ns < want.start_unix_ns.saturating_add(want.wall_ns)
        };
        if is_async {
            want.start_unix_ns = want.start_unix_ns.saturating_sub(known.end_unix_ns);
        }
        if is_skewed && !want.is_skewed() {
            self.failed(&want).skewed += 1;
            want = want.skewed();
        }
        want
    }

    /// The caller's operation; of a call that no request is around, its service alone.
    fn caller(&mut self, op: u32, call: u32) -> u32 {
        if op != NONE {
            return op;
        }
        match self.targets.get(call).map(rows::service_of) {
            Some(service) => {
                let party = Party {
                    service: service.clone(),
                    operation: "".into(),
                };
                self.party(&party)
            }
            None => NONE,
        }
    }

    fn apply(&self, corrections: &Corrections, pending: &mut FoldBatch, rows_max: usize) -> u64 {
        let mut cut = 0;
        for (&(row, window_s), figures) in corrections {
            if *figures == Figures::default() {
                continue;
            }
            let party = |at: u32| self.parties.get(at);
            let made: Option<(&Arc<ServiceId>, _)> = match row {
                Row::Request {
                    own,
                    caller,
                    origin,
                } => party(own).map(|own| {
                    let row = rows::request(own, party(caller), party(origin), figures);
                    (&own.service, row)
                }),
                Row::Answered {
                    own,
                    caller,
                    origin,
                    call,
                } => party(own)
                    .zip(self.targets.get(call))
                    .and_then(|(own, call)| {
                        let row = rows::answered(own, party(caller), party(origin), call, figures);
                        Some((&own.service, row?))
                    }),
                Row::Called { target, op, origin } => self.targets.get(target).map(|target| {
                    let row = rows::called(target, party(op), party(origin), figures);
                    (rows::service_of(target), row)
                }),
            };
            let Some((service, (key, value))) = made else {
                continue;
            };
            let start_unix_ns = u64::from(window_s) * 1_000_000_000;
            let window = Window {
                start_unix_ns,
                end_unix_ns: start_unix_ns.saturating_add(self.window_ns),
            };
            let place = (window, (**service).clone());
            let into = pending.windows.entry(place.clone()).or_default();
            cut += crate::fold::merge(into, &[(key, value)].into_iter().collect(), rows_max);
            pending.corrected.insert(place);
        }
        cut
    }

    /// What was counted since the last call.
    pub(crate) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// True when anything ever came, as far as is remembered.
    pub(crate) fn is_used(&self) -> bool {
        !self.bodies_in_order.is_empty()
    }

    /// Halves that wait, in memory and on disk.
    pub(crate) fn waiting(&self) -> u64 {
        self.parked.len() as u64 + self.spilled.len()
    }
}
