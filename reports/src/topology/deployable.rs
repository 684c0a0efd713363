//! One deployable: processes, utilisation, waiting, memory.

use super::{Deployable, Inputs, Load, Topology};
use crate::queue::{ClassLoad, Mixture};

/// What is known of a deployable before it is sized.
#[derive(Clone, Debug, Default)]
pub(super) struct Sized {
    /// Cores that grow with load.
    pub(super) variable: f64,
    /// Cores that each process needs of itself.
    pub(super) fixed_each: f64,
    pub(super) replicas: f64,
    pub(super) needed: Option<f64>,
}

impl Sized {
    pub(super) fn cores(&self) -> f64 {
        self.variable + self.fixed_each * self.replicas
    }
}

/// Load of the hottest shard as a share of all: the busiest key's, and an even part of the rest.
pub(super) fn hottest(inputs: &Inputs, deployable: &Deployable) -> f64 {
    deployable.shards.as_ref().map_or(1.0, |shards| {
        let n = f64::from(shards.count.max(1));
        let top = inputs.entities[shards.entity]
            .top_key_share
            .unwrap_or(0.0)
            .clamp(0.0, 1.0);
        (top + (1.0 - top) / n).max(1.0 / n)
    })
}

/// Work of a divided deployable ÷ undivided: a request that touches several keys runs in at least two shards.
pub(super) fn shard_work(inputs: &Inputs, deployable: &Deployable) -> f64 {
    deployable.shards.as_ref().map_or(1.0, |shards| {
        if shards.count > 1 {
            1.0 + inputs.entities[shards.entity]
                .multi_key_share
                .unwrap_or(0.0)
                .clamp(0.0, 1.0)
        } else {
            1.0
        }
    })
}

fn parts(deployable: &Deployable) -> f64 {
    deployable
        .shards
        .as_ref()
        .map_or(1.0, |shards| f64::from(shards.count.max(1)))
}

/// Processes needed so that the planned utilisation is not passed: `r ≥ v·h ÷ (limit · target − fixed)` for each of
/// the n parts, where h is the hottest part's share. `None` without cores, or when a process has no room for work.
pub(super) fn needed(
    inputs: &Inputs,
    deployable: &Deployable,
    sized: &Sized,
    load: &Load,
) -> Option<f64> {
    let limit = deployable.cores_limit.filter(|limit| *limit > 0.0)?;
    let room = limit * load.target_utilisation - sized.fixed_each;
    let work = sized.variable * hottest(inputs, deployable);
    if work <= 0.0 {
        return Some(parts(deployable).max(load.min_replicas));
    }
    if room <= 0.0 {
        return None;
    }
    let mut each = libm::ceil(work / room - 1e-9).max(1.0);
    if load.one_lost && each * parts(deployable) < 2.0 {
        each = 2.0;
    }
    // With one process of a part lost the others must not saturate.
    if load.one_lost && work / (limit - sized.fixed_each).max(room) > each - 1.0 {
        each = libm::ceil(work / (limit - sized.fixed_each).max(room) + 1.0 - 1e-9).max(each);
    }
    Some((each * parts(deployable)).max(load.min_replicas))
}

/// Share of its processes' cores that is used: of the hottest part, when divided; and with one process lost.
pub(super) fn utilisation(
    inputs: &Inputs,
    deployable: &Deployable,
    sized: &Sized,
) -> (Option<f64>, Option<f64>) {
    let Some(limit) = deployable.cores_limit.filter(|limit| *limit > 0.0) else {
        return (None, None);
    };
    let each = sized.replicas / parts(deployable);
    let at = |processes: f64| {
        let work = sized.variable * hottest(inputs, deployable) / processes;
        (work + sized.fixed_each) / limit
    };
    let now = (each > 0.0).then(|| at(each));
    let lost = (each > 1.0).then(|| at(each - 1.0));
    (now, lost)
}

/// Mean wait for a core, seconds, in one process: all operations mixed, by Allen and Cunneen. Times are scaled so that
/// the utilisation is the deployable's, pools and scheduler included. `None` at saturation or without cores; 0 when
/// nothing runs.
pub(super) fn wait(
    deployable: &Deployable,
    classes: &[ClassLoad],
    sized: &Sized,
    hottest: f64,
) -> Option<f64> {
    let servers = crate::build::whole_cores(deployable.cores_limit?)?;
    let each = sized.replicas / parts(deployable);
    if each <= 0.0 {
        return None;
    }
    let work: f64 = classes.iter().map(|class| class.rate * class.mean).sum();
    if work <= 0.0 {
        return Some(0.0);
    }
    let stretch = (sized.variable / work).max(0.0);
    let loads: Vec<ClassLoad> = classes
        .iter()
        .map(|class| ClassLoad {
            rate: class.rate * hottest / each,
            mean: class.mean * stretch,
            mean_square: class.mean_square * stretch * stretch,
            arrival_cs2: class.arrival_cs2,
        })
        .collect();
    match Mixture::of(&loads) {
        Some(mixture) => mixture.wait(servers),
        None => Some(0.0),
    }
}

/// Memory of one process, bytes: one base (the largest of its services'), what each of its parts keeps beyond the
/// base, and what requests in flight hold. What a service keeps is shared out to its operations by the most that one
/// request of each held, and evenly when nobody tells. `None` when a service reports no resident set.
pub(super) fn process_bytes(
    inputs: &Inputs,
    topology: &Topology,
    members: &[Vec<usize>],
    at: usize,
    replicas: f64,
    load: &Load,
    shares: &MemoryShares,
) -> Option<f64> {
    let mut base: f64 = 0.0;
    let mut kept = 0.0;
    let mut flying = 0.0;
    let mut services: Vec<usize> = topology.deployables[at].home_of.clone();
    for operation in &members[at] {
        let of = &inputs.operations[*operation];
        services.push(of.service);
        kept += shares.kept(*operation);
        flying += of.in_flight * of.held_bytes * load.factor;
    }
    services.sort_unstable();
    services.dedup();
    for service in services {
        let service_facts = &inputs.services[service];
        base = base.max(service_facts.base_bytes.or(service_facts.peak_bytes)?);
        service_facts.peak_bytes?;
        if topology.deployables[at].home_of.contains(&service) {
            kept += shares.without_operations(service);
        }
    }
    (replicas > 0.0).then(|| base + kept + flying / replicas)
}

/// What each operation's code and data keep in every process that holds it, bytes.
#[derive(Clone, Debug)]
pub(super) struct MemoryShares {
    operations: Vec<f64>,
    services: Vec<f64>,
}

impl MemoryShares {
    pub(super) fn of(inputs: &Inputs) -> Self {
        let count = inputs.services.len();
        let mut held = vec![0.0; count];
        let mut flying = vec![0.0; count];
        let mut number = vec![0.0; count];
        for operation in &inputs.operations {
            held[operation.service] += operation.held_max_bytes;
            flying[operation.service] += operation.in_flight * operation.held_bytes;
            number[operation.service] += 1.0;
        }
        let kept: Vec<f64> = inputs
            .services
            .iter()
            .zip(&flying)
            .map(|(service, flying)| {
                let base = service.base_bytes.unwrap_or(0.0);
                let each = flying / service.instances.max(1.0);
                service
                    .peak_bytes
                    .map_or(0.0, |peak| (peak - base - each).max(0.0))
            })
            .collect();
        let operations = inputs
            .operations
            .iter()
            .map(|operation| {
                let service = operation.service;
                let share = if held[service] > 0.0 {
                    operation.held_max_bytes / held[service]
                } else {
                    1.0 / number[service]
                };
                kept[service] * share
            })
            .collect();
        let services = kept
            .iter()
            .zip(&number)
            .map(|(kept, number)| if *number > 0.0 { 0.0 } else { *kept })
            .collect();
        Self {
            operations,
            services,
        }
    }

    fn kept(&self, operation: usize) -> f64 {
        self.operations[operation]
    }

    fn without_operations(&self, service: usize) -> f64 {
        self.services[service]
    }
}
