//! The growth line: what is needed on later days if the load goes on growing as it did in the range.

use super::capacity::{ServiceLoad, replicas_of, service_load};
use super::figures::{figure, plain};
use crate::Options;
use crate::document::{Figure, FigureUnit, GrowthPoint, GrowthReport, QualityWord};
use crate::model::{Estimate, Model, ServiceFacts, as_f64};
use weighbridge_wire::column;

/// Days ahead.
const DAYS: [f64; 5] = [0.0, 30.0, 90.0, 180.0, 365.0];
/// A trend within a day is one of the hour: a range must hold two.
const DAY_NS: u64 = 86_400_000_000_000;

/// Growth of all services together.
pub(crate) fn growth(model: &Model, options: &Options) -> GrowthReport {
    let loads: Vec<(&ServiceFacts, ServiceLoad)> = model
        .services()
        .iter()
        .filter_map(|service| Some((service, service_load(model, service)?)))
        .collect();
    let per_day = match model.rollup.seen.len_ns() {
        short if short < 2 * DAY_NS => Err(
            "the range is shorter than two days: a trend within it is one of the hour, not of the load",
        ),
        _ => sum(model)
            .and_then(|series| model.growth_per_day(&series))
            .ok_or("there is no load, or too few windows"),
    };
    let points = match &per_day {
        Ok(per_day) => DAYS
            .iter()
            .map(|days| point(*days, per_day, &loads, model, options))
            .collect(),
        Err(_) => Vec::new(),
    };
    GrowthReport {
        per_day: match &per_day {
            Ok(per_day) => per_day.figure(FigureUnit::Ratio),
            Err(why) => Figure::unknown(FigureUnit::Ratio, why),
        },
        points,
    }
}

/// CPU of all services in each slot, cores.
fn sum(model: &Model) -> Option<Vec<f64>> {
    model
        .services()
        .iter()
        .filter_map(|service| model.cores_by_slot(service))
        .reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect())
}

/// The load on that day, and what it needs.
fn point(
    days: f64,
    per_day: &Estimate,
    loads: &[(&ServiceFacts, ServiceLoad)],
    model: &Model,
    options: &Options,
) -> GrowthPoint {
    let factor = per_day
        .clone()
        .map(|share| (1.0 + share * days).max(0.0))
        .of_quality(QualityWord::Estimated);
    let sum = |of: fn(&ServiceLoad) -> &Estimate| {
        let all = loads.iter().map(|(_, load)| of(load).clone());
        all.reduce(|a, b| a.plus(&b))
    };
    let cores = sum(|load| &load.base)
        .zip(sum(|load| &load.variable))
        .and_then(|(base, variable)| {
            Estimate::combine(&[&base, &variable, &factor], |parts| {
                let [base, variable, factor] = parts else {
                    return None;
                };
                Some(base + variable * factor)
            })
        });
    let needed: Option<Vec<(f64, f64)>> = loads
        .iter()
        .map(|(service, load)| {
            let cores = load.at(factor.point).point;
            let replicas =
                replicas_of(&service.label, cores, model.cores_limit(service)?, options)?;
            let largest = service.process.total(column::RSS_PEAK_BYTES).map(as_f64)?;
            Some((replicas, replicas * largest))
        })
        .collect();
    let total = |of: fn(&(f64, f64)) -> f64, unit| {
        plain(
            needed.as_ref().map(|needed| needed.iter().map(of).sum()),
            unit,
            QualityWord::Estimated,
            "the cores or the memory of some processes are not known",
        )
    };
    GrowthPoint {
        days,
        load_factor: factor.figure(FigureUnit::Ratio),
        cores: figure(cores.as_ref(), FigureUnit::Cores, "no CPU is known"),
        replicas: total(|(replicas, _)| *replicas, FigureUnit::Count),
        memory: total(|(_, bytes)| *bytes, FigureUnit::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::System;

    #[test]
    fn a_short_range_tells_no_growth_and_says_why() {
        let mut s = System::new(60);
        s.root("grows", "GET /a", 20, [1_000_000, 0, 0, 0, 0, 0]);
        let growth = growth(&Model::new(&s.range()), &Options::default());
        assert_eq!((growth.per_day.value, growth.points.len()), (None, 0));
        let why = growth.per_day.unknown_reason.expect("a reason");
        assert!(why.contains("two days"), "{why}");
    }

    #[test]
    fn the_line_goes_on_as_the_load_grew() {
        let mut s = System::new(60);
        s.root("grows", "GET /a", 0, [1_000_000, 0, 0, 0, 0, 0])
            .course = Some(|w| (100 + i64::try_from(w).expect("small"), 2_000_000));
        let mut range = s.range();
        // A window of a second becomes one of an hour.
        let stretch = |ns: u64, from: u64| from + (ns - from) * 3_600;
        let from = range.window.start_unix_ns;
        let wider = |window: &mut weighbridge_wire::Window| {
            window.start_unix_ns = stretch(window.start_unix_ns, from);
            window.end_unix_ns = stretch(window.end_unix_ns, from);
        };
        wider(&mut range.window);
        range
            .windows
            .iter_mut()
            .for_each(|folded| wider(&mut folded.window));
        let growth = growth(&Model::new(&range), &Options::default());
        // One more of 129.5 in each of 24 windows of a day, of what grows; 1 ms of agent besides.
        let per_day = growth.per_day.value.expect("two and a half days");
        assert!((0.17..0.19).contains(&per_day), "{per_day}");
        let at = |days: f64| {
            let point = growth.points.iter().find(|p| (p.days - days).abs() < 0.1);
            point.and_then(|p| p.cores.value).expect("cores")
        };
        let (now, month) = (at(0.0), at(30.0));
        assert!(month > now * 5.0 && month < now * 7.0, "{now} and {month}");
        assert!(growth.points[1].cores.low < growth.points[1].cores.value);
    }
}
