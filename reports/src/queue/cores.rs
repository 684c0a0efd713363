//! Cores that a process may use, as servers of a queue.

use super::ClassLoad;

/// Most servers that are counted.
const SERVERS_MAX: f64 = 4_096.0;

/// A limit of cores as whole servers: `⌈limit⌉` of them, each slower by `⌈limit⌉ ÷ limit`. The kernel hands out a quota
/// of CPU time in each period (Linux, `Documentation/scheduler/sched-bwc.rst`): half a core is a whole one for half of the
/// time, so over many periods a request there takes twice as long. A short one that finds quota left takes no longer than on
/// a whole core: at low load waits are overestimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cores {
    /// Servers.
    pub servers: u32,
    /// Factor by which service takes longer, 1 or more.
    pub stretch: f64,
}

impl Cores {
    /// For so many cores. `None` where these are no number above 0, or more than 4 096.
    #[must_use]
    pub fn of(limit: f64) -> Option<Self> {
        if !(limit > 0.0 && limit <= SERVERS_MAX) {
            return None;
        }
        let whole = libm::ceil(limit - 1e-9).max(1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let servers = whole as u32;
        Some(Self {
            servers,
            // A hair above a whole number is that number.
            stretch: (whole / limit).max(1.0),
        })
    }

    /// Work as these servers do it.
    #[must_use]
    pub fn slowed(self, load: ClassLoad) -> ClassLoad {
        ClassLoad {
            mean: load.mean * self.stretch,
            mean_square: load.mean_square * self.stretch * self.stretch,
            ..load
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mixture;
    use super::*;

    #[test]
    fn parts_of_a_core_are_slower_servers() {
        let of = |limit| Cores::of(limit).map(|cores| (cores.servers, cores.stretch));
        assert_eq!(of(0.5), Some((1, 2.0)));
        assert_eq!(of(1.0), Some((1, 1.0)));
        assert_eq!(of(1.5), Some((2, 4.0 / 3.0)));
        assert_eq!(of(2.000_000_000_1), Some((2, 1.0)));
        for none in [0.0, -1.0, f64::NAN, f64::INFINITY, 5_000.0] {
            assert_eq!(of(none), None, "{none}");
        }
    }

    /// 500 m, M/M/1: ten requests a second of 20 ms of CPU make ρ = 2λS = 0.4, `W = ρ · 2S ÷ (1 − ρ)` = 26.7 ms. A whole
    /// core would be ρ = 0.2 and 5 ms.
    #[test]
    fn half_a_core_waits_as_its_own_utilisation_says() {
        let (rate, mean) = (10.0, 0.020);
        let load = ClassLoad {
            rate,
            mean,
            mean_square: 2.0 * mean * mean,
            arrival_cs2: 1.0,
        };
        let wait = Mixture::of(&[load]).unwrap().wait_on(0.5).unwrap();
        let rho = 2.0 * rate * mean;
        let want = rho * 2.0 * mean / (1.0 - rho);
        assert!(
            (wait / want - 1.0).abs() < 1e-12,
            "{wait} instead of {want}"
        );
        assert!((wait - 0.026_666_7).abs() < 1e-6);
        // Two and a half times the load saturates it.
        let more = ClassLoad { rate: 25.0, ..load };
        assert_eq!(Mixture::of(&[more]).unwrap().wait_on(0.5), None);
    }
}
