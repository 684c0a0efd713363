//! From a placement file to a topology of what was weighed in another.

use weighbridge_reports::topology::{Deployable, End, Inputs, Topology, Way};

use crate::load::MIX;
use crate::placement::{Component, Edge, Placement, Transport};

/// The topology that a placement file means, over what was weighed in another.
pub(super) fn topology(inputs: &Inputs, given: &Placement, tried: &Placement) -> Topology {
    let mut topology = Topology::as_it_is(inputs);
    let kept: Vec<Deployable> = topology.deployables.clone();
    topology.deployables = tried
        .processes
        .iter()
        .map(|process| Deployable {
            name: process.name.clone(),
            replicas: process.replicas as f64,
            cores_limit: Some(1.0),
            shards: None,
            home_of: Vec::new(),
        })
        .collect();
    let slot_of = |component: Component| {
        tried
            .processes
            .iter()
            .position(|p| p.components.contains(&component))
    };
    for (at, service) in inputs.services.iter().enumerate() {
        let process = given.processes.iter().find(|p| p.name == service.label);
        // Background work belongs to the component that keeps the books of a database.
        let keeper = process.and_then(|process| {
            let keepers = [Component::Catalog, Component::Stock, Component::Ledger];
            keepers.into_iter().find(|c| process.components.contains(c))
        });
        match keeper.and_then(slot_of) {
            Some(slot) => topology.deployables[slot].home_of.push(at),
            None => topology.deployables.push(kept[at].clone()),
        }
    }
    for (at, operation) in inputs.operations.iter().enumerate() {
        let service = &inputs.services[operation.service].label;
        let slot = component_of(given, service, &operation.name).and_then(slot_of);
        let home = || topology.home(operation.service).unwrap_or(0);
        topology.place[at] = slot.unwrap_or_else(home);
    }
    for (at, edge) in inputs.edges.iter().enumerate() {
        let ends = (
            topology.deployable_of(edge.from),
            topology.deployable_of(edge.to),
        );
        let together = ends.0.is_some() && ends.0 == ends.1;
        let direct = together && (edge.sync || is_direct(inputs, given, tried, edge.to));
        topology.ways[at] = match (direct, edge.sync) {
            (false, _) => Way::Remote,
            (true, true) => Way::Local,
            (true, false) => Way::Inline,
        };
    }
    topology
}

/// Whether events to this operation are calls inside a process.
fn is_direct(inputs: &Inputs, given: &Placement, tried: &Placement, to: End) -> bool {
    let End::Operation(at) = to else { return false };
    let operation = &inputs.operations[at];
    let from = if operation.name.contains("orders.created") {
        Component::Orders
    } else {
        Component::Catalog
    };
    let service = &inputs.services[operation.service].label;
    component_of(given, service, &operation.name)
        .is_some_and(|to| tried.transport(Edge { from, to }) == Some(Transport::Direct))
}

/// The component that an operation belongs to.
fn component_of(given: &Placement, service: &str, operation: &str) -> Option<Component> {
    if let Some(origin) = MIX.iter().find(|origin| origin.operation == operation) {
        return Some(origin.component);
    }
    let here = given.processes.iter().find(|p| p.name == service)?;
    match operation {
        "POST /reservations" => Some(Component::Stock),
        "CONSUME orders.created" => Some(Component::Ledger),
        "JOB price index" => Some(Component::Catalog),
        "CONSUME product.changed" => [Component::Stock, Component::Ledger]
            .into_iter()
            .find(|component| here.components.contains(component)),
        _ => None,
    }
}
