//! Predicted against measured.

use super::figure::{Sealed, Subject};

/// How far a prediction of CPU per request of an origin may lie from what was measured.
pub(super) const ERROR_MAX: f64 = 0.10;
/// Within which part of the intervals the measured figure must lie.
pub(super) const COVERED: (f64, f64) = (0.80, 0.97);

/// A figure as measured: the mean over rounds, and how sure it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) mean: f64,
    /// Standard error of the mean; absent with one round.
    pub(super) error: Option<f64>,
    pub(super) rounds: usize,
}

impl Measured {
    /// `None` without a round.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n)?;
        let error = (values.len() > 1).then(|| {
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            (squares / (n - 1.0) / n).sqrt()
        });
        Some(Self {
            mean,
            error,
            rounds: values.len(),
        })
    }
}

/// A prediction beside what was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) sealed: Sealed,
    pub(super) measured: Measured,
    /// What the agent of that placement says itself, ns: without scheduler and unattributed.
    pub(super) agent: Option<f64>,
}

impl Pair {
    /// Signed: predicted ÷ measured − 1.
    pub(super) fn error(&self) -> f64 {
        self.sealed.predicted / self.measured.mean - 1.0
    }

    /// Whether the measured figure lies in the interval; `None` when there is none.
    pub(super) fn covered(&self) -> Option<bool> {
        let (low, high) = self.sealed.interval?;
        Some((low..=high).contains(&self.measured.mean))
    }

    pub(super) fn is_origin(&self) -> bool {
        matches!(self.sealed.subject, Subject::Origin(_))
    }
}

/// Half and largest of absolute errors. `None` of nothing.
pub(super) fn median_and_worst<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Option<(f64, f64)> {
    let errors: Vec<f64> = pairs.map(|pair| pair.error().abs()).collect();
    let worst = errors.iter().copied().max_by(f64::total_cmp)?;
    Some((median(errors)?, worst))
}

/// The one in the middle, or the mean of the two there. `None` of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// Share of the intervals that hold what was measured. `None` without intervals.
pub(super) fn coverage(pairs: &[Pair]) -> Option<f64> {
    let known: Vec<bool> = pairs.iter().filter_map(Pair::covered).collect();
    let held = known.iter().filter(|held| **held).count();
    (!known.is_empty()).then(|| held as f64 / known.len() as f64)
}

/// A placement in the ranking by CPU of a request of the mix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ranked {
    pub(super) placement: String,
    pub(super) predicted: f64,
    pub(super) measured: Measured,
}

/// Pairs of placements that were predicted in the other order than they were measured in. Those whose measured
/// figures lie within twice their standard error of each other have no order.
pub(super) fn misranked(ranked: &[Ranked]) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    for (at, a) in ranked.iter().enumerate() {
        for b in &ranked[at + 1..] {
            let measured = a.measured.mean - b.measured.mean;
            let noise = match (a.measured.error, b.measured.error) {
                (Some(x), Some(y)) => 2.0 * x.hypot(y),
                _ => 0.0,
            };
            if measured.abs() > noise && measured * (a.predicted - b.predicted) <= 0.0 {
                wrong.push((a.placement.clone(), b.placement.clone()));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(predicted: f64, values: &[f64], interval: Option<(f64, f64)>) -> Pair {
        Pair {
            sealed: Sealed {
                placement: "one".to_owned(),
                subject: Subject::Origin("GET /search".to_owned()),
                predicted,
                interval,
            },
            measured: Measured::of(values).expect("there are values"),
            agent: None,
        }
    }

    #[test]
    fn errors_are_shares_of_what_was_measured() {
        let pairs = [
            pair(110.0, &[100.0], None),
            pair(95.0, &[100.0], None),
            pair(100.0, &[100.0], None),
            pair(70.0, &[100.0], None),
        ];
        let (median, worst) = median_and_worst(pairs.iter()).expect("known");
        assert!((median - 0.075).abs() < 1e-12 && (worst - 0.3).abs() < 1e-12);
        assert_eq!(median_and_worst([].iter()), None);
    }

    #[test]
    fn coverage_counts_only_figures_that_have_an_interval() {
        let pairs = [
            pair(1.0, &[1.0, 1.2], Some((1.0, 1.2))),
            pair(1.0, &[2.0], Some((0.9, 1.1))),
            pair(1.0, &[9.0], None),
        ];
        assert_eq!(coverage(&pairs), Some(0.5));
        assert_eq!(coverage(&pairs[2..]), None);
    }

    #[test]
    fn the_standard_error_needs_two_rounds() {
        let measured = Measured::of(&[1.0, 3.0]).expect("known");
        assert_eq!((measured.mean, measured.error), (2.0, Some(1.0)));
        assert_eq!(Measured::of(&[1.0]).expect("known").error, None);
        assert_eq!(Measured::of(&[]), None);
    }

    #[test]
    fn an_order_within_noise_is_no_order() {
        let ranked = |name: &str, predicted, values: &[f64]| Ranked {
            placement: name.to_owned(),
            predicted,
            measured: Measured::of(values).expect("known"),
        };
        let wrong = misranked(&[
            ranked("a", 1.0, &[2.0, 2.2]),
            ranked("b", 2.0, &[2.1, 2.2]),
            ranked("c", 3.0, &[1.0, 1.1]),
        ]);
        let wrong: Vec<(&str, &str)> = wrong
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(wrong, [("a", "c"), ("b", "c")]);
    }
}
