//! What a stretch of the weighing says of a placement: the model's figures, and what it does not know.

use std::collections::BTreeMap;

use anyhow::Context as _;
use weighbridge_reports::topology::{Inputs, Load, Service, Topology, evaluate};

use super::cut::topology;
use super::figure::Subject;
use super::fronts::Fronts;
use super::plan::Trial;
use super::predict::{Known, Part};
use crate::load::MIX;
use crate::placement::Placement;

/// The broker's name in the ledger.
pub(super) const BROKER: &str = "broker";
/// The collector's.
const COLLECTOR: &str = weighbridge_wire::COLLECTOR_SERVICE;

/// What a stretch says of one placement.
pub(super) fn figures_of(
    part: Part,
    inputs: &Inputs,
    known: &Known<'_>,
    trial: &Trial,
) -> anyhow::Result<Vec<(Subject, f64)>> {
    let tried = &trial.placement;
    match part {
        Part::Crossing => Ok(Vec::new()),
        Part::Idle => {
            let cut = topology(inputs, known.given, tried);
            let fixed = fixed(inputs, &cut, tried);
            let sum: f64 = fixed.values().sum();
            Ok(vec![(Subject::Idle, sum * 1e9)])
        }
        Part::Alone(row) => {
            let operation = MIX[row].operation;
            let ns = kernel_ns(inputs, known, tried, operation)
                .or_else(|_| kernel_ns(&known.whole, known, tried, operation))?;
            Ok(vec![(Subject::Origin(operation.to_owned()), ns)])
        }
        Part::Mix => {
            let (mut sum, mut all) = (0.0, 0.0);
            for origin in &MIX {
                let rate = rate(inputs, origin.operation);
                if rate > 0.0 {
                    sum += rate * kernel_ns(inputs, known, tried, origin.operation)?;
                    all += rate;
                }
            }
            anyhow::ensure!(
                all > 0.0,
                "no request of the mix was weighed; raise --seconds"
            );
            let mut figures = vec![(Subject::Mix, sum / all)];
            figures.extend(processes(inputs, known, tried, all));
            Ok(figures)
        }
    }
}

/// Requests of an origin in a second.
pub(super) fn rate(inputs: &Inputs, operation: &str) -> f64 {
    let of = inputs.origins.iter().filter(|o| o.operation == operation);
    of.filter_map(|o| o.rate).fold(0.0, f64::max)
}

/// What the kernel will say of a request of this origin, ns.
fn kernel_ns(
    inputs: &Inputs,
    known: &Known<'_>,
    tried: &Placement,
    operation: &str,
) -> anyhow::Result<f64> {
    let load = Load::seen(&weighbridge_reports::Options::default());
    let priced = evaluate(inputs, &topology(inputs, known.given, tried), &load);
    let origin = priced
        .origins
        .iter()
        .filter(|o| o.operation == operation && o.rate.is_some())
        .max_by(|a, b| a.rate.unwrap_or(0.0).total_cmp(&b.rate.unwrap_or(0.0)));
    let ns = origin
        .and_then(|origin| origin.kernel_cpu_ns)
        .with_context(|| format!("the weighing tells no cost of {operation}; raise --seconds"))?;
    let all: f64 = MIX.iter().map(|o| rate(inputs, o.operation)).sum();
    // Background work and the agent grow with the load, whoever causes it.
    let grown = (beside(inputs) - beside(&known.idle)) * 1e9 / f64::max(all, 1e-9);
    Ok(ns + grown + Fronts::of(inputs, known, tried).of_origin(operation))
}

/// Background work and agents of all that is placed, cores.
fn beside(inputs: &Inputs) -> f64 {
    let placed = inputs.services.iter().filter(|s| s.label != COLLECTOR);
    placed.map(|s| s.background + s.agent).sum()
}

/// What each process spends of a request of the mix, ns.
fn processes(
    inputs: &Inputs,
    known: &Known<'_>,
    tried: &Placement,
    rate_all: f64,
) -> Vec<(Subject, f64)> {
    let cut = topology(inputs, known.given, tried);
    let load = Load::seen(&weighbridge_reports::Options::default());
    let priced = evaluate(inputs, &cut, &load);
    let mut spent: BTreeMap<String, f64> = BTreeMap::new();
    let idle_topology = topology(&known.idle, known.given, tried);
    let fixed = fixed(&known.idle, &idle_topology, tried);
    for (slot, deployable) in cut.alive().into_iter().zip(&priced.deployables) {
        if Process::of(tried, &deployable.name).is_none() {
            continue;
        }
        // The model starts background work once for each replica; here only the first does it.
        let again = Fixed::of(inputs, &cut, slot).background * (deployable.replicas - 1.0);
        let idle = fixed.get(&deployable.name).copied().unwrap_or(0.0);
        let ns = (deployable.cores - again - idle) * 1e9 / rate_all;
        spent.insert(deployable.name.clone(), ns);
    }
    for (name, operation, ns) in Fronts::of(inputs, known, tried).parts {
        let share = rate(inputs, operation) / rate_all;
        *spent.entry(name).or_insert(0.0) += ns * share;
    }
    spent
        .into_iter()
        .map(|(name, ns)| (Subject::Process(name), ns))
        .collect()
}

/// What each process costs without a request, cores: all that its services spend then, and one agent for each
/// instance. A process that is new costs what the cheapest does beside its background work.
fn fixed(idle: &Inputs, topology: &Topology, tried: &Placement) -> BTreeMap<String, f64> {
    let each = |service: &Service| service.instances.max(f64::MIN_POSITIVE);
    let bare = idle
        .services
        .iter()
        .filter(|s| s.label != COLLECTOR && s.label != BROKER && s.cores > 0.0)
        .map(|s| (s.cores - s.background) / each(s))
        .reduce(f64::min)
        .unwrap_or(0.0);
    let mut fixed = BTreeMap::new();
    for deployable in &topology.deployables {
        let Some(process) = Process::of(tried, &deployable.name) else {
            continue;
        };
        let homes: Vec<&Service> = deployable
            .home_of
            .iter()
            .map(|at| &idle.services[*at])
            .collect();
        let own: f64 = homes.iter().map(|s| s.background).sum();
        let process_each = homes
            .iter()
            .map(|s| (s.cores - s.background) / each(s))
            .fold(0.0, f64::max);
        let process_each = if homes.is_empty() { bare } else { process_each };
        fixed.insert(
            deployable.name.clone(),
            own + process_each * process.instances,
        );
    }
    for process in &tried.processes {
        if let Some(front) = process.front_name() {
            fixed.insert(front, bare);
        }
    }
    fixed
}

/// A process of a placement as far as its fixed cost goes.
struct Process {
    instances: f64,
}

impl Process {
    /// `None` for what is no part of the placement, and for a broker that it does not need.
    fn of(placement: &Placement, name: &str) -> Option<Self> {
        let instances = match placement.processes.iter().find(|p| p.name == name) {
            Some(process) => process.replicas as f64,
            None if name == BROKER && placement.needs_broker() => 1.0,
            None => return None,
        };
        Some(Self { instances })
    }
}

/// What a deployable costs without a request, cores.
struct Fixed {
    background: f64,
}

impl Fixed {
    fn of(inputs: &Inputs, topology: &Topology, slot: usize) -> Self {
        let homes = topology.deployables[slot].home_of.iter();
        Self {
            background: homes
                .map(|at| &inputs.services[*at])
                .map(|s| s.background / s.instances.max(f64::MIN_POSITIVE))
                .sum(),
        }
    }
}
