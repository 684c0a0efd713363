//! Searches for topologies: the cheapest, and those that no other beats in everything.

use std::collections::BTreeMap;

use super::climb::{self, State};
use super::exact::{self, EXACT_MAX, Leaf};
use super::groups::{Groups, Weights};
use super::proxy::Proxy;
use super::rules::Rules;
use super::steps;
use super::{Beside, Change, DeployableFigures, Figures, Inputs, Load, Topology};
use crate::Prices;

/// Most topologies of a Pareto set that are shown; the ends of each of its measures are always among them.
pub const PARETO_MAX: usize = 12;
/// Most atoms that are searched; a system of more is left as it is, and the report says so.
pub const SEARCH_MAX: usize = 2_000;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// One topology that is worth a look.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// What it is.
    pub topology: Topology,
    /// What leads there from today's.
    pub steps: Vec<Change>,
    /// What it costs.
    pub figures: Figures,
    /// Cores and memory in one figure: money in an hour, or cores and eighths of a GiB where there are no prices.
    pub cost: f64,
    /// Worst ratio of an origin's 95th percentile to that of today's topology at the same load.
    pub latency: f64,
    /// The origin that it is of, as it stands in `figures`; none where no latency is known.
    pub slowest: Option<usize>,
    /// See [`Figures::blast_radius`]; 0 where no root is known.
    pub blast: f64,
    /// Merges and splits between today's topology and this one.
    pub boundaries: usize,
    /// Whether another one is better in nothing worse: today's, for comparison.
    pub beaten: bool,
    /// The step that saves most by itself and can be taken back, and the cost after it.
    pub first_step: Option<(Change, f64)>,
    /// Steps that would save by themselves and that somebody advises against, with the reason.
    pub left: Vec<String>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// By cost. Empty when nothing satisfies the constraints.
    pub pareto: Vec<Proposal>,
    /// How many were in the Pareto set before it was thinned.
    pub pareto_size: usize,
    /// Whether every partition was looked at.
    pub exact: bool,
    /// Partitions, or changes of partitions, that were priced.
    pub examined: u64,
    /// Cost of today's topology, sized for the same load.
    pub today: f64,
    /// Cost of the cheapest topology found, its entities placed by rule.
    pub best: Option<f64>,
    /// What no partition costs less than, whichever copies go by the rule.
    pub bound: f64,
    /// Why there is no topology, or what was given up.
    pub infeasible: Option<String>,
}

impl Found {
    /// `(best − bound) ÷ best`: by how much the best found can be off at most.
    #[must_use]
    pub fn gap(&self) -> Option<f64> {
        let best = self.best.filter(|best| *best > 0.0)?;
        Some(((best - self.bound) / best).max(0.0))
    }
}

impl Weights {
    /// From prices; without them a core counts 1 and a GiB an eighth, which is about what clouds ask for.
    #[must_use]
    pub fn of(prices: Option<&Prices>) -> Self {
        match prices {
            Some(prices) => Self {
                core: prices.core_hour,
                byte: prices.gib_hour / GIB,
            },
            None => Self {
                core: 1.0,
                byte: 0.125 / GIB,
            },
        }
    }

    /// Cost of a topology: cores used and memory held. Deployables whose memory is not known count their cores only.
    #[must_use]
    pub fn cost(&self, figures: &Figures) -> f64 {
        let memory: f64 = figures
            .deployables
            .iter()
            .filter_map(|d| d.memory_bytes)
            .sum();
        self.core * figures.cores + self.byte * memory
    }
}

/// Searches. Exact up to [`EXACT_MAX`] atoms (components that must stay together count as one), beyond it by
/// agglomeration, moves, swaps and restarts; `seed` makes it deterministic.
#[must_use]
pub fn search(inputs: &Inputs, rules: &Rules, load: &Load, weights: Weights, seed: u64) -> Found {
    search_up_to(EXACT_MAX, inputs, rules, load, weights, seed)
}

/// Why two services should not be merged by themselves; `None` where nothing stands against it.
pub(crate) type Leaves<'a> = &'a dyn Fn(usize, usize) -> Option<String>;

/// As [`search`]; a merge that somebody leaves is no first step.
pub(crate) fn search_with(
    inputs: &Inputs,
    rules: &Rules,
    leaves: Leaves<'_>,
    load: &Load,
    weights: Weights,
    seed: u64,
) -> Found {
    searched(EXACT_MAX, inputs, rules, leaves, load, weights, seed)
}

/// As [`search`], exact up to so many atoms.
pub(super) fn search_up_to(
    exact_max: usize,
    inputs: &Inputs,
    rules: &Rules,
    load: &Load,
    weights: Weights,
    seed: u64,
) -> Found {
    searched(exact_max, inputs, rules, &|_, _| None, load, weights, seed)
}

fn searched(
    exact_max: usize,
    inputs: &Inputs,
    rules: &Rules,
    leaves: Leaves<'_>,
    load: &Load,
    weights: Weights,
    seed: u64,
) -> Found {
    let load = Load {
        resize: true,
        simulate: 0,
        ..*load
    };
    if inputs.components.len() + inputs.services.len() > 2 * SEARCH_MAX {
        return too_many(inputs);
    }
    let groups = Groups::new(inputs, rules, load, weights);
    let as_it_is = today(&groups);
    let today_topology = groups.topology(&as_it_is);
    let now = Beside::today(inputs, &load);
    let today_figures = now.evaluate(&today_topology, &load);
    let today_cost = weights.cost(&today_figures);
    let mut found = Found {
        pareto: Vec::new(),
        pareto_size: 0,
        exact: groups.atoms.len() <= exact_max,
        examined: 0,
        today: today_cost,
        best: None,
        bound: 0.0,
        infeasible: below_service_time(inputs, rules),
    };
    if found.infeasible.is_some() || groups.atoms.is_empty() {
        return found;
    }
    let mut partitions = if found.exact {
        exactly(&groups, rules, &mut found)
    } else {
        by_climbing(&groups, rules, seed, as_it_is.clone(), &mut found)
    };
    let gone = super::place::by_rule(inputs);
    if !gone.is_empty() {
        let left = super::place::without(inputs, &gone);
        let left = Groups::new(&left, rules, load, weights);
        found.bound = if !found.exact {
            bound(&left, rules)
        } else if let Some((cost, group_of)) = cheapest(&left, rules) {
            // What reading costs hardly hangs on the cut: the best of these is the best with them.
            partitions.push(group_of);
            cost.min(found.bound)
        } else {
            found.bound
        };
    }
    let before: Vec<Option<f64>> = today_figures.origins.iter().map(|o| o.p95_ns).collect();
    let priced = |topology: Topology, figures: Figures, boundaries| {
        let (slowest, latency) = worst(&figures, &before).unzip();
        Proposal {
            cost: weights.cost(&figures),
            latency: latency.unwrap_or(0.0),
            slowest,
            blast: figures.blast_radius.unwrap_or(0.0),
            boundaries,
            beaten: false,
            steps: Vec::new(),
            first_step: None,
            left: Vec::new(),
            figures,
            topology,
        }
    };
    let mut proposals: Vec<Proposal> = partitions
        .into_iter()
        .map(|group_of| {
            let mut topology = groups.topology(&group_of);
            let mut figures = now.evaluate(&topology, &load);
            if !gone.is_empty() {
                let mut placed = topology.clone();
                placed.read_remotely.clone_from(&gone);
                // By rule, unless a process more eats what the copies cost.
                let with = now.evaluate(&placed, &load);
                if weights.cost(&with) < weights.cost(&figures) {
                    (topology, figures) = (placed, with);
                }
            }
            priced(topology, figures, groups.boundaries(&group_of))
        })
        .filter(|proposal| {
            rules
                .boundaries_max
                .is_none_or(|most| proposal.boundaries <= most as usize)
        })
        .filter(|proposal| rules.kept(&proposal.figures).is_ok())
        .filter(|proposal| !overloaded(&today_figures, &proposal.figures))
        .collect();
    if proposals.is_empty() {
        found.infeasible = Some(why_none(rules, &today_figures));
        return found;
    }
    proposals.sort_by(|a, b| {
        a.cost
            .total_cmp(&b.cost)
            .then(a.latency.total_cmp(&b.latency))
            .then(a.blast.total_cmp(&b.blast))
    });
    found.best = found.best.map(|best| best.min(proposals[0].cost));
    let mut front = thinned(undominated(proposals), &mut found.pareto_size);
    // Without today's beside them nobody sees what the others change.
    if front
        .iter()
        .all(|proposal| proposal.topology != today_topology)
    {
        let mut today = priced(today_topology.clone(), today_figures.clone(), 0);
        today.beaten = true;
        let at = front.partition_point(|proposal| proposal.cost <= today.cost);
        front.insert(at, today);
    }
    found.pareto = front
        .into_iter()
        .map(|mut proposal| {
            proposal.steps = steps::between(inputs, &today_topology, &proposal.topology);
            let cost = |topology: &Topology| {
                let figures = now.evaluate(topology, &load);
                let may = rules.kept(&figures).is_ok() && !overloaded(&today_figures, &figures);
                may.then(|| weights.cost(&figures))
            };
            (proposal.first_step, proposal.left) =
                steps::first(inputs, &today_topology, &proposal.steps, leaves, cost);
            proposal
        })
        .collect();
    found
}

fn too_many(inputs: &Inputs) -> Found {
    Found {
        pareto: Vec::new(),
        pareto_size: 0,
        exact: false,
        examined: 0,
        today: 0.0,
        best: None,
        bound: 0.0,
        infeasible: Some(format!(
            "{} services: more than {SEARCH_MAX} are not searched for other cuts",
            inputs.services.len()
        )),
    }
}

/// Does something get more than its processes can do, that is not so today?
fn overloaded(today: &Figures, figures: &Figures) -> bool {
    // What queues for a section that one can be in at a time queues for it in any cut.
    let full = |d: &DeployableFigures| {
        let blocked = d.section_utilisation.is_some_and(|busy| busy >= 1.0);
        d.utilisation
            .is_some_and(|used| used >= 1.0 || (d.replicas_needed.is_none() && !blocked))
    };
    let was = |name: &str| today.deployables.iter().any(|d| d.name == name && full(d));
    figures.deployables.iter().any(|d| full(d) && !was(&d.name))
}

/// Today's partition: each atom with the group of the service whose process it is in.
fn today(groups: &Groups<'_>) -> Vec<usize> {
    // What must share a process may come from several services: it goes with the first.
    let mut group: BTreeMap<usize, usize> = BTreeMap::new();
    groups
        .atoms
        .iter()
        .enumerate()
        .map(|(at, atom)| {
            let known = atom
                .services
                .iter()
                .find_map(|s| group.get(s))
                .copied()
                .unwrap_or(at);
            atom.services.iter().for_each(|s| {
                group.entry(*s).or_insert(known);
            });
            known
        })
        .collect()
}

fn exactly(groups: &Groups<'_>, rules: &Rules, found: &mut Found) -> Vec<Vec<usize>> {
    let n = groups.atoms.len();
    let proxy = Proxy::new(groups);
    let sets = exact::sets(groups, &|members| proxy.judge(groups, members));
    let limits: Vec<Option<f64>> = proxy
        .origins
        .iter()
        .map(|o| {
            let p95 = groups.inputs.origins[*o]
                .wall_ns
                .map(|w| w[1])
                .filter(|p| *p > 0.0)?;
            Some(rules.slo_ns[*o]? / p95)
        })
        .collect();
    let mut front: Vec<Leaf> = Vec::new();
    let mut best = f64::INFINITY;
    let mut cheapest: Option<Vec<usize>> = None;
    found.examined = exact::walk(
        &sets,
        n,
        groups.inputs.services.len(),
        rules.boundaries_max,
        &mut |of, cost, blast, latency| {
            if limits
                .iter()
                .zip(latency)
                .any(|(limit, change)| limit.is_some_and(|limit| 1.0 + change > limit + 1e-12))
            {
                return;
            }
            if cost < best {
                best = cost;
                cheapest = Some(of.to_vec());
            }
            let latency = latency
                .iter()
                .map(|change| 1.0 + change)
                .fold(0.0, f64::max);
            let beats = |a: &Leaf| a.cost <= cost && a.latency <= latency && a.blast <= blast;
            if front.iter().any(beats) {
                return;
            }
            front.retain(|a| !(cost <= a.cost && latency <= a.latency && blast <= a.blast));
            front.push(Leaf {
                groups: of.to_vec(),
                cost,
                latency,
                blast,
            });
        },
    );
    found.best = best.is_finite().then_some(best);
    found.bound = if best.is_finite() { best } else { 0.0 };
    // Evaluated in full later; so many are enough to choose from.
    front.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    let every = front.len().div_ceil(8 * PARETO_MAX).max(1);
    let mut sets: Vec<Vec<usize>> = front
        .into_iter()
        .step_by(every)
        .map(|leaf| leaf.groups)
        .collect();
    sets.extend(cheapest);
    sets.into_iter().map(|sets| groups_of(&sets, n)).collect()
}

/// The cheapest partition, and what it costs.
fn cheapest(groups: &Groups<'_>, rules: &Rules) -> Option<(f64, Vec<usize>)> {
    let sets = exact::sets(groups, &|_| (0.0, Vec::new()));
    let (n, services) = (groups.atoms.len(), groups.inputs.services.len());
    let mut best: Option<(f64, Vec<usize>)> = None;
    exact::walk(
        &sets,
        n,
        services,
        rules.boundaries_max,
        &mut |sets, cost, _, _| {
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, sets.to_vec()));
            }
        },
    );
    best.map(|(cost, sets)| (cost, groups_of(&sets, n)))
}

/// For each atom its group, in a partition given by its sets.
fn groups_of(sets: &[usize], n: usize) -> Vec<usize> {
    let of = |atom: usize| sets.iter().position(|set| set >> atom & 1 == 1);
    (0..n).map(|atom| of(atom).unwrap_or(0)).collect()
}

fn by_climbing(
    groups: &Groups<'_>,
    rules: &Rules,
    seed: u64,
    as_it_is: Vec<usize>,
    found: &mut Found,
) -> Vec<Vec<usize>> {
    let apart: Vec<usize> = (0..groups.atoms.len()).collect();
    let mut partitions = vec![as_it_is.clone()];
    found.bound = bound(groups, rules);
    if let Some(most) = rules.boundaries_max {
        // Few steps: only those that save most, from where we are.
        let Some(most) = (most as usize).checked_sub(groups.boundaries(&as_it_is)) else {
            return Vec::new();
        };
        if let Some(mut state) = State::new(groups, as_it_is) {
            climb::agglomerate(groups, &mut state, most, |state| {
                found.examined += 1;
                partitions.push(state.group_of.clone());
            });
            found.best = Some(state.cost);
        }
        return partitions;
    }
    let starts: Vec<State> = [as_it_is, apart]
        .into_iter()
        .filter_map(|start| State::new(groups, start))
        .collect();
    let mut seen = 0usize;
    // The way to the best is what a Pareto set is taken from: some of its states, evenly.
    let every = groups.atoms.len().div_ceil(8).max(1);
    let outcome = climb::search(groups, starts, seed, |state| {
        seen += 1;
        if seen.is_multiple_of(every) {
            partitions.push(state.group_of.clone());
        }
    });
    if let Some((best, tried)) = outcome {
        found.examined = tried + seen as u64;
        found.best = Some(best.cost);
        partitions.push(best.group_of);
    }
    partitions
}

/// No partition costs less: all savings that are allowed, no copy of anything, one process' agent and base for each
/// group that there must be.
fn bound(groups: &Groups<'_>, rules: &Rules) -> f64 {
    let mut sum = 0.0;
    let mut process = f64::INFINITY;
    for (at, atom) in groups.sums.iter().enumerate() {
        let saved: f64 = groups.near[at]
            .iter()
            .filter(|(other, saved)| *saved > 0.0 && groups.may(at, *other))
            .map(|(_, saved)| saved / 2.0)
            .sum();
        sum += atom.least(saved, &groups.weights);
        process = process.min(atom.process(&groups.weights));
    }
    sum + process * rules.groups_min(groups.inputs)
}

fn worst(figures: &Figures, before: &[Option<f64>]) -> Option<(usize, f64)> {
    figures
        .origins
        .iter()
        .zip(before)
        .enumerate()
        .filter_map(|(at, (origin, before))| {
            let before = before.filter(|ns| *ns > 0.0)?;
            let ratio = origin.p95_ns.map_or(f64::INFINITY, |after| after / before);
            Some((at, ratio))
        })
        // The first of equals, so that the same rollup gives the same bytes.
        .reduce(|worst, next| if next.1 > worst.1 { next } else { worst })
}

/// A limit below what the root itself computes cannot be kept by any cut.
fn below_service_time(inputs: &Inputs, rules: &Rules) -> Option<String> {
    inputs.origins.iter().zip(&rules.slo_ns).find_map(|(origin, limit)| {
        let (limit, root) = ((*limit)?, origin.root?);
        let operation = &inputs.operations[root];
        let own = operation.cores * 1e9 / Some(operation.rate).filter(|rate| *rate > 0.0)?;
        (own > limit).then(|| {
            format!(
                "{} of {} needs {:.2} ms of CPU itself, more than its limit of {:.2} ms: no cut of the system keeps that; raise the limit or make the operation cheaper",
                origin.operation, origin.service, own / 1e6, limit / 1e6
            )
        })
    })
}

fn why_none(rules: &Rules, today: &Figures) -> String {
    match rules.kept(today) {
        Err(why) => format!("No topology keeps all limits. Today {why}."),
        Ok(()) => "No topology satisfies the constraints: a process that must hold what is linked fits on no node, or too few boundaries may be moved.".to_owned(),
    }
}

fn undominated(proposals: Vec<Proposal>) -> Vec<Proposal> {
    let mut front: Vec<Proposal> = Vec::new();
    for proposal in proposals {
        let beaten = |a: &Proposal| {
            a.cost <= proposal.cost && a.latency <= proposal.latency && a.blast <= proposal.blast
        };
        if !front.iter().any(beaten) {
            front.push(proposal);
        }
    }
    front
}

/// At most [`PARETO_MAX`]: the ends of each measure, and an even choice of the others by cost.
fn thinned(front: Vec<Proposal>, size: &mut usize) -> Vec<Proposal> {
    *size = front.len();
    if front.len() <= PARETO_MAX {
        return front;
    }
    let least = |of: fn(&Proposal) -> f64| {
        (0..front.len())
            .min_by(|a, b| of(&front[*a]).total_cmp(&of(&front[*b])))
            .unwrap_or(0)
    };
    let mut keep = vec![0, least(|p| p.latency), least(|p| p.blast), front.len() - 1];
    let free = PARETO_MAX - keep.len();
    keep.extend((1..=free).map(|n| n * (front.len() - 1) / (free + 1)));
    keep.sort_unstable();
    keep.dedup();
    front
        .into_iter()
        .enumerate()
        .filter(|(at, _)| keep.contains(at))
        .map(|(_, p)| p)
        .collect()
}
