//! Entities by rule: a copy that costs more than reading from the owner goes.

use super::copies::{self, CopiesGone};
use super::{End, Inputs, Topology};

/// Copies that are dearer than reading from the owner, by the same terms as everywhere: (entity, service). Those that
/// nobody can price stay.
pub(super) fn by_rule(inputs: &Inputs) -> Vec<(usize, usize)> {
    let mut gone = Vec::new();
    for (at, entity) in inputs.entities.iter().enumerate() {
        for place in entity.places.iter().filter(|place| place.copy) {
            let (keep, remote) = CopiesGone::of(inputs, at, &[place.service]).cores(inputs);
            if remote < keep {
                gone.push((at, place.service));
            }
        }
    }
    gone
}

/// The system without these copies, as if reading from the owner were free: no cut that places entities by the rule
/// costs less than the same cut of this one.
pub(super) fn without(inputs: &Inputs, gone: &[(usize, usize)]) -> Inputs {
    let mut left = inputs.clone();
    let mut topology = Topology::as_it_is(inputs);
    topology.read_remotely = gone.to_vec();
    for (at, edge) in inputs.edges.iter().enumerate() {
        if !copies::link_is_gone(inputs, &topology, at) {
            continue;
        }
        if let End::Operation(from) = edge.from {
            left.operations[from].cores -= edge.caller_ns * edge.rate * 1e-9;
        }
        if let End::Operation(to) = edge.to {
            let operation = &inputs.operations[to];
            let part = if operation.rate > 0.0 {
                operation.cores / operation.rate * edge.rate
            } else {
                edge.callee_ns * edge.rate * 1e-9
            };
            left.operations[to].cores -= part;
            // Who asks it from outside stays as many.
            left.operations[to].rate = (left.operations[to].rate - edge.rate).max(0.0);
        }
        left.edges[at].rate = 0.0;
    }
    left
}
