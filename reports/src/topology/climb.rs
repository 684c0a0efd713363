//! Many atoms: agglomeration, then moves, swaps and restarts. Deterministic by seed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::groups::{Groups, Sum};
use crate::rng::SplitMix64;

/// Unconnected groups that are tried beside the connected ones: the cheapest.
const COLD_TRIED: usize = 4;
/// Restarts from a disturbed best.
const RESTARTS: u32 = 4;
/// Groups of more atoms keep them: pricing such a group without each of its atoms takes too long.
const MOVED_FROM_MAX: usize = 256;
/// Restarts of systems of more than so many atoms: one.
const SMALL_MAX: usize = 200;
/// Rounds of moves at most, for each start.
const ROUNDS_MAX: u32 = 30;

/// A partition under change.
#[derive(Clone)]
pub(super) struct State {
    pub(super) group_of: Vec<usize>,
    members: BTreeMap<usize, BTreeSet<usize>>,
    sums: BTreeMap<usize, Sum>,
    pub(super) cost: f64,
}

impl State {
    pub(super) fn new(groups: &Groups<'_>, group_of: Vec<usize>) -> Option<Self> {
        let mut members: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (atom, group) in group_of.iter().enumerate() {
            members.entry(*group).or_default().insert(atom);
        }
        let mut sums = BTreeMap::new();
        let mut cost = 0.0;
        for (group, of) in &members {
            let sum = sum(groups, of, None);
            cost += groups.cost(&sum)?;
            sums.insert(*group, sum);
        }
        Some(Self {
            group_of,
            members,
            sums,
            cost,
        })
    }

    fn saved_with(&self, groups: &Groups<'_>, atom: usize, group: usize) -> f64 {
        groups.near[atom]
            .iter()
            .filter(|(other, _)| self.group_of[*other] == group && *other != atom)
            .map(|(_, saved)| saved)
            .sum()
    }

    /// Groups worth a try for an atom: where it calls, and the cheapest ones.
    fn around(&self, groups: &Groups<'_>, atom: usize, cold: &[usize]) -> BTreeSet<usize> {
        let mine = self.group_of[atom];
        groups.near[atom]
            .iter()
            .map(|(other, _)| self.group_of[*other])
            .chain(cold.iter().copied())
            .filter(|group| *group != mine && self.members.contains_key(group))
            .collect()
    }

    fn fits(&self, groups: &Groups<'_>, atom: usize, group: usize, without: Option<usize>) -> bool {
        self.members[&group]
            .iter()
            .filter(|m| Some(**m) != without)
            .all(|m| groups.may(*m, atom))
    }

    fn place(&mut self, groups: &Groups<'_>, atom: usize, to: usize) {
        let from = self.group_of[atom];
        if let Some(of) = self.members.get_mut(&from) {
            of.remove(&atom);
        }
        self.members.entry(to).or_default().insert(atom);
        self.group_of[atom] = to;
        for group in [from, to] {
            match self.members.get(&group).filter(|of| !of.is_empty()) {
                Some(of) => {
                    self.sums.insert(group, sum(groups, of, None));
                }
                None => {
                    self.members.remove(&group);
                    self.sums.remove(&group);
                }
            }
        }
    }

    fn free(&self) -> usize {
        self.members.keys().next_back().map_or(0, |last| last + 1)
    }
}

/// Sum of a group, without one of its atoms; calls inside counted by adjacency.
fn sum(groups: &Groups<'_>, members: &BTreeSet<usize>, without: Option<usize>) -> Sum {
    let mut sum = Sum::default();
    for atom in members.iter().filter(|m| Some(**m) != without) {
        let saved = groups.near[*atom]
            .iter()
            .filter(|(other, _)| other < atom && Some(*other) != without && members.contains(other))
            .map(|(_, saved)| saved)
            .sum();
        sum = sum.with(groups.sums[*atom], saved);
    }
    sum
}

#[derive(PartialEq)]
struct Offer {
    gain: f64,
    pair: (usize, usize),
    ages: (u32, u32),
}

impl Eq for Offer {}

impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Offer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain
            .total_cmp(&other.gain)
            .then_with(|| other.pair.cmp(&self.pair))
    }
}

/// Merges the pair of groups that saves most until none saves. Calls `on` after each merge.
pub(super) fn agglomerate(
    groups: &Groups<'_>,
    state: &mut State,
    steps_max: usize,
    mut on: impl FnMut(&State),
) {
    let mut near: BTreeMap<usize, BTreeMap<usize, f64>> = BTreeMap::new();
    for (atom, others) in groups.near.iter().enumerate() {
        let a = state.group_of[atom];
        for (other, saved) in others {
            let b = state.group_of[*other];
            if a != b {
                *near.entry(a).or_default().entry(b).or_insert(0.0) += saved;
            }
        }
    }
    let mut ages: BTreeMap<usize, u32> = state.members.keys().map(|g| (*g, 0)).collect();
    let mut heap = BinaryHeap::new();
    let offer = |state: &State,
                 near: &BTreeMap<usize, BTreeMap<usize, f64>>,
                 ages: &BTreeMap<usize, u32>,
                 a: usize,
                 b: usize|
     -> Option<Offer> {
        let (x, y) = (state.sums.get(&a)?, state.sums.get(&b)?);
        let saved = near.get(&a).and_then(|n| n.get(&b)).copied().unwrap_or(0.0);
        let gain = groups.cost(x)? + groups.cost(y)? - groups.cost(&x.with(*y, saved))?;
        (gain > 1e-15).then_some(Offer {
            gain,
            pair: (a.min(b), a.max(b)),
            ages: (ages[&a.min(b)], ages[&a.max(b)]),
        })
    };
    let all: Vec<usize> = state.members.keys().copied().collect();
    // Looked for anew now and then only: which few are the cheapest hardly matters.
    let mut coldest = cold(groups, state, usize::MAX);
    for a in &all {
        let connected: Vec<usize> = near
            .get(a)
            .into_iter()
            .flat_map(|n| n.keys().copied())
            .collect();
        for b in connected
            .into_iter()
            .filter(|b| b > a)
            .chain(coldest.iter().copied().filter(|b| b != a))
        {
            heap.extend(offer(state, &near, &ages, *a, b));
        }
    }
    let mut steps = 0_usize;
    while let Some(best) = heap.pop() {
        let (a, b) = best.pair;
        if ages.get(&a) != Some(&best.ages.0) || ages.get(&b) != Some(&best.ages.1) {
            continue;
        }
        if !state.members[&a]
            .iter()
            .all(|x| state.members[&b].iter().all(|y| groups.may(*x, *y)))
        {
            continue;
        }
        if steps >= steps_max {
            break;
        }
        steps += 1;
        let saved = near.get(&a).and_then(|n| n.get(&b)).copied().unwrap_or(0.0);
        let merged = state.sums[&a].with(state.sums[&b], saved);
        let gone = state.members.remove(&b).unwrap_or_default();
        state.sums.remove(&b);
        ages.remove(&b);
        gone.iter().for_each(|atom| state.group_of[*atom] = a);
        state.members.entry(a).or_default().extend(gone);
        state.sums.insert(a, merged);
        state.cost -= best.gain;
        *ages.entry(a).or_insert(0) += 1;
        for (other, saved) in near.remove(&b).unwrap_or_default() {
            if let Some(of) = near.get_mut(&other) {
                of.remove(&b);
                if other != a {
                    *of.entry(a).or_insert(0.0) += saved;
                }
            }
            if other != a {
                *near.entry(a).or_default().entry(other).or_insert(0.0) += saved;
            }
        }
        on(state);
        if steps.is_multiple_of(16) || state.sums.len() <= 64 {
            coldest = cold(groups, state, usize::MAX);
        }
        let connected: Vec<usize> = near
            .get(&a)
            .into_iter()
            .flat_map(|n| n.keys().copied())
            .collect();
        for other in connected
            .into_iter()
            .chain(coldest.iter().copied().filter(|b| *b != a))
        {
            heap.extend(offer(state, &near, &ages, a, other));
        }
    }
}

/// The cheapest other groups: what merging cold services brings is one base, whoever the partner is.
fn cold(groups: &Groups<'_>, state: &State, but: usize) -> Vec<usize> {
    let mut cheapest: Vec<(f64, usize)> = Vec::with_capacity(COLD_TRIED + 1);
    for (group, sum) in &state.sums {
        if *group == but {
            continue;
        }
        let Some(cost) = groups.cost(sum) else {
            continue;
        };
        let at = cheapest
            .partition_point(|(c, g)| c.total_cmp(&cost).then(g.cmp(group)) == Ordering::Less);
        if at < COLD_TRIED {
            cheapest.insert(at, (cost, *group));
            cheapest.truncate(COLD_TRIED);
        }
    }
    cheapest.into_iter().map(|(_, group)| group).collect()
}

/// Moves single atoms, alone or in exchange, while that saves.
pub(super) fn improve(groups: &Groups<'_>, state: &mut State) -> u64 {
    let mut tried = 0;
    for _ in 0..ROUNDS_MAX {
        let mut better = false;
        let cold = cold(groups, state, usize::MAX);
        for atom in 0..state.group_of.len() {
            let (moved, tries) = move_atom(groups, state, atom, &cold);
            tried += tries;
            better |= moved || swap_atom(groups, state, atom, &mut tried);
        }
        if !better {
            break;
        }
    }
    tried
}

fn move_atom(groups: &Groups<'_>, state: &mut State, atom: usize, cold: &[usize]) -> (bool, u64) {
    let from = state.group_of[atom];
    let alone = state.members[&from].len() == 1;
    if state.members[&from].len() > MOVED_FROM_MAX {
        return (false, 0);
    }
    let (Some(was), Some(left)) = (
        groups.cost(&state.sums[&from]),
        groups.cost(&sum(groups, &state.members[&from], Some(atom))),
    ) else {
        return (false, 0);
    };
    let mut best: Option<(f64, usize)> = None;
    let mut tries = 0;
    let mut consider = |gain: f64, to: usize| {
        if gain > 1e-12 && best.is_none_or(|(most, _)| gain > most) {
            best = Some((gain, to));
        }
    };
    for to in state.around(groups, atom, cold) {
        if !state.fits(groups, atom, to, None) {
            continue;
        }
        tries += 1;
        let into = state.sums[&to].with(groups.sums[atom], state.saved_with(groups, atom, to));
        if let Some((before, after)) = groups.cost(&state.sums[&to]).zip(groups.cost(&into)) {
            consider(was + before - left - after, to);
        }
    }
    if !alone && let Some(single) = groups.cost(&groups.sums[atom]) {
        tries += 1;
        consider(was - left - single, state.free());
    }
    if let Some((gain, to)) = best {
        state.place(groups, atom, to);
        state.cost -= gain;
    }
    (best.is_some(), tries)
}

/// Exchanges an atom with one of a group that it calls.
fn swap_atom(groups: &Groups<'_>, state: &mut State, atom: usize, tried: &mut u64) -> bool {
    let from = state.group_of[atom];
    if !(2..=64).contains(&state.members[&from].len()) {
        return false;
    }
    for to in state.around(groups, atom, &[]) {
        if state.members[&to].len() > 64 {
            continue;
        }
        for other in state.members[&to].clone() {
            if !state.fits(groups, atom, to, Some(other))
                || !state.fits(groups, other, from, Some(atom))
            {
                continue;
            }
            *tried += 1;
            let mut a = state.members[&from].clone();
            let mut b = state.members[&to].clone();
            a.remove(&atom);
            a.insert(other);
            b.remove(&other);
            b.insert(atom);
            let now = groups
                .cost(&state.sums[&from])
                .zip(groups.cost(&state.sums[&to]));
            let then = groups
                .cost(&sum(groups, &a, None))
                .zip(groups.cost(&sum(groups, &b, None)));
            if let (Some((x, y)), Some((v, w))) = (now, then)
                && x + y - v - w > 1e-12
            {
                state.place(groups, atom, to);
                state.place(groups, other, from);
                state.cost -= x + y - v - w;
                return true;
            }
        }
    }
    false
}

/// The cheapest partition found, and how many changes were tried. `starts` are partitions to begin with.
pub(super) fn search(
    groups: &Groups<'_>,
    starts: Vec<State>,
    seed: u64,
    mut on: impl FnMut(&State),
) -> Option<(State, u64)> {
    let mut best: Option<State> = None;
    let mut tried = 0;
    let mut keep = |state: State| {
        if best.as_ref().is_none_or(|b| state.cost < b.cost - 1e-12) {
            best = Some(state);
        }
    };
    for mut state in starts {
        tried += improve(groups, &mut state);
        on(&state);
        keep(state.clone());
        agglomerate(groups, &mut state, usize::MAX, &mut on);
        tried += improve(groups, &mut state);
        on(&state);
        keep(state);
    }
    let mut rng = SplitMix64::new(seed);
    let atoms = u32::try_from(groups.atoms.len()).unwrap_or(u32::MAX);
    let restarts = if groups.atoms.len() > SMALL_MAX {
        1
    } else {
        RESTARTS
    };
    for _ in 0..restarts {
        let Some(mut state) = best.clone() else { break };
        // A tenth of the atoms go on their own.
        for _ in 0..(atoms / 10).max(2) {
            let atom = rng.below(atoms) as usize;
            let to = state.free();
            state.place(groups, atom, to);
        }
        let Some(mut state) = State::new(groups, state.group_of) else {
            continue;
        };
        agglomerate(groups, &mut state, usize::MAX, |_| {});
        tried += improve(groups, &mut state);
        if best.as_ref().is_none_or(|b| state.cost < b.cost - 1e-12) {
            on(&state);
            best = Some(state);
        }
    }
    best.map(|best| (best, tried))
}
