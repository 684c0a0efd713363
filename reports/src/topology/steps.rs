//! The way from one topology to another, in steps that can be taken one at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::search::Leaves;
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
    // What ends up together is merged: first two, then the others.
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
    let mut between: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for edge in &inputs.edges {
        let ends = at.deployable_of(edge.from).zip(at.deployable_of(edge.to));
        if let Some((a, b)) = ends.filter(|(a, b)| a != b) {
            let cost = edge.rate * (edge.caller_total_ns() + edge.callee_total_ns());
            *between.entry((a.min(b), a.max(b))).or_insert(0.0) += cost;
        }
    }
    for members in targets.values().filter(|members| members.len() > 1) {
        // The pair with the dearest messages begins; the others follow in one step.
        let (a, b) = between
            .iter()
            .filter(|((a, b), _)| members.contains(a) && members.contains(b))
            .max_by(|x, y| x.1.total_cmp(y.1).then(y.0.cmp(x.0)))
            .map(|(pair, _)| *pair)
            .or_else(|| {
                let mut first = members.iter().copied();
                first.next().zip(first.next())
            })
            .unwrap_or_default();
        let name = |at_index: usize| at.deployables[at_index].name.clone();
        let pair = format!("{}+{}", name(a), name(b));
        steps.push(Change::Merge {
            services: vec![name(a), name(b)],
            name: Some(pair.clone()),
        });
        if members.len() > 2 {
            let others = members.iter().filter(|m| **m != a && **m != b);
            let mut services = vec![pair];
            services.extend(others.map(|m| name(*m)));
            steps.push(Change::Merge {
                services,
                name: None,
            });
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

/// The step that saves most when it is taken alone, with the cost after it; and those that would save more and that
/// somebody leaves, with the reason. A step that only follows another one, or that makes the system dearer, is none.
pub(super) fn first(
    inputs: &Inputs,
    from: &Topology,
    steps: &[Change],
    leaves: Leaves<'_>,
    cost: impl Fn(&Topology) -> Option<f64>,
) -> (Option<(Change, f64)>, Vec<String>) {
    let Some(today) = cost(from) else {
        return (None, Vec::new());
    };
    // Many steps save alike: those with the dearest messages come first in each group, so few are enough.
    let mut saving: Vec<(f64, &Change)> = steps
        .iter()
        .take(FIRST_TRIED_MAX)
        .filter_map(|step| {
            let after = cost(&step.apply(inputs, from).ok()?).filter(|after| *after < today)?;
            Some((after, step))
        })
        .collect();
    saving.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut left = Vec::new();
    for (after, step) in saving {
        match left_because(inputs, step, leaves) {
            None => return (Some((step.clone(), after)), left),
            Some(why) => left.push(format!("Not by itself: {step}. {why}")),
        }
    }
    (None, left)
}

/// Why a merge of services as they are today should not be made by itself.
fn left_because(inputs: &Inputs, step: &Change, leaves: Leaves<'_>) -> Option<String> {
    let Change::Merge { services, .. } = step else {
        return None;
    };
    let merged: Vec<usize> = services
        .iter()
        .filter_map(|name| inputs.services.iter().position(|s| s.label == *name))
        .collect();
    merged
        .iter()
        .enumerate()
        .flat_map(|(n, a)| merged[n + 1..].iter().map(move |b| (*a, *b)))
        .find_map(|(a, b)| leaves(a, b))
}

/// Steps that are tried as the first one.
const FIRST_TRIED_MAX: usize = 16;
