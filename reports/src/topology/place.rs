//! Entities by rule: a copy that costs more than reading from the owner goes.

use super::copies::{change_ns, changes};
use super::{Inputs, Topology};

/// Takes away the copies for which `reads · a call` is less than `changes · (carry + apply)`; leaves the others, and
/// those that nobody can price.
pub(super) fn by_rule(inputs: &Inputs, mut topology: Topology) -> Topology {
    for (at, entity) in inputs.entities.iter().enumerate() {
        for place in entity.places.iter().filter(|place| place.copy) {
            let link_rate: f64 = entity
                .links
                .iter()
                .map(|link| &inputs.edges[*link])
                .filter(|edge| matches!(edge.to, super::End::Operation(to) if inputs.operations[to].service == place.service))
                .map(|edge| edge.rate)
                .sum();
            let rate = if link_rate > 0.0 {
                link_rate
            } else {
                changes(entity)
            };
            let reads: f64 = place.reads.iter().map(|(_, rate)| rate).sum();
            let Some(((carry, apply), call)) = change_ns(inputs, entity).zip(inputs.remote_call_ns)
            else {
                continue;
            };
            if reads * call < rate * (carry + apply) {
                topology.read_remotely.push((at, place.service));
            }
        }
    }
    topology
}
