//! What else than cost a group is judged by, fast: who fails with it, and what it does to latency.
//!
//! Latency is the change of each origin's mean as a sum over groups: calls that become local, each by itself, and waits
//! for cores. Calls side by side are judged branch by branch, so two long ones that both become local count as none;
//! what is shown in the end comes from [`evaluate`](super::evaluate), which knows the steps.

use std::collections::BTreeMap;

use super::deployable::{CoreQueue, Sized, processes};
use super::groups::Groups;
use super::{Deployable, Edge, End, Inputs};
use crate::queue::ClassLoad;

/// An operation as load, how often each origin visits it ÷ that origin's mean latency, and its wait today, ns.
type Visited = (ClassLoad, Vec<(usize, f64)>, f64);

/// What calls between two atoms bring an origin when they become local.
struct Gain {
    /// Position in `origins`.
    origin: usize,
    /// Gain as a share of the mean latency.
    share: f64,
    /// Such calls ÷ mean latency, 1/ns: each waits for no core.
    calls: f64,
}

pub(super) struct Proxy {
    /// Origins with a rate and a wall time at their root.
    pub(super) origins: Vec<usize>,
    /// For each atom the origins whose answers wait for it (positions in `rates`), ascending.
    touches: Vec<Vec<usize>>,
    rates: Vec<f64>,
    all: f64,
    /// Calls between two atoms that become local.
    gains: BTreeMap<(usize, usize), Vec<Gain>>,
    /// For each atom its operations as load, with the position and visits of each origin ÷ its mean latency.
    loads: Vec<Vec<Visited>>,
}

impl Proxy {
    pub(super) fn new(groups: &Groups<'_>) -> Self {
        let inputs = groups.inputs;
        let mut atom_of = vec![0; inputs.components.len()];
        for (at, atom) in groups.atoms.iter().enumerate() {
            atom.components.iter().for_each(|c| atom_of[*c] = at);
        }
        let origins: Vec<usize> = (0..inputs.origins.len())
            .filter(|o| {
                inputs.origins[*o].rate.is_some_and(|r| r > 0.0) && root_wall(inputs, *o).is_some()
            })
            .collect();
        let position: BTreeMap<usize, usize> =
            origins.iter().enumerate().map(|(n, o)| (*o, n)).collect();
        let rates: Vec<f64> = inputs
            .origins
            .iter()
            .map(|o| o.rate.unwrap_or(0.0))
            .collect();
        let mut touches = vec![Vec::new(); groups.atoms.len()];
        for (at, origin) in inputs.origins.iter().enumerate() {
            let mut atoms: Vec<usize> = origin
                .waits_for
                .iter()
                .map(|op| atom_of[inputs.operations[*op].component])
                .collect();
            atoms.sort_unstable();
            atoms.dedup();
            atoms.into_iter().for_each(|atom| touches[atom].push(at));
        }
        let mut gains: BTreeMap<(usize, usize), Vec<Gain>> = BTreeMap::new();
        let critical = critical(inputs);
        for (at, edge) in inputs.edges.iter().enumerate() {
            let (End::Operation(from), End::Operation(to)) = (edge.from, edge.to) else {
                continue;
            };
            let (a, b) = (
                atom_of[inputs.operations[from].component],
                atom_of[inputs.operations[to].component],
            );
            if a == b || !edge.sync || edge.local {
                continue;
            }
            let Some(gain) = gain_ns(inputs, edge, to) else {
                continue;
            };
            for part in &edge.parts {
                let Some(origin) = position.get(&part.origin).copied() else {
                    continue;
                };
                let (Some(wall), rate) = (root_wall(inputs, part.origin), rates[part.origin])
                else {
                    continue;
                };
                let calls = part.rate / rate / wall;
                let gain = Gain {
                    origin,
                    share: calls * gain * critical[at],
                    calls,
                };
                gains.entry((a.min(b), a.max(b))).or_default().push(gain);
            }
        }
        let mut loads: Vec<Vec<_>> = vec![Vec::new(); groups.atoms.len()];
        for (at, operation) in inputs.operations.iter().enumerate() {
            if operation.rate <= 0.0 || operation.cores <= 0.0 {
                continue;
            }
            let mean = operation.cores / operation.rate;
            let visits = operation
                .parts
                .iter()
                .filter_map(|part| {
                    let n = position.get(&part.origin)?;
                    let origin = &inputs.origins[part.origin];
                    let waits = origin.waits_for.binary_search(&at).is_ok();
                    waits.then_some(())?;
                    Some((
                        *n,
                        part.rate / rates[part.origin] / root_wall(inputs, part.origin)?,
                    ))
                })
                .collect();
            let load = ClassLoad {
                rate: operation.rate * groups.load.factor,
                mean,
                mean_square: (1.0 + operation.service_cs2) * mean * mean,
                arrival_cs2: operation.arrival_cs2,
            };
            let today = today(inputs, operation.service).unwrap_or(0.0);
            loads[atom_of[operation.component]].push((load, visits, today));
        }
        Self {
            all: rates.iter().sum(),
            origins,
            touches,
            rates,
            gains,
            loads,
        }
    }

    /// Share of requests that fail with these atoms, and the change of each origin's mean latency as a share of it.
    pub(super) fn judge(&self, groups: &Groups<'_>, members: &[usize]) -> (f64, Vec<f64>) {
        let mut touched: Vec<usize> = members
            .iter()
            .flat_map(|a| self.touches[*a].iter().copied())
            .collect();
        touched.sort_unstable();
        touched.dedup();
        let blast = if self.all > 0.0 {
            touched.iter().map(|o| self.rates[*o]).sum::<f64>() / self.all
        } else {
            0.0
        };
        let mut latency = vec![0.0; self.origins.len()];
        let local = || {
            let pairs = members
                .iter()
                .enumerate()
                .flat_map(|(n, a)| members[..n].iter().map(move |b| (*a.min(b), *a.max(b))));
            pairs.filter_map(|pair| self.gains.get(&pair)).flatten()
        };
        for gain in local() {
            latency[gain.origin] -= gain.share;
        }
        let sum = groups.sum(members);
        let (variable, fixed, limit, floor) = sum.sizing();
        let Some(limit) = limit else {
            return (blast, latency);
        };
        let replicas = processes(variable, fixed, limit, 1.0, &groups.load)
            .unwrap_or(floor)
            .max(floor);
        let classes = members
            .iter()
            .flat_map(|a| self.loads[*a].iter().map(|(load, _, _)| *load))
            .enumerate()
            .collect();
        let deployable = Deployable {
            name: String::new(),
            replicas,
            cores_limit: Some(limit),
            shards: None,
            home_of: Vec::new(),
        };
        let sized = Sized {
            variable,
            fixed_each: fixed,
            replicas,
            needed: None,
        };
        let queue = CoreQueue::of(&deployable, classes, &sized, 1.0);
        let wait = queue.and_then(|queue| queue.wait());
        for gain in local() {
            // The caller has a core.
            latency[gain.origin] -= wait.map_or(0.0, |wait| gain.calls * wait * 1e9);
        }
        for (_, visits, today) in members.iter().flat_map(|a| &self.loads[*a]) {
            for (origin, visits) in visits {
                // Saturated: no latency is short enough.
                latency[*origin] +=
                    wait.map_or(f64::INFINITY, |wait| visits * (wait * 1e9 - today));
            }
        }
        (blast, latency)
    }
}

fn root_wall(inputs: &Inputs, origin: usize) -> Option<f64> {
    inputs.operations[inputs.origins[origin].root?]
        .wall_ns
        .filter(|ns| *ns > 0.0)
}

/// What a call gains by becoming local, ns: its wait beyond what its callee works.
fn gain_ns(inputs: &Inputs, edge: &Edge, to: usize) -> Option<f64> {
    let wall = edge.wait_ns?;
    let callee = inputs.operations[to].wall_ns?;
    let local = (callee - edge.callee_ns).max(0.0).min(wall) + inputs.local_call_ns;
    Some(wall - local + edge.caller_ns - inputs.local_call_ns)
}

/// For each edge the share of its calls' time by which its callers would be faster: 1 in series, less side by side.
fn critical(inputs: &Inputs) -> Vec<f64> {
    let mut of = vec![1.0; inputs.edges.len()];
    let mut weight = vec![(0.0, 0.0); inputs.edges.len()];
    for shape in inputs.operations.iter().flat_map(|o| &o.shapes) {
        for step in &shape.steps {
            let time = |b: &super::Branch| b.calls.min(1.0) * b.wall_ns;
            for (n, branch) in step.branches.iter().enumerate() {
                let Some(edge) = branch.edge else { continue };
                let others = step
                    .branches
                    .iter()
                    .enumerate()
                    .filter(|(m, b)| *m != n && !b.detached)
                    .map(|(_, b)| time(b))
                    .fold(0.0, f64::max);
                let beside = branch.beside || step.branches.len() > 1;
                let share = if branch.detached {
                    0.0
                } else if beside && time(branch) > 0.0 {
                    // As far as it is longer than the others; several of a kind count once.
                    ((time(branch) - others) / time(branch)).clamp(0.0, 1.0) / branch.calls.max(1.0)
                } else {
                    1.0
                };
                weight[edge].0 += shape.share * branch.calls;
                weight[edge].1 += shape.share * branch.calls * share;
            }
        }
    }
    for (slot, (calls, share)) in of.iter_mut().zip(weight) {
        if calls > 0.0 {
            *slot = share / calls;
        }
    }
    of
}

/// Today's mean wait for a core of a service, ns.
fn today(inputs: &Inputs, service: usize) -> Option<f64> {
    let facts = &inputs.services[service];
    let classes = inputs
        .operations
        .iter()
        .enumerate()
        .filter(|(_, o)| o.service == service && o.rate > 0.0 && o.cores > 0.0)
        .map(|(at, o)| {
            let mean = o.cores / o.rate;
            let load = ClassLoad {
                rate: o.rate,
                mean,
                mean_square: (1.0 + o.service_cs2) * mean * mean,
                arrival_cs2: o.arrival_cs2,
            };
            (at, load)
        })
        .collect();
    let fixed = (facts.background + facts.agent) / facts.instances.max(f64::MIN_POSITIVE);
    let sized = Sized {
        variable: facts.cores - facts.background - facts.agent,
        fixed_each: fixed,
        replicas: facts.instances,
        needed: None,
    };
    let deployable = Deployable {
        name: String::new(),
        replicas: facts.instances,
        cores_limit: facts.cores_limit,
        shards: None,
        home_of: Vec::new(),
    };
    let queue = CoreQueue::of(&deployable, classes, &sized, 1.0)?;
    queue.wait().map(|s| s * 1e9)
}
