//! Cores and processes at today's load and beyond.

use super::figures::{figure, plain};
use crate::Options;
use crate::document::{
    CapacityPoint, CapacityReport, Figure, FigureUnit, QualityWord, ServiceCapacity,
};
use crate::model::{Estimate, Model, ServiceFacts};
use crate::queue::Mixture;

/// A service's CPU, divided into what grows with load and what does not, cores.
pub(crate) struct ServiceLoad {
    pub(crate) base: Estimate,
    pub(crate) variable: Estimate,
}

impl ServiceLoad {
    /// Cores at a multiple of the load seen.
    pub(crate) fn at(&self, factor: f64) -> Estimate {
        self.base.plus(&self.variable.scaled(factor))
    }
}

/// Divides a service's CPU. `None` when its CPU is not known.
pub(crate) fn service_load(model: &Model, service: &ServiceFacts) -> Option<ServiceLoad> {
    let total = model.service_cores(service)?;
    let base = model
        .base_cpu(service)
        .and_then(|cpu| model.cores(&cpu))
        .unwrap_or_else(Estimate::zero);
    let variable = total.minus(&base).map(|cores| cores.max(0.0));
    Some(ServiceLoad { base, variable })
}

/// Processes needed for so many cores: at the target utilisation, at least as many as availability asks for.
pub(crate) fn replicas_for(cores: f64, limit: f64, options: &Options) -> Option<f64> {
    if limit.is_nan() || limit <= 0.0 || !cores.is_finite() {
        return None;
    }
    let least = f64::from(options.constraints.min_replicas.max(1));
    Some(libm::ceil(cores / (limit * options.target()) - 1e-9).max(least))
}

pub(crate) fn capacity(model: &Model, options: &Options) -> CapacityReport {
    let factors: Vec<f64> = options
        .load_factors
        .iter()
        .copied()
        .filter(|f| f.is_finite() && *f > 0.0)
        .collect();
    let mut services: Vec<(f64, ServiceCapacity)> = model
        .services()
        .iter()
        .map(|service| {
            let need = model
                .service_cores(service)
                .map_or(0.0, |cores| cores.point);
            (need, report(model, service, &factors, options))
        })
        .collect();
    services.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let total_cores = factors
        .iter()
        .map(|factor| {
            let sum = model
                .services()
                .iter()
                .filter_map(|service| service_load(model, service))
                .map(|load| load.at(*factor))
                .reduce(|a, b| a.plus(&b));
            figure(
                extrapolate(sum, *factor).as_ref(),
                FigureUnit::Cores,
                "no CPU is known",
            )
        })
        .collect();
    CapacityReport {
        target_utilisation: options.target(),
        load_factors: factors,
        services: services.into_iter().map(|(_, service)| service).collect(),
        total_cores,
        notes: vec![
            "Cores = base + load factor × what grows with load. Base is the CPU of the owners background, runtime and agent; it is taken not to grow with load.".to_owned(),
            "Beyond the load seen, unit costs are taken to stay as they are: locks, caches and databases that give way later are not seen. Such figures are marked extrapolated.".to_owned(),
            "Waits are means by Allen and Cunneen for each process alone; near idle they are an order of magnitude only.".to_owned(),
        ],
    }
}

/// Beyond the load seen a figure is estimated.
fn extrapolate(estimate: Option<Estimate>, factor: f64) -> Option<Estimate> {
    if factor > 1.0 {
        estimate.map(|e| e.of_quality(QualityWord::Estimated))
    } else {
        estimate
    }
}

fn report(
    model: &Model,
    service: &ServiceFacts,
    factors: &[f64],
    options: &Options,
) -> ServiceCapacity {
    let load = service_load(model, service);
    let limit = model.cores_limit(service);
    let instances = model.instances(service);
    let absent = "the CPU of this service is not known";
    let points = factors
        .iter()
        .map(|factor| {
            let cores = extrapolate(load.as_ref().map(|load| load.at(*factor)), *factor);
            let available = limit
                .zip(instances)
                .map(|(limit, n)| limit * n)
                .filter(|c| *c > 0.0);
            let utilisation = cores
                .as_ref()
                .zip(available)
                .map(|(cores, have)| cores.scaled(1.0 / have));
            let saturated = utilisation.as_ref().is_some_and(|u| u.point >= 1.0);
            let replicas = cores
                .as_ref()
                .zip(limit)
                .and_then(|(cores, limit)| replicas_for(cores.point, limit, options));
            CapacityPoint {
                load_factor: *factor,
                cores: figure(cores.as_ref(), FigureUnit::Cores, absent),
                utilisation: figure(
                    utilisation.as_ref(),
                    FigureUnit::Ratio,
                    "the processes' cores are not known",
                ),
                replicas: plain(
                    replicas,
                    FigureUnit::Count,
                    QualityWord::Estimated,
                    "the processes' cores are not known",
                ),
                wait: wait(model, service, *factor, saturated),
                extrapolated: *factor > 1.0,
                saturated,
            }
        })
        .collect();
    ServiceCapacity {
        id: format!("capacity:{}", service.label),
        service: service.label.clone(),
        instances: plain(
            instances,
            FigureUnit::Count,
            QualityWord::Measured,
            "no process rows",
        ),
        cores_limit: plain(
            limit,
            FigureUnit::Cores,
            QualityWord::Measured,
            "no process rows",
        ),
        cores_variable: figure(
            load.as_ref().map(|load| &load.variable),
            FigureUnit::Cores,
            absent,
        ),
        cores_base: figure(
            load.as_ref().map(|load| &load.base),
            FigureUnit::Cores,
            absent,
        ),
        points,
    }
}

/// Mean wait for a core, all operations of the service mixed, in each of today's processes.
fn wait(model: &Model, service: &ServiceFacts, factor: f64, saturated: bool) -> Figure {
    let unit = FigureUnit::Ns;
    if saturated {
        return Figure::unknown(unit, "saturated: the queue grows without end");
    }
    let wait = || {
        let servers = whole_cores(model.cores_limit(service)?)?;
        let instances = model.instances(service)?.max(1.0);
        let loads: Vec<_> = service
            .operations
            .iter()
            .filter_map(|(id, facts)| model.class_load(service, id, facts))
            .map(|mut load| {
                load.rate *= factor / instances;
                load
            })
            .collect();
        Some(Mixture::of(&loads)?.wait(servers)? * 1e9)
    };
    plain(
        wait(),
        unit,
        QualityWord::Estimated,
        "no operation with a histogram of request CPU, or the processes' cores are not known",
    )
}

/// A number of servers for the queue formulas: parts of a core count as one.
pub(crate) fn whole_cores(limit: f64) -> Option<u32> {
    let cores = libm::floor(limit + 1e-9).max(1.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let servers = cores as u32;
    (limit.is_finite() && limit > 0.0 && cores <= 4_096.0).then_some(servers)
}
