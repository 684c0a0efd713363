//! Origins: where chains began, and what their calls cost beside the operations.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weighbridge_wire::{Histogram, column};

use super::super::{End, Inputs, Origin};
use super::Index;
use crate::model::{Endpoint, Estimate, Model, Name, SideRef};

/// The origins by label of the service and operation.
pub(crate) struct Origins {
    keys: BTreeMap<(String, Name), (usize, Option<usize>)>,
}

fn key(model: &Model, seen_at: usize, endpoint: &Endpoint) -> ((String, Name), Option<usize>) {
    let service = model.rollup.resolve(seen_at, &endpoint.service);
    let label = match service {
        Some(service) => model.services()[service].label.clone(),
        None if endpoint.service.is_empty() => "unknown".to_owned(),
        None => endpoint.service.to_string(),
    };
    ((label, endpoint.operation.clone()), service)
}

impl Origins {
    pub(super) fn of(model: &Model, _index: &Index) -> Self {
        let mut keys: BTreeMap<(String, Name), (usize, Option<usize>)> = BTreeMap::new();
        for (at, service) in model.services().iter().enumerate() {
            let operations = service.operations.values().flat_map(|o| o.by_origin.keys());
            let edges = service.edges.values().flat_map(|e| e.by_origin.keys());
            for endpoint in operations.chain(edges) {
                let (key, service) = key(model, at, endpoint);
                keys.entry(key).or_insert((0, service));
            }
        }
        keys.values_mut()
            .enumerate()
            .for_each(|(n, slot)| slot.0 = n);
        Self { keys }
    }

    pub(super) fn at(&self, model: &Model, seen_at: usize, endpoint: &Endpoint) -> Option<usize> {
        self.keys
            .get(&key(model, seen_at, endpoint).0)
            .map(|(at, _)| *at)
    }

    /// The origins with their figures.
    pub(super) fn finish(
        &self,
        model: &Model,
        read: &Inputs<Estimate>,
        index: &Index,
    ) -> Vec<Origin<Estimate>> {
        let mut carried = self.carried(model);
        // One pass over the edges, not one for each origin.
        let mut calls: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.keys.len()];
        for edge in read.edges.iter().filter(|edge| edge.sync) {
            if let (End::Operation(from), End::Operation(to)) = (edge.from, edge.to) {
                for part in edge.parts.iter().filter(|part| part.rate.point > 0.0) {
                    calls[part.origin].push((from, to));
                }
            }
        }
        self.keys
            .iter()
            .map(|((label, operation), (at, service))| {
                let mut ended: Option<Estimate> = None;
                let mut wall = Histogram::new();
                for facts in service
                    .iter()
                    .flat_map(|s| &model.services()[*s].operations)
                    .filter(|(id, _)| id.operation == *operation)
                    .map(|(_, facts)| facts)
                {
                    if let Some(more) = model.column(&facts.root, column::ENDED) {
                        ended = Some(ended.map_or_else(|| more.clone(), |sum| sum.plus(&more)));
                    }
                    if let Some(h) = facts.distribution_root.histogram(column::HIST_WALL_NS) {
                        wall.merge(h);
                    }
                }
                let root = service.and_then(|s| index.named(s, operation));
                #[allow(clippy::cast_precision_loss)]
                let quantile = |q| wall.quantile(q).map(|ns| ns as f64);
                let wall_ns = || {
                    Some([
                        quantile(0.5)?,
                        quantile(0.95)?,
                        quantile(0.99)?,
                        wall.mean()?,
                    ])
                };
                Origin {
                    service: label.clone(),
                    operation: operation.to_string(),
                    rate: ended.filter(|n| n.point > 0.0).and_then(|n| model.rate(&n)),
                    carried: std::mem::replace(&mut carried[*at], Estimate::zero()),
                    root,
                    wall_ns: wall_ns(),
                    waits_for: root.map_or_else(Vec::new, |root| reach(&calls[*at], root)),
                }
            })
            .collect()
    }

    /// Cores of pools, drivers, connections and brokers by origin, as the report's origins have them.
    fn carried(&self, model: &Model) -> Vec<Estimate> {
        let mut carried = vec![Estimate::zero(); self.keys.len()];
        let mut add = |at: usize, ns: &Estimate| {
            if let Some(cores) = model.cores(ns) {
                carried[at] = carried[at].plus(&cores);
            }
        };
        for (service, facts) in model.services().iter().enumerate() {
            for (id, edge) in &facts.edges {
                let side = SideRef {
                    service,
                    id: id.clone(),
                };
                let pool = model.carriers.pool_per_call(&side);
                let in_owner = model.carriers.share_in_owner(&side);
                if pool.is_none() && in_owner.is_none() {
                    continue;
                }
                for (endpoint, sums) in &edge.by_origin {
                    let Some(at) = self.at(model, service, endpoint) else {
                        continue;
                    };
                    if let Some(share) = in_owner
                        && let Some(cpu) =
                            model.columns(sums, &[column::CPU_PROTOCOL_NS, column::CPU_IO_NS])
                    {
                        add(at, &cpu.times(share));
                    }
                    if let Some(calls) = model.column(sums, column::REQUEST_MESSAGES)
                        && let Some(pool) = pool
                    {
                        add(at, &pool.times(&calls));
                    }
                }
            }
        }
        for edge in &model.edges {
            let joined = &edge.joined;
            let side = joined.callee.as_ref().or(joined.caller.as_ref());
            let Some(((side, hop), _)) = side.zip(edge.cost.broker.as_ref()).zip(joined.broker)
            else {
                continue;
            };
            let Some(facts) = model.side(side) else {
                continue;
            };
            for (endpoint, sums) in &facts.by_origin {
                let at = self.at(model, side.service, endpoint);
                if let Some((at, messages)) = at.zip(model.column(sums, column::REQUEST_MESSAGES)) {
                    add(at, &hop.times(&messages));
                }
            }
        }
        carried
    }
}

/// What an answer of this origin waits for: the root and what its synchronous calls reach from it.
fn reach(calls: &[(usize, usize)], root: usize) -> Vec<usize> {
    let mut out: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (from, to) in calls {
        out.entry(*from).or_default().push(*to);
    }
    let mut seen = BTreeSet::from([root]);
    let mut next = VecDeque::from([root]);
    while let Some(at) = next.pop_front() {
        for to in out.get(&at).into_iter().flatten() {
            if seen.insert(*to) {
                next.push_back(*to);
            }
        }
    }
    seen.into_iter().collect()
}
