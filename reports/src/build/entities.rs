//! Entities, and which of them are copies.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{access, column, mode};

use super::figures::{count, figure};
use crate::document::{
    Absence, CopyCost, CopyEvidence, CopyFinding, EntityPlace, EntityReport, EntityUse, Figure,
    FigureUnit,
};
use crate::model::{Edge, EntityFacts, Estimate, Model, Name, Sums};

/// A message edge that keeps a copy of an entity in step.
#[derive(Clone, Debug)]
pub(crate) struct CopyLink<'a> {
    pub(crate) edge: &'a Edge,
    /// The service that writes the entity and sends the change.
    pub(crate) from: usize,
    /// The service that applies it.
    pub(crate) to: usize,
}

pub(crate) fn entities(model: &Model) -> Vec<EntityReport> {
    let mut names: BTreeMap<Name, Vec<(usize, Name)>> = BTreeMap::new();
    for (index, service) in model.services().iter().enumerate() {
        for (database, entity) in service.entities.keys() {
            names
                .entry(entity.clone())
                .or_default()
                .push((index, database.clone()));
        }
    }
    names
        .iter()
        .map(|(entity, places)| report(model, entity, places))
        .collect()
}

/// The edges that show that an entity is copied: asynchronous, sent by an operation that writes it, and
/// consumed by an operation that writes the same name in another service.
pub(crate) fn copy_links<'a>(model: &'a Model, entity: &str) -> Vec<CopyLink<'a>> {
    model
        .edges
        .iter()
        .filter(|edge| &*edge.joined.variant.mode == mode::ASYNC)
        .filter_map(|edge| {
            let (from, to) = edge.between_services()?;
            let writes = |service: usize, operation: &str| {
                model.services()[service]
                    .entities
                    .iter()
                    .any(|((_, name), facts)| {
                        &**name == entity
                            && facts.uses.keys().any(|(id, how)| {
                                &*id.operation == operation && &**how == access::WRITE
                            })
                    })
            };
            let sends = writes(from, &edge.joined.from.operation.operation);
            let applies = writes(to, &edge.joined.to.operation.operation);
            (sends && applies).then_some(CopyLink { edge, from, to })
        })
        .collect()
}

fn report(model: &Model, entity: &Name, places: &[(usize, Name)]) -> EntityReport {
    let links = copy_links(model, entity);
    let followers: BTreeSet<usize> = links.iter().map(|link| link.to).collect();
    // The owner sends changes and does not only apply those of others.
    let owner = links
        .iter()
        .map(|link| link.from)
        .find(|from| !followers.contains(from));
    let copies: BTreeSet<usize> = match owner {
        Some(_) => followers,
        None => BTreeSet::new(),
    };
    let finding = if places.len() < 2 {
        CopyFinding::Single
    } else if copies.is_empty() {
        CopyFinding::SameNameOnly
    } else {
        CopyFinding::Copies
    };
    let places_reports = places
        .iter()
        .map(|(service, database)| {
            place(model, *service, database, entity, copies.contains(service))
        })
        .collect();
    let cost = (!copies.is_empty()).then(|| cost(model, entity, places, &copies, &links));
    EntityReport {
        id: format!("entity:{entity}"),
        entity: entity.to_string(),
        places: places_reports,
        finding,
        owner: owner
            .filter(|_| !copies.is_empty())
            .map(|owner| model.services()[owner].label.clone()),
        evidence: links
            .iter()
            .map(|link| evidence(model, entity, link))
            .collect(),
        cost,
    }
}

/// The row id of a place.
pub(crate) fn place_row(label: &str, database: &str, entity: &str) -> String {
    format!("place:{label}/{database}/{entity}")
}

fn place(model: &Model, index: usize, database: &Name, entity: &Name, copy: bool) -> EntityPlace {
    let service = &model.services()[index];
    let empty = EntityFacts::default();
    let facts = service
        .entities
        .get(&(database.clone(), entity.clone()))
        .unwrap_or(&empty);
    let statements = |how: &str| {
        let sum = facts
            .uses
            .iter()
            .filter(|((_, access), _)| &**access == how)
            .filter_map(|(_, sums)| model.column(sums, column::STATEMENTS))
            .reduce(|a, b| a.plus(&b));
        let rate = sum.and_then(|sum| model.rate(&sum));
        figure(
            rate.as_ref(),
            FigureUnit::PerSecond,
            Absence::NO_STATEMENT.reason,
        )
    };
    EntityPlace {
        id: place_row(&service.label, database, entity),
        service: service.label.clone(),
        database: database.to_string(),
        copy,
        rows: count(&facts.size, column::ROW_COUNT, FigureUnit::Count),
        size: count(&facts.size, column::SIZE_BYTES, FigureUnit::Bytes),
        reads: statements(access::READ),
        writes: statements(access::WRITE),
        uses: facts
            .uses
            .iter()
            .map(|((id, how), sums)| {
                let operation = service.operations.get(id);
                let ended = operation.and_then(|op| model.column(&op.all, column::ENDED));
                let per_request = model
                    .column(sums, column::STATEMENTS)
                    .zip(ended)
                    .and_then(|(n, ended)| n.over(&ended));
                EntityUse {
                    row: operation.map_or_else(String::new, |_| id.row(&service.label)),
                    operation: id.shown(),
                    access: how.to_string(),
                    statements: count(sums, column::STATEMENTS, FigureUnit::Count),
                    statements_per_request: figure(
                        per_request.as_ref(),
                        FigureUnit::PerRequest,
                        "background work, or no request ended",
                    ),
                    rows: count(sums, column::ROWS, FigureUnit::Count),
                    cpu_store: count(sums, column::CPU_STORE_NS, FigureUnit::Ns),
                    multi_key_share: multi_key(model, sums),
                }
            })
            .collect(),
    }
}

fn multi_key(model: &Model, sums: &Sums) -> Figure {
    let many = model.columns(sums, &[column::KEYS_TWO, column::KEYS_MORE]);
    let all = model.columns(
        sums,
        &[column::KEYS_ONE, column::KEYS_TWO, column::KEYS_MORE],
    );
    let share = many.zip(all).and_then(|(many, all)| many.over(&all));
    figure(share.as_ref(), FigureUnit::Ratio, "keys are not known")
}

fn evidence(model: &Model, entity: &str, link: &CopyLink<'_>) -> CopyEvidence {
    let joined = &link.edge.joined;
    let (from, to) = (
        &model.services()[link.from].label,
        &model.services()[link.to].label,
    );
    let (sends, applies) = (joined.from.operation.shown(), joined.to.operation.shown());
    CopyEvidence {
        from_service: from.clone(),
        from_operation: sends.clone(),
        to_service: to.clone(),
        to_operation: applies.clone(),
        edge: link.edge.id.clone(),
        sentence: format!(
            "{sends} of {from} writes {entity} and sends {}; {applies} of {to} receives it and writes {entity}.",
            joined.variant.target
        ),
    }
}

fn cost(
    model: &Model,
    entity: &Name,
    places: &[(usize, Name)],
    copies: &BTreeSet<usize>,
    links: &[CopyLink<'_>],
) -> CopyCost {
    let storage = places
        .iter()
        .filter(|(service, _)| copies.contains(service))
        .filter_map(|(service, database)| {
            let key = (database.clone(), entity.clone());
            let facts = model.services()[*service].entities.get(&key)?;
            model.column(&facts.size, column::SIZE_BYTES)
        })
        .map(|size| without_spread(&size))
        .reduce(|a, b| a.plus(&b));
    let sum = |f: &dyn Fn(&CopyLink<'_>) -> Option<Estimate>| {
        links.iter().filter_map(f).reduce(|a, b| a.plus(&b))
    };
    let messages = sum(&|link| link.edge.cost.rate.clone());
    let bytes = sum(&|link| {
        let facts = model.side(link.edge.joined.callee.as_ref()?)?;
        model.rate(&model.column(&facts.all, column::REQUEST_BODY_BYTES)?)
    });
    let carry = sum(&|link| link.edge.cost.overhead_cores.clone());
    let apply = sum(&|link| link.edge.cost.work_cores.clone());
    let total = carry
        .iter()
        .chain(&apply)
        .cloned()
        .reduce(|a, b| a.plus(&b));
    let per_message = total
        .as_ref()
        .zip(messages.as_ref())
        .and_then(|(cores, rate)| Some(cores.over(rate)?.scaled(1e9)));
    let lag = sum(&|link| {
        let facts = model.side(link.edge.joined.callee.as_ref()?)?;
        model.column(&facts.all, column::WAIT_NS)
    });
    let delivered = sum(&|link| link.edge.cost.calls.clone());
    let staleness = lag.zip(delivered).and_then(|(lag, n)| lag.over(&n));
    let unseen = "no row holds it";
    CopyCost {
        copies: u64::try_from(copies.len()).unwrap_or(u64::MAX),
        storage: figure(
            storage.as_ref(),
            FigureUnit::Bytes,
            "no copy reports its size",
        ),
        messages: figure(messages.as_ref(), FigureUnit::PerSecond, unseen),
        message_bytes: figure(bytes.as_ref(), FigureUnit::BytesPerSecond, unseen),
        message_cpu: figure(carry.as_ref(), FigureUnit::Cores, unseen),
        apply_cpu: figure(apply.as_ref(), FigureUnit::Cores, unseen),
        total_cpu: figure(total.as_ref(), FigureUnit::Cores, unseen),
        per_message: figure(per_message.as_ref(), FigureUnit::NsPerMessage, unseen),
        staleness: figure(staleness.as_ref(), FigureUnit::Ns, unseen),
    }
}

/// A gauge has no spread over windows.
fn without_spread(estimate: &Estimate) -> Estimate {
    Estimate::exact(estimate.point, crate::document::QualityWord::Measured)
}

#[cfg(test)]
mod tests {
    use crate::testing::System;
    use crate::{Document, Options};

    /// 30 changes in a second are applied 2 ms after they were sent, and 10 others 5 ms: 2.75 ms on average. To carry one
    /// takes 5 messages of 10 µs in its rows, to apply one 60 µs.
    #[test]
    fn what_copies_cost_is_what_their_messages_carry() {
        let mut s = System::new(60);
        for (topic, put, consume, n, age) in [
            ("price", "PUT /price", "CONSUME price", 30, 2_000_000),
            ("stock", "PUT /stock", "CONSUME stock", 10, 5_000_000),
        ] {
            s.root("shop", put, n, [100_000, 10_000, 0, 0, 0, 0]);
            let call = s.message(("shop", put), ("desk", consume), n, topic, 80_000, 60_000);
            call.wait_ns = age;
            s.uses("shop", put, "product", "write", n);
            s.uses("desk", consume, "product", "write", n);
        }
        s.size("shop", "product", 100, 4 << 20);
        s.size("desk", "product", 100, 1 << 20);
        let d = Document::build(&s.range(), &Options::default());
        let product = d.entities.iter().find(|e| e.entity == "product").unwrap();
        assert_eq!(product.owner.as_deref(), Some("shop"));
        let cost = product.cost.as_ref().unwrap();
        let near = |figure: &crate::document::Figure, want: f64| {
            let value = figure.value.unwrap();
            assert!((value / want - 1.0).abs() < 0.04, "{value} and not {want}");
        };
        near(&cost.staleness, 2_750_000.0);
        assert!(cost.staleness.low.unwrap() <= cost.staleness.value.unwrap());
        near(&cost.messages, 40.0);
        near(&cost.message_bytes, 40.0 * 200.0);
        near(&cost.message_cpu, 40.0 * 50e-6);
        near(&cost.apply_cpu, 40.0 * 60e-6);
        near(&cost.per_message, 110_000.0);
        assert_eq!(
            (cost.copies, cost.storage.value),
            (1, Some(f64::from(1 << 20)))
        );
    }
}
