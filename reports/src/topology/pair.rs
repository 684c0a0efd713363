//! Two services in one process: the part of a system that this hangs on, and what it does to their cores, term by term.
//!
//! It equals what [`evaluate`](super::evaluate) says of the merged topology (a test holds them together). It is here
//! because a report looks at every pair of services that talk, in every draw, and evaluating all of a large system for
//! each of them would take minutes.

use std::collections::BTreeMap;

use super::evaluate::{fixed_each, saved_batched, saved_together, wake, way_when};
use super::{Beside, Change, Component, End, Figures, Inputs, Load, Topology, Way, Weighed};
use crate::model::Estimate;

/// What changes when two services share a process, at the load seen with the processes there are.
#[derive(Clone, Debug)]
pub(crate) struct Together {
    /// Synchronous calls between them that become local, per second.
    pub(crate) calls: Estimate,
    /// Their messages on both sides, pools included, cores.
    pub(crate) messages: Estimate,
    /// The schedulers' part of these messages, cores.
    pub(crate) wake: Estimate,
    /// What the calls cost beside messages and schedulers, cores; see
    /// [`Options::crossing_ns`](crate::Options::crossing_ns).
    pub(crate) crossing: Estimate,
    /// Cores of the processes themselves that are saved: one agent for two, and background work in as many processes
    /// as there are then. Negative where background work comes to run more often.
    pub(crate) base: Estimate,
    /// Cores that the calls save, `messages + wake + crossing − local calls`.
    pub(crate) by_calls: Estimate,
    /// Cores saved in all.
    pub(crate) saved: Estimate,
}

/// Which edges touch which service, and which operations it has, so that a part of a large system is found fast.
#[derive(Clone, Debug)]
pub(crate) struct EdgesOf {
    edges: Vec<Vec<usize>>,
    operations: Vec<Vec<usize>>,
}

impl EdgesOf {
    pub(crate) fn new<N>(inputs: &Inputs<N>) -> Self {
        let mut of = vec![Vec::new(); inputs.services.len()];
        for (at, edge) in inputs.edges.iter().enumerate() {
            let mut touched: Vec<usize> = [edge.from, edge.to]
                .into_iter()
                .filter_map(|end| service_of(inputs, end))
                .chain(edge.broker)
                .collect();
            touched.sort_unstable();
            touched.dedup();
            touched.into_iter().for_each(|service| of[service].push(at));
        }
        let mut operations = vec![Vec::new(); inputs.services.len()];
        for (at, operation) in inputs.operations.iter().enumerate() {
            operations[operation.service].push(at);
        }
        Self {
            edges: of,
            operations,
        }
    }

    /// The operations of a service, ascending.
    pub(super) fn operations_of(&self, service: usize) -> &[usize] {
        &self.operations[service]
    }

    fn of(&self, services: &[usize]) -> Vec<usize> {
        let mut edges: Vec<usize> = services
            .iter()
            .flat_map(|s| self.edges[*s].clone())
            .collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

/// The service of an end of an edge; `None` outside.
pub(crate) fn service_of<N>(inputs: &Inputs<N>, end: End) -> Option<usize> {
    match end {
        End::Operation(operation) => Some(inputs.operations[operation].service),
        End::Service(service) => Some(service),
        End::Outside => None,
    }
}

/// The edges between two services with ends at the services, and nothing else: all that the cores of the two hang on.
fn edges_between<N: Clone>(inputs: &Inputs<N>, edges: &EdgesOf, services: [usize; 2]) -> Inputs<N> {
    let place = |end| {
        service_of(inputs, end)
            .and_then(|service| services.iter().position(|s| *s == service))
            .map(End::Service)
    };
    Inputs {
        services: services.map(|s| inputs.services[s].clone()).into(),
        edges: edges
            .of(&services)
            .into_iter()
            .filter_map(|at| {
                let (from, to) = place(inputs.edges[at].from).zip(place(inputs.edges[at].to))?;
                (from != to).then(|| {
                    let mut edge = inputs.edges[at].clone();
                    (edge.from, edge.to) = (from, to);
                    edge.parts = Vec::new();
                    edge.broker = None;
                    edge.shares_with = Vec::new();
                    edge
                })
            })
            .collect(),
        local_call_ns: inputs.local_call_ns,
        crossing_ns: inputs.crossing_ns,
        ..Inputs::default()
    }
}

/// Some services with their operations and every edge that touches them; whoever is at the other end is outside.
/// Their processes, cores and memory are those of the whole system; origins are left out, and so are entities that
/// stand elsewhere too.
pub(super) fn part<N: Clone>(inputs: &Inputs<N>, edges: &EdgesOf, services: &[usize]) -> Inputs<N> {
    let mut part = Inputs {
        local_call_ns: inputs.local_call_ns,
        crossing_ns: inputs.crossing_ns,
        remote_call_ns: inputs.remote_call_ns.clone(),
        message_ns: inputs.message_ns.clone(),
        ..Inputs::default()
    };
    let here = |service: usize| services.iter().position(|s| *s == service);
    let mut moved = BTreeMap::new();
    let mut components = BTreeMap::new();
    let mut operations: Vec<(usize, usize)> = services
        .iter()
        .enumerate()
        .flat_map(|(service, s)| edges.operations[*s].iter().map(move |at| (*at, service)))
        .collect();
    operations.sort_unstable();
    for (at, service) in operations {
        moved.insert(at, part.operations.len());
        let mut operation = inputs.operations[at].clone();
        operation.service = service;
        operation.component = *components.entry(operation.component).or_insert_with(|| {
            part.components.push(Component {
                service,
                name: inputs.components[operation.component].name.clone(),
            });
            part.components.len() - 1
        });
        operation.parts = Vec::new();
        operation.shapes = Vec::new();
        part.operations.push(operation);
    }
    let place = |end| match end {
        End::Operation(operation) => moved
            .get(&operation)
            .map_or(End::Outside, |at| End::Operation(*at)),
        End::Service(service) => here(service).map_or(End::Outside, End::Service),
        End::Outside => End::Outside,
    };
    // Who gets the same publications comes along: what one of them pays hangs on the others.
    let mut kept = edges.of(services);
    let others: Vec<usize> = kept
        .iter()
        .flat_map(|at| inputs.edges[*at].shares_with.clone())
        .collect();
    kept.extend(others);
    kept.sort_unstable();
    kept.dedup();
    for at in &kept {
        let mut edge = inputs.edges[*at].clone();
        (edge.from, edge.to) = (place(edge.from), place(edge.to));
        edge.broker = edge.broker.and_then(here);
        edge.parts = Vec::new();
        edge.shares_with = edge
            .shares_with
            .iter()
            .filter_map(|other| kept.binary_search(other).ok())
            .collect();
        part.edges.push(edge);
    }
    part.services = services
        .iter()
        .map(|s| inputs.services[*s].clone())
        .collect();
    for entity in &inputs.entities {
        let all = entity.places.iter().map(|place| place.service);
        if all.chain(entity.owner).any(|s| here(s).is_none()) {
            continue;
        }
        let used = |list: &[(usize, N)]| {
            let list = list.iter();
            list.filter_map(|(at, n)| Some((*moved.get(at)?, n.clone())))
                .collect()
        };
        let mut entity = entity.clone();
        entity.owner = entity.owner.and_then(here);
        for place in &mut entity.places {
            place.service = here(place.service).unwrap_or_default();
            (place.reads, place.writes) = (used(&place.reads), used(&place.writes));
        }
        let links = entity.links.iter();
        entity.links = links.filter_map(|at| kept.binary_search(at).ok()).collect();
        part.entities.push(entity);
    }
    part
}

/// The figures of two services apart and in one process at a load, without origins: by the engine, on their part of
/// the system.
pub(crate) fn apart_and_together(
    inputs: &Inputs,
    edges: &EdgesOf,
    services: [usize; 2],
    load: &Load,
) -> Option<(Figures, Figures)> {
    let part = part(inputs, edges, &services);
    let apart = Topology::as_it_is(&part);
    let merge = Change::Merge {
        services: part.services.iter().map(|s| s.label.clone()).collect(),
        name: None,
    };
    let together = merge.apply(&part, &apart).ok()?;
    let now = Beside::today(&part, load);
    Some((now.evaluate(&apart, load), now.evaluate(&together, load)))
}

impl Weighed {
    /// What two services save in one process, with the spread over all draws.
    pub(crate) fn together(&self, edges: &EdgesOf, services: [usize; 2]) -> Option<Together> {
        let part = self.part_of(|inputs| edges_between(inputs, edges, services));
        let terms = part.spread(|inputs| terms(inputs).into());
        let [calls, messages, wake, crossing, base, by_calls, saved] = terms.try_into().ok()?;
        Some(Together {
            calls,
            messages,
            wake,
            crossing,
            base,
            by_calls,
            saved,
        })
    }
}

impl Weighed {
    /// Cores that the edge of this row id between two services saves when so many of its calls become one.
    pub(crate) fn batched(
        &self,
        edges: &EdgesOf,
        services: [usize; 2],
        id: &str,
        calls: f64,
    ) -> Option<Estimate> {
        let part = self.part_of(|inputs| edges_between(inputs, edges, services));
        let at = part.inputs().edges.iter().position(|edge| edge.id == id)?;
        let saved = part.spread(|inputs| vec![saved_batched(inputs, at, calls, 1.0)]);
        saved.into_iter().next()
    }
}

/// In the order of the fields of [`Together`].
fn terms(inputs: &Inputs) -> [f64; 7] {
    let (mut calls, mut schedulers, mut crossing, mut by_calls) = (0.0, 0.0, 0.0, 0.0);
    for (at, edge) in inputs.edges.iter().enumerate() {
        by_calls += saved_together(inputs, at, 1.0);
        if !edge.local && way_when(inputs, at, true) == Way::Local {
            let each = edge.messages() * (wake(inputs, edge.from) + wake(inputs, edge.to));
            calls += edge.rate;
            schedulers += edge.rate * each * 1e-9;
            crossing += edge.rate * inputs.crossing_ns * 1e-9;
        }
    }
    let local = calls * inputs.local_call_ns * 1e-9;
    let apart: f64 = (0..inputs.services.len())
        .map(|at| fixed_each(inputs, &[at], [at]) * inputs.services[at].instances)
        .sum();
    let all: Vec<usize> = (0..inputs.services.len()).collect();
    let most = inputs
        .services
        .iter()
        .map(|s| s.instances.max(s.min_replicas))
        .fold(0.0, f64::max);
    let base = apart - fixed_each(inputs, &all, all.iter().copied()) * most;
    [
        calls,
        by_calls - schedulers - crossing + local,
        schedulers,
        crossing,
        base,
        by_calls,
        by_calls + base,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::*;
    use crate::Options;
    use crate::testing::System;

    /// Services that get what another one publishes, behind many edges that are none of theirs.
    fn system() -> System {
        let mut s = System::new(40);
        for (service, target) in [("a1", "x1"), ("a2", "x2"), ("a3", "x3"), ("a4", "x4")] {
            s.root(service, "GET /a", 20, [200_000; 6]);
            let to = (target, "GET /x");
            s.http((service, "GET /a"), to, 20, 2, 80_000, 50_000);
        }
        s.root("shop", "PUT /p", 30, [400_000, 0, 0, 0, 0, 0]);
        for to in ["mail", "books", "zoo"] {
            let (from, to) = (("shop", "PUT /p"), (to, "CONSUME p"));
            let call = s.message(from, to, 30, "p", 80_000, 60_000);
            call.publishes = to.0 == "mail";
        }
        let (from, to) = (("mail", "CONSUME p"), ("zoo", "GET /y"));
        s.http(from, to, 30, 2, 80_000, 50_000);
        let (driver, runtime) = (
            weighbridge_wire::OwnerKind::Driver,
            weighbridge_wire::OwnerKind::Runtime,
        );
        s.owner("broker", driver, "mqtt broker", 6_000_000);
        s.owner("shop", runtime, "scheduler", 900_000);
        s
    }

    fn cores(figures: &Figures, name: &str) -> f64 {
        let mut all = figures.deployables.iter();
        all.find(|d| d.name == name).unwrap().cores
    }

    #[test]
    fn a_part_of_a_system_costs_what_it_costs_in_the_whole() {
        let options = Options::default();
        let weighed = Weighed::read(&system().range(), &options);
        let (inputs, today) = (weighed.inputs(), weighed.as_it_is());
        let edges = EdgesOf::new(inputs);
        let (seen, planned) = (Load::seen(&options), Load::planned(&options, 5.0));
        let at = |name: &str| inputs.services.iter().position(|s| s.label == name);
        for (one, other) in [
            ("mail", "zoo"),
            ("shop", "mail"),
            ("zoo", "books"),
            ("shop", "broker"),
        ] {
            let pair = [at(one).unwrap(), at(other).unwrap()];
            let (apart, together) = apart_and_together(inputs, &edges, pair, &planned).unwrap();
            let merge = Change::Merge {
                services: vec![one.to_owned(), other.to_owned()],
                name: Some("both".to_owned()),
            };
            let merged = merge.apply(inputs, &today).unwrap();
            let whole = evaluate(inputs, &today, &planned);
            for (part, name) in apart.deployables.iter().zip([one, other]) {
                let want = cores(&whole, name);
                assert!((part.cores / want - 1.0).abs() < 1e-9, "{one} and {other}");
            }
            let want = cores(&evaluate(inputs, &merged, &planned), "both");
            let got = together.deployables[0].cores;
            assert!((got / want - 1.0).abs() < 1e-9, "{one} and {other}");
            // And the terms of a pair add up to the same.
            let want =
                evaluate(inputs, &today, &seen).cores - evaluate(inputs, &merged, &seen).cores;
            let saved = weighed.together(&edges, pair).unwrap().saved.point;
            assert!((want - saved).abs() < 1e-12, "{one} and {other}: {saved}");
        }
    }
}
