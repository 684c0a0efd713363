//! The way from one topology to another, in steps that can be taken one at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Access, Change, Inputs, Topology};

/// Splits first, then merges, then entities: each step names what it makes, so that the next one can.
#[must_use]
pub(super) fn between(inputs: &Inputs, from: &Topology, to: &Topology) -> Vec<Change> {
    let mut steps = Vec::new();
    let mut at = from.clone();
    // Parts of a deployable that end up apart leave it, all but the part that keeps its background work.
    for deployable in from.alive() {
        let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (operation, place) in from.place.iter().enumerate() {
            if *place == deployable {
                parts
                    .entry(to.place[operation])
                    .or_default()
                    .push(operation);
            }
        }
        let homes = &from.deployables[deployable].home_of;
        let stays = homes.first().and_then(|service| to.home(*service));
        for (target, operations) in parts {
            if Some(target) == stays {
                continue;
            }
            let components: BTreeSet<&str> = operations
                .iter()
                .map(|o| {
                    inputs.components[inputs.operations[*o].component]
                        .name
                        .as_str()
                })
                .collect();
            let step = Change::Split {
                service: at.deployables[deployable].name.clone(),
                operations: components.into_iter().map(str::to_owned).collect(),
                name: None,
            };
            if let Ok(next) = step.apply(inputs, &at) {
                at = next;
                steps.push(step);
            }
        }
    }
    // What ends up together is merged, two by two, the largest first.
    let mut targets: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (operation, place) in at.place.iter().enumerate() {
        targets
            .entry(to.place[operation])
            .or_default()
            .insert(*place);
    }
    for (service, _) in inputs.services.iter().enumerate() {
        if let Some((to, here)) = to.home(service).zip(at.home(service)) {
            targets.entry(to).or_default().insert(here);
        }
    }
    for members in targets.values().filter(|members| members.len() > 1) {
        let mut members: Vec<usize> = members.iter().copied().collect();
        let calls = |members: &[usize], candidate: usize| -> f64 {
            inputs
                .edges
                .iter()
                .filter(|edge| {
                    let (a, b) = (at.deployable_of(edge.from), at.deployable_of(edge.to));
                    a.zip(b).is_some_and(|(a, b)| {
                        (members.contains(&a) && b == candidate)
                            || (members.contains(&b) && a == candidate)
                    })
                })
                .map(|edge| edge.rate * (edge.caller_total_ns() + edge.callee_total_ns()))
                .sum()
        };
        // The pair with the dearest messages begins.
        let mut together = vec![members.remove(0)];
        let mut so_far = at.deployables[together[0]].name.clone();
        while !members.is_empty() {
            let (n, _) = members
                .iter()
                .enumerate()
                .map(|(n, candidate)| (n, calls(&together, *candidate)))
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
                .unwrap_or((0, 0.0));
            let next = members.remove(n);
            let name = format!("{so_far}+{}", at.deployables[next].name);
            steps.push(Change::Merge {
                services: vec![so_far, at.deployables[next].name.clone()],
                name: Some(name.clone()),
            });
            so_far = name;
            together.push(next);
        }
    }
    for (entity, service) in &to.read_remotely {
        steps.push(Change::PlaceEntity {
            entity: inputs.entities[*entity].name.clone(),
            service: inputs.services[*service].label.clone(),
            access: Access::Remote,
        });
    }
    steps
}

/// The step that saves most when it is taken alone, with the cost after it. A step that only follows another one, or
/// that makes the system dearer, is none.
pub(super) fn first(
    inputs: &Inputs,
    from: &Topology,
    steps: &[Change],
    cost: impl Fn(&Topology) -> Option<f64>,
) -> Option<(Change, f64)> {
    let today = cost(from)?;
    let mut best: Option<(Change, f64)> = None;
    // Many steps save alike: those with the dearest messages come first in each group, so few are enough.
    for step in steps.iter().take(FIRST_TRIED_MAX) {
        let Ok(after) = step.apply(inputs, from) else {
            continue;
        };
        let Some(after) = cost(&after).filter(|after| *after < today) else {
            continue;
        };
        if best.as_ref().is_none_or(|(_, least)| after < *least) {
            best = Some((step.clone(), after));
        }
    }
    best
}

/// Steps that are tried as the first one.
const FIRST_TRIED_MAX: usize = 16;
