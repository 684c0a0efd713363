//! Who deserves a place in a table that is full: those that cost most.
//!
//! What is folded into `__other__` is weighed in a sketch of fixed size (Space-Saving: a newcomer takes over the
//! place and the weight of the lightest, and how much of its weight may be another's is remembered). At the end
//! of a window a newcomer that is heavy beyond doubt gets a place that is free, before the next name that comes takes
//! it, or that of the lightest entry, if it weighs twice as much. That entry is not found any more from then on, and
//! is forgotten as soon as no request holds it. Weights are halved with each window, so that the past fades. Nothing
//! here moves a cost: it stays where it was booked.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;

use weighbridge_wire::OTHER;

use super::edges::{EDGES, ENTITIES};
use super::table::{Entry, Table};
use super::{Names, OperationName, OperationRow, Place, Resolved, cut};
use crate::sync::{lock, read, write};

/// Newcomers that are weighed, by table.
const CANDIDATES_MAX: usize = 128;
/// What a request, a message or a statement weighs besides its CPU, in ns: many cheap ones are worth a name too.
const REQUEST_WEIGHT_NS: u64 = 1_000;
/// A newcomer must weigh this many times as much as the entry whose place it takes, or they would take turns.
const FACTOR: u64 = 2;

/// A newcomer with its weight, part of which may be that of others.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    hash: u64,
    weight: u64,
    doubt: u64,
}

impl Candidate {
    fn certain(&self) -> u64 {
        self.weight.saturating_sub(self.doubt)
    }
}

/// The Space-Saving sketch of one table.
#[derive(Debug, Default)]
struct Sketch {
    candidates: Vec<Candidate>,
    total: u64,
}

impl Sketch {
    fn add(&mut self, hash: u64, weight: u64) {
        self.total = self.total.saturating_add(weight);
        if let Some(known) = self.candidates.iter_mut().find(|it| it.hash == hash) {
            known.weight = known.weight.saturating_add(weight);
            return;
        }
        let new = |doubt: u64| Candidate {
            hash,
            weight: weight.saturating_add(doubt),
            doubt,
        };
        if self.candidates.len() < CANDIDATES_MAX {
            self.candidates.push(new(0));
        } else if let Some(lightest) = self.candidates.iter_mut().min_by_key(|it| it.weight) {
            *lightest = new(lightest.weight);
        }
    }

    fn fade(&mut self) {
        self.total /= 2;
        for candidate in &mut self.candidates {
            candidate.weight /= 2;
            candidate.doubt /= 2;
        }
        self.candidates.retain(|it| it.weight > 0);
    }
}

/// One table's newcomers, and what its entries weigh.
#[derive(Debug, Default)]
struct Scales {
    sketch: Sketch,
    weights: HashMap<u32, u64>,
    /// Newcomers for which a place was made and that have not come since.
    reserved: HashSet<u64>,
}

impl Scales {
    /// Weighs the entries, and retires the lightest for newcomers that are heavier. Returns how many.
    fn renew<T: Entry>(
        &mut self,
        table: &mut Table<T>,
        max: usize,
        costs: &HashMap<u32, u64>,
        may_go: impl Fn(&T) -> bool,
    ) -> usize {
        let mut light = Vec::new();
        let mut weights = HashMap::with_capacity(table.len());
        let mut total = self.sketch.total;
        for (id, entry) in table.live() {
            let cost = costs.get(&id).copied().unwrap_or(0);
            let before = self.weights.get(&id);
            let weight = before.map_or(0, |weight| weight / 2).saturating_add(cost);
            weights.insert(id, weight);
            total = total.saturating_add(weight);
            // Who came in this window had no whole window to show what it costs.
            if before.is_some() && !entry.is_fixed() && may_go(entry) {
                light.push((weight, id));
            }
        }
        self.weights = weights;
        let mut retired = 0;
        // Places made for newcomers that did not come are open again.
        self.reserved.clear();
        light.sort_unstable();
        let mut light = light.into_iter();
        let mut heavy = self.sketch.candidates.clone();
        heavy.sort_unstable_by_key(|it| std::cmp::Reverse(it.certain()));
        // A fair share: below it, a name is one of the many, however light the lightest entry is.
        let fair = total / (4 * u64::try_from(max).unwrap_or(u64::MAX).max(1));
        // What was forgotten makes places, which the next ones to come would take.
        let mut open = max.saturating_sub(table.len());
        for newcomer in heavy.iter().take((max / 8).max(1)) {
            if newcomer.certain() <= fair {
                break;
            }
            if open > 0 {
                open -= 1;
            } else {
                let lighter =
                    |(weight, _): &(u64, u32)| newcomer.certain() > weight.saturating_mul(FACTOR);
                let Some((_, id)) = light.next().filter(lighter) else {
                    break;
                };
                table.retire(id);
                retired += 1;
            }
            self.reserved.insert(newcomer.hash);
            self.sketch.candidates.retain(|it| it.hash != newcomer.hash);
        }
        self.sketch.fade();
        retired
    }
}

/// What is weighed of all tables that fold.
#[derive(Debug, Default)]
pub(super) struct Heavy {
    operations: Scales,
    callers: Scales,
    origins: Scales,
    rows: Scales,
    edges: Scales,
    entities: Scales,
}

/// Which table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Operations,
    Callers,
    Origins,
    Rows,
    Edges,
    Entities,
}

impl Heavy {
    /// Places that were made under other limits are not given.
    pub(super) fn give_up_places(&mut self) {
        for which in [
            Which::Operations,
            Which::Callers,
            Which::Origins,
            Which::Rows,
            Which::Edges,
            Which::Entities,
        ] {
            self.scales(which).reserved.clear();
        }
    }

    fn scales(&mut self, which: Which) -> &mut Scales {
        match which {
            Which::Operations => &mut self.operations,
            Which::Callers => &mut self.callers,
            Which::Origins => &mut self.origins,
            Which::Rows => &mut self.rows,
            Which::Edges => &mut self.edges,
            Which::Entities => &mut self.entities,
        }
    }
}

/// The names under which somebody asked for a place and got none. What it cost weighs for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    operation: Option<u64>,
    caller: Option<u64>,
    origin: Option<u64>,
    row: Option<u64>,
    edge: Option<u64>,
    entity: Option<u64>,
}

impl Wanted {
    pub(super) fn edge(hash: u64) -> Self {
        Self {
            edge: Some(hash),
            ..Self::default()
        }
    }

    pub(super) fn entity(hash: u64) -> Self {
        Self {
            entity: Some(hash),
            ..Self::default()
        }
    }

    /// The edge, which weighs by what it cost itself, and the rest.
    pub(crate) fn split_edge(mut self) -> (Option<Self>, Self) {
        let edge = self.edge.take().map(Self::edge);
        (edge, self)
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            operation: self.operation.or(other.operation),
            caller: self.caller.or(other.caller),
            origin: self.origin.or(other.origin),
            row: self.row.or(other.row),
            edge: self.edge.or(other.edge),
            entity: self.entity.or(other.entity),
        }
    }
}

/// What rows cost: CPU in ns, and requests, messages or statements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    pub(crate) cpu_ns: i64,
    pub(crate) times: i64,
}

impl Weight {
    fn sum(self) -> u64 {
        let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
        let times = unsigned(self.times).saturating_mul(REQUEST_WEIGHT_NS);
        unsigned(self.cpu_ns).saturating_add(times)
    }
}

/// The names under which a request came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) component: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) caller: Option<(&'a str, &'a str)>,
    pub(crate) origin: Option<(&'a str, &'a str)>,
}

impl Names {
    /// True when this many entries leave no place for another under this hash. A place that was made for it is
    /// taken by asking.
    pub(super) fn is_full(&self, which: Which, hash: u64, len: usize, max: usize) -> bool {
        // At most so many places are made at once.
        if len + CANDIDATES_MAX < max {
            return false;
        }
        let mut heavy = lock(&self.heavy);
        let reserved = &mut heavy.scales(which).reserved;
        if reserved.remove(&hash) {
            return false;
        }
        len + reserved.len() >= max
    }

    /// True when a place was made for this hash that it has not taken yet.
    pub(super) fn is_reserved(&self, which: Which, hash: u64) -> bool {
        lock(&self.heavy).scales(which).reserved.contains(&hash)
    }

    /// What of these names was folded into the row. `None` when nothing was: the usual case, decided by looking
    /// at the row alone.
    pub(crate) fn wanted(&self, asked: Asked<'_>, row: &OperationRow) -> Option<Box<Wanted>> {
        let is_other = |name: &str| name == OTHER;
        let folded_operation = is_other(&row.name.operation) && !is_other(asked.operation);
        let folded = |place: &Place, asked: Option<(&str, &str)>| {
            is_other(&place.service) && asked.is_some_and(|(service, _)| !is_other(service))
        };
        let folded_caller = folded(&row.caller, asked.caller);
        let folded_origin = folded(&row.origin, asked.origin);
        if !folded_operation && !folded_caller && !folded_origin {
            return None;
        }
        let mut wanted = Wanted::default();
        if folded_operation {
            let (component, operation) = (cut(asked.component), cut(asked.operation));
            wanted.operation = Some(self.hasher.hash_one((component, operation, "")));
        }
        let tables = read(&self.tables);
        let find = |table: &Table<Place>, names: Option<(&str, &str)>| {
            let (service, operation) = names.unwrap_or_default();
            let (service, operation) = (cut(service), cut(operation));
            let hash = self.hasher.hash_one((service, operation));
            let same = |p: &Place| *p.service == *service && *p.operation == *operation;
            (hash, table.find(hash, same).map(|place| place.id))
        };
        let (caller, origin) = (
            find(&tables.callers, asked.caller),
            find(&tables.origins, asked.origin),
        );
        let known = |folded: bool, found: Option<u32>, place: &Place| {
            if folded { found } else { Some(place.id) }
        };
        match (
            known(folded_caller, caller.1, &row.caller),
            known(folded_origin, origin.1, &row.origin),
        ) {
            // Both have a name; there was no room for them together.
            (Some(caller), Some(origin)) if folded_caller || folded_origin => {
                wanted.row = Some(self.hasher.hash_one((row.name.id, caller, origin)));
            }
            (known_caller, known_origin) => {
                wanted.caller = known_caller.is_none().then_some(caller.0);
                wanted.origin = known_origin.is_none().then_some(origin.0);
            }
        }
        Some(Box::new(wanted))
    }

    /// Notes the cost of what found no place under these names.
    pub(crate) fn weigh(&self, wanted: &Wanted, weight: Weight) {
        let weight = weight.sum();
        let mut heavy = lock(&self.heavy);
        for (which, hash) in [
            (Which::Operations, wanted.operation),
            (Which::Callers, wanted.caller),
            (Which::Origins, wanted.origin),
            (Which::Rows, wanted.row),
            (Which::Edges, wanted.edge),
            (Which::Entities, wanted.entity),
        ] {
            if let Some(hash) = hash {
                heavy.scales(which).sketch.add(hash, weight);
            }
        }
    }

    /// Gives places to newcomers that cost more than those who have them, by the costs of rows, edges and entities
    /// in the window that ended. Returns how many entries of which table lost their place.
    pub(in crate::ledger) fn renew(
        &self,
        resolved: &Resolved,
        costs: impl Iterator<Item = (u32, Weight)>,
        edges: impl Iterator<Item = (u32, Weight)>,
        entities: impl Iterator<Item = (u32, Weight)>,
    ) -> [(&'static str, usize); 6] {
        let [mut operations, mut callers, mut origins, mut rows] =
            std::array::from_fn(|_| HashMap::<u32, u64>::new());
        let [edges, entities] = [sums(edges), sums(entities)];
        let limits = self.limits();
        let mut tables = write(&self.tables);
        for (id, cost) in costs {
            let Some(row) = resolved.row(id) else {
                continue;
            };
            let cost = cost.sum();
            // An operation weighs with all its classes.
            let whole = if row.name.class.is_empty() {
                Some(row.name.id)
            } else {
                let name = &row.name;
                let hash = self
                    .hasher
                    .hash_one((&*name.component, &*name.operation, ""));
                let found = tables.operations.find(hash, |other| {
                    other.operation == name.operation
                        && other.component == name.component
                        && other.class.is_empty()
                });
                found.map(|found| found.id)
            };
            for (costs, id) in [
                (&mut operations, whole),
                (&mut callers, Some(row.caller.id)),
                (&mut origins, Some(row.origin.id)),
                (&mut rows, Some(id)),
            ] {
                if let Some(id) = id {
                    let sum = costs.entry(id).or_default();
                    *sum = sum.saturating_add(cost);
                }
            }
        }
        let tables = &mut *tables;
        let mut heavy = lock(&self.heavy);
        let retired = [
            (
                "agent.operations",
                heavy.operations.renew(
                    &mut tables.operations,
                    limits.operations_max,
                    &operations,
                    |name| name.class.is_empty(),
                ),
            ),
            (
                "agent.callers",
                heavy
                    .callers
                    .renew(&mut tables.callers, limits.callers_max, &callers, |_| true),
            ),
            (
                "agent.origins",
                heavy
                    .origins
                    .renew(&mut tables.origins, limits.origins_max, &origins, |_| true),
            ),
            (
                "agent.operation_rows",
                heavy
                    .rows
                    .renew(&mut tables.rows, limits.operation_rows_max, &rows, |_| true),
            ),
            (
                EDGES,
                heavy
                    .edges
                    .renew(&mut tables.edges, limits.edges_max, &edges, |edge| {
                        !edge.is_folded()
                    }),
            ),
            (
                ENTITIES,
                heavy.entities.renew(
                    &mut tables.entities,
                    limits.entities_max,
                    &entities,
                    |entity| !entity.is_folded(),
                ),
            ),
        ];
        drop(heavy);
        if retired.iter().any(|(_, n)| *n > 0) {
            self.make_void();
            // Classes go with their operation, and rows with any of their names.
            let gone = |id: u32, table: &HashSet<u32>| table.contains(&id);
            let key = |name: &OperationName| (name.component.clone(), name.operation.clone());
            let bases: HashSet<_> = tables
                .operations
                .iter()
                .filter(|name| name.class.is_empty())
                .map(|name| key(name))
                .collect();
            tables
                .operations
                .retire_where(|name| !name.class.is_empty() && !bases.contains(&key(name)));
            let (names, callers, origins) = (
                tables.operations.retired_ids(),
                tables.callers.retired_ids(),
                tables.origins.retired_ids(),
            );
            tables.rows.retire_where(|row| {
                gone(row.name.id, &names)
                    || gone(row.caller.id, &callers)
                    || gone(row.origin.id, &origins)
            });
        }
        retired
    }
}

fn sums(costs: impl Iterator<Item = (u32, Weight)>) -> HashMap<u32, u64> {
    costs.map(|(id, cost)| (id, cost.sum())).collect()
}

#[cfg(test)]
mod tests;
