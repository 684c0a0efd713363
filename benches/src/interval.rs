//! Means with their 95 % intervals.
//!
//! A mean of paired differences gets Student's interval: each difference already averages thousands of
//! requests, so the mean of dozens of them is normal enough, and the mean, unlike a median, keeps the rare
//! dear ones (a rotation of the ledger is part of the price). A ratio of two means has no such closed form
//! and gets the percentiles of a bootstrap over the pairs.

/// A mean and where the true one lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The estimate.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The 97.5 % quantile of Student's distribution with 1, 2, 3, … degrees of freedom.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

const RESAMPLES: usize = 4_000;

impl Interval {
    /// The mean of independent samples with Student's interval; `None` for fewer than two samples.
    #[must_use]
    pub fn of_mean(samples: &[f64]) -> Option<Self> {
        if samples.len() < 2 {
            return None;
        }
        let n = samples.len() as f64;
        let mean = average(samples);
        let variance = samples
            .iter()
            .map(|sample| (sample - mean).powi(2))
            .sum::<f64>()
            / (n - 1.0);
        // Beyond the table the quantile falls to 1.96 as 1 + 1.23 / n, to three digits.
        let quantile = STUDENT
            .get(samples.len() - 2)
            .copied()
            .unwrap_or(1.96 * (1.0 + 1.23 / (n - 1.0)));
        let half = quantile * (variance / n).sqrt();
        Some(Self {
            mean,
            low: mean - half,
            high: mean + half,
        })
    }

    /// The ratio of the means of paired samples, with the percentiles of a bootstrap over the pairs; `None`
    /// for fewer than five pairs. The same samples give the same interval.
    #[must_use]
    pub fn of_ratio(pairs: &[(f64, f64)]) -> Option<Self> {
        if pairs.len() < 5 {
            return None;
        }
        let ratio = |pick: &mut dyn FnMut() -> (f64, f64)| {
            let (above, below) = (0..pairs.len()).fold((0.0, 0.0), |sums, _| {
                let (above, below) = pick();
                (sums.0 + above, sums.1 + below)
            });
            above / below
        };
        let mut in_order = pairs.iter().copied();
        let mean = ratio(&mut || in_order.next().unwrap_or_default());
        // Knuth's generator; any will do, as long as the outcome can be repeated.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut ratios: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                ratio(&mut || {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    pairs[(state >> 33) as usize % pairs.len()]
                })
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        Some(Self {
            mean,
            low: ratios[RESAMPLES / 40],
            high: ratios[RESAMPLES - 1 - RESAMPLES / 40],
        })
    }
}

/// The arithmetic mean; 0 for no samples.
#[must_use]
pub fn average(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_students_interval() {
        // By hand: mean 3, variance 2.5, 2.776 * sqrt(2.5 / 5) = 1.963.
        let interval = Interval::of_mean(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((interval.mean - 3.0).abs() < 1e-9);
        assert!((interval.high - 4.963).abs() < 1e-3, "{interval:?}");
        assert!((interval.low - 1.037).abs() < 1e-3, "{interval:?}");
        assert_eq!(Interval::of_mean(&[1.0]), None);
    }

    #[test]
    fn the_quantile_goes_on_where_the_table_ends() {
        // Student's quantile for 60 degrees of freedom is 2.000.
        let samples: Vec<f64> = (0..61)
            .map(|n| if n % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let interval = Interval::of_mean(&samples).unwrap();
        let deviation = (samples
            .iter()
            .map(|sample| (sample - interval.mean).powi(2))
            .sum::<f64>()
            / 60.0)
            .sqrt();
        let quantile = (interval.high - interval.mean) / (deviation / 61_f64.sqrt());
        assert!((quantile - 2.000).abs() < 0.002, "{quantile}");
    }

    #[test]
    fn a_ratio_is_that_of_the_means_and_lies_in_its_interval() {
        let pairs: Vec<(f64, f64)> = (0..20)
            .map(|n| (1.0 + f64::from(n % 3) * 0.1, 10.0 + f64::from(n % 4)))
            .collect();
        let interval = Interval::of_ratio(&pairs).unwrap();
        let expected = average(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>())
            / average(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
        assert!((interval.mean - expected).abs() < 1e-9);
        assert!(interval.low < expected && expected < interval.high);
        assert!(interval.high - interval.low < 0.02, "{interval:?}");
        assert_eq!(Interval::of_ratio(&pairs), Interval::of_ratio(&pairs));
    }
}
