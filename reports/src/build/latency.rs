//! How long requests take at other loads: the table that the page's what-if reads.

use std::collections::BTreeMap;

use super::figures::plain;
use super::origins::Origin;
use super::paths::{Place, Way};
use crate::document::{Figure, FigureUnit, LatencyPoint, OriginLatency, OriginReport, QualityWord};
use crate::model::{Estimate, Model, OperationId, Serial, ServiceFacts};
use crate::queue::{ClassLoad, Cores, Mixture, Section};

/// Load factors of the table.
pub(crate) const LOADS: [f64; 12] = [
    0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5,
];

/// Why a response has no interval.
const NO_INTERVAL: &str =
    "the error of the waiting formula is larger than that of the samples: see Method";

/// By load; `Err` says why there is none.
type ByLoad = [Result<f64, &'static str>; LOADS.len()];

/// Mean waits for a core at each service, and for a turn in its serial section.
pub(crate) struct Waits {
    /// By service.
    at: Vec<ByLoad>,
    seen: Vec<Result<f64, &'static str>>,
    /// The same of those that pass a serial section.
    turns: BTreeMap<Place, (ByLoad, f64)>,
}

const UNKNOWN: &str =
    "a service on the way has no histogram of request CPU, or its processes' cores are not known";
const SATURATED: &str = "a service on the way is saturated: the queue grows without end";
const BLOCKED: &str = "more requests arrive at a serial section than pass it one at a time: the queue grows without end";

impl Waits {
    pub(crate) fn of(model: &Model) -> Self {
        let stations: Vec<Option<Station>> = model
            .services()
            .iter()
            .map(|service| Station::of(model, service))
            .collect();
        let wait = |station: &Option<Station>, load: f64| match station {
            None => Err(UNKNOWN),
            Some(station) => station.wait(load).ok_or(SATURATED),
        };
        Self {
            at: stations
                .iter()
                .map(|station| LOADS.map(|load| wait(station, load)))
                .collect(),
            seen: stations.iter().map(|station| wait(station, 1.0)).collect(),
            turns: stations
                .iter()
                .enumerate()
                .filter_map(|(service, station)| {
                    let passing = station.as_ref()?.serial.as_ref()?;
                    let at = LOADS.map(|load| passing.wait(load).ok_or(BLOCKED));
                    // Blocked already: what was measured holds the whole wait.
                    let seen = passing.wait(1.0).unwrap_or(0.0);
                    Some(((service, passing.operation.clone()), (at, seen)))
                })
                .collect(),
        }
    }

    /// The measured mean, and what waits for cores add to it or take from it: at each operation that the answer
    /// waits for, once per request there.
    pub(crate) fn latency(
        &self,
        origin: &Origin,
        report: &OriginReport,
        ways: &[Way],
        ended: Option<&Estimate>,
    ) -> OriginLatency {
        let visits: Vec<(&Place, f64)> = ways
            .iter()
            .filter(|way| way.waited)
            .filter_map(|way| {
                let last = way.places.last()?;
                let requests = origin.operations.get(last)?.ended.as_ref()?.point;
                Some((last, requests * way.part / ended?.point))
            })
            .collect();
        let points = LOADS
            .iter()
            .enumerate()
            .map(|(index, load)| LatencyPoint {
                load_factor: *load,
                response: self.response(report, &visits, index),
            })
            .collect();
        OriginLatency {
            id: format!("latency:{}/{}", report.service, report.operation),
            origin: report.id.clone(),
            service: report.service.clone(),
            operation: report.operation.clone(),
            points,
        }
    }

    fn response(&self, report: &OriginReport, visits: &[(&Place, f64)], index: usize) -> Figure {
        let unit = FigureUnit::Ns;
        let Some(seen) = report.wall.mean.value else {
            return Figure::unknown(unit, "no histogram of wall time at the origin");
        };
        if visits.is_empty() {
            return Figure::unknown(unit, "no operation is known that the answer waits for");
        }
        let mut response = seen;
        for (place, times) in visits {
            if let Some((at, now)) = self.turns.get(*place) {
                match at[index] {
                    Ok(then) => response += times * (then - now) * 1e9,
                    Err(why) => return Figure::unknown(unit, why),
                }
            }
            let then = self.at.get(place.0).map_or(Err(UNKNOWN), |at| at[index]);
            let now = self.seen.get(place.0).copied().unwrap_or(Err(UNKNOWN));
            match (then, now) {
                (Ok(then), Ok(now)) => response += times * (then - now) * 1e9,
                (Err(why), _) | (_, Err(why)) => return Figure::unknown(unit, why),
            }
        }
        // Waits that the formula takes off may not be more than there were.
        let cpu = report.unit_cost.total.value.unwrap_or(0.0).min(seen);
        let mut figure = plain(
            Some(response.max(cpu)),
            unit,
            QualityWord::Estimated,
            UNKNOWN,
        );
        figure.interval_absent_reason = Some(NO_INTERVAL.to_owned());
        figure
    }
}

/// Requests that pass a serial section, over all processes of a service.
pub(crate) struct Passing {
    pub(crate) operation: OperationId,
    pub(crate) serial: Serial,
    section: Section,
    /// Arrivals in a second at the load seen.
    rate: Estimate,
}

impl Passing {
    fn of(model: &Model, service: &ServiceFacts) -> Option<Self> {
        let serial = model.serial(service).ok()?;
        let facts = service.operations.get(&serial.operation)?;
        let rate = model.ended_rate(facts)?;
        let cs2 = model.service_cs2(facts).unwrap_or(1.0);
        let arrivals = model.dispersion(service, &serial.operation).unwrap_or(1.0);
        (rate.point > 0.0).then(|| Self {
            operation: serial.operation.clone(),
            section: serial.section(cs2, arrivals),
            serial,
            rate,
        })
    }

    /// Mean wait for one's turn, seconds; `None` where more arrive than pass.
    pub(crate) fn wait(&self, factor: f64) -> Option<f64> {
        self.section.wait(self.rate.point * factor)
    }

    /// The load at which somebody is always in it.
    pub(crate) fn full_load(&self) -> Option<Estimate> {
        self.serial.most.over(&self.rate)
    }

    /// The load at which one waits for the turn as long as it takes.
    fn knee(&self) -> Option<f64> {
        let full = self.full_load()?.point;
        let hold = self.section.hold;
        let long = |load| self.wait(load).is_none_or(|wait| wait >= hold);
        halved(full, long).filter(|load| *load > 0.0)
    }
}

/// The load up to `high` from which on something holds, by halving: it does not end again.
fn halved(high: f64, holds: impl Fn(f64) -> bool) -> Option<f64> {
    let (mut low, mut high) = (0.0, high);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    low.is_finite().then_some(low)
}

/// A process of a service as a queue for its cores, and what stands before it.
pub(crate) struct Station {
    loads: Vec<ClassLoad>,
    servers: u32,
    /// The place among the loads of those that pass a serial section.
    passes: Option<usize>,
    pub(crate) serial: Option<Passing>,
}

impl Station {
    /// `None` when no operation has a histogram of request CPU, or the processes' cores are not known.
    pub(crate) fn of(model: &Model, service: &ServiceFacts) -> Option<Self> {
        let cores = Cores::of(model.cores_limit(service)?)?;
        let instances = model.instances(service)?.max(1.0);
        let serial = Passing::of(model, service);
        let mut passes = None;
        let mut loads = Vec::new();
        for (id, facts) in &service.operations {
            let Some(mut load) = model.class_load(service, id, facts) else {
                continue;
            };
            if serial.as_ref().is_some_and(|s| s.operation == *id) {
                passes = Some(loads.len());
            }
            load.rate /= instances;
            loads.push(cores.slowed(load));
        }
        (!loads.is_empty()).then_some(Self {
            loads,
            servers: cores.servers,
            passes,
            serial,
        })
    }

    fn mixture(&self, factor: f64) -> Option<Mixture> {
        let loads: Vec<ClassLoad> = self
            .loads
            .iter()
            .enumerate()
            .map(|(at, load)| {
                let load = ClassLoad {
                    rate: load.rate * factor,
                    ..*load
                };
                match &self.serial {
                    Some(serial) if self.passes == Some(at) => self.passed(serial, load, factor),
                    _ => load,
                }
            })
            .collect();
        Mixture::of(&loads)
    }

    /// The part of a process in what passes the section of all of them.
    fn passed(&self, serial: &Passing, load: ClassLoad, factor: f64) -> ClassLoad {
        let all = serial.rate.point * factor;
        let part = load.rate / all;
        let passed = serial.section.passed(ClassLoad { rate: all, ..load });
        ClassLoad {
            rate: passed.rate * part,
            ..passed
        }
    }

    /// Mean wait for a core, seconds; `None` at saturation.
    pub(crate) fn wait(&self, factor: f64) -> Option<f64> {
        self.mixture(factor)?.wait(self.servers)
    }

    /// The load at which a request waits as long as it computes, or for its turn as long as that takes, whichever comes
    /// first. By halving: waits only grow with load.
    pub(crate) fn knee(&self) -> Option<f64> {
        let busy = self.mixture(1.0)?;
        let mut full = 1.0 / busy.rho(self.servers)?;
        let long = |load| self.wait(load).is_none_or(|wait| wait >= busy.mean);
        // Where a section holds back what comes, the cores are full later.
        let far = 1e6 * full;
        while full < far && !long(full) {
            full *= 2.0;
        }
        let cores = halved(full, long).filter(|load| *load > 0.0 && full.is_finite());
        let turn = self.serial.as_ref().and_then(Passing::knee);
        match (cores.filter(|load| *load < far / 2.0), turn) {
            (Some(cores), Some(turn)) => Some(cores.min(turn)),
            (cores, turn) => cores.or(turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn station(rate: f64, servers: u32) -> Station {
        Station {
            loads: vec![ClassLoad {
                rate,
                mean: 0.01,
                mean_square: 0.000_2,
                arrival_cs2: 1.0,
            }],
            servers,
            passes: None,
            serial: None,
        }
    }

    /// M/M/1: W = ρS/(1 − ρ), which is S at ρ = ½.
    #[test]
    fn the_knee_of_one_server_is_at_half() {
        let knee = station(10.0, 1).knee().unwrap();
        assert!((knee - 5.0).abs() < 1e-6, "{knee}");
        // Twice the load seen: half as far.
        let knee = station(20.0, 1).knee().unwrap();
        assert!((knee - 2.5).abs() < 1e-6, "{knee}");
    }

    #[test]
    fn waits_grow_with_load_and_end_at_saturation() {
        let station = station(40.0, 1);
        let waits: Vec<Option<f64>> = LOADS.iter().map(|load| station.wait(*load)).collect();
        let known: Vec<f64> = waits.iter().flatten().copied().collect();
        assert!(known.windows(2).all(|pair| pair[0] < pair[1]), "{known:?}");
        assert_eq!(known.len(), 7, "2.5 times 0.4 is saturated");
        assert!(waits[7..].iter().all(Option::is_none));
    }
}
