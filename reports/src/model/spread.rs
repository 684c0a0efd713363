//! Draws of what windows do not spread: the ranks of days, the counts of samples.

use super::Estimate;
use crate::rng::SplitMix64;

impl Estimate {
    /// A number of which a law says its value at each quantile of the standard normal distribution. Every draw has one,
    /// evenly over the law, in an order of the seed: which windows were drawn says nothing about it. Estimated.
    pub(crate) fn of_normal(point: f64, draws: usize, seed: u64, at: impl Fn(f64) -> f64) -> Self {
        let mut values: Vec<f64> = (0..draws)
            .map(|draw| {
                #[allow(clippy::cast_precision_loss)]
                let p = (draw as f64 + 0.5) / draws as f64;
                at(normal(p))
            })
            .collect();
        let mut rng = SplitMix64::new(seed);
        for left in (1..values.len()).rev() {
            let bound = u32::try_from(left + 1).unwrap_or(u32::MAX);
            values.swap(left, rng.below(bound) as usize);
        }
        if values.is_empty() {
            let why = "too few windows for an interval";
            return Self::without_interval(point, crate::document::QualityWord::Estimated, why);
        }
        Self::of_draws(point, values)
    }
}

/// Quantile of the standard normal distribution, by halving.
fn normal(p: f64) -> f64 {
    let (mut low, mut high) = (-8.0f64, 8.0f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_lie_evenly_over_the_law() {
        let found = Estimate::of_normal(10.0, 200, 7, |z| 10.0 + z);
        let (low, high) = found.interval().unwrap();
        assert!(
            (low - 8.355).abs() < 0.05 && (high - 11.645).abs() < 0.05,
            "{low} {high}"
        );
        assert!((normal(0.95) - 1.644_853_627).abs() < 1e-8 && normal(0.5).abs() < 1e-9);
        assert!(found.draw(0) != found.draw(1) && (0..200).any(|draw| found.draw(draw) > 12.0));
    }
}
