//! From estimates to figures.

use weighbridge_wire::{Class, Histogram, column};

use crate::document::{ClassFigures, Figure, FigureUnit, QualityWord, Quantiles};
use crate::model::{CPU_COLUMNS, Estimate, Model, Sums, as_f64};

/// A figure from an estimate that may be absent.
pub(crate) fn figure(estimate: Option<&Estimate>, unit: FigureUnit, absent: &str) -> Figure {
    estimate.map_or_else(
        || Figure::unknown(unit, absent),
        |estimate| estimate.figure(unit),
    )
}

/// A counter that was read exactly.
pub(crate) fn count(sums: &Sums, column: u32, unit: FigureUnit) -> Figure {
    match sums.get(column) {
        Some(tally) => {
            let quality = tally
                .by_quality
                .iter()
                .next()
                .map_or(QualityWord::Other, |(quality, _)| quality);
            Figure::exact(as_f64(tally.total), unit, quality)
        }
        None => Figure::unknown(unit, "no row holds it"),
    }
}

/// A time that was waited, found as a difference. Nobody waits for less than nothing: where the difference is below zero
/// the parts overlap or two clocks disagree, and what was waited is not known.
pub(crate) fn waiting(
    estimate: Option<&Estimate>,
    unit: FigureUnit,
    absent: &str,
    below_zero: &str,
) -> Figure {
    if estimate.is_some_and(|estimate| estimate.point < 0.0) {
        return Figure::unknown(unit, below_zero);
    }
    let mut figure = figure(estimate, unit, absent);
    for end in [&mut figure.low, &mut figure.high] {
        *end = end.map(|end| end.max(0.0));
    }
    figure
}

/// CPU by class, each column passed through `scale`.
pub(crate) fn classes(
    model: &Model,
    sums: &Sums,
    unit: FigureUnit,
    scale: impl Fn(&Estimate) -> Option<Estimate>,
) -> ClassFigures {
    let known: Vec<Option<Estimate>> = CPU_COLUMNS
        .iter()
        .map(|column| {
            model
                .column(sums, *column)
                .and_then(|estimate| scale(&estimate))
        })
        .collect();
    class_figures(&known, unit)
}

/// CPU by class from estimates in the order of the classes.
pub(crate) fn class_figures(known: &[Option<Estimate>], unit: FigureUnit) -> ClassFigures {
    let of = |class: Class| {
        let estimate = known.get(class as usize).and_then(Option::as_ref);
        figure(estimate, unit, "no row holds this class")
    };
    let total = known.iter().flatten().cloned().reduce(|a, b| a.plus(&b));
    ClassFigures {
        handler: of(Class::Handler),
        encode: of(Class::Encode),
        decode: of(Class::Decode),
        protocol: of(Class::Protocol),
        io: of(Class::Io),
        store: of(Class::Store),
        total: figure(total.as_ref(), unit, "no class is known"),
    }
}

/// Points of a histogram of nanoseconds.
pub(crate) fn quantiles(histogram: Option<&Histogram>) -> Quantiles {
    let point = |q: f64| match histogram.and_then(|h| h.quantile(q)) {
        Some(value) => ns(value),
        None => Figure::unknown(FigureUnit::Ns, "no histogram"),
    };
    Quantiles {
        count: histogram.map_or(0, Histogram::count),
        mean: match histogram.and_then(Histogram::mean) {
            Some(mean) => Figure::exact(mean, FigureUnit::Ns, QualityWord::Measured),
            None => Figure::unknown(FigureUnit::Ns, "no histogram"),
        },
        p50: point(0.5),
        p95: point(0.95),
        p99: point(0.99),
        max: point(1.0),
    }
}

#[allow(clippy::cast_precision_loss)]
fn ns(value: u64) -> Figure {
    Figure::exact(value as f64, FigureUnit::Ns, QualityWord::Measured)
}

/// A plain number that no interval is computed for.
pub(crate) fn plain(
    value: Option<f64>,
    unit: FigureUnit,
    quality: QualityWord,
    absent: &str,
) -> Figure {
    match value {
        Some(value) => Figure::exact(value, unit, quality),
        None => Figure::unknown(unit, absent),
    }
}

/// `Σ observed ÷ Σ observed`: a share, unknown when there is nothing to divide by.
pub(crate) fn share(part: Option<&Estimate>, whole: Option<&Estimate>) -> Figure {
    let share = part.zip(whole).and_then(|(part, whole)| part.over(whole));
    figure(
        share.as_ref(),
        FigureUnit::Ratio,
        "nothing to take a share of",
    )
}

/// The wall-time histogram's column.
pub(crate) const WALL: u32 = column::HIST_WALL_NS;
/// The request-CPU histogram's column.
pub(crate) const REQUEST_CPU: u32 = column::HIST_REQUEST_CPU_NS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::System;

    #[test]
    fn a_class_that_no_row_holds_is_unknown_and_not_zero() {
        let model = Model::new(&System::new(40).range());
        let none = Sums::default();
        let known = classes(&model, &none, FigureUnit::Ns, |cpu| Some(cpu.clone()));
        assert!(
            known
                .each()
                .iter()
                .all(|(_, figure)| figure.value.is_none())
        );
        assert_eq!(known.total.value, None);
        let mut one = vec![None; 6];
        one[Class::Io as usize] = Some(Estimate::exact(7.0, QualityWord::Measured));
        let known = class_figures(&one, FigureUnit::Ns);
        assert_eq!((known.io.value, known.total.value), (Some(7.0), Some(7.0)));
        assert_eq!(known.handler.value, None);
        assert!(known.handler.unknown_reason.is_some());
    }
}
