//! Sum checks in exact integers.

use std::collections::BTreeMap;

use weighbridge_wire::{ALL_CLASSES, OwnerKind, column, mode};

use super::figures::share;
use super::services::{instance_row, owner_row};
use crate::Options;
use crate::document::{
    AccountRow, ConservationReport, EdgeConservation, LossRow, ProcessConservation,
    ServiceConservation,
};
use crate::model::{
    CPU_COLUMNS, Estimate, Model, RUNTIME_OR_UNWRAPPED, ServiceFacts, SideRef, Sums,
};

pub(crate) fn conservation(model: &Model, options: &Options) -> ConservationReport {
    let services: Vec<ServiceConservation> = model
        .services()
        .iter()
        .map(|s| service(model, s, options))
        .collect();
    let edges = edges(model);
    ConservationReport {
        cpu_exact: services.iter().all(|s| s.difference_ns == Some(0)),
        edges_exact: edges.iter().all(|e| e.difference.is_none_or(|d| d == 0)),
        services,
        edges,
        losses: losses(model),
    }
}

fn service(model: &Model, service: &ServiceFacts, options: &Options) -> ServiceConservation {
    let process = model.column(&service.process, column::CPU_PROCESS_NS);
    let mut accounts: Vec<AccountRow> = service
        .operations
        .iter()
        .filter_map(|(id, facts)| {
            let row = id.row(&service.label);
            account(
                model,
                row,
                "operation",
                &id.shown(),
                &facts.all,
                process.as_ref(),
            )
        })
        .collect();
    accounts.sort_by(|a, b| b.cpu_ns.cmp(&a.cpu_ns).then_with(|| a.row.cmp(&b.row)));
    let mut owners: Vec<AccountRow> = service
        .owners
        .iter()
        .filter_map(|((kind, name), sums)| {
            account(
                model,
                owner_row(service, kind, name),
                kind,
                name,
                sums,
                process.as_ref(),
            )
        })
        .collect();
    owners.sort_by(|a, b| b.cpu_ns.cmp(&a.cpu_ns).then_with(|| a.row.cmp(&b.row)));
    accounts.append(&mut owners);

    let accounts_cpu_ns = accounts
        .iter()
        .map(|row| row.cpu_ns)
        .fold(0, i64::saturating_add);
    let process_cpu_ns = service.process.total(column::CPU_PROCESS_NS);
    let in_progress_ns = service.process.total(column::CPU_IN_PROGRESS_NS);
    let sum_ns =
        process_cpu_ns.map(|_| accounts_cpu_ns.saturating_add(in_progress_ns.unwrap_or(0)));
    ServiceConservation {
        id: format!("conservation:{}", service.label),
        service: service.label.clone(),
        process_cpu_ns,
        accounts,
        accounts_cpu_ns,
        in_progress_ns,
        sum_ns,
        difference_ns: process_cpu_ns
            .zip(sum_ns)
            .map(|(process, sum)| process - sum),
        unexplained_share: share(unexplained(model, service).as_ref(), process.as_ref()),
        unexplained_limit: options.unexplained_limit,
        processes: processes(service),
    }
}

/// Absolute CPU of `unattributed` and `runtime or unwrapped`; zero when a process row came without them.
pub(crate) fn unexplained(model: &Model, service: &ServiceFacts) -> Option<Estimate> {
    let wanted = |(kind, name): (&str, &str)| {
        kind == OwnerKind::Unattributed.as_str()
            || (kind == OwnerKind::Runtime.as_str() && name == RUNTIME_OR_UNWRAPPED)
    };
    let sum = service
        .owners
        .iter()
        .filter(|((kind, name), _)| wanted((kind, name)))
        .filter_map(|(_, sums)| model.columns(sums, &CPU_COLUMNS))
        // Signed: an owner that was booked too much does not cancel one that is missing.
        .map(|cpu| cpu.map(f64::abs))
        .reduce(|a, b| a.plus(&b));
    let has_process = service.process.get(column::CPU_PROCESS_NS).is_some();
    sum.or_else(|| has_process.then(Estimate::zero))
}

fn account(
    model: &Model,
    row: String,
    kind: &str,
    name: &str,
    sums: &Sums,
    process: Option<&Estimate>,
) -> Option<AccountRow> {
    let [
        handler_ns,
        encode_ns,
        decode_ns,
        protocol_ns,
        io_ns,
        store_ns,
    ] = ALL_CLASSES.map(|class| sums.total(class.column()));
    let cpu = sums.sum_of(&CPU_COLUMNS)?;
    Some(AccountRow {
        row,
        kind: kind.to_owned(),
        name: name.to_owned(),
        cpu_ns: cpu.total,
        handler_ns,
        encode_ns,
        decode_ns,
        protocol_ns,
        io_ns,
        store_ns,
        share: share(model.sum(Some(&cpu)).as_ref(), process),
    })
}

fn processes(service: &ServiceFacts) -> Vec<ProcessConservation> {
    service
        .processes
        .iter()
        .map(|(key, sums)| {
            let process = sums.total(column::CPU_PROCESS_NS);
            let accounts = sums.total(column::CPU_ACCOUNTS_NS);
            let in_progress = sums.total(column::CPU_IN_PROGRESS_NS);
            let unattributed = sums.total(column::CPU_UNATTRIBUTED_NS);
            let parts = [accounts, in_progress, unattributed];
            let sum = parts
                .into_iter()
                .try_fold(0i64, |sum, part| sum.checked_add(part?));
            ProcessConservation {
                row: instance_row(service, &key.instance, &key.epoch),
                instance: key.instance.to_string(),
                epoch: key.epoch.to_string(),
                process_cpu_ns: process,
                accounts_cpu_ns: accounts,
                in_progress_ns: in_progress,
                unattributed_ns: unattributed,
                difference_ns: process.zip(sum).map(|(process, sum)| process - sum),
            }
        })
        .collect()
}

/// Counts at both ends of each call. One synchronous call is compared with all its answering operations
/// together; a broker's publications with each consuming service, or each of its operations that has them all.
fn edges(model: &Model) -> Vec<EdgeConservation> {
    let mut calls: BTreeMap<&SideRef, Vec<&crate::model::Edge>> = BTreeMap::new();
    for edge in &model.edges {
        if let (Some(caller), Some(_)) = (&edge.joined.caller, &edge.joined.callee) {
            calls.entry(caller).or_default().push(edge);
        }
    }
    let mut rows = Vec::new();
    for (caller, edges) in calls {
        let Some(sent) = model.side(caller) else {
            continue;
        };
        let variant = sent.variant();
        let name = format!(
            "{} {} → {}",
            model.services()[caller.service].label,
            caller.id.operation,
            variant.target
        );
        let mut groups: BTreeMap<String, Vec<&crate::model::Edge>> = BTreeMap::new();
        for edge in edges {
            let group = if edge.is_sync() {
                String::new()
            } else {
                edge.joined.to.label.clone()
            };
            groups.entry(group).or_default().push(edge);
        }
        let groups = groups.into_iter().flat_map(|(consumer, edges)| {
            let groups = super::ends::compared(model, edges);
            let is_one = groups.len() == 1;
            groups.into_iter().map(move |edges| {
                let operation = edges
                    .first()
                    .map(|edge| &edge.joined.to.operation.operation);
                let consumer = match operation {
                    Some(operation) if !is_one => format!("{consumer} {operation}"),
                    _ => consumer.clone(),
                };
                (consumer, edges)
            })
        });
        for (consumer, edges) in groups {
            let received = |column| -> Option<i64> {
                edges
                    .iter()
                    .filter_map(|edge| model.side(edge.joined.callee.as_ref()?))
                    .map(|facts| facts.all.total(column))
                    .try_fold(0i64, |sum, n| Some(sum.saturating_add(n?)))
            };
            let is_async = &*variant.mode == mode::ASYNC;
            let (redelivered, redelivered_bytes) = if is_async {
                let sides: Vec<_> = edges
                    .iter()
                    .filter_map(|edge| model.side(edge.joined.callee.as_ref()?))
                    .collect();
                let messages = received(column::REDELIVERED).unwrap_or(0);
                (Some(messages), super::ends::redelivered_bytes(&sides))
            } else {
                (Some(0), Some(0))
            };
            let mut counts = vec![
                ("request messages", column::REQUEST_MESSAGES, redelivered),
                (
                    "request body bytes",
                    column::REQUEST_BODY_BYTES,
                    redelivered_bytes,
                ),
            ];
            if !is_async {
                counts.push(("response messages", column::RESPONSE_MESSAGES, Some(0)));
                counts.push(("response body bytes", column::RESPONSE_BODY_BYTES, Some(0)));
            }
            for (what, column, less) in counts {
                let sent = sent.all.total(column);
                // Where what came again is not told, no check is better than a wrong one.
                let received = received(column).zip(less).map(|(n, less)| n - less);
                let what = if consumer.is_empty() {
                    what.to_owned()
                } else {
                    format!("{what}, consumed by {consumer}")
                };
                rows.push(EdgeConservation {
                    rows: edges.iter().map(|edge| edge.id.clone()).collect(),
                    name: name.clone(),
                    transport: variant.transport.to_string(),
                    what,
                    sent,
                    received,
                    difference: sent.zip(received).map(|(sent, received)| sent - received),
                });
            }
        }
    }
    rows
}

fn losses(model: &Model) -> Vec<LossRow> {
    model
        .losing()
        .flat_map(|service| {
            service
                .losses
                .iter()
                .map(|((place, reason), sums)| LossRow {
                    service: service.label.clone(),
                    place: place.to_string(),
                    reason: reason.to_string(),
                    lost: sums.total(column::LOST),
                    lost_cpu_ns: sums.total(column::LOST_CPU_NS),
                })
        })
        .filter(|row| row.lost != Some(0) || row.lost_cpu_ns.is_some_and(|ns| ns != 0))
        .collect()
}
