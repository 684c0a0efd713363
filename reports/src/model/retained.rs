//! What operations keep alive beyond their requests, by sampling.

use weighbridge_wire::column;

use super::{Estimate, Model, OperationFacts, Z, as_f64};
use crate::document::QualityWord;
use crate::rng::seed_of;

/// Bytes in each process that runs the operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Retained {
    /// Mean at the ends of windows.
    pub(crate) held: f64,
    /// Its 90 % interval; absent where the agent does not tell its standard error.
    pub(crate) interval: Option<(f64, f64)>,
}

/// Why there is no interval.
pub(crate) const NO_ERROR: &str = "the agent of this service does not tell its standard error";

/// `None` where sampling is off.
pub(crate) fn retained(facts: &OperationFacts) -> Option<Retained> {
    let rows = &facts.distribution;
    let samples = rows.get(column::SAMPLES).filter(|n| *n > 0).map(as_f64)?;
    let mean = |wanted| Some(as_f64(rows.get(wanted)?) / samples);
    let held = mean(column::RETAINED_SUM_BYTES)?;
    let bytes_a_sample = rows.get(column::RETAINED_MEAN_BYTES).map(as_f64);
    Some(Retained {
        held,
        interval: mean(column::RETAINED_ERROR_SUM_BYTES)
            .zip(bytes_a_sample)
            .map(|(error, each)| interval(held, error, each)),
    })
}

impl Model {
    /// The same, with its interval in the draws; the row id tells operations apart, whose samples are their own.
    pub(crate) fn retained(&self, row: &str, facts: &OperationFacts) -> Option<Estimate> {
        let Retained { held, interval } = retained(facts)?;
        let Some((low, high)) = interval else {
            return Some(Estimate::without_interval(
                held,
                QualityWord::Sampled,
                NO_ERROR,
            ));
        };
        let seed = seed_of(self.rollup.seed, row.bytes().map(u64::from));
        let spread = Estimate::of_normal(held, self.sampler.draws(), seed, |z| {
            let side = if z < 0.0 { held - low } else { high - held };
            (held + z / Z * side).max(0.0)
        });
        Some(spread.of_quality(QualityWord::Sampled))
    }
}

/// The 90 % interval of a weighted sum of Poisson counts `held`, of standard error `error`, with a sample every
/// `bytes_a_sample` (Fay & Feuer 1997, with the quantiles of Wilson & Hilferty 1931): it holds for few samples and for
/// none. See `docs/accounting.md`, Memory.
fn interval(held: f64, error: f64, bytes_a_sample: f64) -> (f64, f64) {
    // A quantile of χ² with `k` degrees of freedom.
    let chi2 = |k: f64, z: f64| {
        let part = 2.0 / (9.0 * k);
        k * libm::pow((1.0 - part + z * libm::sqrt(part)).max(0.0), 3.0)
    };
    let variance = error * error;
    let low = match (held > 0.0, variance > 0.0) {
        (false, _) => 0.0,
        (true, false) => held,
        (true, true) => variance / (2.0 * held) * chi2(2.0 * held * held / variance, -Z),
    };
    let (most, spread) = (
        held + bytes_a_sample,
        variance + bytes_a_sample * bytes_a_sample,
    );
    let high = if most > 0.0 && spread > 0.0 {
        spread / (2.0 * most) * chi2(2.0 * most * most / spread, Z)
    } else {
        held
    };
    (low.min(held), high.max(held))
}

#[cfg(test)]
mod tests {
    use super::interval;

    const MIB: f64 = 1_048_576.0;

    #[test]
    fn the_interval_of_samples_is_that_of_poisson_counts() {
        // Ten samples of small things: 10 ± √10 means of 512 KiB. Exact: 5.43 to 16.96.
        let mean = 0.5 * MIB;
        let (low, high) = interval(10.0 * mean, libm::sqrt(10.0) * mean, mean);
        assert!((low / mean - 5.43).abs() < 0.05, "{}", low / mean);
        assert!((high / mean - 16.96).abs() < 0.05, "{}", high / mean);
    }

    #[test]
    fn without_a_sample_there_may_still_be_three_means() {
        let (low, high) = interval(0.0, 0.0, 0.5 * MIB);
        assert!(low.abs() < f64::EPSILON);
        // −ln 0.05 = 2.996.
        assert!((high / (0.5 * MIB) - 2.996).abs() < 0.05, "{high}");
    }

    #[test]
    fn what_is_surely_sampled_has_no_less() {
        let (low, high) = interval(64.0 * MIB, 0.0, 0.5 * MIB);
        assert!((low - 64.0 * MIB).abs() < 1.0 && high > 64.0 * MIB && high < 66.0 * MIB);
    }
}
