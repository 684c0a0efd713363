//! What stands in the way of running a service several times or dividing it by a key, by name and with its figure.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{MAIN_OWNER, OwnerKind, access, column};

use super::{copy_links, place_row};
use crate::decide::say;
use crate::document::{
    CopyFinding, EntityReport, Figure, FigureUnit, Obstacle, ObstacleKind, QualityWord,
};
use crate::model::{Edge, EntityFacts, Estimate, Model, Name, ServiceFacts};

/// Share of the touches that fall on the busiest key, above which it is named.
const SKEW_MIN: f64 = 0.1;
/// Share of the requests that touch several keys, above which it is named.
const MULTI_KEY_MIN: f64 = 0.01;
/// Bytes that an operation keeps alive in a process, above which they are state.
const STATE_BYTES_MIN: f64 = 1024.0 * 1024.0;

/// Edges and entities by what obstacles ask for, made once.
pub(crate) struct Neighbours<'a> {
    /// Synchronous edges out of each service.
    out: BTreeMap<usize, Vec<&'a Edge>>,
    /// Who writes an entity: by database and entity, the services with their statements.
    writers: BTreeMap<(Name, Name), BTreeMap<usize, Estimate>>,
    /// Owner of a copied entity.
    owners: BTreeMap<&'a str, &'a str>,
    /// Operations that apply changes of others: service, entity.
    applying: BTreeSet<(usize, String, String)>,
}

impl<'a> Neighbours<'a> {
    pub(crate) fn new(model: &'a Model, entities: &'a [EntityReport]) -> Self {
        let mut out: BTreeMap<usize, Vec<&'a Edge>> = BTreeMap::new();
        for edge in model.edges.iter().filter(|edge| edge.is_sync()) {
            if let Some((from, _)) = edge.between_services() {
                out.entry(from).or_default().push(edge);
            }
        }
        let mut writers: BTreeMap<(Name, Name), BTreeMap<usize, Estimate>> = BTreeMap::new();
        for (index, service) in model.services().iter().enumerate() {
            for (place, facts) in &service.entities {
                if let Some(n) = statements(model, facts, access::WRITE).filter(|n| n.point > 0.0) {
                    writers.entry(place.clone()).or_default().insert(index, n);
                }
            }
        }
        let copied = entities
            .iter()
            .filter(|entity| entity.finding == CopyFinding::Copies);
        let applying = copied
            .clone()
            .flat_map(|entity| {
                copy_links(model, &entity.entity)
                    .into_iter()
                    .map(|link| {
                        (
                            link.to,
                            entity.entity.clone(),
                            link.edge.joined.to.operation.operation.to_string(),
                        )
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        Self {
            out,
            writers,
            owners: copied
                .filter_map(|entity| Some((entity.entity.as_str(), entity.owner.as_deref()?)))
                .collect(),
            applying,
        }
    }
}

/// All obstacles of a service; by kind, then name.
pub(crate) fn obstacles(model: &Model, neighbours: &Neighbours<'_>, index: usize) -> Vec<Obstacle> {
    let service = &model.services()[index];
    let mut found = Vec::new();
    for (place, facts) in &service.entities {
        found.extend(written_by_others(model, neighbours, index, place, facts));
        found.extend(owned_by_others(model, neighbours, index, place, facts));
        found.extend(keys(model, service, place, facts));
    }
    found.extend(foreign_calls(model, neighbours, index));
    found.extend(serial_section(model, service));
    found.extend(jobs(model, service));
    found.extend(state(model, service));
    found.sort_by(|a, b| a.kind.cmp(&b.kind).then_with(|| a.name.cmp(&b.name)));
    found
}

fn statements(model: &Model, facts: &EntityFacts, how: &str) -> Option<Estimate> {
    facts
        .uses
        .iter()
        .filter(|((_, access), _)| &**access == how)
        .filter_map(|(_, sums)| model.column(sums, column::STATEMENTS))
        .reduce(|a, b| a.plus(&b))
}

/// The same table of the same database, written by several services.
fn written_by_others(
    model: &Model,
    neighbours: &Neighbours<'_>,
    index: usize,
    place: &(Name, Name),
    facts: &EntityFacts,
) -> Option<Obstacle> {
    let label = &model.services()[index].label;
    // A database is named by the service that uses it: shared where the names and the sizes say so, else by chance.
    let all = neighbours.writers.get(place)?;
    let others: Vec<usize> = all
        .keys()
        .copied()
        .filter(|other| *other != index)
        .filter(|other| shared(model, index, *other, place))
        .collect();
    if others.is_empty() || facts.uses.is_empty() {
        return None;
    }
    let sum = |wanted: &dyn Fn(usize) -> bool| {
        all.iter()
            .filter(|(at, _)| wanted(**at))
            .map(|(_, n)| n.clone())
            .reduce(|a, b| a.plus(&b))
    };
    let theirs = sum(&|at| others.contains(&at))?;
    let share = theirs.over(&sum(&|at| at == index || others.contains(&at))?)?;
    let names: Vec<String> = others
        .iter()
        .map(|at| model.services()[*at].label.clone())
        .collect();
    Some(Obstacle {
        kind: ObstacleKind::WrittenByOthers,
        name: place.1.to_string(),
        sentence: format!(
            "{} in {} is written by {} too: {} of the writes.",
            place.1,
            place.0,
            say::list(&names),
            say::share(share.point)
        ),
        figure: share.figure(FigureUnit::Ratio),
        rows: std::iter::once(label)
            .chain(&names)
            .map(|name| place_row(name, &place.0, &place.1))
            .collect(),
    })
}

/// One table seen from two services: the same rows and bytes. Names alone show nothing.
fn shared(model: &Model, a: usize, b: usize, place: &(Name, Name)) -> bool {
    let gauge = |at: usize| {
        let size = &model.services()[at].entities.get(place)?.size;
        Some((
            size.total(column::ROW_COUNT)?,
            size.total(column::SIZE_BYTES),
        ))
    };
    gauge(a).is_some_and(|mine| gauge(b) == Some(mine) && mine.0 > 0)
}

/// Reads of a copy whose owner is another service.
fn owned_by_others(
    model: &Model,
    neighbours: &Neighbours<'_>,
    index: usize,
    place: &(Name, Name),
    facts: &EntityFacts,
) -> Option<Obstacle> {
    let label = &model.services()[index].label;
    let owner = *neighbours.owners.get(&*place.1)?;
    if owner == label {
        return None;
    }
    let applies = neighbours
        .applying
        .iter()
        .any(|(at, entity, _)| *at == index && **entity == *place.1);
    let changes = statements(model, facts, access::WRITE).and_then(|n| model.rate(&n))?;
    applies.then(|| Obstacle {
        kind: ObstacleKind::WrittenByOthers,
        name: place.1.to_string(),
        sentence: format!(
            "{} is owned by {owner} and written here by its changes, {}: each process with a database of its own would have to apply all of them.",
            place.1,
            say::rate(changes.point)
        ),
        figure: changes.figure(FigureUnit::PerSecond),
        rows: vec![place_row(label, &place.0, &place.1)],
    })
}

fn keys<'a>(
    model: &'a Model,
    service: &'a ServiceFacts,
    place: &'a (Name, Name),
    facts: &'a EntityFacts,
) -> impl Iterator<Item = Obstacle> + 'a {
    let sum = |columns: &[u32]| {
        facts
            .uses
            .values()
            .filter_map(|sums| model.columns(sums, columns))
            .reduce(|a, b| a.plus(&b))
    };
    let many = sum(&[column::KEYS_TWO, column::KEYS_MORE]);
    let all = sum(&[column::KEYS_ONE, column::KEYS_TWO, column::KEYS_MORE]);
    let multi = many
        .zip(all)
        .and_then(|(many, all)| many.over(&all))
        .filter(|share| share.point >= MULTI_KEY_MIN)
        .map(|share| Obstacle {
            kind: ObstacleKind::MultiKey,
            name: place.1.to_string(),
            sentence: format!(
                "{} of the requests that use {} touch more than one key: divided by it, several shards would have to answer.",
                say::share(share.point),
                place.1
            ),
            figure: share.figure(FigureUnit::Ratio),
            rows: vec![place_row(&service.label, &place.0, &place.1)],
        });
    let skew = sum(&[column::KEY_TOP_TOUCHES])
        .zip(sum(&[column::KEY_TOUCHES]))
        .and_then(|(top, all)| top.over(&all))
        .filter(|share| share.point >= SKEW_MIN)
        .map(|share| Obstacle {
            kind: ObstacleKind::Skew,
            name: place.1.to_string(),
            sentence: format!(
                "At least {} of the touches of {} fall on its busiest key in each window: divided by it, one shard takes that much, and sharding carries at most {} times the load.",
                say::share(share.point),
                place.1,
                say::number(1.0 / share.point)
            ),
            figure: share.figure(FigureUnit::Ratio),
            rows: vec![place_row(&service.label, &place.0, &place.1)],
        });
    multi.into_iter().chain(skew)
}

/// Synchronous calls to services that read data for the answer.
fn foreign_calls(model: &Model, neighbours: &Neighbours<'_>, index: usize) -> Vec<Obstacle> {
    let mut by_callee: BTreeMap<usize, (Estimate, BTreeSet<String>, Vec<String>)> = BTreeMap::new();
    for edge in neighbours.out.get(&index).into_iter().flatten() {
        let Some((_, to)) = edge.between_services() else {
            continue;
        };
        let Some(rate) = &edge.cost.rate else {
            continue;
        };
        let operation = &edge.joined.to.operation;
        let read: BTreeSet<String> = model.services()[to]
            .entities
            .iter()
            .filter(|(_, facts)| {
                facts
                    .uses
                    .keys()
                    .any(|(id, how)| id == operation && &**how == access::READ)
            })
            .map(|((_, entity), _)| entity.to_string())
            .collect();
        if read.is_empty() || rate.point <= 0.0 {
            continue;
        }
        let entry = by_callee
            .entry(to)
            .or_insert_with(|| (Estimate::zero(), BTreeSet::new(), Vec::new()));
        entry.0 = entry.0.plus(rate);
        entry.1.extend(read);
        entry.2.push(edge.id.clone());
    }
    by_callee
        .into_iter()
        .map(|(to, (rate, entities, rows))| {
            let other = &model.services()[to].label;
            let entities: Vec<String> = entities.into_iter().collect();
            Obstacle {
                kind: ObstacleKind::ForeignReads,
                name: other.clone(),
                sentence: format!(
                    "It asks {other} for {}, {}: more processes ask it more, and wait for it all the same.",
                    say::list(&entities),
                    say::rate(rate.point)
                ),
                figure: rate.figure(FigureUnit::PerSecond),
                rows,
            }
        })
        .collect()
}

fn serial_section(model: &Model, service: &ServiceFacts) -> Option<Obstacle> {
    let serial = model.serial(service).ok()?;
    let most = serial.most.point;
    let name = serial.operation.shown();
    Some(Obstacle {
        kind: ObstacleKind::SerialSection,
        sentence: format!(
            "Requests of {name} queue while cores are idle: {} of their work runs one at a time, {} at most. Where it lies is not seen: a lock or pool inside the process grows with processes, a lock or sequence in a database does not. Capacity takes it to be shared.",
            say::share(serial.fit.law.alpha.min(1.0)),
            say::rate(most)
        ),
        figure: Figure::exact(
            serial.fit.law.alpha,
            FigureUnit::Ratio,
            QualityWord::Estimated,
        ),
        rows: vec![serial.operation.row(&service.label)],
        name,
    })
}

/// Background work below this share of its service's CPU is no obstacle.
const BACKGROUND_LEAST: f64 = 0.01;

/// Jobs run in every process unless something keeps them from it.
fn jobs(model: &Model, service: &ServiceFacts) -> Vec<Obstacle> {
    let process_cpu = model.column(&service.process, column::CPU_PROCESS_NS);
    let jobs = service
        .operations
        .iter()
        .filter(|(id, facts)| {
            id.operation.starts_with("JOB ") && facts.all.total(column::ENDED).unwrap_or(0) > 0
        })
        .filter_map(|(id, facts)| {
            let rate = model.ended_rate(facts)?;
            Some(Obstacle {
                kind: ObstacleKind::CronSingleton,
                name: id.shown(),
                sentence: format!(
                    "{} runs {}: every further process would run it again, unless one of them is chosen.",
                    id.shown(),
                    say::rate(rate.point)
                ),
                figure: rate.figure(FigureUnit::PerSecond),
                rows: vec![id.row(&service.label)],
            })
        });
    let background = service
        .owners
        .iter()
        .filter(|((kind, _), _)| **kind == *OwnerKind::Background.as_str())
        // Every process starts and ends itself.
        .filter(|((_, name), _)| **name != *MAIN_OWNER)
        .filter_map(|((kind, name), sums)| {
            let cpu = model.columns(sums, &crate::model::CPU_COLUMNS)?;
            // Less keeps nobody from a second process.
            let least = process_cpu.as_ref().map_or(0.0, |all| BACKGROUND_LEAST * all.point);
            let cores = model.cores(&cpu)?;
            (cpu.point > least).then(|| Obstacle {
                kind: ObstacleKind::CronSingleton,
                name: name.to_string(),
                sentence: format!(
                    "{name} runs in the background and takes {}: every further process would do it again.",
                    say::cores(cores.point)
                ),
                figure: cores.figure(FigureUnit::Cores),
                rows: vec![super::services::owner_row(service, kind, name)],
            })
        });
    jobs.chain(background).collect()
}

fn state(model: &Model, service: &ServiceFacts) -> Vec<Obstacle> {
    service
        .operations
        .iter()
        .filter_map(|(id, facts)| {
            let bytes = model.retained(&id.row(&service.label), facts)?;
            (bytes.point >= STATE_BYTES_MIN).then(|| Obstacle {
                kind: ObstacleKind::StateInMemory,
                name: id.shown(),
                sentence: format!(
                    "{} keeps {} alive beyond its requests in a process: sessions or caches that another process does not have.",
                    id.shown(),
                    say::bytes(bytes.point)
                ),
                figure: bytes.figure(FigureUnit::Bytes),
                rows: vec![id.row(&service.label)],
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
