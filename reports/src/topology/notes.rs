//! What the figures of a topology leave out or assume, in words.

use super::{Inputs, Topology, Way, copies, sections};

pub(super) fn notes(inputs: &Inputs, topology: &Topology, f: f64) -> Vec<String> {
    let mut notes = sections::notes(inputs, topology, f);
    let cut = |at: &usize| inputs.edges[*at].local && topology.ways[*at] == Way::Remote;
    let made_remote = (0..inputs.edges.len()).any(|at| cut(&at));
    if (made_remote || !topology.read_remotely.is_empty()) && inputs.remote_call_ns.is_none() {
        notes.push("No synchronous call between processes was seen, so what a new one costs is not known and left out.".to_owned());
    }
    if topology
        .copied
        .iter()
        .any(|(entity, _)| copies::change_ns(inputs, &inputs.entities[*entity]).is_none())
    {
        notes.push("What a change costs a new copy is not known and left out: no asynchronous message or no write was seen.".to_owned());
    }
    for (entity, at) in &topology.copied {
        let home = &topology.deployables[*at];
        let here = |(of, edge): &(usize, usize)| {
            *of == *entity && topology.deployable_of(inputs.edges[*edge].from) == Some(*at)
        };
        // What runs in more processes takes copies along for its own reads.
        if !home.home_of.is_empty() && !topology.read_here.iter().any(here) {
            notes.push(format!(
                "The copy of {} at {} takes the place of no call: as far as the rows tell, {} calls no operation of its owner that does nothing but read it.",
                inputs.entities[*entity].name, home.name, home.name
            ));
        }
    }
    for deployable in &topology.deployables {
        if let Some(shards) = &deployable.shards {
            let entity = &inputs.entities[shards.entity];
            if entity.multi_key_share.is_none() || entity.top_key_share.is_none() {
                notes.push(format!("The keys of {} are not known: requests are taken to touch one key each, evenly.", entity.name));
            }
        }
    }
    if topology
        .batched
        .keys()
        .any(|at| !inputs.edges[*at].by_bytes_known)
    {
        notes.push("Message sizes vary too little to tell a price per byte: all of the overhead of a batched call is taken to be per call, so the saving is an upper estimate.".to_owned());
    }
    for service in parted_unsampled(inputs, topology) {
        notes.push(format!(
            "What each operation of {} keeps in memory was not sampled (WEIGHBRIDGE_RETAINED): it is shared out by the most that one request of each held.",
            inputs.services[service].label
        ));
    }
    notes
}

/// Services whose operations are not all in one place, of which what some keep in memory was not sampled.
fn parted_unsampled(inputs: &Inputs, topology: &Topology) -> Vec<usize> {
    let count = inputs.services.len();
    let mut place: Vec<Option<usize>> = vec![None; count];
    let (mut parted, mut unsampled) = (vec![false; count], vec![false; count]);
    for (operation, at) in inputs.operations.iter().zip(&topology.place) {
        let service = operation.service;
        parted[service] |= place[service].is_some_and(|first| first != *at);
        place[service] = Some(*at);
        unsampled[service] |= operation.retained_bytes.is_none();
    }
    (0..count)
        .filter(|at| parted[*at] && unsampled[*at] && inputs.services[*at].peak_bytes.is_some())
        .collect()
}
