//! One deployable: processes, utilisation, waiting, memory.

use super::{Deployable, Inputs, Load, Operation, Topology};
use crate::queue::{ClassLoad, Cores, Mixture, WaitTail};
use crate::simulate::{Activity, Arrivals, Effort, Network, RequestClass, Times, simulate};

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

/// Processes needed so that the planned utilisation is not passed. `None` without cores, or when a process has no room
/// for work.
pub(super) fn needed(
    inputs: &Inputs,
    deployable: &Deployable,
    sized: &Sized,
    load: &Load,
) -> Option<f64> {
    let work = sized.variable * hottest(inputs, deployable);
    processes(
        work,
        sized.fixed_each,
        deployable.cores_limit?,
        parts(deployable),
        load,
    )
}

/// `r ≥ work ÷ (limit · target − fixed)` for each of `parts`, where `work` is the hottest part's; with one process of a
/// part lost the others must not saturate, where that is asked for.
pub(super) fn processes(work: f64, fixed: f64, limit: f64, parts: f64, load: &Load) -> Option<f64> {
    if limit.is_nan() || limit <= 0.0 {
        return None;
    }
    if work <= 0.0 {
        return Some(parts.max(load.min_replicas));
    }
    let room = limit * load.target_utilisation - fixed;
    if room <= 0.0 {
        return None;
    }
    let mut each = libm::ceil(work / room - 1e-9).max(1.0);
    if load.one_lost {
        each = each
            .max(libm::ceil(work / (limit - fixed) + 1.0 - 1e-9))
            .max(2.0);
    }
    Some((each * parts).max(load.min_replicas))
}

/// Processes that services in one deployable need at a multiple of a load at which they take so many cores. As everywhere
/// at least as many as there are, and none where no number suffices or a process' cores are not known.
pub(crate) fn peak_processes(
    inputs: &Inputs,
    services: &[usize],
    cores: f64,
    load: &Load,
) -> Option<f64> {
    let of = services.iter().map(|at| &inputs.services[*at]);
    let running = of.clone().map(|s| s.instances).fold(0.0, f64::max);
    let least = of.clone().map(|s| s.min_replicas).fold(0.0, f64::max);
    let limit = of.filter_map(|s| s.cores_limit).reduce(f64::max)?;
    let fixed = super::evaluate::fixed_each(inputs, services, services.iter().copied());
    let work = (cores - fixed * running).max(0.0) * load.factor;
    let needed = processes(work, fixed, limit, 1.0, load)?;
    Some(needed.max(libm::ceil(running - 1e-9)).max(least))
}

/// The multiple of a load at which the processes of a deployable are used to the planned utilisation: those of the hottest
/// part, when divided. `None` without cores, or where no load fills them.
pub(super) fn carries(
    inputs: &Inputs,
    deployable: &Deployable,
    sized: &Sized,
    load: &Load,
) -> Option<f64> {
    let each = sized.replicas / parts(deployable);
    let room = deployable.cores_limit? * load.target_utilisation - sized.fixed_each;
    let work = sized.variable * hottest(inputs, deployable);
    (work > 0.0).then(|| (room * each / work).max(0.0))
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

/// What queues for the cores of one process: all operations mixed. Times are scaled so that the utilisation is the
/// deployable's, pools and scheduler included.
#[derive(Clone, Debug)]
pub(crate) struct CoreQueue {
    /// Operations with their load.
    pub(crate) loads: Vec<(usize, ClassLoad)>,
    servers: u32,
}

impl CoreQueue {
    /// `None` without cores or processes.
    pub(super) fn of(
        deployable: &Deployable,
        classes: Vec<(usize, ClassLoad)>,
        sized: &Sized,
        hottest: f64,
    ) -> Option<Self> {
        let cores = Cores::of(deployable.cores_limit?)?;
        let each = sized.replicas / parts(deployable);
        if each <= 0.0 {
            return None;
        }
        let work: f64 = classes.iter().map(|(_, c)| c.rate * c.mean).sum();
        // Not `max`, which would take what is no number for nothing.
        let stretch = if work <= 0.0 || sized.variable < 0.0 {
            0.0
        } else {
            sized.variable / work
        };
        let mut loads = classes;
        for (_, load) in &mut loads {
            load.rate *= hottest / each;
            load.mean *= stretch;
            load.mean_square *= stretch * stretch;
            *load = cores.slowed(*load);
        }
        Some(Self {
            loads,
            servers: cores.servers,
        })
    }

    /// Mean wait for a core, seconds, by Allen and Cunneen. `None` at saturation and where a load is no number; 0 when
    /// nothing runs.
    pub(crate) fn wait(&self) -> Option<f64> {
        if self.runs_nothing() {
            return Some(0.0);
        }
        self.mixture()?.wait(self.servers)
    }

    fn runs_nothing(&self) -> bool {
        self.loads
            .iter()
            .all(|(_, load)| load.rate * load.mean <= 0.0)
    }

    /// How the waits are spread. `None` at saturation; nobody waits where nothing runs.
    pub(super) fn tail(&self) -> Option<Option<WaitTail>> {
        if self.runs_nothing() {
            return Some(None);
        }
        WaitTail::of(&self.plain(), self.servers).map(Some)
    }

    /// The same with other loads.
    pub(crate) fn with(&self, other: impl Fn(usize, ClassLoad) -> ClassLoad) -> Self {
        Self {
            loads: self
                .loads
                .iter()
                .map(|(at, load)| (*at, other(*at, *load)))
                .collect(),
            servers: self.servers,
        }
    }

    fn plain(&self) -> Vec<ClassLoad> {
        self.loads.iter().map(|(_, load)| *load).collect()
    }

    fn mixture(&self) -> Option<Mixture> {
        Mixture::of(&self.plain())
    }

    /// As [`wait`](Self::wait), by so many simulated requests where the formula is not accurate; 0: by formula only.
    pub(super) fn wait_simulated(&self, simulated: u64) -> Option<f64> {
        let formula = self.wait()?;
        let accurate = self.mixture().is_none_or(|m| accurate(&m, self.servers));
        if simulated == 0 || accurate {
            return Some(formula);
        }
        Some(simulate_wait(&self.plain(), self.servers, simulated).unwrap_or(formula))
    }
}

/// Is Allen and Cunneen's formula accurate here? For one server and Poisson arrivals it is exact; near the knee it is
/// within 15 % (docs/decisions.md); elsewhere it may be off by more than half.
fn accurate(mixture: &Mixture, servers: u32) -> bool {
    let poisson = (mixture.arrival_cs2 - 1.0).abs() < 0.05;
    (servers == 1 && poisson) || mixture.rho(servers).is_some_and(|rho| rho >= KNEE)
}

/// Utilisation from which the formula is used as it is.
const KNEE: f64 = 0.8;

/// Mean wait by the simulator, seconds; `None` where it refuses.
fn simulate_wait(loads: &[ClassLoad], servers: u32, requests: u64) -> Option<f64> {
    let network = Network {
        servers: vec![servers],
        classes: loads
            .iter()
            .map(|load| RequestClass {
                arrivals: Arrivals {
                    rate: load.rate,
                    cs2: load.arrival_cs2,
                },
                activities: vec![Activity {
                    station: 0,
                    times: Times::Spread {
                        mean: load.mean,
                        cs2: (load.mean_square / (load.mean * load.mean) - 1.0).max(0.0),
                    },
                    after: Vec::new(),
                    detached: false,
                }],
            })
            .collect(),
    };
    let found = simulate(&network, Effort { requests, seed: 1 }).ok()?;
    Some(found.stations.first()?.wait)
}

/// Memory of one process, bytes: one base (the largest of its services'), what each of its parts keeps beyond the
/// base, and what requests in flight hold. Of what a service keeps, an operation has what was sampled of it; the rest is
/// shared out to its operations by the most that one request of each held, and evenly when nobody tells. `None` when a
/// service reports no resident set.
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
        let mut sampled = vec![0.0; count];
        for operation in &inputs.operations {
            sampled[operation.service] += retained(operation);
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
                // Operations together keep no more than their processes do.
                let known = sampled[service].min(kept[service]);
                let own = if sampled[service] > 0.0 {
                    retained(operation) * known / sampled[service]
                } else {
                    0.0
                };
                let share = if held[service] > 0.0 {
                    operation.held_max_bytes / held[service]
                } else {
                    1.0 / number[service]
                };
                own + (kept[service] - known) * share
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

    /// In each process that holds the operation.
    pub(super) fn kept(&self, operation: usize) -> f64 {
        self.operations[operation]
    }

    pub(super) fn without_operations(&self, service: usize) -> f64 {
        self.services[service]
    }
}

/// What was sampled of it, bytes; what nobody sampled stands in what is shared out.
fn retained(operation: &Operation) -> f64 {
    operation.retained_bytes.unwrap_or(0.0).max(0.0)
}
