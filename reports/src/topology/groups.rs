//! The cost of a partition as a sum over its groups: what the search adds up.
//!
//! It equals the cost of [`evaluate`](super::evaluate) (a test holds them together); it is fast because what a group
//! costs follows from sums and maxima over its atoms and from what calls inside it save.

use std::collections::BTreeMap;

use super::deployable::{MemoryShares, processes};
use super::evaluate::{edge_cores, saved_together, way_when};
use super::rules::Rules;
use super::{Deployable, End, Inputs, Load, Topology};

/// What is placed as one: components that must share a process, or a service without operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Atom {
    pub(super) components: Vec<usize>,
    /// Services whose background work it brings along.
    pub(super) home_of: Vec<usize>,
    /// All services of its parts.
    pub(super) services: Vec<usize>,
}

/// Sums and maxima over atoms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    /// Cores that grow with load, every call between atoms a message.
    variable: f64,
    /// Cores that calls inside the group save.
    saved: f64,
    background: f64,
    agent: f64,
    floor: f64,
    limit: Option<f64>,
    base: f64,
    kept: f64,
    flying: f64,
    memory_unknown: bool,
    any: bool,
    /// The service that all of it belongs to; none when there are several.
    sole: Option<usize>,
}

impl Sum {
    pub(super) fn with(self, other: Self, saved: f64) -> Self {
        Self {
            variable: self.variable + other.variable,
            saved: self.saved + other.saved + saved,
            background: self.background + other.background,
            agent: self.agent.max(other.agent),
            floor: self.floor.max(other.floor),
            limit: match (self.limit, other.limit) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            },
            base: self.base.max(other.base),
            kept: self.kept + other.kept,
            flying: self.flying + other.flying,
            memory_unknown: self.memory_unknown || other.memory_unknown,
            any: self.any || other.any,
            sole: match (self.any, other.any) {
                (true, true) => self.sole.filter(|one| other.sole == Some(*one)),
                (true, false) => self.sole,
                (false, _) => other.sole,
            },
        }
    }
}

/// Prices of what a group uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of a core.
    pub core: f64,
    /// Of a byte of memory.
    pub byte: f64,
}

/// A system cut into atoms.
pub(super) struct Groups<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) atoms: Vec<Atom>,
    pub(super) sums: Vec<Sum>,
    /// For each atom the others with calls between them, and the cores saved when they share a process. Sorted.
    pub(super) near: Vec<Vec<(usize, f64)>>,
    pub(super) load: Load,
    pub(super) weights: Weights,
    node: crate::options::Node,
    rules: &'a Rules,
}

impl<'a> Groups<'a> {
    pub(super) fn new(inputs: &'a Inputs, rules: &'a Rules, load: Load, weights: Weights) -> Self {
        let atoms = rules.atoms(inputs);
        let mut atom_of = vec![0; inputs.components.len()];
        let mut home = vec![0; inputs.services.len()];
        for (at, atom) in atoms.iter().enumerate() {
            atom.components.iter().for_each(|c| atom_of[*c] = at);
            atom.home_of.iter().for_each(|s| home[*s] = at);
        }
        let mut sums = vec![Sum::default(); atoms.len()];
        variable(
            inputs,
            &load,
            &mut sums,
            |op| atom_of[inputs.operations[op].component],
            &home,
        );
        let near = savings(inputs, &load, atoms.len(), |end| match end {
            End::Operation(op) => Some(atom_of[inputs.operations[op].component]),
            End::Service(service) => Some(home[service]),
            End::Outside => None,
        });
        let shares = MemoryShares::of(inputs);
        for (at, atom) in atoms.iter().enumerate() {
            own(inputs, rules, atom, &shares, &load, &mut sums[at]);
        }
        for (at, operation) in inputs.operations.iter().enumerate() {
            let sum = &mut sums[atom_of[operation.component]];
            sum.kept += shares.kept(at);
            sum.flying += operation.in_flight * operation.held_bytes * load.factor;
        }
        Self {
            inputs,
            atoms,
            sums,
            near,
            load,
            weights,
            node: rules.node,
            rules,
        }
    }

    /// Cores saved by calls between two atoms.
    pub(super) fn saved(&self, a: usize, b: usize) -> f64 {
        self.near[a]
            .binary_search_by_key(&b, |(other, _)| *other)
            .map_or(0.0, |at| self.near[a][at].1)
    }

    /// The sum of a set of atoms.
    pub(super) fn sum(&self, members: &[usize]) -> Sum {
        let mut sum = Sum::default();
        for (n, a) in members.iter().enumerate() {
            let saved = members[..n].iter().map(|b| self.saved(*a, *b)).sum();
            sum = sum.with(self.sums[*a], saved);
        }
        sum
    }

    /// What a group costs; `None` when it fits on no node, or when a process of it has no room for work beside what it
    /// needs of itself. What is one service today may stay so: it runs.
    pub(super) fn cost(&self, sum: &Sum) -> Option<f64> {
        if !sum.any {
            return Some(0.0);
        }
        let variable = sum.variable - sum.saved;
        let fixed = sum.background + sum.agent;
        let floor = libm::ceil(sum.floor - 1e-9).max(self.load.min_replicas);
        let needed = sum
            .limit
            .and_then(|limit| processes(variable, fixed, limit, 1.0, &self.load));
        if needed.is_none() && sum.limit.is_some() && sum.sole.is_none() {
            return None;
        }
        let replicas = needed.unwrap_or(floor).max(floor);
        let cores = variable + fixed * replicas;
        let each = sum.base + sum.kept + sum.flying / replicas;
        if self
            .node
            .cores
            .zip(sum.limit)
            .is_some_and(|(node, limit)| limit > node)
            || self
                .node
                .memory_bytes
                .is_some_and(|node| !sum.memory_unknown && each > node)
        {
            return None;
        }
        let memory = if sum.memory_unknown {
            0.0
        } else {
            each * replicas
        };
        Some(self.weights.core * cores + self.weights.byte * memory)
    }

    /// May these two atoms share a process?
    pub(super) fn may(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.atoms[a].services, &self.atoms[b].services);
        a.iter().all(|x| b.iter().all(|y| self.rules.may(*x, *y)))
    }

    /// Merges and splits that lead to a partition from the services as they run. What must be linked and is not yet
    /// counts too.
    pub(super) fn boundaries(&self, group_of: &[usize]) -> usize {
        let mut parts: Vec<(usize, usize)> = self
            .atoms
            .iter()
            .zip(group_of)
            .flat_map(|(atom, group)| atom.services.iter().map(|service| (*group, *service)))
            .collect();
        parts.sort_unstable();
        parts.dedup();
        let mut groups: Vec<usize> = group_of.to_vec();
        groups.sort_unstable();
        groups.dedup();
        2 * parts.len() - self.inputs.services.len() - groups.len()
    }

    /// The topology of a partition: for each atom its group.
    pub(super) fn topology(&self, group_of: &[usize]) -> Topology {
        let mut topology = Topology::as_it_is(self.inputs);
        let mut slot: BTreeMap<usize, usize> = BTreeMap::new();
        let mut deployables: Vec<Deployable> = Vec::new();
        let mut of_component = vec![0; self.inputs.components.len()];
        let mut services: Vec<Vec<usize>> = Vec::new();
        for (atom, group) in self.atoms.iter().zip(group_of) {
            let at = *slot.entry(*group).or_insert_with(|| {
                deployables.push(Deployable {
                    name: String::new(),
                    replicas: 1.0,
                    cores_limit: None,
                    shards: None,
                    home_of: Vec::new(),
                });
                services.push(Vec::new());
                deployables.len() - 1
            });
            for service in &atom.services {
                let limit = self.inputs.services[*service].cores_limit;
                let deployable = &mut deployables[at];
                deployable.cores_limit = match (deployable.cores_limit, limit) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    (a, b) => a.or(b),
                };
            }
            for service in &atom.home_of {
                let floor = self.rules.floor(self.inputs, *service);
                deployables[at].replicas = deployables[at].replicas.max(floor);
            }
            deployables[at].home_of.extend(&atom.home_of);
            services[at].extend(&atom.services);
            atom.components.iter().for_each(|c| of_component[*c] = at);
        }
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for (deployable, services) in deployables.iter_mut().zip(&mut services) {
            services.sort_unstable();
            services.dedup();
            deployable.home_of.sort_unstable();
            let names: Vec<&str> = services
                .iter()
                .map(|s| self.inputs.services[*s].label.as_str())
                .collect();
            let name = names.join("+");
            let n = taken.entry(name.clone()).or_insert(0);
            *n += 1;
            deployable.name = if *n > 1 {
                format!("{name} ({n})")
            } else {
                name
            };
        }
        topology.deployables = deployables;
        for (at, operation) in self.inputs.operations.iter().enumerate() {
            topology.place[at] = of_component[operation.component];
        }
        topology.settle(self.inputs);
        topology
    }
}

fn own(
    inputs: &Inputs,
    rules: &Rules,
    atom: &Atom,
    shares: &MemoryShares,
    load: &Load,
    sum: &mut Sum,
) {
    sum.any = true;
    if let [one] = atom.services[..] {
        sum.sole = Some(one);
    }
    for service in &atom.services {
        let facts = &inputs.services[*service];
        let each = |cores: f64| cores / facts.instances.max(f64::MIN_POSITIVE);
        sum.agent = sum.agent.max(each(facts.agent));
        sum.limit = match (sum.limit, facts.cores_limit) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        match facts.base_bytes.or(facts.peak_bytes).zip(facts.peak_bytes) {
            Some((base, _)) => sum.base = sum.base.max(base),
            None => sum.memory_unknown = true,
        }
        if atom.home_of.contains(service) {
            sum.background += each(facts.background);
            sum.floor = sum.floor.max(rules.floor(inputs, *service));
            sum.kept += shares.without_operations(*service);
        }
    }
    sum.floor = sum.floor.max(1.0).max(load.min_replicas);
}

/// Cores that grow with load, when every call between atoms is a message.
fn variable(
    inputs: &Inputs,
    load: &Load,
    sums: &mut [Sum],
    atom_of: impl Fn(usize) -> usize,
    home: &[usize],
) {
    let f = load.factor;
    let mut own = vec![0.0; inputs.services.len()];
    let mut incoming = vec![0.0; inputs.operations.len()];
    for operation in &inputs.operations {
        own[operation.service] += operation.cores;
    }
    for (at, edge) in inputs.edges.iter().enumerate() {
        if let End::Operation(to) = edge.to {
            incoming[to] += edge.rate;
        }
        let atom = |end| match end {
            End::Operation(op) => Some(atom_of(op)),
            End::Service(service) => Some(home[service]),
            End::Outside => None,
        };
        let (from, to) = (atom(edge.from), atom(edge.to));
        let together = from.is_some() && from == to;
        let cores = edge_cores(inputs, at, way_when(inputs, at, together), f);
        for (end, cores) in [(from, cores.caller), (to, cores.callee)] {
            if let Some(end) = end {
                sums[end].variable += cores;
            }
        }
        if let Some(broker) = edge.broker {
            sums[home[broker]].variable += cores.broker;
        }
    }
    for (at, operation) in inputs.operations.iter().enumerate() {
        let service = &inputs.services[operation.service];
        let rest = if own[operation.service] > 0.0 {
            service.rest * operation.cores / own[operation.service]
        } else {
            0.0
        };
        let outside = (operation.rate - incoming[at]).max(0.0) * 2.0 * service.wake_ns * 1e-9;
        sums[atom_of(at)].variable += (operation.cores + rest + outside) * f;
    }
    for (at, service) in inputs.services.iter().enumerate() {
        if own[at] <= 0.0 {
            sums[home[at]].variable += service.rest * f;
        }
    }
}

/// What calls between atoms save inside one process, both ways together.
fn savings(
    inputs: &Inputs,
    load: &Load,
    count: usize,
    atom: impl Fn(End) -> Option<usize>,
) -> Vec<Vec<(usize, f64)>> {
    let mut near: Vec<BTreeMap<usize, f64>> = vec![BTreeMap::new(); count];
    for (at, edge) in inputs.edges.iter().enumerate() {
        let Some((a, b)) = atom(edge.from).zip(atom(edge.to)).filter(|(a, b)| a != b) else {
            continue;
        };
        let saved = saved_together(inputs, at, load.factor);
        *near[a].entry(b).or_insert(0.0) += saved;
        *near[b].entry(a).or_insert(0.0) += saved;
    }
    near.into_iter()
        .map(|near| near.into_iter().collect())
        .collect()
}

impl Sum {
    /// Cores that grow with load, cores of each process, its limit, and fewest processes.
    pub(super) fn sizing(&self) -> (f64, f64, Option<f64>, f64) {
        (
            self.variable - self.saved,
            self.background + self.agent,
            self.limit,
            libm::ceil(self.floor - 1e-9),
        )
    }

    /// Least that this costs in any group: its cores with all that its calls may save, and its own memory.
    pub(super) fn least(&self, saved: f64, weights: &Weights) -> f64 {
        let cores = self.variable - saved + self.background * self.floor;
        let memory = if self.memory_unknown {
            0.0
        } else {
            self.kept * self.floor + self.flying
        };
        weights.core * cores + weights.byte * memory
    }

    /// Least that any process costs beside its parts: an agent and a base.
    pub(super) fn process(&self, weights: &Weights) -> f64 {
        let base = if self.memory_unknown { 0.0 } else { self.base };
        (weights.core * self.agent + weights.byte * base) * self.floor
    }
}
