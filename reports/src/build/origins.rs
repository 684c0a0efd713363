//! Cost of a request over all services, by where it entered.

use std::collections::BTreeMap;

use weighbridge_wire::{ALL_CLASSES, Class, Histogram, column, side};

use super::figures::{WALL, class_figures, figure, quantiles, share};
use super::latency;
use super::paths::{self, Arrival, Place};
use crate::Options;
use crate::document::{
    Absence, Figure, FigureUnit, MessageOverhead, OriginLatency, OriginOperation, OriginReport,
    OriginService,
};
use crate::model::{
    EdgeSideFacts, Endpoint, Estimate, MESSAGE_COLUMNS, Model, Name, SideRef, Sums, as_f64,
};

/// CPU by class, ns over the range; absent classes are unknown.
#[derive(Default)]
pub(crate) struct ByClass([Option<Estimate>; 6]);

impl ByClass {
    fn add(&mut self, class: Class, cpu: &Estimate) {
        let slot = &mut self.0[class as usize];
        *slot = Some(slot.take().map_or_else(|| cpu.clone(), |sum| sum.plus(cpu)));
    }

    fn add_all(&mut self, other: &Self) {
        for class in ALL_CLASSES {
            if let Some(cpu) = &other.0[class as usize] {
                self.add(class, cpu);
            }
        }
    }

    pub(crate) fn total(&self) -> Option<Estimate> {
        self.0.iter().flatten().cloned().reduce(|a, b| a.plus(&b))
    }

    pub(crate) fn over(&self, divisor: Option<&Estimate>) -> Vec<Option<Estimate>> {
        self.0
            .iter()
            .map(|cpu| cpu.as_ref()?.over(divisor?))
            .collect()
    }
}

/// What one origin costs over the range.
#[derive(Default)]
pub(crate) struct Origin {
    service: Option<usize>,
    pub(crate) operations: BTreeMap<Place, Share>,
    /// Messages that operations of the origin sent each other.
    pub(crate) arrivals: BTreeMap<Arrival, f64>,
    /// Pools, drivers and brokers, by the service whose processes did it.
    pub(crate) carriers: BTreeMap<usize, ByClass>,
    caller: Option<Estimate>,
    callee: Option<Estimate>,
    pool: Option<Estimate>,
    broker: Option<Estimate>,
    /// The answering side of edges from outside.
    outside: Option<Estimate>,
}

/// What one operation does for the origin.
#[derive(Default)]
pub(crate) struct Share {
    pub(crate) cpu: ByClass,
    pub(crate) ended: Option<Estimate>,
    pub(crate) alloc: Option<Estimate>,
}

fn add(slot: &mut Option<Estimate>, more: &Estimate) {
    *slot = Some(
        slot.take()
            .map_or_else(|| more.clone(), |sum| sum.plus(more)),
    );
}

type Origins = BTreeMap<(String, Name), Origin>;

/// All origins of a rollup.
fn collect(model: &Model) -> Origins {
    let mut origins = Origins::new();
    operations(model, &mut origins);
    edges(model, &mut origins);
    origins
}

/// The origins, and how long their requests take at other loads.
pub(crate) fn origins(model: &Model, options: &Options) -> (Vec<OriginReport>, Vec<OriginLatency>) {
    let origins = collect(model);
    let waits = latency::Waits::of(model);

    let all = origins.values().filter_map(total).reduce(|a, b| a.plus(&b));
    let mut reports: Vec<(f64, OriginReport, OriginLatency)> = origins
        .iter()
        .map(|((label, operation), origin)| {
            let cost = total(origin).map_or(0.0, |cost| cost.point);
            let root = (origin.service.unwrap_or(usize::MAX), operation.clone());
            let ways = paths::ways(origin, &root);
            let mut report = report(model, label, operation, origin, all.as_ref());
            let (ended, _) = roots(model, origin.service, operation);
            report.paths = paths::paths(model, origin, &ways, ended.as_ref());
            report.money = options.prices.as_ref().map(|prices| {
                figure(
                    total(origin)
                        .and_then(|cpu| model.cores(&cpu))
                        .map(|cores| cores.scaled(prices.core_hour))
                        .as_ref(),
                    FigureUnit::MoneyPerHour,
                    "no CPU is known",
                )
            });
            let latency = waits.latency(origin, &report, &ways, ended.as_ref());
            (cost, report, latency)
        })
        .collect();
    reports.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    reports
        .into_iter()
        .map(|(_, report, latency)| (report, latency))
        .unzip()
}

fn origin<'a>(
    model: &Model,
    origins: &'a mut Origins,
    seen_at: usize,
    endpoint: &Endpoint,
) -> &'a mut Origin {
    let service = model.rollup.resolve(seen_at, &endpoint.service);
    let label = match service {
        Some(service) => model.services()[service].label.clone(),
        None if endpoint.service.is_empty() => "unknown".to_owned(),
        None => endpoint.service.to_string(),
    };
    let origin = origins
        .entry((label, endpoint.operation.clone()))
        .or_default();
    origin.service = service;
    origin
}

fn operations(model: &Model, origins: &mut Origins) {
    for (index, service) in model.services().iter().enumerate() {
        for (id, facts) in &service.operations {
            for (endpoint, sums) in &facts.by_origin {
                let entry = origin(model, origins, index, endpoint)
                    .operations
                    .entry((index, id.clone()))
                    .or_default();
                for class in ALL_CLASSES {
                    if let Some(cpu) = model.column(sums, class.column()) {
                        entry.cpu.add(class, &cpu);
                    }
                }
                if let Some(ended) = model.column(sums, column::ENDED) {
                    add(&mut entry.ended, &ended);
                }
                if let Some(bytes) = model.column(sums, column::ALLOC_BYTES) {
                    add(&mut entry.alloc, &bytes);
                }
            }
        }
    }
}

fn edges(model: &Model, origins: &mut Origins) {
    for (index, service) in model.services().iter().enumerate() {
        for (id, facts) in &service.edges {
            let side_ref = SideRef {
                service: index,
                id: id.clone(),
            };
            let is_caller = &*id.side == side::CALLER;
            // A request from outside has its answering side only, and no change of boundaries removes it.
            let between = is_caller || !id.peer_service.is_empty();
            for (endpoint, sums) in &facts.by_origin {
                let origin = origin(model, origins, index, endpoint);
                one_side(model, origin, &side_ref, facts, sums, is_caller, between);
                let Some(caller) = model.rollup.resolve(index, &id.peer_service) else {
                    continue;
                };
                if !is_caller
                    && between
                    && let Some(messages) = sums.total(column::REQUEST_MESSAGES)
                {
                    let arrival = Arrival {
                        to: (index, id.operation.clone()),
                        from: (caller, id.peer_operation.clone()),
                        detached: &*facts.variant().mode == "async",
                    };
                    *origin.arrivals.entry(arrival).or_default() += as_f64(messages);
                }
            }
        }
    }
    for edge in &model.edges {
        let joined = &edge.joined;
        let Some((broker, hop)) = joined.broker.zip(edge.cost.broker.as_ref()) else {
            continue;
        };
        let Some(side_ref) = joined.callee.as_ref().or(joined.caller.as_ref()) else {
            continue;
        };
        let Some(facts) = model.side(side_ref) else {
            continue;
        };
        for (endpoint, sums) in &facts.by_origin {
            let Some(messages) = model.column(sums, column::REQUEST_MESSAGES) else {
                continue;
            };
            let cpu = hop.times(&messages);
            let origin = origin(model, origins, side_ref.service, endpoint);
            add(&mut origin.broker, &cpu);
            origin
                .carriers
                .entry(broker)
                .or_default()
                .add(Class::Protocol, &cpu);
        }
    }
}

fn one_side(
    model: &Model,
    origin: &mut Origin,
    side_ref: &SideRef,
    facts: &EdgeSideFacts,
    sums: &Sums,
    is_caller: bool,
    between: bool,
) {
    let local = &*facts.variant().transport == "local";
    if !local && let Some(cpu) = model.columns(sums, &MESSAGE_COLUMNS) {
        add(
            match (between, is_caller) {
                (false, _) => &mut origin.outside,
                (true, true) => &mut origin.caller,
                (true, false) => &mut origin.callee,
            },
            &cpu,
        );
    }
    let carriers = origin.carriers.entry(side_ref.service).or_default();
    if let Some(share) = model.carriers.share_in_owner(side_ref) {
        for class in [Class::Protocol, Class::Io] {
            if let Some(cpu) = model.column(sums, class.column()) {
                carriers.add(class, &cpu.times(share));
            }
        }
    }
    if let Some(per_call) = model.carriers.pool_per_call(side_ref)
        && let Some(calls) = model.column(sums, column::REQUEST_MESSAGES)
    {
        let cpu = per_call.times(&calls);
        carriers.add(Class::Protocol, &cpu);
        add(
            if between {
                &mut origin.pool
            } else {
                &mut origin.outside
            },
            &cpu,
        );
    }
}

fn by_class(origin: &Origin) -> ByClass {
    let mut sum = ByClass::default();
    origin
        .operations
        .values()
        .for_each(|own| sum.add_all(&own.cpu));
    origin.carriers.values().for_each(|cpu| sum.add_all(cpu));
    sum
}

fn total(origin: &Origin) -> Option<Estimate> {
    by_class(origin).total()
}

fn report(
    model: &Model,
    label: &str,
    operation: &Name,
    origin: &Origin,
    all: Option<&Estimate>,
) -> OriginReport {
    let (ended, wall) = roots(model, origin.service, operation);
    let ended = ended.as_ref();
    let cost = by_class(origin);
    let total = cost.total();
    let no_end = "no request ended at the origin, or it has no agent";
    OriginReport {
        id: format!("origin:{label}/{operation}"),
        service: label.to_owned(),
        operation: operation.to_string(),
        rate: figure(
            ended.and_then(|ended| model.rate(ended)).as_ref(),
            FigureUnit::PerSecond,
            no_end,
        ),
        ended: figure(ended, FigureUnit::Count, no_end),
        unit_cost: class_figures(&cost.over(ended), FigureUnit::NsPerRequest),
        cores: figure(
            total.as_ref().and_then(|cost| model.cores(cost)).as_ref(),
            FigureUnit::Cores,
            "no CPU is known",
        ),
        share: share(total.as_ref(), all),
        message_overhead: overhead(origin, ended, total.as_ref()),
        money: None,
        wall: quantiles(Some(&wall).filter(|h| !h.is_empty())),
        services: by_service(model, origin, ended, total.as_ref()),
        operations: by_operation(model, origin, ended, total.as_ref()),
        paths: Vec::new(),
    }
}

/// Chains that ended at the origin, and their wall times.
fn roots(model: &Model, service: Option<usize>, operation: &Name) -> (Option<Estimate>, Histogram) {
    let mut ended: Option<Estimate> = None;
    let mut wall = Histogram::new();
    let Some(service) = service else {
        return (None, wall);
    };
    for (_, facts) in model.services()[service]
        .operations
        .iter()
        .filter(|(id, _)| id.operation == *operation)
    {
        if let Some(more) = model.column(&facts.root, column::ENDED) {
            add(&mut ended, &more);
        }
        if let Some(histogram) = facts.distribution_root.histogram(WALL) {
            wall.merge(histogram);
        }
    }
    (ended.filter(|ended| ended.point > 0.0), wall)
}

fn overhead(
    origin: &Origin,
    ended: Option<&Estimate>,
    total: Option<&Estimate>,
) -> MessageOverhead {
    let parts = [
        &origin.caller,
        &origin.callee,
        &origin.pool,
        &origin.broker,
        &origin.outside,
    ];
    let sum = parts
        .into_iter()
        .flatten()
        .cloned()
        .reduce(|a, b| a.plus(&b));
    let per_request = |cpu: Option<&Estimate>| {
        let unit = cpu.zip(ended).and_then(|(cpu, ended)| cpu.over(ended));
        figure(
            unit.as_ref(),
            FigureUnit::NsPerRequest,
            Absence::NO_MESSAGE.reason,
        )
    };
    MessageOverhead {
        caller: per_request(origin.caller.as_ref()),
        callee: per_request(origin.callee.as_ref()),
        pool: per_request(origin.pool.as_ref()),
        broker: per_request(origin.broker.as_ref()),
        outside: per_request(origin.outside.as_ref()),
        total: per_request(sum.as_ref()),
        share: share(sum.as_ref(), total),
    }
}

fn by_service(
    model: &Model,
    origin: &Origin,
    ended: Option<&Estimate>,
    total: Option<&Estimate>,
) -> Vec<OriginService> {
    let mut services: BTreeMap<usize, Share> = BTreeMap::new();
    for ((service, _), own) in &origin.operations {
        let entry = services.entry(*service).or_default();
        entry.cpu.add_all(&own.cpu);
        if let Some(requests) = &own.ended {
            add(&mut entry.ended, requests);
        }
        if let Some(bytes) = &own.alloc {
            add(&mut entry.alloc, bytes);
        }
    }
    for (service, cpu) in &origin.carriers {
        services.entry(*service).or_default().cpu.add_all(cpu);
    }
    let mut reports: Vec<(f64, OriginService)> = services
        .into_iter()
        .filter_map(|(service, all)| {
            let Share {
                cpu,
                ended: requests,
                alloc,
            } = all;
            let cost = cpu.total();
            if cost.is_none() && requests.is_none() {
                return None;
            }
            let requests = requests
                .as_ref()
                .zip(ended)
                .and_then(|(n, ended)| n.over(ended));
            let report = OriginService {
                service: model.services()[service].label.clone(),
                requests: figure(
                    requests.as_ref(),
                    FigureUnit::PerRequest,
                    "no request was seen",
                ),
                cpu: class_figures(&cpu.over(ended), FigureUnit::NsPerRequest),
                alloc_bytes: allocated(alloc.as_ref(), ended),
                share: share(cost.as_ref(), total),
            };
            Some((cost.map_or(0.0, |cost| cost.point), report))
        })
        .collect();
    reports.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| a.1.service.cmp(&b.1.service))
    });
    reports.into_iter().map(|(_, report)| report).collect()
}

/// Bytes for each request of the origin.
fn allocated(bytes: Option<&Estimate>, ended: Option<&Estimate>) -> Figure {
    figure(
        bytes
            .zip(ended)
            .and_then(|(bytes, ended)| bytes.over(ended))
            .as_ref(),
        FigureUnit::BytesPerRequest,
        "the allocator does not count",
    )
}

fn by_operation(
    model: &Model,
    origin: &Origin,
    ended: Option<&Estimate>,
    total: Option<&Estimate>,
) -> Vec<OriginOperation> {
    let mut reports: Vec<(f64, OriginOperation)> = origin
        .operations
        .iter()
        .map(
            |(
                (service, id),
                Share {
                    cpu,
                    ended: requests,
                    alloc,
                },
            )| {
                let label = &model.services()[*service].label;
                let cost = cpu.total();
                let calls = requests
                    .as_ref()
                    .zip(ended)
                    .and_then(|(n, ended)| n.over(ended));
                let each = cost
                    .as_ref()
                    .zip(requests.as_ref())
                    .and_then(|(cpu, n)| cpu.over(n));
                let report = OriginOperation {
                    row: id.row(label),
                    service: label.clone(),
                    operation: id.shown(),
                    calls: figure(calls.as_ref(), FigureUnit::PerRequest, "no request ended"),
                    cpu_per_call: figure(
                        each.as_ref(),
                        FigureUnit::NsPerRequest,
                        "no request ended",
                    ),
                    cpu: class_figures(&cpu.over(ended), FigureUnit::NsPerRequest),
                    alloc_bytes: allocated(alloc.as_ref(), ended),
                    share: share(cost.as_ref(), total),
                };
                (cost.map_or(0.0, |cost| cost.point), report)
            },
        )
        .collect();
    reports.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.row.cmp(&b.1.row)));
    reports.into_iter().map(|(_, report)| report).collect()
}
