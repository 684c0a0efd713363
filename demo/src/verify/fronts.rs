//! What stands before replicas, and what parts of a divided process tell each other.

use weighbridge_reports::topology::{End, Inputs};

use super::predict::Known;
use super::price::BROKER;
use crate::load::MIX;
use crate::placement::{self, Component, Placement};

/// What stands before replicas, and what parts of a divided process tell each other: the model knows neither.
#[derive(Default)]
pub(super) struct Fronts {
    /// Process, operation, and what it adds to a request of that, ns.
    pub(super) parts: Vec<(String, &'static str, f64)>,
}

impl Fronts {
    pub(super) fn of(inputs: &Inputs, known: &Known<'_>, tried: &Placement) -> Self {
        let mut fronts = Self::default();
        let before = |process: &placement::Process| {
            let first = process.components.first();
            first
                .and_then(|c| known.given.process_of(*c))
                .and_then(|p| p.front)
        };
        for process in &tried.processes {
            let Some(name) = process
                .front_name()
                .filter(|_| before(process) != process.front)
            else {
                continue;
            };
            for origin in MIX
                .iter()
                .filter(|o| process.components.contains(&o.component))
            {
                let hop = hop_ns(inputs, known, origin.operation);
                fronts.parts.push((name.clone(), origin.operation, hop));
            }
            if process.is_divided() && process.components.contains(&Component::Catalog) {
                let (own, broker) = change_ns(inputs);
                let times = process.replicas as f64;
                let operation = "PUT /products/{id}";
                fronts
                    .parts
                    .push((process.name.clone(), operation, own * times));
                fronts
                    .parts
                    .push((BROKER.to_owned(), operation, broker * times));
            }
        }
        fronts
    }

    pub(super) fn of_origin(&self, operation: &str) -> f64 {
        let parts = self.parts.iter().filter(|(_, of, _)| *of == operation);
        parts.map(|(_, _, ns)| ns).sum()
    }
}

/// One request passed on, ns: its server's side once more, as it costs where it is answered now, and the caller's
/// side of a synchronous call here. What passes it on neither decodes nor encodes, but has work of its own: the one
/// stands for the other.
fn hop_ns(inputs: &Inputs, known: &Known<'_>, operation: &str) -> f64 {
    let answers =
        |end: End| matches!(end, End::Operation(at) if inputs.operations[at].name == operation);
    let server = inputs
        .edges
        .iter()
        .find(|edge| edge.from == End::Outside && answers(edge.to));
    server.map_or(0.0, |edge| {
        let answered = edge.callee_total_ns() + edge.messages() * wake_ns(inputs, edge.to);
        answered + known.caller_ns + inputs.crossing_ns
    })
}

/// A scheduler's part in a message at this end, ns.
fn wake_ns(inputs: &Inputs, end: End) -> f64 {
    match end {
        End::Operation(at) => inputs.services[inputs.operations[at].service].wake_ns,
        End::Service(at) => inputs.services[at].wake_ns,
        End::Outside => 0.0,
    }
}

/// The caller's side of the synchronous calls between processes, its scheduler's part included, ns; 0 without any.
pub(super) fn caller_ns(inputs: &Inputs) -> f64 {
    let calls = || {
        let edges = inputs.edges.iter();
        edges.filter(|e| e.sync && !e.local && e.from != End::Outside && e.to != End::Outside)
    };
    let rate: f64 = calls().map(|edge| edge.rate).sum();
    let all: f64 = calls()
        .map(|e| e.rate * (e.caller_total_ns() + e.messages() * wake_ns(inputs, e.from)))
        .sum();
    if rate > 0.0 { all / rate } else { 0.0 }
}

/// One more consumer of a changed product, ns: its own part, and one delivery of the broker's, as those that there are.
fn change_ns(inputs: &Inputs) -> (f64, f64) {
    let (mut own, mut broker, mut count) = (0.0, 0.0, 0.0);
    for edge in inputs.edges.iter().filter(|edge| !edge.sync) {
        let End::Operation(at) = edge.to else {
            continue;
        };
        let operation = &inputs.operations[at];
        if !operation.name.contains("product.changed") || operation.rate <= 0.0 {
            continue;
        }
        own += operation.cores * 1e9 / operation.rate
            + edge.callee_pool_ns
            + inputs.services[operation.service].wake_ns * edge.messages();
        // The publication is there whoever gets it.
        broker += edge.broker_delivery_ns();
        count += 1.0;
    }
    if count > 0.0 {
        (own / count, broker / count)
    } else {
        (0.0, 0.0)
    }
}
