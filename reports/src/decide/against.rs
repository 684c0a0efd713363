//! What the rules say of services that somebody else would put into one process: `simulate`, and the search for other
//! cuts. They must not advise what the rules leave.

use std::collections::BTreeSet;

use super::context::Context;
use super::couple::Couple;
use super::keep::Keep;
use super::memory::pair_memory;
use super::merge::Merge;
use super::{Rule, say};
use crate::document::Verdict;
use crate::model::Edge;
use crate::topology::{Inputs, Topology};

/// Pairs that are looked at in one change; of so many services nobody changes all at once.
const PAIRS_MAX: usize = 2_000;

/// Why two services should not share a process, or why that cannot be told: all that the rules know of the pair, what a
/// merge of just these two is worth included. `None` when nothing stands against it.
pub(crate) fn merging(context: &Context<'_>, a: usize, b: usize) -> Option<(Verdict, String)> {
    let pair = (a.min(b), a.max(b));
    if let Err(missing) = context.sufficient(&BTreeSet::new()) {
        return Some((Verdict::CannotSay, missing));
    }
    let finding = Merge::default().check(context, &pair).or_else(|| {
        let talk = !context.edges_between(a, b).is_empty();
        talk.then(|| Keep::default().check(context, &pair))
            .flatten()
    });
    match finding {
        Some(finding) => {
            (finding.verdict != Verdict::Do).then_some((finding.verdict, finding.reason))
        }
        None => coupling(context, a, b),
    }
}

/// The same without what a merge of just these two is worth: what stands against their sharing a process in whatever
/// company.
pub(crate) fn coupling(context: &Context<'_>, a: usize, b: usize) -> Option<(Verdict, String)> {
    let pair = (a.min(b), a.max(b));
    let memory = pair_memory(context, pair.0, pair.1);
    if Merge::default().refused_for_memory(memory.as_ref())
        && let Some(memory) = memory
    {
        let why = format!(
            "{} and {} in one process hold {} at {} times the load in place of {}.",
            context.label(pair.0),
            context.label(pair.1),
            say::bytes(memory.after),
            say::factor(context.options.design_load()),
            say::bytes(memory.before)
        );
        return Some((Verdict::Leave, why));
    }
    objection(context, a, b)
}

/// What stands against a pair whatever it saves: waits, a lock, a store that limits both; or that waits are not known.
fn objection(context: &Context<'_>, a: usize, b: usize) -> Option<(Verdict, String)> {
    Couple::default().objection(context, (a.min(b), a.max(b)), &sync_edges(context, a, b))
}

/// The same where it is known to stand against them.
pub(crate) fn stands(context: &Context<'_>, a: usize, b: usize) -> Option<String> {
    Couple::default().stands(context, (a.min(b), a.max(b)), &sync_edges(context, a, b))
}

fn sync_edges<'a>(context: &Context<'a>, a: usize, b: usize) -> Vec<&'a Edge> {
    let edges = context.edges_between(a, b).into_iter();
    edges.filter(|edge| edge.is_sync()).collect()
}

/// Why a change of the topology should not be made, or why that cannot be told.
pub(crate) fn change(
    context: &Context<'_>,
    before: &Topology,
    after: &Topology,
) -> Option<(Verdict, String)> {
    let inputs = context.weighed.inputs();
    if let Err(missing) = context.sufficient(&deciding(context, inputs, before, after)) {
        return Some((Verdict::CannotSay, missing));
    }
    let pairs = joined(inputs, before, after);
    if let [(a, b)] = pairs[..] {
        return merging(context, a, b);
    }
    // What is left is said before what is not known.
    let mut unknown = torn(inputs, before, after);
    for (a, b) in pairs.iter().take(PAIRS_MAX) {
        match coupling(context, *a, *b) {
            Some((Verdict::Leave, why)) => return Some((Verdict::Leave, why)),
            other => unknown = unknown.or(other),
        }
    }
    if pairs.len() > PAIRS_MAX {
        let why = format!(
            "Of {} pairs that come to share a process {PAIRS_MAX} were looked at.",
            pairs.len()
        );
        unknown = unknown.or(Some((Verdict::Try, why)));
    }
    unknown
}

/// Writers of one entity that share a process and come apart.
fn torn(inputs: &Inputs, before: &Topology, after: &Topology) -> Option<(Verdict, String)> {
    for entity in &inputs.entities {
        for place in &entity.places {
            for ((a, _), (b, _)) in place.writes.iter().zip(place.writes.iter().skip(1)) {
                let together = |topology: &Topology| topology.place[*a] == topology.place[*b];
                if together(before) && !together(after) {
                    let name = |at: usize| &inputs.operations[at].name;
                    let why = format!(
                        "{} and {} both write {}: whether in the same transactions is not seen, and apart they could not be.",
                        name(*a),
                        name(*b),
                        entity.name
                    );
                    return Some((Verdict::Try, why));
                }
            }
        }
    }
    None
}

/// Pairs of services whose own processes become one.
pub(crate) fn joined(inputs: &Inputs, before: &Topology, after: &Topology) -> Vec<(usize, usize)> {
    let homes = |topology: &Topology| -> Vec<Option<usize>> {
        (0..inputs.services.len())
            .map(|service| topology.home(service))
            .collect()
    };
    let (was, is) = (homes(before), homes(after));
    let mut pairs = Vec::new();
    for deployable in &after.deployables {
        for (n, a) in deployable.home_of.iter().enumerate() {
            for b in &deployable.home_of[n + 1..] {
                if was[*a] != was[*b] && is[*a] == is[*b] {
                    pairs.push((*a.min(b), *a.max(b)));
                }
            }
        }
    }
    pairs.sort_unstable();
    pairs
}

/// Operations that a change hangs on: at the ends of the edges that travel another way or in batches, as far as these
/// make up 5 % of them, and those that leave their service with 5 % of the CPU that does; and those that use the entity
/// by whose key a service is divided.
fn deciding(
    context: &Context<'_>,
    inputs: &Inputs,
    before: &Topology,
    after: &Topology,
) -> BTreeSet<(usize, String)> {
    let changed: BTreeSet<&str> = inputs
        .edges
        .iter()
        .enumerate()
        .filter(|(at, _)| {
            before.ways[*at] != after.ways[*at] || before.batched.get(at) != after.batched.get(at)
        })
        .map(|(_, edge)| edge.id.as_str())
        .collect();
    let edges: Vec<&Edge> = context
        .model
        .edges
        .iter()
        .filter(|edge| changed.contains(edge.id.as_str()))
        .collect();
    let mut operations = context.deciding_operations(&edges);
    let left = |topology: &Topology, at: usize| {
        topology.home(inputs.operations[at].service) != Some(topology.place[at])
    };
    let gone: Vec<usize> = (0..inputs.operations.len())
        .filter(|at| left(after, *at) && !left(before, *at))
        .collect();
    let cores: f64 = gone.iter().map(|at| inputs.operations[*at].cores).sum();
    let most = gone
        .into_iter()
        .filter(|at| inputs.operations[*at].cores * 20.0 >= cores);
    operations.extend(most.map(|at| context.counted(at)));
    for deployable in &after.deployables {
        if let Some(shards) = &deployable.shards {
            for service in &deployable.home_of {
                operations.extend(context.users(shards.entity, *service));
            }
        }
    }
    operations
}
