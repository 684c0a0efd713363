//! Constraints, resolved for a system: who may and who must share a process.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::COLLECTOR_SERVICE;

use super::groups::Atom;
use super::{Figures, Inputs, Topology};
use crate::Constraints;
use crate::constraints::ConstraintError;
use crate::decide::say;
use crate::document::processes_meant;
use crate::options::Node;

/// Constraints by index, with those that the data implies.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// By service: which owner, runtime, kind of ledger and part in the system; services of different ones stay apart.
    classes: Vec<[usize; 4]>,
    apart: BTreeSet<(usize, usize)>,
    /// Components that must share a process.
    must: Vec<(usize, usize)>,
    must_services: Vec<(usize, usize)>,
    /// By service the component that its background work stays with; none where it has no component.
    home: Vec<Option<usize>>,
    floors: Vec<f64>,
    pub(super) node: Node,
    /// Limits of the 95th percentile, by origin, ns.
    pub(super) slo_ns: Vec<Option<f64>>,
    pub(super) boundaries_max: Option<u32>,
    /// What the data implies, in words.
    pub implied: Vec<String>,
}

impl Rules {
    /// Resolves constraints.
    ///
    /// # Errors
    /// A name that is not there, with the nearest that is.
    pub fn of(inputs: &Inputs, constraints: &Constraints) -> Result<Self, ConstraintError> {
        constraints.check(inputs)?;
        let at: BTreeMap<&str, usize> = inputs
            .services
            .iter()
            .enumerate()
            .map(|(at, s)| (s.label.as_str(), at))
            .collect();
        let number = |table: &BTreeMap<String, String>, label: &str| {
            // 0: nobody says; a service that nobody speaks of goes with any.
            let values: BTreeSet<&String> = table.values().collect();
            table
                .get(label)
                .and_then(|v| values.iter().position(|x| *x == v))
                .map_or(0, |n| n + 1)
        };
        let mut rules = Self {
            node: constraints.node,
            boundaries_max: constraints.boundaries_max,
            home: homes(inputs),
            ..Self::default()
        };
        let mixed = inputs.services.iter().any(|s| s.has_agent)
            && inputs.services.iter().any(|s| !s.has_agent);
        let carriers: BTreeSet<usize> = inputs.edges.iter().filter_map(|e| e.broker).collect();
        for (at, service) in inputs.services.iter().enumerate() {
            // Each of these is a program of its own and no part of anybody's.
            let own_program = carriers.contains(&at) || service.label == COLLECTOR_SERVICE;
            rules.classes.push([
                number(&constraints.owners, &service.label),
                number(&constraints.runtimes, &service.label),
                1 + usize::from(service.has_agent),
                if own_program { 2 + at } else { 1 },
            ]);
            rules.floors.push(constraints.least(&service.label));
        }
        if mixed {
            rules.implied.push("Services with the agent and services without it stay apart: whether they are of one language is not known.".to_owned());
        }
        let pair = |(a, b): &(String, String)| Some((*at.get(a.as_str())?, *at.get(b.as_str())?));
        for (a, b) in constraints.cannot_link.iter().filter_map(pair) {
            rules.apart.insert((a.min(b), a.max(b)));
        }
        rules.must_services = constraints.must_link.iter().filter_map(pair).collect();
        rules.linked_agents();
        rules.programs(inputs);
        rules.slo_ns = inputs
            .origins
            .iter()
            .map(|o| {
                constraints
                    .slo_p95_ns
                    .get(&(o.service.clone(), o.operation.clone()))
                    .copied()
            })
            .collect();
        rules.shared_writes(inputs);
        Ok(rules)
    }

    /// Who asks that a service without the agent shares a process with one that has it knows that they are of one
    /// language: it goes with any that has it.
    fn linked_agents(&mut self) {
        const AGENT: usize = 2;
        let mut more = true;
        while more {
            more = false;
            for (a, b) in &self.must_services {
                let both = self.classes[*a][AGENT].max(self.classes[*b][AGENT]);
                for at in [*a, *b] {
                    more |= self.classes[at][AGENT] != both;
                    self.classes[at][AGENT] = both;
                }
            }
        }
    }

    /// Brokers and the collector stay as they are, unless somebody links them: who does knows that it can be done.
    fn programs(&mut self, inputs: &Inputs) {
        const PROGRAM: usize = 3;
        for (a, b) in &self.must_services {
            for at in [*a, *b] {
                self.classes[at][PROGRAM] = 1;
            }
        }
        for (service, class) in inputs.services.iter().zip(&self.classes) {
            if class[PROGRAM] > 1 {
                self.implied.push(format!(
                    "{} stays as it is: it {}, and is no part of the system that is cut.",
                    service.label,
                    program(&service.label)
                ));
            }
        }
    }

    /// Components of one service that write the same entity share its transactions.
    fn shared_writes(&mut self, inputs: &Inputs) {
        for entity in &inputs.entities {
            for place in &entity.places {
                let writers: BTreeSet<usize> = place
                    .writes
                    .iter()
                    .map(|(op, _)| inputs.operations[*op].component)
                    .collect();
                let mut writers = writers.into_iter();
                let Some(first) = writers.next() else {
                    continue;
                };
                for other in writers {
                    self.must.push((first, other));
                    self.implied.push(format!(
                        "Components `{}` and `{}` of {} stay together: both write {}, in one database.",
                        inputs.components[first].name,
                        inputs.components[other].name,
                        inputs.services[place.service].label,
                        entity.name
                    ));
                }
            }
        }
    }

    /// May parts of these services share a process?
    pub(super) fn may(&self, a: usize, b: usize) -> bool {
        if a == b {
            return true;
        }
        let same = |(x, y): (&usize, &usize)| *x == 0 || *y == 0 || x == y;
        self.classes[a].iter().zip(&self.classes[b]).all(same)
            && !self.apart.contains(&(a.min(b), a.max(b)))
    }

    /// Must these services share a process?
    pub(crate) fn linked(&self, a: usize, b: usize) -> bool {
        let link = |(x, y): &(usize, usize)| (*x, *y) == (a, b) || (*x, *y) == (b, a);
        self.must_services.iter().any(link)
    }

    /// Keeps two services apart in the search.
    pub(crate) fn object(&mut self, a: usize, b: usize) {
        self.apart.insert((a.min(b), a.max(b)));
    }

    /// Are all limits of latency kept? Else which is not.
    pub(super) fn kept(&self, figures: &Figures) -> Result<(), String> {
        for (origin, limit) in figures.origins.iter().zip(&self.slo_ns) {
            let Some(limit) = limit else { continue };
            let ms = |ns: f64| format!("{:.2} ms", ns / 1e6);
            match origin.p95_ns {
                Some(p95) if p95 <= limit * (1.0 + 1e-12) => {}
                Some(p95) => {
                    return Err(format!(
                        "{} of {}: 95 % of the requests take up to {}, the limit is {}",
                        origin.operation,
                        origin.service,
                        ms(p95),
                        ms(*limit)
                    ));
                }
                None => {
                    let why = origin.latency_absent_reason.clone().unwrap_or_default();
                    return Err(format!(
                        "{} of {}: its latency is not known ({why}), the limit is {}",
                        origin.operation,
                        origin.service,
                        ms(*limit)
                    ));
                }
            }
        }
        Ok(())
    }

    /// What a topology does that it may not.
    pub(super) fn broken(
        &self,
        inputs: &Inputs,
        constraints: &Constraints,
        today: &Topology,
        topology: &Topology,
    ) -> Vec<String> {
        let mut broken = Vec::new();
        let mut services: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); topology.deployables.len()];
        for (at, deployable) in topology.deployables.iter().enumerate() {
            services[at].extend(&deployable.home_of);
        }
        for (operation, place) in inputs.operations.iter().zip(&topology.place) {
            services[*place].insert(operation.service);
        }
        for members in &services {
            let members: Vec<usize> = members.iter().copied().collect();
            for (n, a) in members.iter().enumerate() {
                for b in &members[n + 1..] {
                    let Some(why) = self.apart_why(inputs, constraints, *a, *b) else {
                        continue;
                    };
                    let (a, b) = (&inputs.services[*a].label, &inputs.services[*b].label);
                    broken.push(format!("{a} and {b} may not share a process ({why})"));
                }
            }
        }
        for (a, b) in &self.must_services {
            if topology.home(*a) != topology.home(*b) {
                let (a, b) = (&inputs.services[*a].label, &inputs.services[*b].label);
                broken.push(format!("{a} and {b} must share a process (must_link)"));
            }
        }
        for deployable in &topology.deployables {
            if let Some((node, limit)) = self
                .node
                .cores
                .zip(deployable.cores_limit)
                .filter(|(node, limit)| limit > node)
            {
                broken.push(format!(
                    "{} needs {limit} cores for a process, a node has {node}",
                    deployable.name
                ));
            }
        }
        for deployable in &topology.deployables {
            let homes = deployable.home_of.iter();
            let least = homes.map(|s| self.floors[*s]).fold(1.0, f64::max);
            // As many as run today are no fault of the change.
            let as_today = today.deployables.iter().any(|was| {
                was.home_of == deployable.home_of && was.replicas <= deployable.replicas
            });
            let runs = processes_meant(deployable.replicas);
            if !deployable.home_of.is_empty() && !as_today && runs < least {
                broken.push(format!(
                    "{} runs {} processes, {least} are the fewest (min_replicas)",
                    deployable.name,
                    say::factor(runs)
                ));
            }
        }
        if let Some(most) = self.boundaries_max {
            let moved = boundaries(&cut(inputs, today), &cut(inputs, topology));
            if moved > most as usize {
                broken.push(format!(
                    "it moves {moved} boundaries, at most {most} may be moved (boundaries_max)"
                ));
            }
        }
        broken
    }

    /// Why two services may not share a process, by a constraint or by what the data implies; `None` when they may.
    pub(crate) fn apart_why(
        &self,
        inputs: &Inputs,
        constraints: &Constraints,
        a: usize,
        b: usize,
    ) -> Option<String> {
        if self.may(a, b) {
            return None;
        }
        let label = |at: usize| &inputs.services[at].label;
        if let Some(why) = constraints.apart(label(a), label(b)) {
            return Some(why);
        }
        let mut programs = [a, b].into_iter().filter(|at| self.classes[*at][3] > 1);
        Some(programs.next().map_or_else(
            || "one has the agent, the other has not".to_owned(),
            |at| format!("{} {}", label(at), program(label(at))),
        ))
    }

    /// Processes that hold more memory than a node has.
    pub(super) fn too_large(&self, figures: &Figures) -> Vec<String> {
        let Some(node) = self.node.memory_bytes else {
            return Vec::new();
        };
        let large = |bytes: &f64| *bytes > node;
        let of = figures.deployables.iter();
        of.filter_map(|d| {
            let bytes = d.process_bytes.filter(large)?;
            let (bytes, node) = (say::bytes(bytes), say::bytes(node));
            Some(format!(
                "a process of {} holds {bytes}, a node has {node}",
                d.name
            ))
        })
        .collect()
    }

    /// Fewest processes of what a service becomes: today's, or what was asked for.
    pub(super) fn floor(&self, inputs: &Inputs, service: usize) -> f64 {
        inputs.services[service].instances.max(self.floors[service])
    }

    /// How many groups there are at least: services of different owners, runtimes or kinds share none.
    pub(super) fn groups_min(&self, inputs: &Inputs) -> f64 {
        let most = (0..4)
            .map(|of| {
                let classes: BTreeSet<usize> = self
                    .classes
                    .iter()
                    .map(|c| c[of])
                    .filter(|c| *c > 0)
                    .collect();
                classes.len()
            })
            .max()
            .unwrap_or(0);
        if inputs.services.is_empty() {
            0.0
        } else {
            as_f64(most.max(1))
        }
    }

    /// Atoms: components that must share a process together, and services without any.
    pub(super) fn atoms(&self, inputs: &Inputs) -> Vec<Atom> {
        let count = inputs.components.len();
        // Services without components come after.
        let mut parent: Vec<usize> = (0..count + inputs.services.len()).collect();
        let home: Vec<usize> = (self.home.iter().enumerate())
            .map(|(service, home)| home.unwrap_or(count + service))
            .collect();
        for (a, b) in &self.must {
            join(&mut parent, *a, *b);
        }
        for (a, b) in &self.must_services {
            join(&mut parent, home[*a], home[*b]);
            for (at, component) in inputs.components.iter().enumerate() {
                if component.service == *a || component.service == *b {
                    join(&mut parent, at, home[component.service]);
                }
            }
        }
        let mut atoms: BTreeMap<usize, Atom> = BTreeMap::new();
        for (at, component) in inputs.components.iter().enumerate() {
            let atom = atoms.entry(root(&mut parent, at)).or_default();
            atom.components.push(at);
            atom.services.push(component.service);
        }
        for (service, home) in home.iter().enumerate() {
            let atom = atoms.entry(root(&mut parent, *home)).or_default();
            atom.home_of.push(service);
            atom.services.push(service);
        }
        atoms
            .into_values()
            .map(|mut atom| {
                atom.services.sort_unstable();
                atom.services.dedup();
                atom
            })
            .collect()
    }
}

/// By service its component of most CPU, the first of equal ones. It is that of the system as it is: in a system without
/// some copies, in which bounds are looked for, it must not be another one.
fn homes(inputs: &Inputs) -> Vec<Option<usize>> {
    let mut cores = vec![0.0; inputs.components.len()];
    for operation in &inputs.operations {
        cores[operation.component] += operation.cores;
    }
    let mut largest: Vec<Option<usize>> = vec![None; inputs.services.len()];
    for (at, component) in inputs.components.iter().enumerate() {
        let home = &mut largest[component.service];
        if home.is_none_or(|most| cores[at] > cores[most]) {
            *home = Some(at);
        }
    }
    largest
}

/// What a program that is no part of the system does for it.
fn program(label: &str) -> &'static str {
    if label == COLLECTOR_SERVICE {
        "weighs the others"
    } else {
        "carries the messages of the others"
    }
}

/// For each operation and each service's own process the deployable.
fn cut(inputs: &Inputs, topology: &Topology) -> Vec<usize> {
    let homes = (0..inputs.services.len()).map(|s| topology.home(s).unwrap_or(usize::MAX));
    topology.place.iter().copied().chain(homes).collect()
}

/// Merges and splits between two partitions: twice the groups of their common refinement, less those of both.
pub(super) fn boundaries(a: &[usize], b: &[usize]) -> usize {
    let count = |of: &mut Vec<(usize, usize)>| {
        of.sort_unstable();
        of.dedup();
        of.len()
    };
    let one = |x: &[usize]| count(&mut x.iter().map(|g| (*g, 0)).collect());
    let meet = count(&mut a.iter().copied().zip(b.iter().copied()).collect());
    2 * meet - one(a) - one(b)
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn as_f64(n: usize) -> f64 {
    n as f64
}

fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a.max(b)] = a.min(b);
}
