//! Reads a model into the numbers that topologies are evaluated on.
//!
//! What the parts of a service's CPU add up to is the kernel's figure, by construction: what no part explains is
//! `rest`, signed. So the topology that was weighed evaluates to what was weighed.

mod entities;
mod origins;
mod shapes;

use std::collections::BTreeMap;

use weighbridge_wire::{OwnerKind, column};

use super::{Component, Edge, EdgePart, End, Inputs, Operation, Part, Service};
use crate::Options;
use crate::model::{
    self, CPU_COLUMNS, Estimate, Model, Name, OperationFacts, OperationId, ServiceFacts, SideRef,
    as_f64, prices,
};

/// Finds operations and edges by their names.
pub(super) struct Index {
    pub(super) operations: BTreeMap<(usize, OperationId), usize>,
    /// Any class of an operation: the one with most requests.
    by_name: BTreeMap<(usize, Name), usize>,
    /// (service, operation, call id): the edge with most calls.
    pub(super) calls: BTreeMap<(usize, Name, Name), usize>,
}

impl Index {
    pub(super) fn operation(&self, service: usize, id: &OperationId) -> Option<usize> {
        self.operations
            .get(&(service, id.clone()))
            .or_else(|| self.by_name.get(&(service, id.operation.clone())))
            .copied()
    }

    pub(super) fn named(&self, service: usize, operation: &Name) -> Option<usize> {
        self.by_name.get(&(service, operation.clone())).copied()
    }
}

pub(super) fn inputs(model: &Model, options: &Options) -> Inputs<Estimate> {
    let mut index = Index {
        operations: BTreeMap::new(),
        by_name: BTreeMap::new(),
        calls: BTreeMap::new(),
    };
    let mut read = Inputs {
        local_call_ns: options.local_call_ns.max(0.0),
        crossing_ns: if options.crossing_ns.is_finite() {
            options.crossing_ns
        } else {
            0.0
        },
        ..Inputs::default()
    };
    operations(model, &mut read, &mut index);
    let origins = origins::Origins::of(model, &index);
    for (at, (service, facts)) in each_operation(model).enumerate() {
        read.operations[at].parts = parts(model, &origins, service, facts);
    }
    edges(model, &mut read, &mut index, &origins);
    for (at, (service, id, _)) in each_id(model).enumerate() {
        read.operations[at].shapes = shapes::shapes(model, &index, service, id);
    }
    services(model, &mut read);
    for service in &mut read.services {
        let least = options.constraints.least(&service.label);
        service.min_replicas = if least > 1.0 { least } else { 0.0 };
    }
    sections(model, &mut read, &index);
    read.origins = origins.finish(model, &read, &index);
    read.entities = entities::entities(model, &read, &index);
    read.remote_call_ns = mean_call(&read, true);
    read.message_ns = mean_call(&read, false);
    read
}

fn each_id(model: &Model) -> impl Iterator<Item = (usize, &OperationId, &OperationFacts)> {
    model
        .services()
        .iter()
        .enumerate()
        .flat_map(|(service, facts)| {
            facts
                .operations
                .iter()
                .map(move |(id, op)| (service, id, op))
        })
}

fn each_operation(model: &Model) -> impl Iterator<Item = (usize, &OperationFacts)> {
    each_id(model).map(|(service, _, facts)| (service, facts))
}

fn operations(model: &Model, read: &mut Inputs<Estimate>, index: &mut Index) {
    let mut components: BTreeMap<(usize, Name), usize> = BTreeMap::new();
    for (at, (service, id, facts)) in each_id(model).enumerate() {
        let component = *components
            .entry((service, id.component.clone()))
            .or_insert_with(|| {
                read.components.push(Component {
                    service,
                    name: id.component.to_string(),
                });
                read.components.len() - 1
            });
        index.operations.insert((service, id.clone()), at);
        let rate = model.ended_rate(facts).unwrap_or_else(Estimate::zero);
        let busiest = index
            .by_name
            .entry((service, id.operation.clone()))
            .or_insert(at);
        if *busiest != at && read.operations[*busiest].rate.point < rate.point {
            *busiest = at;
        }
        let service_facts = &model.services()[service];
        let ended = facts.all.total(column::ENDED).map_or(0.0, as_f64);
        let per_ended = |column| {
            facts
                .all
                .total(column)
                .map(as_f64)
                .filter(|_| ended > 0.0)
                .map(|sum| sum / ended)
        };
        let seconds = model.seconds().unwrap_or(1.0);
        let cs2 = model.service_cs2(facts);
        read.operations.push(Operation {
            service,
            component,
            name: id.shown(),
            row: id.row(&service_facts.label),
            rate,
            cores: model.operation_cores(facts).unwrap_or_else(Estimate::zero),
            parts: Vec::new(),
            in_flight: facts
                .all
                .total(column::IN_FLIGHT_NS)
                .map_or(0.0, as_f64)
                .max(0.0)
                / seconds
                / 1e9,
            wall_ns: model.per_ended(facts, &[column::WALL_NS]),
            held_bytes: per_ended(column::PEAK_LIVE_SUM_BYTES)
                .unwrap_or(0.0)
                .max(0.0),
            held_max_bytes: facts
                .all
                .total(column::PEAK_LIVE_BYTES)
                .map_or(0.0, as_f64)
                .max(0.0),
            retained_bytes: model.retained(&id.row(&service_facts.label), facts),
            service_cs2: cs2.unwrap_or(1.0),
            arrival_cs2: model.dispersion(service_facts, id).unwrap_or(1.0),
            spread_known: cs2.is_some(),
            shapes: Vec::new(),
            wait_call_ns: per_ended(column::WAIT_CALL_NS),
            hold_ns: None,
        });
    }
}

/// Sections that one request at a time can be in.
fn sections(model: &Model, read: &mut Inputs<Estimate>, index: &Index) {
    for (at, service) in model.services().iter().enumerate() {
        if let Ok(serial) = model.serial(service)
            && let Some(operation) = index.operation(at, &serial.operation)
        {
            read.operations[operation].hold_ns = Some(serial.hold_ns());
        }
    }
}

fn parts(
    model: &Model,
    origins: &origins::Origins,
    service: usize,
    facts: &OperationFacts,
) -> Vec<Part<Estimate>> {
    facts
        .by_origin
        .iter()
        .filter_map(|(endpoint, sums)| {
            let cores = model.cores(&model.columns(sums, &CPU_COLUMNS)?)?;
            let rate = model
                .column(sums, column::ENDED)
                .and_then(|ended| model.rate(&ended));
            Some(Part {
                origin: origins.at(model, service, endpoint)?,
                rate: rate.unwrap_or_else(Estimate::zero),
                cores,
            })
        })
        .collect()
}

fn end(index: &Index, end: &model::End) -> End {
    match end.service.filter(|_| end.seen) {
        None => End::Outside,
        Some(service) => index
            .operation(service, &end.operation)
            .map_or(End::Service(service), End::Operation),
    }
}

/// What stands in an operation's own rows, and what beside them, ns per call.
fn side(model: &Model, side: Option<&SideRef>, cost: &model::SideCost) -> (Estimate, Estimate) {
    let sum = |parts: &[&Option<Estimate>]| {
        parts
            .iter()
            .filter_map(|part| part.as_ref())
            .fold(Estimate::zero(), |sum, part| sum.plus(part))
    };
    if let Some(share) = side.and_then(|side| model.carriers.share_in_owner(side)) {
        let carried = sum(&[&cost.protocol, &cost.io]);
        let owners = carried.times(share);
        (
            sum(&[&cost.encode, &cost.decode]).plus(&carried.minus(&owners)),
            owners.plus(&sum(&[&cost.pool])),
        )
    } else {
        (
            sum(&[&cost.encode, &cost.decode, &cost.protocol, &cost.io]),
            sum(&[&cost.pool]),
        )
    }
}

fn edges(
    model: &Model,
    read: &mut Inputs<Estimate>,
    index: &mut Index,
    origins: &origins::Origins,
) {
    let publications = publications(model);
    for (at, edge) in model.edges.iter().enumerate() {
        let joined = &edge.joined;
        let (mut caller_ns, mut caller_pool_ns) =
            side(model, joined.caller.as_ref(), &edge.cost.caller);
        let (callee_ns, callee_pool_ns) = side(model, joined.callee.as_ref(), &edge.cost.callee);
        // A publication is paid once, whoever consumes it.
        if !edge.is_sync() && joined.siblings > 1 {
            let share = 1.0 / siblings_f64(joined.siblings);
            caller_ns = caller_ns.scaled(share);
            caller_pool_ns = caller_pool_ns.scaled(share);
        }
        let facts = joined
            .callee
            .as_ref()
            .or(joined.caller.as_ref())
            .and_then(|side| model.side(side));
        let seen_at = joined
            .callee
            .as_ref()
            .or(joined.caller.as_ref())
            .map_or(0, |s| s.service);
        let parts = facts
            .into_iter()
            .flat_map(|facts| &facts.by_origin)
            .filter_map(|(endpoint, sums)| {
                Some(EdgePart {
                    origin: origins.at(model, seen_at, endpoint)?,
                    rate: model.rate(&model.column(sums, column::REQUEST_MESSAGES)?)?,
                })
            })
            .collect();
        let calls = facts
            .and_then(|f| f.all.total(column::REQUEST_MESSAGES))
            .map_or(0.0, as_f64);
        let mean = |facts: Option<&model::EdgeSideFacts>, columns: &[u32]| {
            let facts = facts?;
            let n = facts
                .all
                .total(column::REQUEST_MESSAGES)
                .map(as_f64)
                .filter(|n| *n > 0.0)?;
            let sums: Vec<f64> = columns
                .iter()
                .filter_map(|c| facts.all.total(*c))
                .map(as_f64)
                .collect();
            (!sums.is_empty()).then(|| sums.iter().sum::<f64>() / n)
        };
        let waiting = if edge.is_sync() {
            joined.caller.as_ref()
        } else {
            joined.callee.as_ref()
        };
        let waited = waiting.and_then(|side| model.side(side));
        let wait_ns = mean(waited, &[column::WAIT_NS]);
        let by_bytes = by_bytes(model, edge);
        if let Some(side) = &joined.caller {
            let key = (
                side.service,
                side.id.operation.clone(),
                side.id.call_id.clone(),
            );
            let busiest = index.calls.entry(key).or_insert(at);
            if *busiest != at
                && read.edges.get(*busiest).is_some_and(|e: &Edge<Estimate>| {
                    edge.cost
                        .rate
                        .as_ref()
                        .is_some_and(|rate| rate.point > e.rate.point)
                })
            {
                *busiest = at;
            }
        }
        read.edges.push(Edge {
            id: edge.id.clone(),
            shown: edge.shown(),
            from: end(index, &joined.from),
            to: end(index, &joined.to),
            sync: edge.is_sync(),
            local: &*joined.variant.transport == "local",
            broker: joined.broker,
            rate: edge
                .cost
                .rate
                .clone()
                .filter(|_| calls > 0.0)
                .unwrap_or_else(Estimate::zero),
            parts,
            caller_ns,
            caller_pool_ns,
            callee_ns,
            callee_pool_ns,
            broker_ns: edge.cost.broker.clone().unwrap_or_else(Estimate::zero),
            broker_publication_ns: model
                .brokers
                .hop(joined)
                .map_or_else(Estimate::zero, |hop| hop.publication),
            shares_with: joined
                .caller
                .as_ref()
                .and_then(|caller| publications.get(caller))
                .into_iter()
                .flatten()
                .copied()
                .filter(|other| *other != at && !edge.is_sync())
                .collect(),
            by_bytes_known: by_bytes.is_some(),
            by_bytes_ns: by_bytes.unwrap_or_else(Estimate::zero),
            bytes: mean(
                facts,
                &[column::REQUEST_BODY_BYTES, column::RESPONSE_BODY_BYTES],
            )
            .unwrap_or(0.0),
            wait_ns,
            critical_share: wait_ns
                .filter(|ns| edge.is_sync() && *ns > 0.0)
                .zip(mean(waited, &[column::CRITICAL_NS]))
                .map(|(wait, critical)| (critical / wait).clamp(0.0, 1.0)),
        });
    }
}

/// The edges of each publication that several consume, by the side that published.
fn publications(model: &Model) -> BTreeMap<&SideRef, Vec<usize>> {
    let mut of: BTreeMap<&SideRef, Vec<usize>> = BTreeMap::new();
    for (at, edge) in model.edges.iter().enumerate() {
        if let Some(caller) = edge.joined.caller.as_ref()
            && !edge.is_sync()
            && edge.joined.siblings > 1
        {
            of.entry(caller).or_default().push(at);
        }
    }
    of
}

#[allow(clippy::cast_precision_loss)]
fn siblings_f64(n: usize) -> f64 {
    n as f64
}

/// What grows with bytes, per call, on both sides, and at the broker where windows tell that; `None` when some direction of a
/// side does not tell.
fn by_bytes(model: &Model, edge: &model::Edge) -> Option<Estimate> {
    [&edge.joined.caller, &edge.joined.callee]
        .into_iter()
        .flatten()
        .flat_map(|side| prices(model, side))
        .map(|price| {
            Some(
                price
                    .per_byte
                    .as_ref()?
                    .times(price.bytes_per_message.as_ref()?),
            )
        })
        .collect::<Option<Vec<Estimate>>>()?
        .into_iter()
        .chain(model.brokers.hop(&edge.joined).and_then(|hop| hop.by_bytes))
        .reduce(|a, b| a.plus(&b))
        .map(|ns| ns.map(|ns| ns.max(0.0)))
}

fn services(model: &Model, read: &mut Inputs<Estimate>) {
    let count = model.services().len();
    let mut messages = vec![Estimate::zero(); count];
    let mut carried = vec![Estimate::zero(); count];
    let mut incoming = vec![Estimate::zero(); read.operations.len()];
    let service_of = |read: &Inputs<Estimate>, end| match end {
        End::Operation(operation) => Some(read.operations[operation].service),
        End::Service(service) => Some(service),
        End::Outside => None,
    };
    for edge in &read.edges {
        for (end, pool, per_call) in [
            (edge.from, &edge.caller_pool_ns, edge.messages_of_caller()),
            (edge.to, &edge.callee_pool_ns, edge.messages()),
        ] {
            let Some(service) = service_of(read, end) else {
                continue;
            };
            carried[service] = carried[service].plus(&pool.times(&edge.rate).scaled(1e-9));
            if !edge.local {
                messages[service] = messages[service].plus(&edge.rate.scaled(per_call));
            }
        }
        if let End::Operation(operation) = edge.to {
            incoming[operation] = incoming[operation].plus(&edge.rate);
        }
        if let Some(broker) = edge.broker {
            carried[broker] = carried[broker].plus(&edge.broker_ns.times(&edge.rate).scaled(1e-9));
        }
    }
    let mut operations = vec![Estimate::zero(); count];
    for (operation, incoming) in read.operations.iter().zip(&incoming) {
        let service = operation.service;
        operations[service] = operations[service].plus(&operation.cores);
        // Requests that no edge row brings came from outside: two messages each.
        let outside = operation.rate.minus(incoming).map(|rate| rate.max(0.0));
        messages[service] = messages[service].plus(&outside.scaled(2.0));
    }
    for (at, facts) in model.services().iter().enumerate() {
        let cores = |kind: OwnerKind| {
            facts
                .owners_cpu(|owner, _| owner == kind.as_str())
                .and_then(|cpu| model.cores(&model.sum(Some(&cpu))?))
                .unwrap_or_else(Estimate::zero)
        };
        let (background, agent) = (cores(OwnerKind::Background), cores(OwnerKind::Agent));
        let runtime = cores(OwnerKind::Runtime);
        let wake = runtime.scaled(1e9).over(&messages[at]);
        let explained = operations[at]
            .plus(&carried[at])
            .plus(&background)
            .plus(&agent);
        let explained = if wake.is_some() {
            explained.plus(&runtime)
        } else {
            explained
        };
        let total = model
            .service_cores(facts)
            .unwrap_or_else(|| explained.clone());
        read.services.push(service(
            model, facts, total, background, agent, wake, &explained,
        ));
    }
}

fn service(
    model: &Model,
    facts: &ServiceFacts,
    cores: Estimate,
    background: Estimate,
    agent: Estimate,
    wake: Option<Estimate>,
    explained: &Estimate,
) -> Service<Estimate> {
    let gauge = |column| {
        facts
            .process
            .total(column)
            .map(as_f64)
            .filter(|bytes| *bytes > 0.0)
    };
    Service {
        label: facts.label.clone(),
        has_agent: facts.has_agent(),
        instances: model.instances(facts).unwrap_or(1.0),
        min_replicas: 0.0,
        cores_limit: model.cores_limit(facts),
        rest: cores.minus(explained),
        cores,
        background,
        agent,
        wake_ns: wake.unwrap_or_else(Estimate::zero),
        base_bytes: gauge(column::RSS_INIT_BYTES),
        peak_bytes: gauge(column::RSS_PEAK_BYTES).or_else(|| gauge(column::RSS_BYTES)),
    }
}

/// Mean message cost of the synchronous calls between processes.
/// What a message between services costs both sides and the broker: a synchronous call, or an asynchronous message, ns.
fn mean_call(read: &Inputs<Estimate>, sync: bool) -> Option<Estimate> {
    let mut cost = Estimate::zero();
    let mut rate = Estimate::zero();
    for edge in read.edges.iter().filter(|e| {
        e.sync == sync && !(sync && e.local) && e.from != End::Outside && e.to != End::Outside
    }) {
        let mut each = edge
            .caller_ns
            .plus(&edge.caller_pool_ns)
            .plus(&edge.callee_ns)
            .plus(&edge.callee_pool_ns);
        if !sync {
            each = each.plus(&edge.broker_ns);
        }
        cost = cost.plus(&each.times(&edge.rate));
        rate = rate.plus(&edge.rate);
    }
    cost.over(&rate)
}
