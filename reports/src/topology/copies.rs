//! Copies of data: what keeping them costs, and what reading from the owner costs.

use super::evaluate::cores_of_edges;
use super::{Edge, EdgePart, End, Entity, Inputs, Place, Topology};

/// Is this edge gone because the copy that it keeps in step was taken away?
pub(super) fn link_is_gone(inputs: &Inputs, topology: &Topology, edge: usize) -> bool {
    if topology.read_remotely.is_empty() {
        return false;
    }
    let End::Operation(to) = inputs.edges[edge].to else {
        return false;
    };
    let service = inputs.operations[to].service;
    topology
        .read_remotely
        .iter()
        .any(|(entity, at)| *at == service && inputs.entities[*entity].links.contains(&edge))
}

/// CPU of a change at one copy, ns: carrying (both sides and the broker) and applying. As the copies there are;
/// without any, as an asynchronous message here costs, plus a write. `None` without either.
pub(super) fn change_ns(inputs: &Inputs, entity: &Entity) -> Option<(f64, f64)> {
    let links: Vec<&Edge> = entity.links.iter().map(|at| &inputs.edges[*at]).collect();
    if let Some(carry) = mean(&links, carry) {
        let apply = mean(&links, |edge| match edge.to {
            End::Operation(to) => {
                let operation = &inputs.operations[to];
                if operation.rate > 0.0 {
                    (operation.cores * 1e9 / operation.rate - edge.callee_ns).max(0.0)
                } else {
                    0.0
                }
            }
            _ => 0.0,
        })?;
        return Some((carry, apply));
    }
    let write = entity.places.iter().find_map(|place| place.write_ns)?;
    Some((message_ns(inputs)?, write))
}

/// What an asynchronous message costs here, ns.
pub(super) fn message_ns(inputs: &Inputs) -> Option<f64> {
    if inputs.message_ns.is_some() {
        return inputs.message_ns;
    }
    let messages: Vec<&Edge> = inputs
        .edges
        .iter()
        .filter(|e| !e.sync && e.to != End::Outside && e.from != End::Outside)
        .collect();
    mean(&messages, carry)
}

/// Cores that keep one copy more in step at the load seen. `None` where nobody tells what a change costs a copy.
pub(super) fn copy_cores(inputs: &Inputs, entity: &Entity) -> Option<f64> {
    let changes = changes(entity);
    if changes <= 0.0 {
        return Some(0.0);
    }
    let (carry, apply) = change_ns(inputs, entity)?;
    Some(changes * (carry + apply) * 1e-9)
}

fn carry(edge: &Edge) -> f64 {
    edge.caller_total_ns() + edge.callee_total_ns() + edge.broker_ns
}

fn mean(edges: &[&Edge], of: impl Fn(&Edge) -> f64) -> Option<f64> {
    let rate: f64 = edges.iter().map(|edge| edge.rate).sum();
    (rate > 0.0).then(|| edges.iter().map(|edge| edge.rate * of(edge)).sum::<f64>() / rate)
}

/// Changes of an entity per second: writes at its owner; over all places when nobody is shown to own it.
pub(super) fn changes(entity: &Entity) -> f64 {
    let of = |own: bool| -> f64 {
        entity
            .places
            .iter()
            .filter(|place| !own || Some(place.service) == entity.owner)
            .flat_map(|place| &place.writes)
            .map(|(_, rate)| rate)
            .sum()
    };
    if entity.owner.is_some() {
        of(true)
    } else {
        of(false)
    }
}

/// Mean time that a synchronous call between services takes beyond what its callee takes, ns: `Σ (wait − callee's wall
/// time) ÷ calls`. Where no callee's wall time is known the whole wait bounds it.
pub(super) fn travel_ns(inputs: &Inputs) -> Option<f64> {
    let remote = || inputs.edges.iter().filter(|e| e.sync && !e.local);
    let beyond = |edge: &Edge| match edge.to {
        End::Operation(to) => Some(edge.wait_ns? - inputs.operations[to].wall_ns?),
        End::Service(_) | End::Outside => None,
    };
    let known: Vec<&Edge> = remote().filter(|e| beyond(e).is_some()).collect();
    if let Some(travel) = mean(&known, |edge| beyond(edge).unwrap_or(0.0)) {
        return Some(travel.max(0.0));
    }
    let waited: Vec<&Edge> = remote()
        .filter(|e| e.wait_ns.is_some() && e.to != End::Outside)
        .collect();
    mean(&waited, |edge| edge.wait_ns.unwrap_or(0.0))
}

/// Statements per second with which an operation reads what is no longer copied beside it, and the owner.
pub(super) fn remote_reads(
    inputs: &Inputs,
    topology: &Topology,
) -> Vec<(usize, f64, Option<usize>)> {
    let mut reads = Vec::new();
    for (entity, service) in &topology.read_remotely {
        let entity = &inputs.entities[*entity];
        for place in entity
            .places
            .iter()
            .filter(|place| place.service == *service)
        {
            reads.extend(
                place
                    .reads
                    .iter()
                    .map(|(at, rate)| (*at, *rate, entity.owner)),
            );
        }
    }
    reads
}

/// Is all that an operation does, as far as the rows tell, to read this entity? It writes nothing, reads nothing else and
/// calls nobody.
pub(super) fn only_reads<N>(inputs: &Inputs<N>, entity: usize, operation: usize) -> bool {
    let service = inputs.operations[operation].service;
    let does = |at: usize, of: fn(&Place<N>) -> &[(usize, N)]| {
        let mut places = inputs.entities[at].places.iter();
        places.any(|place| {
            place.service == service && of(place).iter().any(|(does, _)| *does == operation)
        })
    };
    let calls = inputs
        .edges
        .iter()
        .any(|edge| edge.from == End::Operation(operation));
    let mut others = (0..inputs.entities.len()).filter(|at| *at != entity);
    !calls
        && does(entity, |place| &place.reads)
        && !does(entity, |place| &place.writes)
        && !others.any(|at| does(at, |place| &place.reads) || does(at, |place| &place.writes))
}

/// Did an origin's answers wait for this operation through calls alone that a copy beside their caller replaces?
pub(super) fn no_longer_asked(
    inputs: &Inputs,
    topology: &Topology,
    origin: usize,
    operation: usize,
) -> bool {
    if topology.read_here.is_empty() || inputs.origins[origin].root == Some(operation) {
        return false;
    }
    let here = |at: usize| topology.read_here.iter().any(|(_, here)| *here == at);
    let asks = |edge: &Edge| {
        let mine = |part: &EdgePart| part.origin == origin && part.rate > 0.0;
        edge.sync && edge.to == End::Operation(operation) && edge.parts.iter().any(mine)
    };
    let mut asked = (0..inputs.edges.len())
        .filter(|at| asks(&inputs.edges[*at]))
        .peekable();
    asked.peek().is_some() && asked.all(here)
}

/// Cores of the callees' own work that go with the calls which a copy beside the caller replaces, from their deployable
/// to the caller's, at the load seen.
pub(super) fn read_elsewhere(inputs: &Inputs, topology: &Topology) -> Vec<(usize, usize, f64)> {
    let mut moved = Vec::new();
    for (_, at) in &topology.read_here {
        let edge = &inputs.edges[*at];
        let (End::Operation(from), End::Operation(to)) = (edge.from, edge.to) else {
            continue;
        };
        let callee = &inputs.operations[to];
        if callee.rate > 0.0 {
            let each = callee.cores / callee.rate - edge.callee_ns * 1e-9;
            moved.push((
                topology.place[to],
                topology.place[from],
                each.max(0.0) * edge.rate,
            ));
        }
    }
    moved
}

/// The copies of an entity at some services, as they are and taken away.
pub(crate) struct CopiesGone {
    before: Topology,
    after: Topology,
    /// Edges that keep them in step, and the others of the same publications.
    edges: Vec<usize>,
}

impl CopiesGone {
    pub(crate) fn of<N>(inputs: &Inputs<N>, entity: usize, holders: &[usize]) -> Self {
        let before = Topology::as_it_is(inputs);
        let mut edges: Vec<usize> = inputs.entities[entity]
            .links
            .iter()
            .flat_map(|at| std::iter::once(*at).chain(inputs.edges[*at].shares_with.clone()))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let mut gone = Self {
            after: before.clone(),
            before,
            edges,
        };
        gone.take(entity, holders);
        gone
    }

    /// The copies of these services in place of those that were taken away.
    pub(crate) fn take(&mut self, entity: usize, holders: &[usize]) {
        self.after.read_remotely = holders.iter().map(|holder| (entity, *holder)).collect();
    }

    /// Cores that keep the copies in step, and cores that reading from the owner would take; the latter not a number
    /// where no synchronous call tells what one costs.
    pub(crate) fn cores(&self, inputs: &Inputs) -> (f64, f64) {
        let of = |topology| cores_of_edges(inputs, topology, &self.edges);
        let reads = remote_reads(inputs, &self.after);
        let rate: f64 = reads.iter().map(|(_, rate, _)| rate).sum();
        let call = inputs.remote_call_ns.unwrap_or(f64::NAN);
        (of(&self.before) - of(&self.after), rate * call * 1e-9)
    }
}

/// Number of copies, their bytes (unknown when one reports none), and the largest mean age of a change.
pub(super) fn kept(
    inputs: &Inputs,
    topology: &Topology,
    replicas: &[f64],
) -> (f64, Option<f64>, Option<f64>) {
    let mut copies = 0.0;
    let mut bytes = Some(0.0);
    let mut age: Option<f64> = Some(0.0);
    let mut add = |n: f64, each: Option<f64>| {
        copies += n;
        bytes = bytes.zip(each).map(|(sum, each)| sum + n * each);
    };
    for (at, entity) in inputs.entities.iter().enumerate() {
        for place in entity.places.iter().filter(|place| place.copy) {
            if !topology.read_remotely.contains(&(at, place.service)) {
                add(1.0, place.bytes);
            }
        }
        for (_, deployable) in topology.copied.iter().filter(|(entity, _)| *entity == at) {
            let size = entity.places.iter().find_map(|place| place.bytes);
            add(replicas.get(*deployable).copied().unwrap_or(1.0), size);
        }
        let is_kept = |link: &&usize| !link_is_gone(inputs, topology, **link);
        for link in entity.links.iter().filter(is_kept) {
            age = age.zip(inputs.edges[*link].wait_ns).map(|(a, b)| a.max(b));
        }
    }
    if !topology.copied.is_empty() && inputs.entities.iter().all(|entity| entity.links.is_empty()) {
        // Nobody keeps copies in step yet, so nobody tells how long a change takes.
        age = None;
    }
    (copies, bytes, age)
}
