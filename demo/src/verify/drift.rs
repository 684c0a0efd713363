//! How much dearer the same work became between the weighing and a round: what the machine does, and no placement. The
//! given placement is the control: it runs in each round, and the kernel tells what it costs both times.

use std::collections::BTreeMap;

use super::figure::{Round, Subject};
use super::score::{Measured, median};

/// What the given placement cost while it was weighed, ns by origin, by the kernel.
pub(super) struct Control(BTreeMap<Subject, f64>);

impl Control {
    /// The mean over the starts of the weighing.
    pub(super) fn of<'a>(weighed: impl Iterator<Item = &'a Round>) -> Self {
        let mut all: BTreeMap<Subject, Vec<f64>> = BTreeMap::new();
        for (subject, ns) in weighed.flat_map(Round::figures) {
            all.entry(subject).or_default().push(ns);
        }
        Self(
            all.into_iter()
                .filter(|(subject, _)| matches!(subject, Subject::Origin(_)))
                .filter_map(|(subject, values)| Some((subject, Measured::of(&values)?.mean)))
                .collect(),
        )
    }

    /// CPU of the given placement in a round ÷ the same while it was weighed: one factor, the median over origins. 1
    /// where nothing tells it.
    pub(super) fn drift(&self, given: &Round) -> f64 {
        let ratios = given
            .figures()
            .iter()
            .filter_map(|(subject, ns)| Some(ns / self.0.get(subject)?))
            .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
            .collect();
        median(ratios).unwrap_or(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::MIX;
    use crate::verify::measure::Spent;

    /// A second of each origin, ten requests of so many ns.
    fn round(ns: impl Fn(usize) -> f64) -> Round {
        let spent = |row: Option<usize>, ns: f64| Spent {
            seconds: 1.0,
            requests: (0..MIX.len())
                .map(|at| if row == Some(at) { 10 } else { 0 })
                .collect(),
            cpu_ns: BTreeMap::from([("store".to_owned(), ns)]),
            ..Spent::default()
        };
        Round {
            idle: spent(None, 0.0),
            mix: spent(None, 0.0),
            alone: (0..MIX.len())
                .map(|row| spent(Some(row), 10.0 * ns(row)))
                .collect(),
        }
    }

    #[test]
    fn what_makes_all_dearer_is_the_machines_and_one_origin_is_not() {
        let weighed = [round(|_| 90.0), round(|_| 110.0)];
        let control = Control::of(weighed.iter());
        let drift = |ns: fn(usize) -> f64| control.drift(&round(ns));
        assert!((drift(|_| 100.0) - 1.0).abs() < 1e-12);
        assert!((drift(|_| 120.0) - 1.2).abs() < 1e-12);
        assert!((drift(|row| if row == 2 { 900.0 } else { 100.0 }) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_nothing_tells_is_no_drift() {
        assert!((Control::of([].into_iter()).drift(&round(|_| 100.0)) - 1.0).abs() < 1e-12);
    }
}
