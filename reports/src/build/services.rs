//! Services, processes, owners and operations.

use weighbridge_wire::{OwnerKind, column};

use super::figures::{REQUEST_CPU, WALL, classes, count, figure, plain, quantiles, share, waiting};
use super::regions::{regions, retained};
use super::{inputs, obstacles};
use crate::document::{
    AgentCost, BaseCost, CallerShare, EntityReport, Figure, FigureUnit, InstanceReport,
    OperationReport, OwnerReport, QualityWord, ServiceReport,
};
use crate::model::{
    CPU_COLUMNS, Estimate, Model, OperationFacts, OperationId, Separation, ServiceFacts, Sums,
    Tally, as_f64,
};

pub(crate) fn services(model: &Model, entities: &[EntityReport]) -> Vec<ServiceReport> {
    let courses = inputs::Courses::new(model);
    let neighbours = obstacles::Neighbours::new(model, entities);
    let mut services: Vec<(f64, ServiceReport)> = model
        .services()
        .iter()
        .enumerate()
        .map(|(index, service)| {
            let cpu = model.service_cpu(service).map_or(0.0, |cpu| cpu.point);
            let mut report = report(model, index, service);
            report.load = Some(inputs::load(model, &courses, index, service));
            report.memory = Some(inputs::memory(model, service, entities));
            report.serial = Some(inputs::serial(model, service));
            report.obstacles = obstacles::obstacles(model, &neighbours, index);
            (cpu, report)
        })
        .collect();
    services.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    services.into_iter().map(|(_, service)| service).collect()
}

fn report(model: &Model, index: usize, service: &ServiceFacts) -> ServiceReport {
    let cpu = model.service_cpu(service);
    let mut accounts = Sums::default();
    service.accounts().for_each(|sums| accounts.merge(sums));
    let mut operations: Option<Tally> = None;
    for facts in service.operations.values() {
        if let Some(sum) = facts.all.sum_of(&CPU_COLUMNS) {
            operations.get_or_insert_default().merge_sum(&sum);
        }
    }
    let process = |column, unit| count(&service.process, column, unit);
    let no_process = "no process row holds it";
    let cores_limit = model.cores_limit(service);
    ServiceReport {
        id: service_row(service),
        service: service.label.clone(),
        namespace: service.key.namespace.clone(),
        environment: service.key.environment.clone(),
        versions: service.versions.iter().cloned().collect(),
        instances: instances(model, service),
        instance_count: plain(
            model.instances(service),
            FigureUnit::Count,
            QualityWord::Measured,
            no_process,
        ),
        windows: service.windows(),
        cpu_process: figure(
            model
                .column(&service.process, column::CPU_PROCESS_NS)
                .as_ref(),
            FigureUnit::Ns,
            no_process,
        ),
        cpu_cores: figure(
            model.service_cores(service).as_ref(),
            FigureUnit::Cores,
            "no window is covered",
        ),
        cpu_by_class: classes(model, &accounts, FigureUnit::Ns, |e| Some(e.clone())),
        cpu_operations: figure(
            model.sum(operations.as_ref()).as_ref(),
            FigureUnit::Ns,
            "no operation has a CPU figure",
        ),
        owners: owners(model, service, cpu.as_ref()),
        agent: agent(model, service, cpu.as_ref()),
        base: base(model, service),
        rss: figure(
            model.rss_mean(service).as_ref(),
            FigureUnit::Bytes,
            no_process,
        ),
        rss_peak: process(column::RSS_PEAK_BYTES, FigureUnit::Bytes),
        rss_init: process(column::RSS_INIT_BYTES, FigureUnit::Bytes),
        threads: process(column::THREADS, FigureUnit::Count),
        cores_limit: plain(
            cores_limit,
            FigureUnit::Cores,
            QualityWord::Measured,
            no_process,
        ),
        imbalance: imbalance(service),
        message_share: share(model.message_cpu(service).as_ref(), cpu.as_ref()),
        operations: operation_reports(model, index, service, cpu.as_ref()),
        load: None,
        memory: None,
        serial: None,
        obstacles: Vec::new(),
    }
}

/// The row id of a service.
pub(crate) fn service_row(service: &ServiceFacts) -> String {
    format!("service:{}", service.label)
}

/// The row id of an owner.
pub(crate) fn owner_row(service: &ServiceFacts, kind: &str, name: &str) -> String {
    format!("owner:{}/{kind}/{name}", service.label)
}

/// The row id of a process.
pub(crate) fn instance_row(service: &ServiceFacts, instance: &str, epoch: &str) -> String {
    format!("instance:{}/{instance}/{epoch}", service.label)
}

fn instances(model: &Model, service: &ServiceFacts) -> Vec<InstanceReport> {
    let mut seen = std::collections::BTreeSet::new();
    service
        .processes
        .iter()
        .map(|(key, sums)| {
            // The same start may appear twice when its clock was degraded in between.
            let base = instance_row(service, &key.instance, &key.epoch);
            let id = if seen.insert(base.clone()) {
                base
            } else {
                format!(
                    "{base}/{}/{}/{}",
                    key.host, key.clock_mode, key.agent_version
                )
            };
            let samples = model.column(sums, column::SAMPLES);
            let rss = model
                .column(sums, column::RSS_SUM_BYTES)
                .zip(samples)
                .and_then(|(sum, samples)| sum.over(&samples));
            InstanceReport {
                id,
                instance: key.instance.to_string(),
                host: key.host.to_string(),
                epoch: key.epoch.to_string(),
                versions: service
                    .process_versions
                    .get(key)
                    .map(|versions| versions.iter().cloned().collect())
                    .unwrap_or_default(),
                clock_mode: key.clock_mode.to_string(),
                agent_version: key.agent_version.to_string(),
                cpu_process: count(sums, column::CPU_PROCESS_NS, FigureUnit::Ns),
                rss: figure(rss.as_ref(), FigureUnit::Bytes, "no samples"),
                rss_peak: count(sums, column::RSS_PEAK_BYTES, FigureUnit::Bytes),
                threads: count(sums, column::THREADS, FigureUnit::Count),
                cores_limit: plain(
                    sums.total(column::CORES_MILLI)
                        .map(|milli| as_f64(milli) / 1e3),
                    FigureUnit::Cores,
                    QualityWord::Measured,
                    "no row holds it",
                ),
                share: share(
                    model.column(sums, column::CPU_PROCESS_NS).as_ref(),
                    model
                        .column(&service.process, column::CPU_PROCESS_NS)
                        .as_ref(),
                ),
                windows: sums
                    .total(column::SAMPLES)
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or(0),
            }
        })
        .collect()
}

/// How much more the busiest process uses than the mean one, over the time that each was observed.
fn imbalance(service: &ServiceFacts) -> Figure {
    let unit = FigureUnit::Ratio;
    let used: Option<Vec<f64>> = service
        .processes
        .values()
        .map(|sums| {
            let cpu = as_f64(sums.total(column::CPU_PROCESS_NS)?);
            let samples = as_f64(sums.total(column::SAMPLES).filter(|n| *n > 0)?);
            Some(cpu / samples)
        })
        .collect();
    let Some(used) = used.filter(|used| !used.is_empty()) else {
        return Figure::unknown(unit, "no process row holds it");
    };
    if used.len() < 2 {
        return Figure::unknown(unit, "one process only");
    }
    let mean = used.iter().sum::<f64>() / used.len() as f64;
    plain(
        (mean > 0.0).then(|| used.iter().copied().fold(0.0, f64::max) / mean),
        unit,
        QualityWord::Measured,
        "no process used any CPU",
    )
}

fn owners(model: &Model, service: &ServiceFacts, cpu: Option<&Estimate>) -> Vec<OwnerReport> {
    let mut owners: Vec<(f64, OwnerReport)> = service
        .owners
        .iter()
        .map(|((kind, name), sums)| {
            let total = model.columns(sums, &CPU_COLUMNS);
            let report = OwnerReport {
                id: owner_row(service, kind, name),
                owner_kind: kind.to_string(),
                name: name.to_string(),
                cpu: classes(model, sums, FigureUnit::Ns, |e| Some(e.clone())),
                share: share(total.as_ref(), cpu),
            };
            (total.map_or(0.0, |total| total.point), report)
        })
        .collect();
    owners.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    owners.into_iter().map(|(_, owner)| owner).collect()
}

/// What the agent costs a service: its own thread, and beside it what it does inside requests.
pub(super) struct AgentCpu {
    own: Option<Estimate>,
    hooks: Option<Estimate>,
}

impl AgentCpu {
    pub(super) fn of(model: &Model, service: &ServiceFacts) -> Self {
        let owner = service.owners_cpu(|kind, _| kind == OwnerKind::Agent.as_str());
        Self {
            own: model
                .sum(owner.as_ref())
                .or_else(|| model.column(&service.process, column::CPU_AGENT_NS)),
            hooks: model
                .column(&service.process, column::CPU_HOOKS_NS)
                .map(|hooks| hooks.of_quality(QualityWord::Estimated)),
        }
    }

    /// Both together; unknown where one of them is.
    pub(super) fn whole(&self) -> Option<Estimate> {
        Some(self.own.as_ref()?.plus(self.hooks.as_ref()?))
    }
}

fn agent(model: &Model, service: &ServiceFacts, cpu: Option<&Estimate>) -> AgentCost {
    let agent = AgentCpu::of(model, service);
    let absent = "no process rows of an agent that tells it";
    AgentCost {
        share: share(agent.whole().as_ref(), cpu),
        cpu: figure(agent.own.as_ref(), FigureUnit::Ns, "no owner row of the agent"),
        hooks: figure(agent.hooks.as_ref(), FigureUnit::Ns, absent),
        clock_readings: count(&service.process, column::CLOCK_READINGS, FigureUnit::Count),
        note: "The agent's own thread, and what it does inside requests, which is part of their CPU: crossings of \
               accounts and work on bills. Not in it: wrapping bodies, reading headers, counting allocations."
            .to_owned(),
    }
}

fn base(model: &Model, service: &ServiceFacts) -> BaseCost {
    let per_process = model
        .base_cpu(service)
        .and_then(|cpu| model.cores(&cpu))
        .zip(model.instances(service))
        .map(|(cores, instances)| {
            cores
                .scaled(1.0 / instances)
                .of_quality(QualityWord::Estimated)
        });
    BaseCost {
        cpu: figure(
            per_process.as_ref(),
            FigureUnit::Cores,
            "no owner rows of background or agent, or no process rows",
        ),
        rss: count(&service.process, column::RSS_INIT_BYTES, FigureUnit::Bytes),
        method: "CPU of the owners background and agent for each process; memory is the resident set at init."
            .to_owned(),
    }
}

fn operation_reports(
    model: &Model,
    index: usize,
    service: &ServiceFacts,
    cpu: Option<&Estimate>,
) -> Vec<OperationReport> {
    let mut operations: Vec<(f64, OperationReport)> = service
        .operations
        .iter()
        .map(|(id, facts)| {
            let total = facts
                .all
                .sum_of(&CPU_COLUMNS)
                .map_or(0.0, |cpu| as_f64(cpu.total));
            let mut report = operation(model, service, id, facts, cpu);
            hold_bounds(&mut report, facts);
            report.cpu_by_regression = match model.separation(index) {
                Some(Separation::Told(demands)) => demands
                    .get(id)
                    .map(|demand| demand.figure(FigureUnit::NsPerRequest)),
                Some(Separation::NotKnown(reason)) => {
                    Some(Figure::unknown(FigureUnit::NsPerRequest, reason))
                }
                Some(Separation::Collinear { .. }) => Some(Figure::unknown(
                    FigureUnit::NsPerRequest,
                    "the loads of the operations rise and fall together",
                )),
                None => None,
            };
            (total, report)
        })
        .collect();
    operations.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    operations
        .into_iter()
        .map(|(_, operation)| operation)
        .collect()
}

/// Where CPU is estimated, the interval holds the bounds of the estimate too: what cannot be told apart may have been
/// none of this operation's, or all of it.
fn hold_bounds(report: &mut OperationReport, facts: &OperationFacts) {
    let sum = |column| facts.all.total(column).map(as_f64);
    let (Some(low), Some(high), Some(cpu)) = (
        sum(column::CPU_LOW_NS),
        sum(column::CPU_HIGH_NS),
        facts.all.sum_of(&CPU_COLUMNS),
    ) else {
        return;
    };
    let estimated = cpu.by_quality.get(QualityWord::Estimated);
    let (all, estimated) = (as_f64(cpu.total), as_f64(estimated.unwrap_or_default()));
    let bounds = [low, high].map(|bound| all - estimated + bound);
    // An estimate is CPU of the handler; there is nothing to tell its classes apart by.
    for figure in [
        &mut report.cpu_per_request.handler,
        &mut report.cpu_per_request.total,
        &mut report.cpu_cores,
    ] {
        let Some(value) = figure.value.filter(|value| *value > 0.0 && all > 0.0) else {
            continue;
        };
        let [low, high] = bounds.map(|bound| value * bound / all);
        figure.low = Some(figure.low.unwrap_or(value).min(low));
        figure.high = Some(figure.high.unwrap_or(value).max(high));
        figure.interval_absent_reason = None;
    }
}

fn operation(
    model: &Model,
    service: &ServiceFacts,
    id: &OperationId,
    facts: &OperationFacts,
    service_cpu: Option<&Estimate>,
) -> OperationReport {
    let nothing_ended = "no request ended, or no row holds it";
    let ended = model.column(&facts.all, column::ENDED);
    let each = |columns: &[u32]| model.columns(&facts.all, columns)?.over(ended.as_ref()?);
    let per_ended = |column, unit| figure(each(&[column]).as_ref(), unit, nothing_ended);
    let total = model.columns(&facts.all, &CPU_COLUMNS);
    let in_flight = model.seconds().and_then(|seconds| {
        Some(
            model
                .column(&facts.all, column::IN_FLIGHT_NS)?
                .scaled(1e-9 / seconds),
        )
    });
    let edge_error = in_flight
        .as_ref()
        .zip(ended.as_ref())
        .and_then(|(n, ended)| n.over(ended));
    OperationReport {
        id: id.row(&service.label),
        component: id.component.to_string(),
        operation: id.operation.to_string(),
        class: id.class.to_string(),
        rate: figure(
            ended.as_ref().and_then(|n| model.rate(n)).as_ref(),
            FigureUnit::PerSecond,
            nothing_ended,
        ),
        started: count(&facts.all, column::STARTED, FigureUnit::Count),
        ended: count(&facts.all, column::ENDED, FigureUnit::Count),
        errors: count(&facts.all, column::ERRORS, FigureUnit::Count),
        client_errors: count(&facts.all, column::CLIENT_ERRORS, FigureUnit::Count),
        cpu_per_request: classes(model, &facts.all, FigureUnit::NsPerRequest, |cpu| {
            cpu.over(ended.as_ref()?)
        }),
        cpu_cores: figure(
            total.as_ref().and_then(|cpu| model.cores(cpu)).as_ref(),
            FigureUnit::Cores,
            "no row holds CPU",
        ),
        cpu_share: share(total.as_ref(), service_cpu),
        edge_error: figure(edge_error.as_ref(), FigureUnit::Ratio, nothing_ended),
        wall: quantiles(facts.distribution.histogram(WALL)),
        request_cpu: quantiles(facts.distribution.histogram(REQUEST_CPU)),
        wait_call: per_ended(column::WAIT_CALL_NS, FigureUnit::NsPerRequest),
        wait_store: per_ended(column::WAIT_STORE_NS, FigureUnit::NsPerRequest),
        wait_other: wait_other(each),
        in_flight: figure(in_flight.as_ref(), FigureUnit::Count, "no row holds it"),
        in_flight_max: service
            .series
            .get(&(id.operation.clone(), id.class.clone()))
            .map_or_else(
                || Figure::unknown(FigureUnit::Count, "no series row"),
                |series| count(series, column::IN_FLIGHT, FigureUnit::Count),
            ),
        alloc_bytes: per_ended(column::ALLOC_BYTES, FigureUnit::BytesPerRequest),
        alloc_count: per_ended(column::ALLOC_COUNT, FigureUnit::PerRequest),
        peak_live_max: count(&facts.all, column::PEAK_LIVE_BYTES, FigureUnit::Bytes),
        peak_live_mean: per_ended(column::PEAK_LIVE_SUM_BYTES, FigureUnit::BytesPerRequest),
        retained: Some(retained(facts)),
        cpu_by_regression: None,
        service_time_cs2: plain(
            model.service_cs2(facts),
            FigureUnit::Ratio,
            QualityWord::Measured,
            "no histogram of request CPU",
        ),
        arrival_dispersion: plain(
            model.dispersion(service, id),
            FigureUnit::Ratio,
            QualityWord::Measured,
            "no series row, or fewer than two slots",
        ),
        callers: callers(model, facts, ended.as_ref()),
        regions: regions(model, service, id, facts),
        shapes: super::shapes::shapes(model, service, id),
    }
}

/// Wall time that neither CPU nor a known wait explains.
fn wait_other(each: impl Fn(&[u32]) -> Option<Estimate>) -> Figure {
    let wall = each(&[column::WALL_NS]);
    let cpu = each(&CPU_COLUMNS);
    let waits: Vec<Estimate> = [column::WAIT_CALL_NS, column::WAIT_STORE_NS]
        .iter()
        .filter_map(|column| each(&[*column]))
        .collect();
    let other = wall.zip(cpu).map(|(wall, cpu)| {
        waits
            .iter()
            .fold(wall.minus(&cpu), |left, wait| left.minus(wait))
    });
    waiting(
        other.as_ref(),
        FigureUnit::NsPerRequest,
        "wall time or CPU is not known",
        "its requests work on several threads at once, or wait for several things at once: CPU and waits together are \
         more than the wall time",
    )
}

fn callers(model: &Model, facts: &OperationFacts, ended: Option<&Estimate>) -> Vec<CallerShare> {
    let mut callers: Vec<(f64, CallerShare)> = facts
        .by_caller
        .iter()
        .filter_map(|(caller, sums)| {
            let count = model.column(sums, column::ENDED)?;
            let share = share(Some(&count), ended);
            let report = CallerShare {
                service: caller.service.to_string(),
                operation: caller.operation.to_string(),
                share,
            };
            Some((count.point, report))
        })
        .collect();
    callers.sort_by(|a, b| {
        let names = |c: &CallerShare| (c.service.clone(), c.operation.clone());
        b.0.total_cmp(&a.0)
            .then_with(|| names(&a.1).cmp(&names(&b.1)))
    });
    callers.into_iter().map(|(_, caller)| caller).collect()
}
