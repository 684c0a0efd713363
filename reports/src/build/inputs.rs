//! Load over time, memory terms and serial sections of a service.

use weighbridge_wire::column;

use super::figures::{figure, plain};
use crate::document::{
    EntityReport, Figure, FigureUnit, LoadCorrelation, LoadReport, MemoryReport, QualityWord,
    SerialReport,
};
use crate::model::{Estimate, Model, OperationFacts, ServiceFacts, as_f64};

/// Correlations that are shown.
const CORRELATIONS_MAX: usize = 5;
/// Services among which correlations are looked for, those with most CPU: pairs grow with the square.
const CORRELATED_MAX: usize = 100;

/// The series of the services with most CPU, for correlations.
pub(crate) struct Courses(Vec<(usize, Vec<f64>)>);

impl Courses {
    pub(crate) fn new(model: &Model) -> Self {
        let mut largest: Vec<(usize, f64)> = model
            .services()
            .iter()
            .enumerate()
            .filter_map(|(at, service)| Some((at, model.service_cores_point(service)?)))
            .collect();
        largest.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        largest.truncate(CORRELATED_MAX);
        Self(
            largest
                .into_iter()
                .filter_map(|(at, _)| Some((at, model.cores_by_slot(&model.services()[at])?)))
                .collect(),
        )
    }
}

pub(crate) fn load(
    model: &Model,
    courses: &Courses,
    index: usize,
    service: &ServiceFacts,
) -> LoadReport {
    let series = model.cores_by_slot(service);
    let level = |q: f64| {
        figure(
            series
                .as_ref()
                .and_then(|series| model.level(series, q))
                .as_ref(),
            FigureUnit::Cores,
            "its CPU is not known",
        )
    };
    let mut correlations: Vec<LoadCorrelation> = courses
        .0
        .iter()
        .filter(|(other, _)| *other != index)
        .filter_map(|(other, course)| {
            Some(LoadCorrelation {
                service: model.services()[*other].label.clone(),
                correlation: crate::model::pearson(series.as_ref()?, course)?,
            })
        })
        .collect();
    correlations.sort_by(|a, b| {
        b.correlation
            .abs()
            .total_cmp(&a.correlation.abs())
            .then_with(|| a.service.cmp(&b.service))
    });
    correlations.truncate(CORRELATIONS_MAX);
    LoadReport {
        p50: level(0.5),
        p95: level(0.95),
        max: level(1.0),
        growth: match model.trend(std::iter::once(service)) {
            Ok(trend) => trend.per_day.figure(FigureUnit::Ratio),
            Err(why) => Figure::unknown(FigureUnit::Ratio, &why),
        },
        correlations,
    }
}

pub(crate) fn memory(
    model: &Model,
    service: &ServiceFacts,
    entities: &[EntityReport],
) -> MemoryReport {
    let instances = model.instances(service).map(|n| n.max(1.0));
    let seconds = model.seconds();
    // Mean in flight · mean of what each holds at its peak.
    let held = |facts: &OperationFacts| -> Option<Estimate> {
        let in_flight = model
            .column(&facts.all, column::IN_FLIGHT_NS)?
            .scaled(1e-9 / seconds?);
        let each = model.per_ended(facts, &[column::PEAK_LIVE_SUM_BYTES])?;
        Some(each.times(&in_flight))
    };
    let sum = |each: &dyn Fn(&OperationFacts) -> Option<Estimate>| {
        service
            .operations
            .values()
            .filter_map(each)
            .reduce(|a, b| a.plus(&b))
    };
    let in_flight = sum(&held)
        .zip(instances)
        .map(|(bytes, n)| bytes.scaled(1.0 / n).of_quality(QualityWord::Estimated));
    let each: Vec<Option<Estimate>> = service
        .operations
        .iter()
        .map(|(id, facts)| model.retained(&id.row(&service.label), facts))
        .collect();
    let said = moves(each.iter().flatten().count(), each.len());
    let kept = each.into_iter().flatten().reduce(|a, b| a.plus(&b));
    let base = service
        .process
        .total(column::RSS_INIT_BYTES)
        .map(|bytes| Estimate::exact(as_f64(bytes), QualityWord::Measured));
    let mean = model.rss_mean(service);
    let unexplained = mean.zip(base.as_ref()).map(|(mean, base)| {
        let left = in_flight
            .iter()
            .chain(&kept)
            .fold(mean.minus(base), |left, term| left.minus(term));
        left.of_quality(QualityWord::Estimated)
    });
    let copies: Option<f64> = entities
        .iter()
        .flat_map(|entity| &entity.places)
        .filter(|place| place.copy && place.service == service.label)
        .filter_map(|place| place.size.value)
        .reduce(|a, b| a + b);
    let bytes = FigureUnit::Bytes;
    MemoryReport {
        base: figure(base.as_ref(), bytes, "no process row holds it"),
        in_flight: figure(
            in_flight.as_ref(),
            bytes,
            "no operation tells what its requests hold",
        ),
        retained: figure(kept.as_ref(), bytes, "sampling of what is retained is off"),
        unexplained: figure(unexplained.as_ref(), bytes, "the resident set is not known"),
        copies: plain(
            copies,
            bytes,
            QualityWord::Measured,
            "it holds no copy that is shown to be one, or none reports its size",
        ),
        said,
    }
}

/// How what its processes keep is divided where operations move.
fn moves(sampled: usize, all: usize) -> String {
    let shared = "shared out to its operations by the most that one request of each held";
    match sampled {
        0 => format!(
            "What its operations keep alive is not sampled (WEIGHBRIDGE_RETAINED): all that its processes keep beyond base and requests is {shared}."
        ),
        _ if sampled == all => format!(
            "What an operation keeps alive goes with it, as sampled; what its processes keep beyond that is {shared}."
        ),
        _ => format!(
            "What {sampled} of its {all} operations keep alive goes with them, as sampled; what its processes keep beyond that, the part of the others in it, is {shared}."
        ),
    }
}

pub(crate) fn serial(model: &Model, service: &ServiceFacts) -> SerialReport {
    let found = match model.serial(service) {
        Ok(found) => found,
        Err(reason) => {
            return SerialReport {
                operation: String::new(),
                serial_share: Figure::unknown(FigureUnit::Ratio, reason),
                coherency: Figure::unknown(FigureUnit::Ratio, reason),
                throughput_max: Figure::unknown(FigureUnit::PerSecond, reason),
                note: format!("No serial section is told: {reason}."),
            };
        }
    };
    let with = |point: f64, (low, high): (f64, f64)| Figure {
        low: Some(low.min(point)),
        high: Some(high.max(point)),
        interval_absent_reason: None,
        ..Figure::exact(point, FigureUnit::Ratio, QualityWord::Estimated)
    };
    SerialReport {
        operation: found.operation.row(&service.label),
        serial_share: with(found.fit.law.alpha, found.fit.alpha_interval),
        coherency: match found.no_coherency {
            None => with(found.fit.law.beta, found.fit.beta_interval),
            Some(why) => Figure::unknown(FigureUnit::Ratio, why),
        },
        throughput_max: found.most.figure(FigureUnit::PerSecond),
        note: format!(
            "Universal scalability law over the windows, with the requests in flight as size. In the busiest third of the windows the cores are {} busy, and {} of a request's time is explained by no CPU, call or store.",
            crate::decide::say::share(found.utilisation),
            crate::decide::say::share(found.unexplained)
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::System;
    use crate::{Document, Options};

    /// 20 MiB at init, 40 MiB on average; 50 requests in a second for 0.1 s hold 10 kB each.
    #[test]
    fn the_terms_of_memory_add_up_to_the_resident_set() {
        let mut s = System::new(60);
        s.root("one", "GET /a", 50, [1_000_000; 6]).wall_ns = 100_000_000;
        let d = Document::build(&s.range(), &Options::default());
        let memory = d.services[0].memory.as_ref().unwrap();
        let value = |figure: &crate::document::Figure| figure.value.unwrap();
        assert_eq!(value(&memory.base), f64::from(20 << 20));
        let in_flight = value(&memory.in_flight);
        assert!((in_flight / 50_000.0 - 1.0).abs() < 0.05, "{in_flight}");
        let sum = value(&memory.base) + in_flight + value(&memory.unexplained);
        assert!((sum - f64::from(40 << 20)).abs() < 1.0, "{sum}");
        assert_eq!(memory.retained.value, None, "not sampled is not zero");
    }

    #[test]
    fn levels_of_load_are_those_of_the_windows() {
        let mut s = System::new(60);
        for (name, flip) in [("a", false), ("b", true)] {
            let course: fn(u64) -> (i64, i64) = if flip {
                |w| (if w % 10 == 0 { 0 } else { 100 }, 2_000_000)
            } else {
                |w| (if w % 10 == 0 { 300 } else { 100 }, 2_000_000)
            };
            s.root(name, "GET /a", 0, [1_000_000, 0, 0, 0, 0, 0]).course = Some(course);
        }
        let d = Document::build(&s.range(), &Options::default());
        let a = d.services.iter().find(|s| s.service == "a").unwrap();
        let load = a.load.as_ref().unwrap();
        for (figure, want) in [(&load.p50, 0.103), (&load.p95, 0.307), (&load.max, 0.307)] {
            let value = figure.value.unwrap();
            assert!(
                (value / want - 1.0).abs() < 0.01,
                "{value} instead of {want}"
            );
        }
        assert!(load.p95.low.unwrap() < 0.2 && load.p95.high.unwrap() > 0.3);
        assert_eq!(load.correlations[0].service, "b");
        assert!(load.correlations[0].correlation < -0.99);
    }
}
