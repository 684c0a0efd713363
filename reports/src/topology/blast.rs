//! Who fails with whom.

use super::{Inputs, Topology, copies};

/// For each deployable the share of requests from outside that wait for something in it, or read from it what they have
/// no copy of. `None` when no root is known.
pub(super) fn blast(inputs: &Inputs, topology: &Topology) -> Option<Vec<f64>> {
    let all: f64 = inputs.origins.iter().filter_map(|o| o.rate).sum();
    if all <= 0.0 {
        return None;
    }
    let mut share = vec![0.0; topology.deployables.len()];
    let homes = topology.homes(inputs.services.len());
    let reads = copies::remote_reads(inputs, topology);
    for (at, origin) in inputs.origins.iter().enumerate() {
        let Some(rate) = origin.rate else { continue };
        let owners = reads
            .iter()
            .filter(|(reads, rate, _)| *rate > 0.0 && origin.waits_for.contains(reads))
            .filter_map(|(_, _, owner)| homes[(*owner)?]);
        let mut touched: Vec<usize> = origin
            .waits_for
            .iter()
            .filter(|o| !copies::no_longer_asked(inputs, topology, at, **o))
            .map(|o| topology.place[*o])
            .chain(owners)
            .collect();
        touched.sort_unstable();
        touched.dedup();
        for at in touched {
            share[at] += rate / all;
        }
    }
    Some(share)
}
