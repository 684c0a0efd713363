//! How waits are spread, not only how long they are on average: what a short request meets behind a rare long one.

use super::{ClassLoad, Mixture, erlang_c};

/// Steps of the grid on which waits are added up.
const STEPS: usize = 1_024;
/// The grid reaches so many mean waits of those that wait.
const REACH: f64 = 16.0;
/// Most stages of an Erlang distribution; more are constant times.
const STAGES_MAX: f64 = 30.0;

/// The distribution of the wait at a station.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitTail {
    step: f64,
    /// `P(W ≤ k · step)`, ascending.
    below: Vec<f64>,
}

impl WaitTail {
    /// Of so many kinds at `servers` servers, first come first served. For one server and Poisson arrivals it is exact
    /// but for the grid: Pollaczek and Khinchine's wait is a geometric number of residual service times, added up step by
    /// step (Panjer 1981). For more servers those that wait (Erlang C) are taken to wait as at one that is as fast as all
    /// (Tijms 1994, §4.5), for other arrivals times are stretched so that the mean is Allen and Cunneen's. `None` at
    /// saturation and where a figure is none.
    #[must_use]
    pub fn of(loads: &[ClassLoad], servers: u32) -> Option<Self> {
        let mixture = Mixture::of(loads)?;
        let rho = mixture.rho(servers).filter(|rho| *rho < 1.0)?;
        let mean = mixture.wait(servers)?;
        let waits = erlang_c(servers, mixture.rate * mixture.mean)?;
        if mean <= 0.0 || waits <= 0.0 || rho <= 0.0 {
            return Some(Self {
                step: 0.0,
                below: vec![1.0],
            });
        }
        let (servers, steps) = (f64::from(servers), f64::from(u16::try_from(STEPS).ok()?));
        let stretch = (mixture.arrival_cs2 + mixture.service_cs2) / (1.0 + mixture.service_cs2);
        let step = REACH * mean / waits / stretch / steps;
        let work: f64 = loads.iter().map(|load| load.rate * load.mean).sum();
        let kinds: Vec<(f64, Residual)> = loads
            .iter()
            .filter(|load| load.rate > 0.0 && load.mean > 0.0)
            .map(|load| (load.rate * load.mean / work, Residual::of(load)))
            .collect();
        let exceeds = |t: f64| -> f64 {
            let kinds = kinds.iter();
            kinds
                .map(|(share, of)| share * of.exceeds(t * servers))
                .sum()
        };
        // Mass of the residual time around each point of the grid.
        let mut residual = Vec::with_capacity(STEPS);
        let (mut last, mut at) = (1.0, 0.5);
        for _ in 0..STEPS {
            let next = exceeds(at * step);
            residual.push((last - next).max(0.0));
            (last, at) = (next, at + 1.0);
        }
        let first = 1.0 / (1.0 - rho * residual[0]);
        let mut mass = vec![(1.0 - rho) * first];
        for k in 1..STEPS {
            let sum: f64 = (1..=k).map(|j| residual[j] * mass[k - j]).sum();
            mass.push(rho * first * sum);
        }
        let mut sum = 0.0;
        let below = mass
            .into_iter()
            .map(|mass| {
                sum += mass;
                1.0 - (waits / rho * (1.0 - sum)).clamp(0.0, 1.0)
            })
            .collect();
        Some(Self {
            step: step * stretch,
            below,
        })
    }

    /// The wait that this share of the requests does not exceed, seconds; beyond the grid its end.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let at = self.below.partition_point(|below| *below < share);
        if at == 0 {
            return 0.0;
        }
        let Some(below) = self.below.get(at) else {
            #[allow(clippy::cast_precision_loss)]
            return self.below.len() as f64 * self.step;
        };
        // What stands at a point of the grid lies around it, half a step either way.
        let last = self.below[at - 1];
        let part = (share - last) / (below - last).max(f64::MIN_POSITIVE);
        #[allow(clippy::cast_precision_loss)]
        let middle = at as f64;
        (middle - 0.5 + part) * self.step
    }
}

/// What is left of a service time when somebody arrives during it.
enum Residual {
    /// Of a constant time.
    Constant(f64),
    /// Of one of two exponential times with the same load: their rates.
    Two(f64, f64),
    /// Of stages: the rate of each, and the share of arrivals that find so many left, from one on.
    Stages(f64, Vec<f64>),
}

impl Residual {
    /// For two moments, as the simulator draws them: exponentials with balanced means, mixtures of Erlang
    /// distributions, constant times (Tijms 1994).
    fn of(load: &ClassLoad) -> Self {
        let cs2 = (load.mean_square / (load.mean * load.mean) - 1.0).max(0.0);
        if cs2 >= 1.0 {
            let first = f64::midpoint(1.0, libm::sqrt((cs2 - 1.0) / (cs2 + 1.0)));
            return Self::Two(2.0 * first / load.mean, 2.0 * (1.0 - first) / load.mean);
        }
        if cs2 * STAGES_MAX < 1.0 {
            return Self::Constant(load.mean);
        }
        let k = libm::ceil(1.0 / cs2 - 1e-9).max(2.0);
        let root = (k * (1.0 + cs2) - k * k * cs2).max(0.0);
        let fewer = ((k * cs2 - libm::sqrt(root)) / (1.0 + cs2)).clamp(0.0, 1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let stages = k as usize;
        let left = (1..=stages)
            .map(|left| (if left < stages { 1.0 } else { 1.0 - fewer }) / (k - fewer))
            .collect();
        Self::Stages((k - fewer) / load.mean, left)
    }

    fn exceeds(&self, t: f64) -> f64 {
        match self {
            Self::Constant(time) => (1.0 - t / time).max(0.0),
            Self::Two(a, b) => f64::midpoint(libm::exp(-a * t), libm::exp(-b * t)),
            Self::Stages(rate, left) => {
                let (mut term, mut sum, mut all, mut done) = (libm::exp(-rate * t), 0.0, 0.0, 0.0);
                for share in left {
                    // `sum`: fewer stages than these end within t.
                    sum += term;
                    done += 1.0;
                    term *= rate * t / done;
                    all += share * sum;
                }
                all
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::MmcStation;
    use crate::queue::mixture::class;

    /// M/M/c: `P(W > t) = C·e^{−(c/S − λ)t}`.
    #[test]
    fn exponential_times_wait_as_erlang_says() {
        for (servers, rate) in [(1, 0.7), (2, 1.5), (4, 3.2)] {
            let tail = WaitTail::of(&[class(rate, 1.0, 1.0)], servers).unwrap();
            let exact = MmcStation {
                rate,
                service: 1.0,
                servers,
            };
            for share in [0.9, 0.95, 0.99] {
                let t = tail.quantile(share);
                let exceeds = exact.wait_exceeds(t).unwrap();
                assert!(
                    (exceeds / (1.0 - share) - 1.0).abs() < 0.06,
                    "{servers} servers: {share} at {t}, where {exceeds} exceed it"
                );
            }
        }
    }

    #[test]
    fn means_are_those_of_the_formula() {
        for (cs2, servers) in [(0.0, 1), (0.3, 1), (0.5, 2), (1.0, 1), (4.0, 3)] {
            let load = class(0.8 * f64::from(servers), 1.0, cs2);
            let tail = WaitTail::of(&[load], servers).unwrap();
            let want = Mixture::of(&[load]).unwrap().wait(servers).unwrap();
            let mean: f64 = tail
                .below
                .iter()
                .map(|below| (1.0 - below) * tail.step)
                .sum();
            assert!(
                (mean / want - 1.0).abs() < 0.05,
                "c_s² {cs2}, {servers} servers: {mean} instead of {want}"
            );
        }
    }

    #[test]
    fn who_never_waits_and_who_waits_for_ever() {
        assert_eq!(WaitTail::of(&[class(2.0, 1.0, 1.0)], 2), None);
        assert_eq!(WaitTail::of(&[], 1), None);
        let idle = WaitTail::of(&[class(1e-9, 1.0, 1.0)], 8).unwrap();
        assert!(idle.quantile(0.99) < 1e-9);
    }
}
