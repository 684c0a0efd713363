//! The model: what a rollup says about demand, messages and base costs, with intervals.

mod amounts;
mod brokers;
mod carriers;
mod daily;
mod demand;
mod digest;
mod edges;
mod estimate;
mod load;
mod price;
mod retained;
mod rollup;
mod separate;
mod serial;
mod service;
mod shapes;
mod spread;
mod tally;
mod trend;

use std::collections::BTreeMap;

use weighbridge_wire::FoldedRange;

pub(crate) use amounts::Amounts;
pub(crate) use brokers::Brokers;
pub(crate) use carriers::Carriers;
pub(crate) use daily::DAY_NS;
pub(crate) use edges::{Edge, End, SideCost, SideRef};
pub(crate) use estimate::{Estimate, Resampler, Z, as_f64, quantile, shares};
pub(crate) use load::{ascending, pearson, weighted_quantile};
pub(crate) use price::{message_classes, prices};
pub(crate) use retained::{NO_ERROR, retained};
pub(crate) use rollup::Rollup;
pub(crate) use separate::{CONDITION_MAX, Separation};
pub(crate) use serial::Serial;
pub(crate) use service::{
    CPU_COLUMNS, EdgeSideFacts, EdgeSideId, Endpoint, EntityFacts, MESSAGE_COLUMNS, Name,
    OperationFacts, OperationId, RUNTIME_OR_UNWRAPPED, ServiceFacts, WORK_COLUMNS,
};
pub(crate) use shapes::{Order, ShapeFacts, kinds};
pub(crate) use tally::{Sums, Tally};
pub(crate) use trend::Trend;

/// Everything that document and decisions are made from.
pub(crate) struct Model {
    pub(crate) rollup: Rollup,
    pub(crate) sampler: Resampler,
    /// What pools and drivers add to calls.
    pub(crate) carriers: Carriers,
    /// What brokers do.
    pub(crate) brokers: Brokers,
    /// Joined edges; by caller, call and callee.
    pub(crate) edges: Vec<Edge>,
    /// Of services whose operations nobody weighed; by index.
    separated: BTreeMap<usize, Separation>,
}

impl Model {
    pub(crate) fn new(range: &FoldedRange) -> Self {
        let rollup = Rollup::read(range);
        let sampler = Resampler::new(rollup.slots, rollup.seed);
        let joined = edges::join(&rollup);
        let carriers = Carriers::new(&rollup, &sampler);
        let brokers = Brokers::new(&rollup, &sampler, &joined);
        let edges = edges::cost(&rollup, &sampler, &carriers, &brokers, joined);
        let mut model = Self {
            rollup,
            sampler,
            carriers,
            brokers,
            edges,
            separated: BTreeMap::new(),
        };
        model.separated = model
            .services()
            .iter()
            .enumerate()
            .filter_map(|(at, service)| Some((at, model.separate(service)?)))
            .collect();
        model
    }

    /// What regression says about the operations of a service that nobody weighed; `None` where somebody did.
    pub(crate) fn separation(&self, service: usize) -> Option<&Separation> {
        self.separated.get(&service)
    }

    pub(crate) fn services(&self) -> &[ServiceFacts] {
        &self.rollup.services
    }

    /// All of which something was lost, those of which nothing else is known included.
    pub(crate) fn losing(&self) -> impl Iterator<Item = &ServiceFacts> {
        self.services().iter().chain(&self.rollup.only_lost)
    }

    /// Seconds covered by windows; `None` when there is none.
    pub(crate) fn seconds(&self) -> Option<f64> {
        let ns = self.rollup.covered_ns;
        #[allow(clippy::cast_precision_loss)]
        let seconds = ns as f64 / 1e9;
        (ns > 0).then_some(seconds)
    }

    /// A sum over the range.
    pub(crate) fn sum(&self, tally: Option<&Tally>) -> Option<Estimate> {
        tally.map(|tally| self.sampler.estimate(tally))
    }

    /// A column of a set of rows.
    pub(crate) fn column(&self, sums: &Sums, column: u32) -> Option<Estimate> {
        self.sum(sums.get(column))
    }

    /// The sum of columns of a set of rows.
    pub(crate) fn columns(&self, sums: &Sums, columns: &[u32]) -> Option<Estimate> {
        self.sum(sums.sum_of(columns).as_ref())
    }

    /// Things in a second.
    pub(crate) fn rate(&self, count: &Estimate) -> Option<Estimate> {
        Some(count.scaled(1.0 / self.seconds()?))
    }

    /// Nanoseconds over the range as cores.
    pub(crate) fn cores(&self, ns: &Estimate) -> Option<Estimate> {
        Some(ns.scaled(1e-9 / self.seconds()?))
    }

    /// One side of an edge.
    pub(crate) fn side(&self, side: &SideRef) -> Option<&EdgeSideFacts> {
        self.services().get(side.service)?.edges.get(&side.id)
    }
}

/// Amounts by quality, over all accounts of all services.
pub(crate) fn cpu_by_quality(services: &[ServiceFacts]) -> Amounts<f64> {
    let mut amounts = Amounts::default();
    for sums in services.iter().flat_map(ServiceFacts::accounts) {
        if let Some(cpu) = sums.sum_of(&CPU_COLUMNS) {
            for (quality, amount) in cpu.by_quality.iter() {
                *amounts.entry(quality) += as_f64(amount);
            }
        }
    }
    amounts
}
