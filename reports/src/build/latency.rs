//! How long requests take at other loads: the table that the page's what-if reads.

use super::capacity::whole_cores;
use super::figures::plain;
use super::origins::Origin;
use super::paths::Way;
use crate::document::{Figure, FigureUnit, LatencyPoint, OriginLatency, OriginReport, QualityWord};
use crate::model::{Estimate, Model, ServiceFacts};
use crate::queue::{ClassLoad, Mixture};

/// Load factors of the table.
pub(crate) const LOADS: [f64; 12] = [
    0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5,
];

/// Why a response has no interval.
const NO_INTERVAL: &str =
    "the error of the waiting formula is larger than that of the samples: see Method";

/// Mean waits for a core at each service.
pub(crate) struct Waits {
    /// By service, then load; `Err` says why there is none.
    at: Vec<[Result<f64, &'static str>; LOADS.len()]>,
    seen: Vec<Result<f64, &'static str>>,
}

const UNKNOWN: &str =
    "a service on the way has no histogram of request CPU, or its processes' cores are not known";
const SATURATED: &str = "a service on the way is saturated: the queue grows without end";

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
        let visits: Vec<(usize, f64)> = ways
            .iter()
            .filter(|way| way.waited)
            .filter_map(|way| {
                let last = way.places.last()?;
                let requests = origin.operations.get(last)?.ended.as_ref()?.point;
                Some((last.0, requests * way.part / ended?.point))
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

    fn response(&self, report: &OriginReport, visits: &[(usize, f64)], index: usize) -> Figure {
        let unit = FigureUnit::Ns;
        let Some(seen) = report.wall.mean.value else {
            return Figure::unknown(unit, "no histogram of wall time at the origin");
        };
        if visits.is_empty() {
            return Figure::unknown(unit, "no operation is known that the answer waits for");
        }
        let mut response = seen;
        for (service, times) in visits {
            let then = self.at.get(*service).map_or(Err(UNKNOWN), |at| at[index]);
            let now = self.seen.get(*service).copied().unwrap_or(Err(UNKNOWN));
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

/// A process of a service as a queue for its cores.
pub(crate) struct Station {
    loads: Vec<ClassLoad>,
    servers: u32,
}

impl Station {
    /// `None` when no operation has a histogram of request CPU, or the processes' cores are not known.
    pub(crate) fn of(model: &Model, service: &ServiceFacts) -> Option<Self> {
        let servers = whole_cores(model.cores_limit(service)?)?;
        let instances = model.instances(service)?.max(1.0);
        let loads: Vec<ClassLoad> = service
            .operations
            .iter()
            .filter_map(|(id, facts)| model.class_load(service, id, facts))
            .map(|mut load| {
                load.rate /= instances;
                load
            })
            .collect();
        (!loads.is_empty()).then_some(Self { loads, servers })
    }

    fn mixture(&self, factor: f64) -> Option<Mixture> {
        let loads: Vec<ClassLoad> = self
            .loads
            .iter()
            .map(|load| ClassLoad {
                rate: load.rate * factor,
                ..*load
            })
            .collect();
        Mixture::of(&loads)
    }

    /// Mean wait for a core, seconds; `None` at saturation.
    pub(crate) fn wait(&self, factor: f64) -> Option<f64> {
        self.mixture(factor)?.wait(self.servers)
    }

    /// The load at which a request waits as long as it computes, by halving: the wait only grows with load.
    pub(crate) fn knee(&self) -> Option<f64> {
        let busy = self.mixture(1.0)?;
        let full = 1.0 / busy.rho(self.servers)?;
        let (mut low, mut high) = (0.0, full);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            match self.wait(middle) {
                Some(wait) if wait < busy.mean => low = middle,
                _ => high = middle,
            }
        }
        (full.is_finite() && low > 0.0).then_some(low)
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
