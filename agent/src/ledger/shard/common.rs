//! The table into which threads' tables are emptied when they hold many rows.

use std::collections::HashMap;

use super::packed::{Figures, Packed};
use super::paged::{Cell, EmptyPage, Paged};
use super::{Arrivals, DistributionCell, EdgeCell, EntityCell, EntitySizes, OperationCell, Shard};
use crate::ledger::cost::Cost;
use crate::ledger::region::RegionCosts;
use crate::ledger::shapes::Shapes;

/// Everything that was emptied into it since the last rotation.
#[derive(Debug, Default)]
pub(crate) struct Common {
    operations: Paged<OperationCell>,
    distributions: Paged<DistributionCell>,
    arrivals: Paged<Arrivals>,
    edges: Paged<EdgeCell>,
    entities: Paged<EntityCell>,
    owners: Vec<Cost>,
    pub(crate) entity_sizes: EntitySizes,
    regions: RegionCosts,
    shapes: Shapes,
    losses: Losses,
    readings: u64,
    bills_ns: u64,
}

/// What was lost, by place and reason.
pub(crate) type Losses = HashMap<(&'static str, &'static str), i64>;

/// The rows of a window that has ended, added up over all threads.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) operations: Packed<OperationCell>,
    pub(crate) distributions: Packed<DistributionCell>,
    /// By operation.
    pub(crate) arrivals: Packed<Arrivals>,
    pub(crate) edges: Packed<EdgeCell>,
    /// By ascending number. Few, and what they know of keys is not to be packed.
    pub(crate) entities: Vec<(u32, EntityCell)>,
    /// By number of the owner.
    pub(crate) owners: Vec<Cost>,
    pub(crate) entity_sizes: EntitySizes,
    pub(crate) regions: RegionCosts,
    pub(crate) shapes: Shapes,
    pub(crate) losses: Losses,
    pub(crate) readings: u64,
    /// What opening and closing bills took, from samples.
    pub(crate) bills_ns: u64,
}

/// Something of each of a table's lists of cells.
macro_rules! each_table {
    ($do:ident!($($args:tt)*)) => {
        $do!(operations $($args)*);
        $do!(distributions $($args)*);
        $do!(arrivals $($args)*);
        $do!(edges $($args)*);
        $do!(entities $($args)*);
    };
}

impl Common {
    /// Empties a thread's table into this one.
    pub(in crate::ledger) fn absorb(&mut self, other: &mut Shard) {
        macro_rules! absorb {
            ($table:ident) => {
                for (id, cell) in other.$table.drain() {
                    self.$table.cell(id).absorb(&cell);
                }
            };
        }
        each_table!(absorb!());
        for (n, cost) in other.owners.iter_mut().enumerate() {
            if self.owners.len() <= n {
                self.owners.resize(n + 1, Cost::default());
            }
            self.owners[n].add(&std::mem::take(cost));
        }
        self.entity_sizes.extend(other.entity_sizes.drain());
        for (key, n) in other.losses.drain() {
            let lost = self.losses.entry(key).or_default();
            *lost = lost.saturating_add(n);
        }
        self.regions.merge(&std::mem::take(&mut other.regions));
        let folded = self.shapes.merge(&mut other.shapes);
        self.lose(LOST_SHAPES, "table full", folded);
        self.readings += std::mem::take(&mut other.readings);
        self.bills_ns += std::mem::take(&mut other.bills_ns);
    }

    pub(crate) fn lose(&mut self, place: &'static str, reason: &'static str, n: u64) {
        lose(&mut self.losses, place, reason, n);
    }

    /// Takes everything. The second is to be dropped when no lock is held.
    pub(in crate::ledger) fn take(&mut self) -> (Self, impl Sized + use<>) {
        let (operations, a) = self.operations.take();
        let (distributions, b) = self.distributions.take();
        let (arrivals, c) = self.arrivals.take();
        let (edges, d) = self.edges.take();
        let (entities, e) = self.entities.take();
        let taken = Self {
            operations,
            distributions,
            arrivals,
            edges,
            entities,
            owners: std::mem::take(&mut self.owners),
            entity_sizes: std::mem::take(&mut self.entity_sizes),
            regions: std::mem::take(&mut self.regions),
            shapes: std::mem::take(&mut self.shapes),
            losses: std::mem::take(&mut self.losses),
            readings: std::mem::take(&mut self.readings),
            bills_ns: std::mem::take(&mut self.bills_ns),
        };
        (taken, (a, b, c, d, e))
    }

    /// Packs everything, and gives the pages that it was on back to the table that others go on adding to.
    pub(in crate::ledger) fn pack(self, with: impl Fn(&mut dyn FnMut(&mut Self))) -> Merged {
        macro_rules! give_back {
            ($table:ident) => {
                |page| {
                    let mut page = Some(page);
                    with(&mut |common| {
                        if let Some(page) = page.take() {
                            common.$table.give(page);
                        }
                    });
                }
            };
        }
        macro_rules! packed {
            ($table:ident) => {
                pack(self.$table, give_back!($table))
            };
        }
        let mut entities = Vec::new();
        self.entities.empty(
            |id, cell| entities.push((id, std::mem::take(cell))),
            give_back!(entities),
        );
        Merged {
            operations: packed!(operations),
            distributions: packed!(distributions),
            arrivals: packed!(arrivals),
            edges: packed!(edges),
            entities,
            owners: self.owners,
            entity_sizes: self.entity_sizes,
            regions: self.regions,
            shapes: self.shapes,
            losses: self.losses,
            readings: self.readings,
            bills_ns: self.bills_ns,
        }
    }
}

fn pack<T: Cell + Figures>(table: Paged<T>, emptied: impl FnMut(EmptyPage<T>)) -> Packed<T> {
    let mut packed = Packed::default();
    table.empty(|id, cell| packed.push(id, cell), emptied);
    packed
}

/// Place of the loss rows of call shapes.
pub(super) const LOST_SHAPES: &str = "agent.call_shapes";

impl Merged {
    pub(crate) fn lose_shapes(&mut self, folded: u64) {
        self.lose(LOST_SHAPES, "table full", folded);
    }

    pub(crate) fn lose(&mut self, place: &'static str, reason: &'static str, n: u64) {
        lose(&mut self.losses, place, reason, n);
    }
}

pub(super) fn lose(losses: &mut Losses, place: &'static str, reason: &'static str, n: u64) {
    if n > 0 {
        let lost = losses.entry((place, reason)).or_default();
        *lost = lost.saturating_add(crate::ledger::edge::signed(n));
    }
}
