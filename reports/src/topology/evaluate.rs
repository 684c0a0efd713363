//! Prices a topology.

use super::copies;
use super::deployable::{self, CoreQueue, MemoryShares, Sized};
use super::direct::{self, Direct};
use super::value::differ;
use super::{
    DeployableFigures, End, Figures, Inputs, OriginFigures, Topology, Way, latency, notes, sections,
};
use crate::Options;

/// At what load, and by which rules processes are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Multiple of the load seen.
    pub factor: f64,
    /// Whether processes are added where the planned utilisation needs them. Else the topology's numbers stand.
    pub resize: bool,
    /// Utilisation up to which a process is planned to be used.
    pub target_utilisation: f64,
    /// Fewest processes of a deployable, when resized.
    pub min_replicas: f64,
    /// Whether a resized deployable must carry its load with one process lost.
    pub one_lost: bool,
    /// Requests that are simulated for a deployable where the queue formula is not accurate; 0: formulas only.
    pub simulate: u64,
}

impl Load {
    /// The load seen, with the processes there are.
    #[must_use]
    pub fn seen(options: &Options) -> Self {
        Self {
            factor: 1.0,
            resize: false,
            target_utilisation: options.target(),
            min_replicas: f64::from(options.constraints.min_replicas.max(1)),
            one_lost: options.constraints.survive_one_lost,
            simulate: 0,
        }
    }

    /// A multiple of the load seen, with as many processes as it needs.
    #[must_use]
    pub fn planned(options: &Options, factor: f64) -> Self {
        Self {
            factor,
            resize: true,
            ..Self::seen(options)
        }
    }
}

/// What an edge makes of its ends, cores at the load asked for. Signed changes of operations' rows; whole pools.
#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    caller_rows: f64,
    callee_rows: f64,
    caller_pool: f64,
    callee_pool: f64,
    broker: f64,
    /// Messages per second at the answering end, and at the caller's.
    messages: f64,
    sent: f64,
    /// Change of all of that for one call, ns, without scheduler.
    change_ns: f64,
}

fn terms(inputs: &Inputs, topology: &Topology, at: usize, factor: f64) -> Terms {
    let change = EdgeChange {
        way: topology.ways[at],
        calls: topology.batched.get(&at).copied().unwrap_or(1.0),
        gone: copies::link_is_gone(inputs, topology, at),
        publication: publication(inputs, topology, at),
    };
    terms_of(inputs, at, change, factor)
}

/// How an edge is used in a topology.
#[derive(Clone, Copy, Debug)]
struct EdgeChange {
    way: Way,
    /// Calls that are made one.
    calls: f64,
    gone: bool,
    /// This edge's part of its publication ÷ the part that it had.
    publication: f64,
}

impl EdgeChange {
    fn to(way: Way) -> Self {
        Self {
            way,
            calls: 1.0,
            gone: false,
            publication: 1.0,
        }
    }
}

/// A publication is paid once, however many it goes to: those that still get it over the broker share it.
fn publication(inputs: &Inputs, topology: &Topology, at: usize) -> f64 {
    let others = &inputs.edges[at].shares_with;
    if others.is_empty() {
        return 1.0;
    }
    let left = others
        .iter()
        .filter(|other| {
            topology.ways[**other] == Way::Remote
                && !copies::link_is_gone(inputs, topology, **other)
        })
        .count();
    #[allow(clippy::cast_precision_loss)]
    let (before, after) = ((others.len() + 1) as f64, (left + 1) as f64);
    before / after
}

/// What an edge costs each of its ends beyond the operations' rows as they were weighed, cores; scheduler included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EdgeCores {
    pub(super) caller: f64,
    pub(super) callee: f64,
    pub(super) broker: f64,
}

pub(super) fn edge_cores(inputs: &Inputs, at: usize, way: Way, factor: f64) -> EdgeCores {
    cores_of(
        inputs,
        at,
        &terms_of(inputs, at, EdgeChange::to(way), factor),
    )
}

fn cores_of(inputs: &Inputs, at: usize, terms: &Terms) -> EdgeCores {
    let edge = &inputs.edges[at];
    EdgeCores {
        caller: terms.caller_rows + terms.caller_pool + terms.sent * wake(inputs, edge.from) * 1e-9,
        callee: terms.callee_rows
            + terms.callee_pool
            + terms.messages * wake(inputs, edge.to) * 1e-9,
        broker: terms.broker,
    }
}

impl EdgeCores {
    fn sum(self) -> f64 {
        self.caller + self.callee + self.broker
    }
}

/// Cores that some edges take in a topology at the load seen, on both sides and at the broker, beyond the operations'
/// rows as they were weighed.
pub(super) fn cores_of_edges(inputs: &Inputs, topology: &Topology, edges: &[usize]) -> f64 {
    let edges = edges.iter();
    edges
        .map(|at| cores_of(inputs, *at, &terms(inputs, topology, *at, 1.0)).sum())
        .sum()
}

/// Cores that an edge saves when so many of its calls become one.
pub(super) fn saved_batched(inputs: &Inputs, at: usize, calls: f64, factor: f64) -> f64 {
    let way = way_when(inputs, at, false);
    let change = EdgeChange {
        calls,
        ..EdgeChange::to(way)
    };
    let batched = cores_of(inputs, at, &terms_of(inputs, at, change, factor));
    edge_cores(inputs, at, way, factor).sum() - batched.sum()
}

/// Cores that an edge saves when its ends come to share a process.
pub(crate) fn saved_together(inputs: &Inputs, at: usize, factor: f64) -> f64 {
    let cores = |together| edge_cores(inputs, at, way_when(inputs, at, together), factor).sum();
    cores(false) - cores(true)
}

/// The way that an edge takes when its ends share a process, or do not.
pub(super) fn way_when(inputs: &Inputs, at: usize, together: bool) -> Way {
    let edge = &inputs.edges[at];
    let as_it_is = if edge.local { Way::Local } else { Way::Remote };
    if edge.from == End::Outside || edge.to == End::Outside {
        as_it_is
    } else if !together {
        Way::Remote
    } else if edge.sync && (edge.local || differ(inputs, edge.from, edge.to)) {
        Way::Local
    } else {
        as_it_is
    }
}

/// Scheduler CPU of a message at an end, ns.
pub(super) fn wake(inputs: &Inputs, end: End) -> f64 {
    match end {
        End::Operation(operation) => inputs.services[inputs.operations[operation].service].wake_ns,
        End::Service(service) => inputs.services[service].wake_ns,
        End::Outside => 0.0,
    }
}

fn terms_of(inputs: &Inputs, at: usize, change: EdgeChange, factor: f64) -> Terms {
    let edge = &inputs.edges[at];
    let rate = edge.rate * factor;
    let cores = |ns: f64| ns * rate * 1e-9;
    let carried = edge.caller_total_ns() + edge.callee_total_ns() + edge.broker_ns;
    if change.gone {
        let work = match edge.to {
            End::Operation(to) if inputs.operations[to].rate > 0.0 => {
                inputs.operations[to].cores * 1e9 / inputs.operations[to].rate
            }
            _ => edge.callee_ns,
        };
        return Terms {
            caller_rows: -cores(edge.caller_ns),
            callee_rows: -cores(work),
            change_ns: -(carried - edge.callee_ns + work),
            ..Terms::default()
        };
    }
    match change.way {
        Way::Remote if edge.local => {
            // It never was a message: priced as the synchronous calls here are, half at each end.
            let each = inputs.remote_call_ns.unwrap_or(0.0) + inputs.crossing_ns;
            let half = each / 2.0;
            Terms {
                caller_rows: cores(half - inputs.local_call_ns),
                callee_rows: cores(half),
                messages: rate * edge.messages(),
                sent: rate * edge.messages(),
                change_ns: each - inputs.local_call_ns,
                ..Terms::default()
            }
        }
        Way::Remote => {
            let calls = change.calls.max(1.0);
            // What grows with bytes stays; the rest is paid once for a batch.
            let bytes = if carried > 0.0 {
                (edge.by_bytes_ns / carried).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let left = bytes + (1.0 - bytes) / calls;
            let shared = left * change.publication;
            let broker = edge.broker_publication_ns * shared + edge.broker_delivery_ns() * left;
            Terms {
                caller_rows: cores(edge.caller_ns * (shared - 1.0)),
                callee_rows: cores(edge.callee_ns * (left - 1.0)),
                caller_pool: cores(edge.caller_pool_ns * shared),
                callee_pool: cores(edge.callee_pool_ns * left),
                broker: cores(broker),
                messages: rate * edge.messages() / calls,
                sent: rate * edge.messages_of_caller() * change.publication / calls,
                change_ns: edge.caller_total_ns() * shared + edge.callee_total_ns() * left + broker
                    - carried,
            }
        }
        // As it is.
        Way::Local if edge.local => Terms {
            caller_pool: cores(edge.caller_pool_ns),
            callee_pool: cores(edge.callee_pool_ns),
            ..Terms::default()
        },
        Way::Local | Way::Inline => {
            // Measured of synchronous calls only.
            let crossing = if edge.sync { inputs.crossing_ns } else { 0.0 };
            Terms {
                caller_rows: cores(inputs.local_call_ns - edge.caller_ns),
                callee_rows: -cores(edge.callee_ns + crossing),
                change_ns: inputs.local_call_ns - carried - crossing,
                ..Terms::default()
            }
        }
    }
}

/// Everything that evaluation derives from inputs and topology before it looks at latency.
pub(super) struct Priced {
    pub(super) members: Vec<Vec<usize>>,
    pub(super) sized: Vec<Sized>,
    /// CPU of one request in its operation's rows, ns.
    pub(super) request_ns: Vec<f64>,
    /// Mean wait for a core, seconds.
    pub(super) wait: Vec<Option<f64>>,
    /// What queues for the cores of one process.
    pub(super) queues: Vec<Option<CoreQueue>>,
    /// Calls that need no core of their own.
    pub(super) direct: Direct,
    /// By operation, the mean wait for its turn in a serial section, seconds; 0 where it has none.
    pub(super) turn: Vec<Option<f64>>,
    /// By deployable, the busiest of its serial sections: the operation, and the share of time in which it is taken.
    section: Vec<Option<(usize, f64)>>,
    messages: f64,
    message_bytes: f64,
    origin_change: Vec<f64>,
    origin_scheduler: Vec<f64>,
}

/// The figures of a topology at a load.
#[must_use]
pub fn evaluate(inputs: &Inputs, topology: &Topology, load: &Load) -> Figures {
    Beside::today(inputs, load).evaluate(topology, load)
}

/// What runs now, priced once: whoever evaluates many topologies of the same numbers needs it for each.
pub(crate) struct Beside<'a> {
    inputs: &'a Inputs,
    before: Priced,
    shares: MemoryShares,
}

impl<'a> Beside<'a> {
    /// Today's topology at the load seen; by simulated requests where the load asks for that.
    pub(crate) fn today(inputs: &'a Inputs, load: &Load) -> Self {
        let seen = Load {
            factor: 1.0,
            resize: false,
            ..*load
        };
        Self {
            inputs,
            before: price(inputs, &Topology::as_it_is(inputs), &seen),
            shares: MemoryShares::of(inputs),
        }
    }

    /// As [`evaluate`].
    pub(crate) fn evaluate(&self, topology: &Topology, load: &Load) -> Figures {
        let priced = price(self.inputs, topology, load);
        let latency = latency::Latency::of(self.inputs, topology, &priced, &self.before);
        figures(self.inputs, topology, load, &priced, &latency, &self.shares)
    }
}

pub(super) fn price(inputs: &Inputs, topology: &Topology, load: &Load) -> Priced {
    let count = topology.deployables.len();
    let f = load.factor;
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut rows: Vec<f64> = inputs.operations.iter().map(|o| o.cores * f).collect();
    let mut own = vec![0.0; inputs.services.len()];
    let mut incoming = vec![0.0; inputs.operations.len()];
    for (at, operation) in inputs.operations.iter().enumerate() {
        members[topology.place[at]].push(at);
        own[operation.service] += operation.cores;
    }
    let homes = topology.homes(inputs.services.len());
    let mut variable = vec![0.0; count];
    let mut origin_change = vec![0.0; inputs.origins.len()];
    let mut origin_scheduler = vec![0.0; inputs.origins.len()];
    let (mut messages, mut message_bytes) = (0.0, 0.0);
    let place = |end: End| match end {
        End::Operation(operation) => Some(topology.place[operation]),
        End::Service(service) => homes[service],
        End::Outside => None,
    };
    for (at, edge) in inputs.edges.iter().enumerate() {
        let terms = terms(inputs, topology, at, f);
        let mut scheduler_each = 0.0;
        for (end, row, pool, messages) in [
            (edge.from, terms.caller_rows, terms.caller_pool, terms.sent),
            (
                edge.to,
                terms.callee_rows,
                terms.callee_pool,
                terms.messages,
            ),
        ] {
            let mut outside_rows = row;
            if let End::Operation(operation) = end {
                rows[operation] += row;
                outside_rows = 0.0;
            }
            if let Some(deployable) = place(end) {
                variable[deployable] += outside_rows + pool + messages * wake(inputs, end) * 1e-9;
            }
            if edge.rate > 0.0 {
                scheduler_each += messages / (edge.rate * f) * wake(inputs, end);
            }
        }
        if let End::Operation(operation) = edge.to {
            incoming[operation] += edge.rate;
        }
        if let Some(home) = edge.broker.and_then(|broker| homes[broker]) {
            variable[home] += terms.broker;
        }
        if edge.from != End::Outside && edge.to != End::Outside {
            messages += terms.messages;
            if terms.messages > 0.0 {
                message_bytes += edge.rate * f * edge.bytes;
            }
        }
        for part in &edge.parts {
            origin_change[part.origin] += part.rate * terms.change_ns;
            origin_scheduler[part.origin] += part.rate * scheduler_each;
        }
    }
    for (reads, rate, owner) in copies::remote_reads(inputs, topology) {
        let call = inputs.remote_call_ns.unwrap_or(0.0);
        let half = call / 2.0 * rate * f * 1e-9;
        variable[topology.place[reads]] += half;
        if let Some(home) = owner.and_then(|owner| homes[owner]) {
            variable[home] += half;
        }
        messages += 2.0 * rate * f;
        let operation = &inputs.operations[reads];
        for part in &operation.parts {
            if operation.rate > 0.0 {
                origin_change[part.origin] += part.rate / operation.rate * rate * call;
            }
        }
    }
    for (from, to, cores) in copies::read_elsewhere(inputs, topology) {
        variable[from] -= cores * f;
        variable[to] += cores * f;
    }
    for (at, operation) in inputs.operations.iter().enumerate() {
        let service = &inputs.services[operation.service];
        let share = if own[operation.service] > 0.0 {
            operation.cores / own[operation.service]
        } else {
            0.0
        };
        let outside = (operation.rate - incoming[at]).max(0.0) * 2.0 * service.wake_ns;
        let rest = if own[operation.service] > 0.0 {
            service.rest * share
        } else {
            0.0
        };
        variable[topology.place[at]] += rows[at] + (outside * 1e-9 + rest) * f;
        let rate = operation.rate;
        for part in &operation.parts {
            let of = if rate > 0.0 { part.rate / rate } else { 0.0 };
            let by_cores = if operation.cores > 0.0 {
                part.cores / operation.cores
            } else {
                0.0
            };
            origin_scheduler[part.origin] += of * outside + by_cores * rest * 1e9;
        }
    }
    for (at, service) in inputs.services.iter().enumerate() {
        if own[at] <= 0.0
            && let Some(home) = homes[at]
        {
            variable[home] += service.rest * f;
        }
    }
    let mut sized = Vec::with_capacity(count);
    let mut wait = Vec::with_capacity(count);
    let mut queues = Vec::with_capacity(count);
    let mut section = Vec::with_capacity(count);
    let direct = Direct::of(inputs, topology);
    let loads = direct::loads(inputs, &direct, &rows, f);
    for (at, deployable) in topology.deployables.iter().enumerate() {
        let work = variable[at] * deployable::shard_work(inputs, deployable);
        let one = size(inputs, topology, &members[at], at, work, load);
        let classes = members[at]
            .iter()
            .filter_map(|op| Some((*op, loads[*op]?)))
            .collect();
        section.push(sections::busiest(inputs, deployable, &members[at], f));
        let hottest = deployable::hottest(inputs, deployable);
        let queue = CoreQueue::of(deployable, classes, &one, hottest);
        wait.push(queue.as_ref().and_then(|q| q.wait_simulated(load.simulate)));
        queues.push(queue);
        sized.push(one);
    }
    let request_ns = inputs
        .operations
        .iter()
        .zip(&rows)
        .map(|(operation, cores)| {
            if operation.rate > 0.0 {
                (cores * 1e9 / (operation.rate * f)).max(0.0)
            } else {
                0.0
            }
        })
        .collect();
    Priced {
        turn: sections::turns(inputs, topology, f),
        direct,
        members,
        request_ns,
        sized,
        wait,
        queues,
        section,
        messages,
        message_bytes,
        origin_change,
        origin_scheduler,
    }
}

/// Cores that a process needs of itself. Background work comes along with the services whose own process it was; the
/// agent is paid once for a process, as the dearest of the services in it pays it.
pub(super) fn fixed_each(
    inputs: &Inputs,
    home_of: &[usize],
    services: impl IntoIterator<Item = usize>,
) -> f64 {
    let each = |service: usize, cores: f64| {
        cores / inputs.services[service].instances.max(f64::MIN_POSITIVE)
    };
    let background: f64 = home_of
        .iter()
        .map(|at| each(*at, inputs.services[*at].background))
        .sum();
    let agent = home_of
        .iter()
        .copied()
        .chain(services)
        .map(|at| each(at, inputs.services[at].agent))
        .fold(0.0, f64::max);
    background + agent
}

/// Counts processes, and adds what each of them costs.
fn size(
    inputs: &Inputs,
    topology: &Topology,
    members: &[usize],
    at: usize,
    variable: f64,
    load: &Load,
) -> Sized {
    let deployable = &topology.deployables[at];
    let mut sized = Sized {
        variable,
        ..Sized::default()
    };
    if members.is_empty() && deployable.home_of.is_empty() {
        return sized;
    }
    sized.fixed_each = fixed_each(
        inputs,
        &deployable.home_of,
        members.iter().map(|at| inputs.operations[*at].service),
    );
    for (entity, _) in topology.copied.iter().filter(|(_, to)| *to == at) {
        let entity = &inputs.entities[*entity];
        sized.fixed_each += copies::copy_cores(inputs, entity).unwrap_or(0.0) * load.factor;
    }
    sized.needed = deployable::needed(inputs, deployable, &sized, load);
    sized.replicas = deployable.replicas;
    if load.resize {
        let least = deployable
            .home_of
            .iter()
            .map(|s| inputs.services[*s].min_replicas);
        let floor = libm::ceil(deployable.replicas - 1e-9)
            .max(load.min_replicas)
            .max(least.fold(0.0, f64::max));
        sized.replicas = sized.needed.unwrap_or(floor).max(floor);
    }
    sized
}

fn figures(
    inputs: &Inputs,
    topology: &Topology,
    load: &Load,
    priced: &Priced,
    latency: &latency::Latency,
    shares: &MemoryShares,
) -> Figures {
    let blasts = super::blast::blast(inputs, topology);
    let alive = topology.alive();
    let deployables: Vec<DeployableFigures> = alive
        .iter()
        .map(|at| {
            let (deployable, sized) = (&topology.deployables[*at], &priced.sized[*at]);
            let (utilisation, one_lost) = deployable::utilisation(inputs, deployable, sized);
            let bytes = deployable::process_bytes(
                inputs,
                topology,
                &priced.members,
                *at,
                sized.replicas,
                load,
                shares,
            );
            let section = priced.section[*at];
            let blocked = section.is_some_and(|(_, busy)| busy >= 1.0);
            DeployableFigures {
                name: deployable.name.clone(),
                cores: sized.cores(),
                replicas: sized.replicas,
                // No number of processes lets more through.
                replicas_needed: sized.needed.filter(|_| !blocked),
                saturated: blocked || utilisation.is_some_and(|u| u >= 1.0),
                section: section.map(|(operation, _)| inputs.operations[operation].name.clone()),
                section_utilisation: section.map(|(_, busy)| busy),
                utilisation,
                utilisation_one_lost: one_lost,
                wait_ns: priced.wait[*at].map(|s| s * 1e9),
                process_bytes: bytes,
                memory_bytes: bytes.map(|bytes| bytes * sized.replicas),
                blast: blasts.as_ref().map(|b| b[*at]),
            }
        })
        .collect();
    let replicas: Vec<f64> = priced.sized.iter().map(|s| s.replicas).collect();
    let (copies, copy_bytes, staleness_ns) = copies::kept(inputs, topology, &replicas);
    Figures {
        cores: deployables.iter().map(|d| d.cores).sum(),
        memory_bytes: deployables.iter().map(|d| d.memory_bytes).sum(),
        replicas: deployables.iter().map(|d| d.replicas).sum(),
        messages: priced.messages,
        message_bytes: priced.message_bytes,
        copies,
        copy_bytes,
        staleness_ns,
        blast_radius: deployables.iter().filter_map(|d| d.blast).reduce(f64::max),
        origins: origins(inputs, priced, latency),
        notes: notes::notes(inputs, topology, load.factor),
        deployables,
    }
}

fn origins(inputs: &Inputs, priced: &Priced, latency: &latency::Latency) -> Vec<OriginFigures> {
    let mut cores = vec![0.0; inputs.origins.len()];
    for part in inputs.operations.iter().flat_map(|o| &o.parts) {
        cores[part.origin] += part.cores;
    }
    inputs
        .origins
        .iter()
        .enumerate()
        .map(|(at, origin)| {
            let per_request =
                |ns: f64| origin.rate.filter(|rate| *rate > 0.0).map(|rate| ns / rate);
            let attributed = (cores[at] + origin.carried) * 1e9 + priced.origin_change[at];
            let (points, reason) = latency.origin(origin);
            OriginFigures {
                service: origin.service.clone(),
                operation: origin.operation.clone(),
                rate: origin.rate,
                cpu_ns: per_request(attributed),
                kernel_cpu_ns: per_request(attributed + priced.origin_scheduler[at]),
                p50_ns: points.map(|p| p[0]),
                p95_ns: points.map(|p| p[1]),
                p99_ns: points.map(|p| p[2]),
                mean_ns: points.map(|p| p[3]),
                latency_absent_reason: reason,
            }
        })
        .collect()
}
