//! What changed between two documents: more calls, or dearer calls.
//!
//! Both are read as they are; nothing is measured again. The split is exact: with rate `r` and unit cost `u`,
//! `r₂u₂ − r₁u₁ = (r₂ − r₁)·(u₁ + u₂)/2 + (u₂ − u₁)·(r₁ + r₂)/2`.

use std::collections::BTreeMap;

use crate::document::{
    ChangeReport, ChangeSide, ChangeVerdict, CostChange, Document, Figure, FigureUnit,
    QualityShare, QualityWord,
};

/// A budget: by how much a request may become dearer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Percent of the unit cost of the base.
    pub percent: f64,
}

/// Half the width of a 90 % interval, in standard deviations.
const NINETY: f64 = 1.645;

/// The change from `base` to `head`.
#[must_use]
pub fn compare(base: &Document, head: &Document) -> ChangeReport {
    let mut notes = Vec::new();
    if base.quality.seed == head.quality.seed {
        notes.push("Both documents are of the same rollup: nothing can have changed.".to_owned());
    }
    if base.window.end_unix_ns > head.window.start_unix_ns
        && head.window.end_unix_ns > base.window.start_unix_ns
        && base.quality.seed != head.quality.seed
    {
        notes.push("The two ranges overlap: part of the data stands on both sides.".to_owned());
    }
    notes.push(
        "Intervals of both sides are taken as independent. They know the spread over windows, not what differs \
         between two machines or two days: compare ranges of the same load on the same machine."
            .to_owned(),
    );
    ChangeReport {
        base: side(base),
        head: side(head),
        origins: rows(&origins(base), &origins(head)),
        operations: rows(&operations(base), &operations(head)),
        notes,
    }
}

impl ChangeReport {
    /// Origins whose requests became dearer than a budget allows: the change is larger than it, and its interval
    /// lies above nothing. Without an interval the change alone decides.
    #[must_use]
    pub fn over(&self, budget: Budget) -> Vec<&CostChange> {
        self.origins
            .iter()
            .filter(|row| {
                let change = &row.unit_change;
                change
                    .value
                    .is_some_and(|share| share * 100.0 > budget.percent)
                    && change.low.is_none_or(|low| low > 0.0)
            })
            .collect()
    }

    /// True when no origin stands on both sides with a unit cost: there is nothing to compare.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.origins
            .iter()
            .all(|row| row.unit_change.value.is_none())
    }
}

fn side(document: &Document) -> ChangeSide {
    ChangeSide {
        start: document.window.start.clone(),
        end: document.window.end.clone(),
        windows: document.window.windows,
        seed: document.quality.seed.clone(),
    }
}

/// What is compared of one row.
struct Cost<'a> {
    service: &'a str,
    operation: String,
    rate: &'a Figure,
    unit: &'a Figure,
}

type Costs<'a> = BTreeMap<&'a str, Cost<'a>>;

fn origins(document: &Document) -> Costs<'_> {
    document
        .origins
        .iter()
        .map(|origin| {
            let cost = Cost {
                service: &origin.service,
                operation: origin.operation.clone(),
                rate: &origin.rate,
                unit: &origin.unit_cost.total,
            };
            (origin.id.as_str(), cost)
        })
        .collect()
}

fn operations(document: &Document) -> Costs<'_> {
    document
        .services
        .iter()
        .flat_map(|service| service.operations.iter().map(move |o| (service, o)))
        .map(|(service, operation)| {
            let shown = if operation.class.is_empty() {
                operation.operation.clone()
            } else {
                format!("{} ({})", operation.operation, operation.class)
            };
            let cost = Cost {
                service: &service.service,
                operation: shown,
                rate: &operation.rate,
                unit: &operation.cpu_per_request.total,
            };
            (operation.id.as_str(), cost)
        })
        .collect()
}

fn rows(base: &Costs<'_>, head: &Costs<'_>) -> Vec<CostChange> {
    let mut ids: Vec<&str> = base.keys().chain(head.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut rows: Vec<CostChange> = ids
        .into_iter()
        .filter_map(|id| row(id, base.get(id), head.get(id)))
        .collect();
    let size = |row: &CostChange| row.cores_change.value.map_or(-1.0, f64::abs);
    rows.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.id.cmp(&b.id)));
    rows
}

fn row(id: &str, base: Option<&Cost<'_>>, head: Option<&Cost<'_>>) -> Option<CostChange> {
    let named = head.or(base)?;
    let side = |cost: Option<&Cost<'_>>, unit: FigureUnit, pick: fn(&Cost<'_>) -> Figure| {
        cost.map_or_else(|| Figure::unknown(unit, "this side does not have it"), pick)
    };
    let rate = |cost| side(cost, FigureUnit::PerSecond, |cost| cost.rate.clone());
    let unit = |cost| side(cost, FigureUnit::NsPerRequest, |cost| cost.unit.clone());
    let (rate_before, rate_after) = (rate(base), rate(head));
    let (unit_before, unit_after) = (unit(base), unit(head));
    let unit_change = ratio(&unit_before, &unit_after);
    // What only one side has did not run on the other: its rate there is known to be nothing, and its unit cost is
    // taken as that of the side that has it, so that the whole change is one of calls.
    let (r1, u1, r2, u2) = match (base, head) {
        (Some(_), Some(_)) => (
            rate_before.value,
            unit_before.value,
            rate_after.value,
            unit_after.value,
        ),
        (Some(_), None) => (
            rate_before.value,
            unit_before.value,
            Some(0.0),
            unit_before.value,
        ),
        _ => (
            Some(0.0),
            unit_after.value,
            rate_after.value,
            unit_after.value,
        ),
    };
    let terms = match (r1, u1, r2, u2) {
        (Some(r1), Some(u1), Some(r2), Some(u2)) => Some((
            (r2 - r1) * f64::midpoint(u1, u2) / 1e9,
            (u2 - u1) * f64::midpoint(r1, r2) / 1e9,
        )),
        _ => None,
    };
    let cores = |value: Option<f64>| match value.filter(|value| value.is_finite()) {
        Some(value) => Figure {
            interval_absent_reason: Some(
                "a product of two changes; see the unit cost for its interval".to_owned(),
            ),
            ..estimated(value, FigureUnit::Cores)
        },
        None => Figure::unknown(
            FigureUnit::Cores,
            "one side does not know rate or unit cost",
        ),
    };
    let verdict = match (base, head) {
        (None, _) => ChangeVerdict::New,
        (_, None) => ChangeVerdict::Gone,
        _ => verdict(&unit_change),
    };
    Some(CostChange {
        id: id.to_owned(),
        service: named.service.to_owned(),
        operation: named.operation.clone(),
        rate_before,
        rate_after,
        unit_before,
        unit_after,
        unit_change,
        more_calls: cores(terms.map(|(more, _)| more)),
        dearer_calls: cores(terms.map(|(_, dearer)| dearer)),
        cores_change: cores(terms.map(|(more, dearer)| more + dearer)),
        verdict,
    })
}

fn estimated(value: f64, unit: FigureUnit) -> Figure {
    Figure {
        value: Some(value),
        low: None,
        high: None,
        interval_absent_reason: None,
        unknown_reason: None,
        unit,
        quality: vec![QualityShare {
            quality: QualityWord::Estimated,
            share: 1.0,
        }],
    }
}

fn verdict(change: &Figure) -> ChangeVerdict {
    match (change.low, change.high) {
        (Some(low), _) if low > 0.0 => ChangeVerdict::Dearer,
        (_, Some(high)) if high < 0.0 => ChangeVerdict::Cheaper,
        (Some(_), Some(_)) => ChangeVerdict::Same,
        _ => ChangeVerdict::CannotSay,
    }
}

/// `after ÷ before − 1`, its interval by the delta method on the logarithm of the ratio.
fn ratio(before: &Figure, after: &Figure) -> Figure {
    let unit = FigureUnit::Ratio;
    let (Some(b), Some(a)) = (before.value, after.value) else {
        return Figure::unknown(unit, "one side does not know the unit cost");
    };
    if !(b > 0.0 && a > 0.0) {
        return Figure::unknown(unit, "a unit cost that is not above nothing has no ratio");
    }
    let mut change = estimated(a / b - 1.0, unit);
    let spread = |figure: &Figure, value: f64| match (figure.low, figure.high) {
        (Some(low), Some(high)) if high >= low => Some((high - low) / 2.0 / NINETY / value),
        // A counter that was read exactly has no interval and no reason for none.
        (None, None) if figure.interval_absent_reason.is_none() => Some(0.0),
        _ => None,
    };
    match (spread(before, b), spread(after, a)) {
        (Some(sb), Some(sa)) => {
            let width = NINETY * libm::sqrt(sb * sb + sa * sa);
            change.low = Some(a / b * libm::exp(-width) - 1.0).filter(|x| x.is_finite());
            change.high = Some(a / b * libm::exp(width) - 1.0).filter(|x| x.is_finite());
        }
        _ => {
            change.interval_absent_reason = Some("one side has no interval".to_owned());
        }
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::System;

    fn document(rate: i64, handler: i64) -> Document {
        let mut system = System::new(60);
        system.root(
            "store",
            "POST /orders",
            rate,
            [handler, 40_000, 40_000, 60_000, 60_000, 90_000],
        );
        Document::build(&system.range(), &Options::default())
    }

    #[test]
    fn more_calls_and_dearer_calls_sum_to_the_change() {
        let (base, head) = (document(20, 300_000), document(30, 500_000));
        let change = compare(&base, &head);
        let row = &change.origins[0];
        let value = |f: &Figure| f.value.unwrap();
        let (u1, u2) = (value(&row.unit_before), value(&row.unit_after));
        let (r1, r2) = (value(&row.rate_before), value(&row.rate_after));
        let sum = value(&row.more_calls) + value(&row.dearer_calls);
        assert!((sum - value(&row.cores_change)).abs() < 1e-12);
        assert!((sum - (r2 * u2 - r1 * u1) / 1e9).abs() < 1e-12);
        assert!(value(&row.more_calls) > 0.0 && value(&row.dearer_calls) > 0.0);
        assert_eq!(row.verdict, ChangeVerdict::Dearer);
        assert!((value(&row.unit_change) - (u2 / u1 - 1.0)).abs() < 1e-12);
    }

    #[test]
    fn only_more_calls_is_no_dearer_request() {
        let change = compare(&document(20, 300_000), &document(40, 300_000));
        let row = &change.origins[0];
        assert!(row.unit_change.value.unwrap().abs() < 1e-9);
        assert_eq!(row.verdict, ChangeVerdict::Same);
        assert!(change.over(Budget { percent: 0.0 }).is_empty());
    }

    #[test]
    fn the_budget_is_breached_by_more_than_its_percent_only() {
        // 300 → 360 µs of 590 in all: about 10 %.
        let change = compare(&document(20, 300_000), &document(20, 360_000));
        let share = change.origins[0].unit_change.value.unwrap() * 100.0;
        assert!((9.0..12.0).contains(&share), "{share}");
        assert_eq!(change.over(Budget { percent: 8.0 }).len(), 1);
        assert!(change.over(Budget { percent: 15.0 }).is_empty());
        // The other way round it is cheaper.
        let change = compare(&document(20, 360_000), &document(20, 300_000));
        assert_eq!(change.origins[0].verdict, ChangeVerdict::Cheaper);
        assert!(change.over(Budget { percent: 0.0 }).is_empty());
    }

    #[test]
    fn a_change_within_the_noise_breaks_no_budget() {
        let mut change = compare(&document(20, 300_000), &document(20, 400_000));
        change.origins[0].unit_change.low = Some(-0.01);
        assert!(change.over(Budget { percent: 5.0 }).is_empty());
    }

    #[test]
    fn what_one_side_lacks_is_new_or_gone() {
        let base = document(20, 300_000);
        let mut head = base.clone();
        head.origins[0].id = "origin:store/GET /else".to_owned();
        head.origins[0].operation = "GET /else".to_owned();
        let change = compare(&base, &head);
        let words: Vec<&str> = change.origins.iter().map(|r| r.verdict.as_str()).collect();
        assert_eq!(words, ["new", "gone"]);
        assert!(change.is_empty());
        let sum: f64 = change
            .origins
            .iter()
            .filter_map(|r| r.cores_change.value)
            .sum();
        assert!(sum.abs() < 1e-12, "what came and what went are equal");
    }
}
