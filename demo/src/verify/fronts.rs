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
                let change = Change::of(inputs);
                let times = process.replicas as f64;
                let operation = "PUT /products/{id}";
                // All parts get it; the one that made the change has it already.
                let own = change.apply_ns * (times - 1.0) + change.receive_ns;
                fronts.parts.push((process.name.clone(), operation, own));
                let broker = change.broker_ns * times;
                fronts.parts.push((BROKER.to_owned(), operation, broker));
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

/// One more consumer of a changed product, ns, as those that there are.
#[derive(Debug, Default, PartialEq)]
struct Change {
    /// Getting it and applying it.
    apply_ns: f64,
    /// Getting it alone.
    receive_ns: f64,
    /// One delivery of the broker's.
    broker_ns: f64,
}

impl Change {
    /// The mean over the consumers; nothing without any.
    fn of(inputs: &Inputs) -> Self {
        let (mut sum, mut count) = (Self::default(), 0.0);
        for edge in inputs.edges.iter().filter(|edge| !edge.sync) {
            let End::Operation(at) = edge.to else {
                continue;
            };
            let operation = &inputs.operations[at];
            if !operation.name.contains("product.changed") || operation.rate <= 0.0 {
                continue;
            }
            let wake_ns = inputs.services[operation.service].wake_ns * edge.messages();
            sum.apply_ns += operation.cores * 1e9 / operation.rate + edge.callee_pool_ns + wake_ns;
            sum.receive_ns += edge.callee_total_ns() + wake_ns;
            // The publication is there whoever gets it.
            sum.broker_ns += edge.broker_delivery_ns();
            count += 1.0;
        }
        let mean = |ns: f64| if count > 0.0 { ns / count } else { 0.0 };
        Self {
            apply_ns: mean(sum.apply_ns),
            receive_ns: mean(sum.receive_ns),
            broker_ns: mean(sum.broker_ns),
        }
    }
}
