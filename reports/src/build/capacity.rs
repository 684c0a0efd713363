//! Cores and processes at today's load and beyond.

use weighbridge_wire::column;

use super::figures::{figure, plain};
use super::latency::{Passing, Station};
use crate::Options;
use crate::decide::say;
use crate::document::{
    CapacityPoint, CapacityReport, Figure, FigureUnit, OriginLatency, PriceSheet, QualityWord,
    SerialCapacity, ServiceCapacity,
};
use crate::model::{Estimate, Model, ServiceFacts, as_f64};

/// A service's CPU, divided into what grows with load and what does not, cores.
pub(super) struct ServiceLoad {
    /// Of all processes that run.
    base: Estimate,
    variable: Estimate,
    /// How many they are, mean; not known without process rows.
    running: Option<f64>,
}

impl ServiceLoad {
    /// Cores at a multiple of the load seen, with today's processes.
    fn at(&self, factor: f64) -> Estimate {
        self.base.plus(&self.variable.scaled(factor))
    }

    /// Cores that a process takes by itself.
    fn each(&self) -> Option<Estimate> {
        let running = self.running.filter(|running| *running > 0.0)?;
        Some(self.base.scaled(1.0 / running))
    }

    /// Processes needed at a multiple of the load seen: at the target utilisation, at least as many as availability asks
    /// for. None where what a process takes by itself leaves no room.
    pub(crate) fn processes(
        &self,
        service: &str,
        factor: f64,
        limit: f64,
        options: &Options,
    ) -> Option<f64> {
        let work = self.variable.point * factor;
        let room = limit * options.target() - self.each()?.point;
        if room.is_nan() || room <= 0.0 || !work.is_finite() {
            return None;
        }
        let least = options.constraints.least(service);
        Some(libm::ceil(work / room - 1e-9).max(least))
    }

    /// What so many processes take by themselves, where they are more than run today, cores. The load seen is as it was
    /// seen.
    pub(crate) fn base_of(&self, factor: f64, needed: Option<f64>) -> Estimate {
        match (self.each(), self.running, needed) {
            (Some(each), Some(running), Some(needed)) if factor != 1.0 => {
                let added = (needed - libm::ceil(running - 1e-9)).max(0.0);
                self.base.plus(&each.scaled(added))
            }
            _ => self.base.clone(),
        }
    }

    /// What grows with load, cores at the load seen.
    pub(crate) fn variable(&self) -> &Estimate {
        &self.variable
    }
}

/// A service with what it takes and what queues in it.
struct Loaded<'a> {
    service: &'a ServiceFacts,
    load: Option<ServiceLoad>,
    station: Option<Station>,
}

impl Loaded<'_> {
    fn serial(&self) -> Option<&Passing> {
        self.station.as_ref()?.serial.as_ref()
    }

    /// Processes needed at a multiple of the load seen. What queues for a section that one can be in at a time is not
    /// served sooner by more of them.
    fn needed(&self, model: &Model, factor: f64, options: &Options) -> Option<f64> {
        let blocked = |serial: &Passing| serial.wait(factor).is_none();
        if self.serial().is_some_and(blocked) {
            return None;
        }
        let limit = model.cores_limit(self.service)?;
        let load = self.load.as_ref()?;
        load.processes(&self.service.label, factor, limit, options)
    }

    fn cores(&self, factor: f64, needed: Option<f64>) -> Option<Estimate> {
        let load = self.load.as_ref()?;
        Some(
            load.base_of(factor, needed)
                .plus(&load.variable.scaled(factor)),
        )
    }
}

/// Divides a service's CPU. `None` when its CPU is not known.
pub(super) fn service_load(model: &Model, service: &ServiceFacts) -> Option<ServiceLoad> {
    let total = model.service_cores(service)?;
    let base = model
        .base_cpu(service)
        .and_then(|cpu| model.cores(&cpu))
        .unwrap_or_else(Estimate::zero);
    let variable = total.minus(&base).map(|cores| cores.max(0.0));
    Some(ServiceLoad {
        base,
        variable,
        running: model.instances(service),
    })
}

pub(crate) fn capacity(
    model: &Model,
    options: &Options,
    latency: Vec<OriginLatency>,
) -> CapacityReport {
    let factors: Vec<f64> = options
        .load_factors
        .iter()
        .copied()
        .filter(|f| f.is_finite() && *f > 0.0)
        .collect();
    let stations: Vec<Loaded<'_>> = model
        .services()
        .iter()
        .map(|service| Loaded {
            service,
            load: service_load(model, service),
            station: Station::of(model, service),
        })
        .collect();
    let mut services: Vec<(f64, ServiceCapacity)> = stations
        .iter()
        .map(|of| {
            let need = model.service_cores_point(of.service).unwrap_or(0.0);
            (need, report(model, of, &factors, options))
        })
        .collect();
    services.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let total_cores = factors
        .iter()
        .map(|factor| {
            let sum = stations
                .iter()
                .filter_map(|of| of.cores(*factor, of.needed(model, *factor, options)))
                .reduce(|a, b| a.plus(&b));
            figure(
                extrapolate(sum, *factor).as_ref(),
                FigureUnit::Cores,
                "no CPU is known",
            )
        })
        .collect();
    let mut notes: Vec<String> = without(model).into_iter().collect();
    notes.extend(NOTES.map(str::to_owned));
    CapacityReport {
        target_utilisation: options.target(),
        least_processes: options.constraints.min_replicas.max(1),
        load_factors: factors,
        services: services.into_iter().map(|(_, service)| service).collect(),
        total_cores,
        growth: Some(super::growth::growth(model, options)),
        latency,
        prices: options.prices.as_ref().map(|prices| PriceSheet {
            core_hour: prices.core_hour,
            gib_hour: prices.gib_hour,
            currency: prices.currency.clone(),
        }),
        notes,
    }
}

const NOTES: [&str; 7] = [
    "Cores = load factor × what grows with load + processes × what each takes by itself: the CPU of the owners background and agent, which is taken not to grow with load. The processes are today's, and those needed where they are more. The load seen is as it was seen.",
    "Beyond the load seen, unit costs are taken to stay as they are: locks that nobody waited for yet, caches and databases that give way later are not seen. Such figures are marked extrapolated.",
    "Waits are means by Allen and Cunneen for each process alone; near idle they are an order of magnitude only.",
    "Memory is the processes needed × the largest resident set seen: what more requests in flight hold at once is not in it.",
    "A serial section, where the windows show one, is a queue of its own with one server: it bounds the load, and what passes it is all that the cores see. It is taken to be shared by all processes, so more of them do not lift it. Where the law that tells it is not identifiable, there may be one all the same.",
    "The knee is the load at which a request waits for a core as long as it computes, or for its turn in a serial section as long as it is in it. One less: the same work with one of today's processes gone.",
    "Responses at other loads are the measured mean plus what waits for cores add, once for each request that the answer waits for, one after the other, and the wait for a turn in a serial section: calls side by side are overestimated, databases not seen. A request's clock starts when its head is read: what it waits for a core before that is not in the mean, and a line is flat below the load seen where there is no wait in it to fall.",
];

/// Which services the sums are without. What is not known is not zero.
fn without(model: &Model) -> Option<String> {
    let unknown: Vec<&str> = model
        .services()
        .iter()
        .filter(|service| service_load(model, service).is_none())
        .map(|service| service.label.as_str())
        .collect();
    let named = unknown.iter().take(NAMED).copied().collect::<Vec<_>>();
    match (unknown.len(), unknown.len().saturating_sub(NAMED)) {
        (0, _) => None,
        (1, _) => Some(format!(
            "The sums of all services are without {}, whose CPU is not known.",
            named.concat()
        )),
        (all, more) => Some(format!(
            "The sums of all services are without {all} services whose CPU is not known: {}{}.",
            named.join(", "),
            say::and_more(more)
        )),
    }
}

/// Services that the note on the sums names.
const NAMED: usize = 5;

/// Beyond the load seen a figure is estimated.
fn extrapolate(estimate: Option<Estimate>, factor: f64) -> Option<Estimate> {
    if factor > 1.0 {
        estimate.map(|e| e.of_quality(QualityWord::Estimated))
    } else {
        estimate
    }
}

fn report(model: &Model, of: &Loaded<'_>, factors: &[f64], options: &Options) -> ServiceCapacity {
    let Loaded {
        service,
        load,
        station,
    } = of;
    let limit = model.cores_limit(service);
    let instances = model.instances(service);
    let serial = of.serial();
    let full = serial.and_then(Passing::full_load);
    let room = limit.zip(instances);
    let target = options.target();
    let absent = "the CPU of this service is not known";
    let points = factors
        .iter()
        .map(|factor| {
            let today = extrapolate(load.as_ref().map(|load| load.at(*factor)), *factor);
            let available = limit
                .zip(instances)
                .map(|(limit, n)| limit * n)
                .filter(|c| *c > 0.0);
            let utilisation = today
                .as_ref()
                .zip(available)
                .map(|(cores, have)| cores.scaled(1.0 / have));
            let full = utilisation.as_ref().is_some_and(|u| u.point >= 1.0);
            let turn = serial.map(|serial| serial.wait(*factor));
            let blocked = turn == Some(None);
            let replicas = of.needed(model, *factor, options);
            let unknown = match serial.filter(|_| blocked) {
                Some(serial) => no_number(serial),
                None if load.is_some() && room.is_some() => NO_ROOM.to_owned(),
                None => NO_CORES.to_owned(),
            };
            let cores = extrapolate(of.cores(*factor, replicas), *factor);
            let saturated = full || blocked;
            CapacityPoint {
                load_factor: *factor,
                cores: figure(cores.as_ref(), FigureUnit::Cores, absent),
                utilisation: figure(utilisation.as_ref(), FigureUnit::Ratio, NO_CORES),
                replicas: plain(
                    replicas,
                    FigureUnit::Count,
                    QualityWord::Estimated,
                    &unknown,
                ),
                wait: wait(station.as_ref(), *factor, full),
                turn_wait: turn.map(|turn| {
                    plain(
                        turn.map(|seconds| seconds * 1e9),
                        FigureUnit::Ns,
                        QualityWord::Estimated,
                        &unknown,
                    )
                }),
                memory: plain(
                    memory(service, replicas),
                    FigureUnit::Bytes,
                    QualityWord::Estimated,
                    if replicas.is_none() && room.is_some() {
                        &unknown
                    } else {
                        NO_MEMORY
                    },
                ),
                money: money(service, limit, replicas, options),
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
        target_load: reach(load.as_ref(), room, full.as_ref(), target),
        knee_load: plain(
            station.as_ref().and_then(Station::knee),
            FigureUnit::Ratio,
            QualityWord::Estimated,
            "no operation with a histogram of request CPU, or the processes' cores are not known",
        ),
        saturation_load: reach(load.as_ref(), room, full.as_ref(), 1.0),
        utilisation_one_less: one_less(load.as_ref(), limit, instances),
        saturation_load_one_less: match one_fewer(instances) {
            Ok(left) => reach(load.as_ref(), limit.zip(Some(left)), full.as_ref(), 1.0),
            Err(why) => Figure::unknown(FigureUnit::Ratio, why),
        },
        serial: serial.map(|serial| SerialCapacity {
            operation: serial.operation.row(&service.label),
            name: serial.operation.shown(),
            throughput_max: serial.serial.most.figure(FigureUnit::PerSecond),
            full_load: figure(full.as_ref(), FigureUnit::Ratio, "nothing arrived"),
            utilisation: figure(
                full.clone()
                    .map(|full| full.map(|load| 1.0 / load))
                    .as_ref(),
                FigureUnit::Ratio,
                "nothing arrived",
            ),
        }),
        points,
    }
}

const NO_CORES: &str = "the processes' cores are not known";
const NO_ROOM: &str =
    "what a process takes by itself leaves no room for requests below the target utilisation";
const NO_MEMORY: &str = "the processes' cores or memory are not known";

/// Why no number of processes is said.
fn no_number(serial: &Passing) -> String {
    format!(
        "no number of processes carries this load: {} runs one at a time, {} at most",
        serial.operation.shown(),
        say::rate(serial.serial.most.point)
    )
}

/// Memory of so many processes, bytes.
fn memory(service: &ServiceFacts, replicas: Option<f64>) -> Option<f64> {
    let largest = service.process.total(column::RSS_PEAK_BYTES)?;
    Some(replicas? * as_f64(largest))
}

/// What so many processes cost in an hour.
fn money(
    service: &ServiceFacts,
    limit: Option<f64>,
    replicas: Option<f64>,
    options: &Options,
) -> Option<Figure> {
    let prices = options.prices.as_ref()?;
    let memory = memory(service, replicas);
    let money = replicas
        .zip(limit)
        .zip(memory)
        .map(|((n, limit), bytes)| n * limit * prices.core_hour + bytes / GIB * prices.gib_hour);
    Some(plain(
        money,
        FigureUnit::MoneyPerHour,
        QualityWord::Estimated,
        NO_MEMORY,
    ))
}

const GIB: f64 = (1u64 << 30) as f64;

/// The load at which `processes` of `limit` cores are used to this part, or a serial section that is full at `full` is.
fn reach(
    load: Option<&ServiceLoad>,
    room: Option<(f64, f64)>,
    full: Option<&Estimate>,
    part: f64,
) -> Figure {
    let unit = FigureUnit::Ratio;
    let Some((load, (limit, processes))) = load.zip(room) else {
        return Figure::unknown(unit, "the CPU or the processes' cores are not known");
    };
    let free = limit * processes * part;
    let at = Estimate::combine(&[&load.base, &load.variable], |terms| {
        let [base, variable] = terms else { return None };
        (*variable > 0.0).then(|| ((free - base) / variable).max(0.0))
    });
    let at = match (at, full) {
        (Some(at), Some(full)) => Estimate::combine(&[&at, full], |terms| {
            let [at, full] = terms else { return None };
            Some(at.min(full * part))
        }),
        (at, full) => at.or_else(|| full.map(|full| full.scaled(part))),
    };
    figure(at.as_ref(), unit, "nothing here grows with load")
}

/// Processes left when one is gone.
fn one_fewer(instances: Option<f64>) -> Result<f64, &'static str> {
    let running = instances.ok_or("the number of processes is not known")?;
    // A mean over time: 0.96 is one process that began late.
    let whole = libm::round(running);
    if whole >= 2.0 {
        Ok(whole - 1.0)
    } else {
        Err("one process is all there is: without it the service is gone")
    }
}

fn one_less(load: Option<&ServiceLoad>, limit: Option<f64>, instances: Option<f64>) -> Figure {
    let unit = FigureUnit::Ratio;
    let left = match one_fewer(instances) {
        Ok(left) => left,
        Err(why) => return Figure::unknown(unit, why),
    };
    let used = load
        .zip(limit.filter(|limit| *limit > 0.0))
        .map(|(load, limit)| {
            load.at(1.0)
                .scaled(1.0 / (limit * left))
                .of_quality(QualityWord::Estimated)
        });
    figure(
        used.as_ref(),
        unit,
        "the CPU or the processes' cores are not known",
    )
}

/// Mean wait for a core, all operations of the service mixed, in each of today's processes.
fn wait(station: Option<&Station>, factor: f64, saturated: bool) -> Figure {
    let unit = FigureUnit::Ns;
    if saturated {
        return Figure::unknown(unit, "saturated: the queue grows without end");
    }
    plain(
        station
            .and_then(|station| station.wait(factor))
            .map(|seconds| seconds * 1e9),
        unit,
        QualityWord::Estimated,
        "no operation with a histogram of request CPU, or the processes' cores are not known",
    )
}

#[cfg(test)]
mod tests;
