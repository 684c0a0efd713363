//! Calls that a task makes inside its process: what it calls runs on the core that it has, and waits for none.

use std::collections::BTreeMap;

use super::{End, Inputs, Operation, Topology, Way, copies};
use crate::queue::ClassLoad;

/// Which calls of a topology are such, and what that makes of its operations as load.
#[derive(Clone, Debug, Default)]
pub(super) struct Direct {
    /// By edge. Empty where no call is.
    edges: Vec<bool>,
    /// By operation, the share of its requests that come that way. Empty where none do.
    shares: Vec<f64>,
    /// Operations with such calls on either side, callees before their callers.
    order: Vec<usize>,
    /// By operation what it calls so: whom, and how often in a request.
    calls: Vec<Vec<(usize, f64)>>,
}

impl Direct {
    pub(super) fn of(inputs: &Inputs, topology: &Topology) -> Self {
        let direct = |at: usize| {
            let edge = &inputs.edges[at];
            let (End::Operation(from), End::Operation(to)) = (edge.from, edge.to) else {
                return None;
            };
            let way = topology.ways[at];
            let called = way == Way::Inline || way == Way::Local && edge.sync;
            // Who waits for a turn lets go of the core meanwhile.
            let turns = inputs.operations[to].section().is_some();
            let runs = edge.rate > 0.0 && inputs.operations[from].rate > 0.0;
            (called && !turns && runs && !copies::link_is_gone(inputs, topology, at))
                .then_some((from, to))
        };
        let found: Vec<(usize, (usize, usize))> = (0..inputs.edges.len())
            .filter_map(|at| Some((at, direct(at)?)))
            .collect();
        if found.is_empty() {
            return Self::default();
        }
        let count = inputs.operations.len();
        let order = callees_first(count, found.iter().map(|(_, ends)| *ends));
        let mut known = vec![false; count];
        order.iter().for_each(|at| known[*at] = true);
        let mut this = Self {
            edges: vec![false; inputs.edges.len()],
            shares: vec![0.0; count],
            order,
            calls: vec![Vec::new(); count],
        };
        for (at, (from, to)) in found {
            // What calls in rings has no end: its requests count as load of their own.
            if known[from] {
                let rate = inputs.edges[at].rate;
                this.edges[at] = true;
                this.calls[from].push((to, rate / inputs.operations[from].rate));
                let all = inputs.operations[to].rate;
                this.shares[to] += if all > 0.0 { rate / all } else { 1.0 };
            }
        }
        for share in &mut this.shares {
            *share = share.min(1.0);
        }
        this
    }

    /// Is a call of this edge one?
    pub(super) fn is(&self, edge: usize) -> bool {
        self.edges.get(edge).copied().unwrap_or(false)
    }

    /// Share of an operation's requests that are such calls.
    pub(super) fn share(&self, operation: usize) -> f64 {
        self.shares.get(operation).copied().unwrap_or(0.0)
    }

    /// Such calls on behalf of an origin, in a second, by the operation that is called.
    pub(super) fn visits(&self, inputs: &Inputs, origin: usize) -> BTreeMap<usize, f64> {
        let mut visits = BTreeMap::new();
        let direct = inputs.edges.iter().zip(&self.edges).filter(|(_, is)| **is);
        for (edge, _) in direct {
            if let End::Operation(to) = edge.to {
                let mine = edge.parts.iter().filter(|part| part.origin == origin);
                *visits.entry(to).or_insert(0.0) += mine.map(|part| part.rate).sum::<f64>();
            }
        }
        visits
    }

    /// Turns operations as load, each by itself, into what queues for a core: requests that come from elsewhere, with
    /// all that they call. A call adds its callee's mean and variance; how often it is made varies as little as its
    /// mean allows.
    pub(super) fn fuse(&self, loads: &mut [Option<ClassLoad>]) {
        for at in &self.order {
            let Some(mut load) = loads[*at] else { continue };
            for (to, times) in &self.calls[*at] {
                let Some(called) = loads[*to] else { continue };
                let variance = |l: ClassLoad| l.mean_square - l.mean * l.mean;
                let part = times - times.floor();
                let number = part * (1.0 - part);
                let variance =
                    variance(load) + times * variance(called) + number * called.mean * called.mean;
                load.mean += times * called.mean;
                load.mean_square = variance + load.mean * load.mean;
            }
            loads[*at] = Some(load);
        }
        for (load, share) in loads.iter_mut().zip(&self.shares) {
            if let Some(load) = load {
                load.rate *= 1.0 - share;
            }
        }
    }
}

/// What each operation's requests are as load on the cores of their process.
pub(super) fn loads(
    inputs: &Inputs,
    direct: &Direct,
    rows: &[f64],
    f: f64,
) -> Vec<Option<ClassLoad>> {
    let of = |(operation, cores): (&Operation, &f64)| {
        let rate = operation.rate * f;
        let mean = if rate > 0.0 {
            cores.max(0.0) / rate
        } else {
            0.0
        };
        (rate > 0.0 && mean > 0.0).then_some(ClassLoad {
            rate,
            mean,
            mean_square: (1.0 + operation.service_cs2) * mean * mean,
            arrival_cs2: operation.arrival_cs2,
        })
    };
    let mut loads: Vec<Option<ClassLoad>> = inputs.operations.iter().zip(rows).map(of).collect();
    direct.fuse(&mut loads);
    for (operation, load) in inputs.operations.iter().zip(&mut loads) {
        // Those that pass one at a time take no more cores than pass.
        if let Some((section, load)) = operation.section().zip(load.as_mut()) {
            *load = section.passed(*load);
        }
    }
    // Of what only tasks of its own process call nothing queues.
    loads
        .into_iter()
        .map(|load| load.filter(|load| load.rate > 0.0))
        .collect()
}

/// Operations in an order in which each comes after those that it calls; those in rings, and above them, are left out.
pub(super) fn callees_first(
    count: usize,
    calls: impl Iterator<Item = (usize, usize)>,
) -> Vec<usize> {
    let mut open = vec![0usize; count];
    let mut callers: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in calls {
        open[from] += 1;
        callers[to].push(from);
    }
    let mut order: Vec<usize> = (0..count).filter(|at| open[*at] == 0).collect();
    let mut next = 0;
    while let Some(at) = order.get(next).copied() {
        next += 1;
        for caller in &callers[at] {
            open[*caller] -= 1;
            if open[*caller] == 0 {
                order.push(*caller);
            }
        }
    }
    order
}
