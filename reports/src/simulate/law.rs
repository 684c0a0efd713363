//! Where times come from.

use weighbridge_wire::Histogram;

use crate::rng::SplitMix64;

/// When requests arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrivals {
    /// In a second.
    pub rate: f64,
    /// Squared coefficient of variation of the times between them: 1 is Poisson, 0 a clock, more comes in bursts.
    pub cs2: f64,
}

/// How long work takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    /// Always as long, seconds.
    Constant(f64),
    /// Of this mean, in seconds, and squared coefficient of variation: exponential at 1; below it a mixture of
    /// Erlang's distributions, above it of two exponentials with balanced means (Tijms 1994, §B).
    Spread {
        /// Seconds.
        mean: f64,
        /// Squared coefficient of variation.
        cs2: f64,
    },
    /// As measured: (seconds, cumulative share), ascending, the last share 1. Made by [`Times::measured`].
    Measured(Vec<(f64, f64)>),
}

impl Times {
    /// The times of a histogram of nanoseconds, each bucket at its middle. `None` when it is empty.
    #[must_use]
    pub fn measured(histogram: &Histogram) -> Option<Self> {
        let all = histogram.count() as f64;
        if all <= 0.0 {
            return None;
        }
        let mut below = 0.0;
        let mut steps = Vec::new();
        for (low, high, count) in histogram.ranges() {
            below += count as f64;
            let middle = f64::midpoint(low as f64, high as f64);
            steps.push((middle * 1e-9, below / all));
        }
        if let Some(last) = steps.last_mut() {
            last.1 = 1.0;
        }
        Some(Self::Measured(steps))
    }

    /// Mean, seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant(seconds) => *seconds,
            Self::Spread { mean, .. } => *mean,
            Self::Measured(steps) => {
                let mut before = 0.0;
                let mut sum = 0.0;
                for (seconds, share) in steps {
                    sum += seconds * (share - before);
                    before = *share;
                }
                sum
            }
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        let sound = |x: f64| x.is_finite() && x >= 0.0;
        match self {
            Self::Constant(seconds) => sound(*seconds),
            Self::Spread { mean, cs2 } => sound(*mean) && sound(*cs2),
            Self::Measured(steps) => {
                let ascending = steps.windows(2).all(|pair| pair[0].1 <= pair[1].1);
                let ends = steps.last().is_some_and(|last| last.1 == 1.0);
                ascending && ends && steps.iter().all(|(x, share)| sound(*x) && sound(*share))
            }
        }
    }

    pub(super) fn draw(&self, rng: &mut SplitMix64) -> f64 {
        match self {
            Self::Constant(seconds) => *seconds,
            Self::Spread { mean, cs2 } => spread(*mean, *cs2, rng),
            Self::Measured(steps) => {
                let at = unit(rng);
                let index = steps.partition_point(|(_, share)| *share < at);
                steps.get(index).map_or(0.0, |(seconds, _)| *seconds)
            }
        }
    }
}

impl Arrivals {
    pub(super) fn is_sound(self) -> bool {
        self.rate.is_finite() && self.rate > 0.0 && self.cs2.is_finite() && self.cs2 >= 0.0
    }

    pub(super) fn draw(self, rng: &mut SplitMix64) -> f64 {
        spread(1.0 / self.rate, self.cs2, rng)
    }
}

/// Above this many phases a distribution is as good as constant.
const PHASES_MAX: f64 = 400.0;

/// A time of this mean and squared coefficient of variation, by two moments.
fn spread(mean: f64, cs2: f64, rng: &mut SplitMix64) -> f64 {
    if cs2 == 1.0 {
        return mean * exponential(rng);
    }
    if cs2 > 1.0 {
        // Two exponentials, each with half of the mean.
        let p = 0.5 * (1.0 + libm::sqrt((cs2 - 1.0) / (cs2 + 1.0)));
        let share = if unit(rng) < p { p } else { 1.0 - p };
        return mean / (2.0 * share) * exponential(rng);
    }
    if cs2 * PHASES_MAX < 1.0 {
        return mean;
    }
    // k − 1 phases with probability p, else k, where 1/k ≤ cs2 ≤ 1/(k − 1).
    let k = libm::ceil(1.0 / cs2);
    let root = libm::sqrt((k * (1.0 + cs2) - k * k * cs2).max(0.0));
    let p = (k * cs2 - root) / (1.0 + cs2);
    let phases = if unit(rng) < p { k - 1.0 } else { k };
    let mut product = 1.0;
    let mut sum = 0.0;
    let mut left = phases;
    while left > 0.0 {
        product *= unit(rng);
        left -= 1.0;
        if product < 1e-200 {
            sum -= libm::log(product);
            product = 1.0;
        }
    }
    (sum - libm::log(product)) * mean / (k - p)
}

fn exponential(rng: &mut SplitMix64) -> f64 {
    -libm::log(unit(rng))
}

/// Evenly from (0, 1].
fn unit(rng: &mut SplitMix64) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(times: &Times) -> (f64, f64) {
        let mut rng = SplitMix64::new(7);
        let n = 400_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let x = times.draw(&mut rng);
            sum += x;
            squares += x * x;
        }
        let mean = sum / f64::from(n);
        (mean, squares / f64::from(n) / (mean * mean) - 1.0)
    }

    #[test]
    fn two_moments_are_kept() {
        for cs2 in [0.0, 0.001, 0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 4.0, 20.0] {
            let (mean, found) = moments(&Times::Spread { mean: 0.02, cs2 });
            assert!((mean / 0.02 - 1.0).abs() < 0.02, "{cs2}: mean {mean}");
            let tolerance = 0.06 * cs2 + 0.002;
            assert!((found - cs2).abs() < tolerance, "{cs2}: {found}");
        }
    }

    #[test]
    fn measured_times_are_those_of_the_histogram() {
        let mut histogram = Histogram::new();
        for _ in 0..900 {
            histogram.record(1_000_000);
        }
        for _ in 0..100 {
            histogram.record(50_000_000);
        }
        let times = Times::measured(&histogram).unwrap();
        assert!(
            (times.mean() / 0.0059 - 1.0).abs() < 0.01,
            "{}",
            times.mean()
        );
        let (mean, _) = moments(&times);
        assert!((mean / times.mean() - 1.0).abs() < 0.02);
        assert_eq!(Times::measured(&Histogram::new()), None);
    }
}
