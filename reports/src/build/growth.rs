//! The growth line: what is needed on later days if the load goes on growing as it did in the range.

use super::capacity::{ServiceLoad, service_load};
use super::figures::{figure, plain};
use crate::document::{Figure, FigureUnit, GrowthPoint, GrowthReport, QualityWord};
use crate::model::{Estimate, Model, ServiceFacts, Trend, as_f64};
use crate::{Options, plan};
use weighbridge_wire::column;

/// Days ahead.
const DAYS: [f64; 5] = [0.0, 30.0, 90.0, 180.0, 365.0];

/// Growth of all services together.
pub(crate) fn growth(model: &Model, options: &Options) -> GrowthReport {
    let loads: Vec<(&ServiceFacts, ServiceLoad)> = model
        .services()
        .iter()
        .filter_map(|service| Some((service, service_load(model, service)?)))
        .collect();
    let trend = model.trend(model.services().iter());
    let points = match &trend {
        Ok(trend) => DAYS
            .iter()
            .map(|days| point(*days, trend, &loads, model, options))
            .collect(),
        Err(_) => Vec::new(),
    };
    let (plan, said) = plan::report(&trend, options);
    GrowthReport {
        per_day: match &trend {
            Ok(trend) => trend.per_day.figure(FigureUnit::Ratio),
            Err(why) => Figure::unknown(FigureUnit::Ratio, why),
        },
        points,
        plan,
        said,
    }
}

/// The load on that day, and what it needs.
fn point(
    days: f64,
    trend: &Trend,
    loads: &[(&ServiceFacts, ServiceLoad)],
    model: &Model,
    options: &Options,
) -> GrowthPoint {
    let factor = trend.load_after(days);
    let processes = |service: &ServiceFacts, load: &ServiceLoad| {
        let limit = model.cores_limit(service)?;
        load.processes(&service.label, factor.point, limit, options)
    };
    let sum = |of: &dyn Fn(&ServiceFacts, &ServiceLoad) -> Estimate| {
        let all = loads.iter().map(|(service, load)| of(service, load));
        all.reduce(|a, b| a.plus(&b))
    };
    let base = sum(&|service, load| load.base_of(factor.point, processes(service, load)));
    let cores = base
        .zip(sum(&|_, load| load.variable().clone()))
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
            let replicas = processes(service, load)?;
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
    use weighbridge_wire::{FoldedRange, Window};

    use super::*;
    use crate::Document;
    use crate::model::DAY_NS;
    use crate::testing::System;

    /// Requests of a day of 30: 2 % of the first more each day, half of it at weekends.
    fn requests(day: u64) -> i64 {
        let weekday = if matches!(day % 7, 2 | 3) { 1 } else { 2 };
        i64::try_from((50 + day) * weekday * 240).expect("small")
    }

    /// 30 days from a day's first second on, those from `fine` on in hours, the others whole.
    fn month(fine: u64) -> FoldedRange {
        // Windows are seconds and know nothing of days, so each kind of range has a course of its own.
        let course: fn(u64) -> (i64, i64) = match fine {
            30 => |w| (requests(w), 2_000_000),
            28 => |w| match w {
                0..28 => (requests(w), 2_000_000),
                _ => (requests(28 + (w - 28) / 24) / 24, 2_000_000),
            },
            _ => panic!("no such month"),
        };
        let mut s = System::new(fine + (30 - fine) * 24);
        s.root("grows", "GET /a", 0, [1_000_000, 0, 0, 0, 0, 0])
            .course = Some(course);
        let mut range = s.range();
        let first = range.window.start_unix_ns;
        let start = first / DAY_NS * DAY_NS;
        let at = |second: u64| match second {
            day if day <= fine => day * DAY_NS,
            hour => fine * DAY_NS + (hour - fine) * (DAY_NS / 24),
        };
        let wider = |window: &mut Window| {
            for ns in [&mut window.start_unix_ns, &mut window.end_unix_ns] {
                *ns = start + at((*ns - first) / 1_000_000_000);
            }
        };
        wider(&mut range.window);
        let windows = range.windows.iter_mut();
        windows.for_each(|folded| wider(&mut folded.window));
        range
    }

    fn told(range: &FoldedRange) -> GrowthReport {
        growth(&Model::new(range), &Options::default())
    }

    #[test]
    fn a_short_range_tells_no_growth_and_says_why() {
        let mut s = System::new(60);
        s.root("grows", "GET /a", 20, [1_000_000, 0, 0, 0, 0, 0]);
        let growth = told(&s.range());
        assert_eq!((growth.per_day.value, growth.points.len()), (None, 0));
        let why = growth.per_day.unknown_reason.expect("a reason");
        assert!(why.contains("14 whole days"), "{why}");
    }

    #[test]
    fn a_known_growth_under_a_weekly_pattern_is_recovered() {
        let growth = told(&month(30));
        // One of 64.5 in a day, the mean of 50 to 79.
        let want = 1.0 / 64.5;
        let (low, high) = growth
            .per_day
            .low
            .zip(growth.per_day.high)
            .expect("an interval");
        let found = growth.per_day.value.expect("a month");
        assert!((found / want - 1.0).abs() < 0.02, "{found} {want}");
        assert!(low <= want * 1.02 && want * 0.98 <= high, "{low} {high}");
        // The load seen is that of the middle: at the end, 15 days on, it is more.
        let at = |days: f64| {
            let point = growth.points.iter().find(|p| (p.days - days).abs() < 0.1);
            point.and_then(|p| p.load_factor.value).expect("a load")
        };
        assert!(
            (at(0.0) / (1.0 + 15.0 * want) - 1.0).abs() < 0.01,
            "{}",
            at(0.0)
        );
        assert!(
            (at(30.0) / (1.0 + 45.0 * want) - 1.0).abs() < 0.01,
            "{}",
            at(30.0)
        );
    }

    #[test]
    fn hours_among_days_do_not_change_the_slope() {
        let [days, mixed] = [30, 28].map(|fine| told(&month(fine)).per_day.value.expect("a month"));
        assert!((days / mixed - 1.0).abs() < 0.01, "{days} and {mixed}");
    }

    #[test]
    fn a_day_that_is_planned_for_puts_its_growth_into_the_loads() {
        let build = |range: &FoldedRange, plan_days: f64| {
            let options = Options {
                plan_days,
                ..Options::default()
            };
            Document::build(range, &options)
        };
        let range = month(30);
        let (plain, planned) = (build(&range, 0.0), build(&range, 90.0));
        assert_eq!(plain.capacity.load_factors, [1.0, 2.0, 5.0]);
        let growth = |document: &Document| document.capacity.growth.clone().expect("new");
        assert!(
            growth(&plain).plan.is_none() && growth(&plain).said.contains("is not in the loads")
        );
        let plan = growth(&planned).plan.expect("a plan");
        let want = 1.0 + (15.0 + 90.0) / 64.5;
        assert!(
            (plan.in_loads / want - 1.0).abs() < 0.02,
            "{}",
            plan.in_loads
        );
        let factors = [1.0, plan.in_loads, 2.0 * plan.in_loads, 5.0 * plan.in_loads];
        let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5;
        assert!(
            planned
                .capacity
                .load_factors
                .iter()
                .zip(&factors)
                .all(close)
        );
        assert_eq!(
            planned.topologies.expect("searched").load_factor,
            planned.capacity.load_factors[3]
        );
        let said = growth(&build(&range, 90.0)).said;
        assert!(
            said.contains("Growth is in the loads") && said.contains("90 days"),
            "{said}"
        );

        // What is not known is not nothing: it is said that it is not in it.
        let mut s = System::new(60);
        s.root("grows", "GET /a", 20, [1_000_000, 0, 0, 0, 0, 0]);
        let short = build(&s.range(), 90.0);
        assert_eq!(short.capacity.load_factors, [1.0, 2.0, 5.0]);
        let growth = growth(&short);
        assert!(
            growth.said.contains("although 90 days ahead"),
            "{}",
            growth.said
        );
        assert_eq!(growth.plan.expect("asked for").load_factor.value, None);
    }
}
