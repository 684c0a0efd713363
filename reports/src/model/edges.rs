//! Joins the two sides of edges and prices their messages.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{column, mode, side};

use super::brokers::Brokers;
use super::carriers::Carriers;
use super::rollup::Rollup;
use super::service::{EdgeSideFacts, EdgeSideId, EdgeVariant, Endpoint, Name, OperationId};
use super::tally::Sums;
use super::{Estimate, Resampler, WORK_COLUMNS};
use crate::document::QualityWord;

/// Where one side's rows are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SideRef {
    pub(crate) service: usize,
    pub(crate) id: EdgeSideId,
}

/// One end of an edge.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// The service, when it has an agent or is known by name.
    pub(crate) service: Option<usize>,
    /// Its label, or the name by which the other end knows it.
    pub(crate) label: String,
    /// The operation; empty name for background work and unknown ends.
    pub(crate) operation: OperationId,
    /// True when this end's rows are there.
    pub(crate) seen: bool,
}

/// A joined edge, without figures.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) variant: EdgeVariant,
    pub(crate) call_id: Name,
    pub(crate) caller: Option<SideRef>,
    pub(crate) callee: Option<SideRef>,
    /// The service that carries the messages, for asynchronous calls to a known broker.
    pub(crate) broker: Option<usize>,
    /// How many callee rows share the caller's row.
    pub(crate) siblings: usize,
}

/// What one side of an edge costs per call, ns.
#[derive(Clone, Debug, Default)]
pub(crate) struct SideCost {
    pub(crate) encode: Option<Estimate>,
    pub(crate) decode: Option<Estimate>,
    pub(crate) protocol: Option<Estimate>,
    pub(crate) io: Option<Estimate>,
    pub(crate) pool: Option<Estimate>,
    pub(crate) total: Option<Estimate>,
}

/// The figures of an edge.
#[derive(Clone, Debug)]
pub(crate) struct EdgeCost {
    /// Calls (or messages delivered) in the range.
    pub(crate) calls: Option<Estimate>,
    pub(crate) rate: Option<Estimate>,
    pub(crate) calls_per_request: Option<Estimate>,
    pub(crate) caller: SideCost,
    pub(crate) callee: SideCost,
    /// The broker's part, ns per message.
    pub(crate) broker: Option<Estimate>,
    /// Both sides, pools and broker, ns per call.
    pub(crate) overhead: Option<Estimate>,
    pub(crate) overhead_cores: Option<Estimate>,
    /// What the callee works per call, ns.
    pub(crate) work: Option<Estimate>,
    pub(crate) work_cores: Option<Estimate>,
}

/// A joined edge with figures.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) id: String,
    pub(crate) joined: Joined,
    pub(crate) cost: EdgeCost,
}

impl Edge {
    /// True when both ends have agents and are different services.
    pub(crate) fn between_services(&self) -> Option<(usize, usize)> {
        let (from, to) = (self.joined.from.service?, self.joined.to.service?);
        (from != to && self.joined.from.seen && self.joined.to.seen).then_some((from, to))
    }

    pub(crate) fn is_sync(&self) -> bool {
        &*self.joined.variant.mode == mode::SYNC
    }

    /// `store POST /orders → warehouse POST /reservations`.
    pub(crate) fn shown(&self) -> String {
        let end = |end: &End| {
            if end.operation.operation.is_empty() {
                end.label.clone()
            } else {
                format!("{} {}", end.label, end.operation.shown())
            }
        };
        format!("{} → {}", end(&self.joined.from), end(&self.joined.to))
    }
}

/// Joins callers to callees: caller row (service S, operation O, `call_id`) with the callee rows (peer
/// service S, peer operation O, `call_id`).
pub(crate) fn join(rollup: &Rollup) -> Vec<Joined> {
    let mut callers: BTreeMap<SideRef, &EdgeSideFacts> = BTreeMap::new();
    let mut callees: BTreeMap<SideRef, &EdgeSideFacts> = BTreeMap::new();
    for (service, facts) in rollup.services.iter().enumerate() {
        for (id, edge) in &facts.edges {
            let side_ref = SideRef {
                service,
                id: id.clone(),
            };
            match &*id.side {
                side::CALLER => callers.insert(side_ref, edge),
                side::CALLEE => callees.insert(side_ref, edge),
                _ => continue,
            };
        }
    }

    let caller_of = |callee: &SideRef| -> Option<SideRef> {
        let id = &callee.id;
        let service = rollup.resolve(callee.service, &id.peer_service)?;
        let wanted = SideRef {
            service,
            id: EdgeSideId {
                side: side::CALLER.into(),
                operation: id.peer_operation.clone(),
                peer_service: "".into(),
                peer_operation: "".into(),
                call_id: id.call_id.clone(),
            },
        };
        callers.contains_key(&wanted).then_some(wanted)
    };

    let mut siblings: BTreeMap<SideRef, usize> = BTreeMap::new();
    let matched: Vec<(SideRef, Option<SideRef>)> = callees
        .keys()
        .map(|callee| {
            let caller = caller_of(callee);
            if let Some(caller) = &caller {
                *siblings.entry(caller.clone()).or_default() += 1;
            }
            (callee.clone(), caller)
        })
        .collect();

    let mut joined = Vec::new();
    for (callee, caller) in &matched {
        let Some(callee_facts) = callees.get(callee) else {
            continue;
        };
        let theirs = callee_facts.variant();
        let to = known_end(rollup, callee.service, &callee.id.operation, &theirs);
        let (from, variant) = match caller.as_ref().and_then(|c| callers.get(c).map(|f| (c, f))) {
            Some((caller, facts)) => {
                let variant = facts.variant();
                (
                    known_end(rollup, caller.service, &caller.id.operation, &variant),
                    variant,
                )
            }
            None => (unseen_caller(rollup, callee), theirs),
        };
        let broker = (&*variant.mode == mode::ASYNC)
            .then(|| {
                caller
                    .as_ref()
                    .and_then(|c| rollup.resolve(c.service, &variant.peer))
            })
            .flatten()
            .filter(|broker| Some(*broker) != to.service);
        joined.push(Joined {
            from,
            to,
            variant,
            call_id: callee.id.call_id.clone(),
            siblings: caller
                .as_ref()
                .and_then(|c| siblings.get(c))
                .copied()
                .unwrap_or(1),
            caller: caller.clone(),
            callee: Some(callee.clone()),
            broker,
        });
    }
    let with_callee: BTreeSet<&SideRef> = matched.iter().filter_map(|(_, c)| c.as_ref()).collect();
    for (caller, facts) in &callers {
        if with_callee.contains(caller) {
            continue;
        }
        let variant = facts.variant();
        let peer = rollup.resolve(caller.service, &variant.peer);
        let is_async = &*variant.mode == mode::ASYNC;
        joined.push(Joined {
            from: known_end(rollup, caller.service, &caller.id.operation, &variant),
            to: End {
                service: peer.filter(|_| !is_async),
                label: variant.peer.to_string(),
                operation: unknown_operation(),
                seen: false,
            },
            call_id: caller.id.call_id.clone(),
            caller: Some(caller.clone()),
            callee: None,
            broker: peer.filter(|_| is_async),
            siblings: 1,
            variant,
        });
    }
    joined
}

fn unknown_operation() -> OperationId {
    OperationId {
        component: "".into(),
        operation: "".into(),
        class: "".into(),
    }
}

fn known_end(rollup: &Rollup, service: usize, operation: &Name, variant: &EdgeVariant) -> End {
    End {
        service: Some(service),
        label: rollup.services[service].label.clone(),
        operation: OperationId {
            component: variant.component.clone(),
            operation: operation.clone(),
            class: variant.class.clone(),
        },
        seen: true,
    }
}

fn unseen_caller(rollup: &Rollup, callee: &SideRef) -> End {
    let name = &callee.id.peer_service;
    let service = rollup.resolve(callee.service, name);
    let label = match service {
        Some(service) => rollup.services[service].label.clone(),
        None if name.is_empty() => "outside".to_owned(),
        None => name.to_string(),
    };
    End {
        service,
        label,
        operation: OperationId {
            operation: callee.id.peer_operation.clone(),
            ..unknown_operation()
        },
        seen: false,
    }
}

/// Prices all edges.
pub(crate) fn cost(
    rollup: &Rollup,
    sampler: &Resampler,
    carriers: &Carriers,
    brokers: &Brokers,
    joined: Vec<Joined>,
) -> Vec<Edge> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut edges: Vec<Edge> = joined
        .into_iter()
        .map(|joined| Edge {
            id: String::new(),
            cost: price(rollup, sampler, carriers, brokers, &joined),
            joined,
        })
        .collect();
    edges.sort_by(|a, b| {
        let key = |e: &Edge| (e.shown(), e.joined.call_id.clone(), e.joined.callee.clone());
        key(a).cmp(&key(b))
    });
    for edge in &mut edges {
        let base = format!("edge:{}#{}", edge.shown(), edge.joined.call_id);
        let mut id = base.clone();
        let mut n = 2;
        while !taken.insert(id.clone()) {
            id = format!("{base}.{n}");
            n += 1;
        }
        edge.id = id;
    }
    edges
}

fn price(
    rollup: &Rollup,
    sampler: &Resampler,
    carriers: &Carriers,
    brokers: &Brokers,
    joined: &Joined,
) -> EdgeCost {
    let facts = |side: &Option<SideRef>| {
        side.as_ref()
            .and_then(|s| rollup.services.get(s.service)?.edges.get(&s.id))
    };
    let (caller, callee) = (facts(&joined.caller), facts(&joined.callee));
    let estimate = |sums: &Sums, column| sums.get(column).map(|tally| sampler.estimate(tally));
    let calls = callee
        .or(caller)
        .and_then(|side| estimate(&side.all, column::REQUEST_MESSAGES));

    let caller_cost = side_cost(sampler, carriers, caller, joined.caller.as_ref());
    let callee_cost = side_cost(sampler, carriers, callee, joined.callee.as_ref());
    let broker = brokers
        .hop(joined)
        .map(|hop| hop.publication.plus(&hop.delivery));
    let overhead = [&caller_cost.total, &callee_cost.total, &broker]
        .into_iter()
        .flatten()
        .cloned()
        .reduce(|a, b| a.plus(&b));

    let seconds = seconds(rollup);
    let rate = calls
        .as_ref()
        .and_then(|calls| Some(calls.scaled(1.0 / seconds?)));
    let work = joined
        .callee
        .as_ref()
        .and_then(|callee| work_per_call(rollup, sampler, callee));
    let cores =
        |per_call: &Option<Estimate>| Some(per_call.as_ref()?.times(rate.as_ref()?).scaled(1e-9));
    let calls_per_request = joined
        .caller
        .as_ref()
        .zip(caller)
        .and_then(|(side, facts)| {
            let ended = ended_of(rollup, sampler, side)?;
            // Several operations answer: each edge has its own part of the calls. A published message
            // goes to every consumer whole.
            let split = joined.siblings > 1 && &*joined.variant.mode == mode::SYNC;
            let counted = callee.filter(|_| split).unwrap_or(facts);
            estimate(&counted.all, column::REQUEST_MESSAGES)?.over(&ended)
        });
    EdgeCost {
        overhead_cores: cores(&overhead),
        work_cores: cores(&work),
        calls,
        rate,
        calls_per_request,
        caller: caller_cost,
        callee: callee_cost,
        broker,
        overhead,
        work,
    }
}

fn seconds(rollup: &Rollup) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)]
    let seconds = rollup.covered_ns as f64 / 1e9;
    (seconds > 0.0).then_some(seconds)
}

fn side_cost(
    sampler: &Resampler,
    carriers: &Carriers,
    facts: Option<&EdgeSideFacts>,
    side: Option<&SideRef>,
) -> SideCost {
    let (Some(facts), Some(side)) = (facts, side) else {
        return SideCost::default();
    };
    let calls = facts
        .all
        .get(column::REQUEST_MESSAGES)
        .map(|tally| sampler.estimate(tally));
    let per_call = |column| {
        let sum = sampler.estimate(facts.all.get(column)?);
        sum.over(calls.as_ref()?)
    };
    let mut cost = SideCost {
        encode: per_call(column::CPU_ENCODE_NS),
        decode: per_call(column::CPU_DECODE_NS),
        protocol: per_call(column::CPU_PROTOCOL_NS),
        io: per_call(column::CPU_IO_NS),
        pool: carriers.pool_per_call(side).cloned(),
        total: None,
    };
    cost.total = [
        &cost.encode,
        &cost.decode,
        &cost.protocol,
        &cost.io,
        &cost.pool,
    ]
    .into_iter()
    .flatten()
    .cloned()
    .reduce(|a, b| a.plus(&b));
    cost
}

/// Requests of the calling operation that ended, over all its classes and components.
fn ended_of(rollup: &Rollup, sampler: &Resampler, caller: &SideRef) -> Option<Estimate> {
    rollup.services[caller.service]
        .operations
        .iter()
        .filter(|(id, _)| id.operation == caller.id.operation)
        .filter_map(|(_, facts)| facts.all.get(column::ENDED))
        .map(|tally| sampler.estimate(tally))
        .reduce(|a, b| a.plus(&b))
}

/// Work (handler and store) of the callee for one of its requests from this caller; from all callers when
/// its rows do not tell callers apart.
fn work_per_call(rollup: &Rollup, sampler: &Resampler, callee: &SideRef) -> Option<Estimate> {
    let caller = Endpoint {
        service: callee.id.peer_service.clone(),
        operation: callee.id.peer_operation.clone(),
    };
    let rows: Vec<_> = rollup.services[callee.service]
        .operations
        .iter()
        .filter(|(id, _)| id.operation == callee.id.operation)
        .map(|(_, facts)| facts)
        .collect();
    let of = |sums: Vec<&Sums>| -> Option<Estimate> {
        let add = |tallies: Vec<super::Tally>| {
            tallies
                .iter()
                .map(|tally| sampler.estimate(tally))
                .reduce(|a, b| a.plus(&b))
        };
        let work = add(sums
            .iter()
            .filter_map(|s| s.sum_of(&WORK_COLUMNS))
            .collect())?;
        let ended = add(sums
            .iter()
            .filter_map(|s| s.sum_of(&[column::ENDED]))
            .collect())?;
        work.over(&ended)
    };
    of(rows
        .iter()
        .filter_map(|facts| facts.by_caller.get(&caller))
        .collect())
    .or_else(|| of(rows.iter().map(|facts| &facts.all).collect()))
    .map(|work| {
        // Say so when nobody measured it.
        if work.point == 0.0 {
            work.of_quality(QualityWord::Measured)
        } else {
            work
        }
    })
}
