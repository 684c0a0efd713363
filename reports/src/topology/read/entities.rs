//! Entities: where they are, who reads and writes them, and what keeps copies in step.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{access, column};

use super::super::{Entity, Inputs, Place};
use super::Index;
use crate::model::{EntityFacts, Estimate, Model, Name, as_f64};

pub(super) fn entities(
    model: &Model,
    read: &Inputs<Estimate>,
    index: &Index,
) -> Vec<Entity<Estimate>> {
    let at: BTreeMap<&str, usize> = read
        .edges
        .iter()
        .enumerate()
        .map(|(at, edge)| (edge.id.as_str(), at))
        .collect();
    let mut names: BTreeMap<&Name, Vec<(usize, &EntityFacts)>> = BTreeMap::new();
    for (service, facts) in model.services().iter().enumerate() {
        for ((_, name), entity) in &facts.entities {
            names.entry(name).or_default().push((service, entity));
        }
    }
    names
        .into_iter()
        .map(|(name, places)| {
            let links = crate::build::copy_links(model, name);
            let followers: BTreeSet<usize> = links.iter().map(|link| link.to).collect();
            let sender = links
                .iter()
                .map(|link| link.from)
                .find(|s| !followers.contains(s));
            let services: BTreeSet<usize> = places.iter().map(|(service, _)| *service).collect();
            // Alone somewhere, it belongs there.
            let only = (services.len() == 1)
                .then(|| services.first().copied())
                .flatten();
            let owner = sender.or(only);
            let applying: BTreeSet<usize> = links
                .iter()
                .filter_map(|link| index.operation(link.to, &link.edge.joined.to.operation))
                .collect();
            let copies = sender.map(|_| followers).unwrap_or_default();
            Entity {
                name: name.to_string(),
                owner,
                links: links
                    .iter()
                    .filter_map(|link| at.get(link.edge.id.as_str()).copied())
                    .collect(),
                multi_key_share: share(
                    &places,
                    &[column::KEYS_TWO, column::KEYS_MORE],
                    &[column::KEYS_ONE, column::KEYS_TWO, column::KEYS_MORE],
                ),
                top_key_share: share(&places, &[column::KEY_TOP_TOUCHES], &[column::KEY_TOUCHES]),
                places: places
                    .iter()
                    .map(|(service, facts)| {
                        place(
                            model,
                            index,
                            *service,
                            facts,
                            copies.contains(service),
                            &applying,
                        )
                    })
                    .collect(),
            }
        })
        .collect()
}

/// Sums of some columns over sums of others, over all uses.
fn share(places: &[(usize, &EntityFacts)], some: &[u32], of: &[u32]) -> Option<f64> {
    let sum = |columns: &[u32]| {
        places
            .iter()
            .flat_map(|(_, facts)| facts.uses.values())
            .flat_map(|sums| columns.iter().filter_map(|column| sums.total(*column)))
            .map(as_f64)
            .reduce(|a, b| a + b)
    };
    let all = sum(of).filter(|all| *all > 0.0)?;
    Some(sum(some).unwrap_or(0.0) / all)
}

fn place(
    model: &Model,
    index: &Index,
    service: usize,
    facts: &EntityFacts,
    copy: bool,
    applying: &BTreeSet<usize>,
) -> Place<Estimate> {
    let uses = |how: &str| {
        facts
            .uses
            .iter()
            .filter(move |((_, access), _)| **access == *how)
            .filter_map(|((id, _), sums)| {
                let rate = model.rate(&model.column(sums, column::STATEMENTS)?)?;
                Some((index.operation(service, id)?, rate))
            })
            .collect::<Vec<_>>()
    };
    let write = |column| {
        facts
            .uses
            .iter()
            .filter(|((_, access), _)| **access == *access::WRITE)
            .filter_map(|(_, sums)| model.column(sums, column))
            .reduce(|a, b| a.plus(&b))
    };
    Place {
        service,
        copy,
        bytes: facts.size.total(column::SIZE_BYTES).map(as_f64),
        reads: uses(access::READ)
            .into_iter()
            .filter(|(o, _)| !applying.contains(o))
            .collect(),
        write_ns: write(column::CPU_STORE_NS)
            .zip(write(column::STATEMENTS))
            .and_then(|(cpu, n)| cpu.over(&n)),
        writes: uses(access::WRITE),
    }
}
