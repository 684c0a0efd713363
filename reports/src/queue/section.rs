//! A section that one request at a time can be in: a lock, a sequence, a pool of one.

use super::{ClassLoad, Mixture, finite};

/// A serial section and the requests that pass it. Rates are per second, times seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section {
    /// How long one request is in it.
    pub hold: f64,
    /// Squared coefficient of variation of that time.
    pub hold_cs2: f64,
    /// Squared coefficient of variation of the times between arrivals (1 for Poisson).
    pub arrival_cs2: f64,
}

impl Section {
    /// Share of time in which somebody is in it; 1 and above: more arrive than pass.
    #[must_use]
    pub fn utilisation(self, rate: f64) -> Option<f64> {
        finite(rate * self.hold)
    }

    /// Mean wait for one's turn: Allen and Cunneen with one server, which is Pollaczek and Khinchine for Poisson
    /// arrivals. `None` when more arrive than pass.
    #[must_use]
    pub fn wait(self, rate: f64) -> Option<f64> {
        if rate <= 0.0 || self.hold <= 0.0 {
            return Some(0.0);
        }
        Mixture::of(&[ClassLoad {
            rate,
            mean: self.hold,
            mean_square: (1.0 + self.hold_cs2) * self.hold * self.hold,
            arrival_cs2: self.arrival_cs2,
        }])?
        .wait(1)
    }

    /// The load on the cores of those that pass it: no more than it lets through, and the more evenly the busier it is,
    /// `c_d² = ρ²c_s² + (1 − ρ²)c_a²` (Whitt 1983, for one server).
    #[must_use]
    pub fn passed(self, load: ClassLoad) -> ClassLoad {
        let Some(busy) = self.utilisation(load.rate).map(|busy| busy.min(1.0)) else {
            return load;
        };
        let most = if self.hold > 0.0 {
            1.0 / self.hold
        } else {
            f64::INFINITY
        };
        ClassLoad {
            rate: load.rate.min(most),
            arrival_cs2: busy * busy * self.hold_cs2 + (1.0 - busy * busy) * load.arrival_cs2,
            ..load
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Activity, Arrivals, Effort, Network, RequestClass, Times, simulate};

    fn section(hold_cs2: f64) -> Section {
        Section {
            hold: 0.01,
            hold_cs2,
            arrival_cs2: 1.0,
        }
    }

    /// M/M/1 at a half waits as long as it serves; M/D/1 half of that.
    #[test]
    fn the_turn_is_waited_for_as_at_one_server() {
        assert!((section(1.0).wait(50.0).unwrap() - 0.01).abs() < 1e-15);
        assert!((section(0.0).wait(50.0).unwrap() - 0.005).abs() < 1e-15);
        assert_eq!(section(1.0).wait(100.0), None, "all that passes");
        assert_eq!(section(1.0).wait(0.0), Some(0.0));
    }

    #[test]
    fn cores_behind_it_see_what_passes() {
        let load = |rate| ClassLoad {
            rate,
            mean: 0.002,
            mean_square: 8e-6,
            arrival_cs2: 4.0,
        };
        let passed = section(0.0).passed(load(50.0));
        assert_eq!(
            (passed.rate, passed.arrival_cs2),
            (50.0, 3.0),
            "(1 − ¼) · 4"
        );
        let passed = section(0.0).passed(load(500.0));
        assert_eq!((passed.rate, passed.arrival_cs2), (100.0, 0.0));
    }

    /// What comes out of a constant hold at 70 % waits for a core behind it less than Poisson arrivals would: the formula
    /// beside the simulator.
    #[test]
    fn the_wait_behind_it_is_the_simulators() {
        let (rate, hold, work) = (70.0, 0.01, 0.006);
        let activity = |station, mean, after| Activity {
            station,
            times: Times::Spread { mean, cs2: 0.0 },
            after,
            detached: false,
        };
        let network = Network {
            servers: vec![1, 1],
            classes: vec![
                RequestClass {
                    arrivals: Arrivals { rate, cs2: 1.0 },
                    activities: vec![activity(0, hold, vec![]), activity(1, work, vec![0])],
                },
                RequestClass {
                    arrivals: Arrivals {
                        rate: 30.0,
                        cs2: 1.0,
                    },
                    activities: vec![activity(1, 0.01, vec![])],
                },
            ],
        };
        let effort = Effort {
            requests: 400_000,
            seed: 7,
        };
        let found = simulate(&network, effort).unwrap();
        let locked = Section {
            hold,
            hold_cs2: 0.0,
            arrival_cs2: 1.0,
        };
        let turn = locked.wait(rate).unwrap();
        assert!((found.stations[0].wait / turn - 1.0).abs() < 0.03, "{turn}");
        let short = ClassLoad {
            rate: 30.0,
            mean: 0.01,
            mean_square: 1e-4,
            arrival_cs2: 1.0,
        };
        let long = ClassLoad {
            rate,
            mean: work,
            mean_square: work * work,
            arrival_cs2: 1.0,
        };
        let wait = |loads: &[ClassLoad]| Mixture::of(loads).unwrap().wait(1).unwrap();
        let behind = wait(&[short, locked.passed(long)]);
        let seen = found.stations[1].wait;
        assert!((behind / seen - 1.0).abs() < 0.2, "{behind} and {seen}");
        let ignored = wait(&[short, long]);
        assert!((ignored / seen - 1.0).abs() > (behind / seen - 1.0).abs());
    }
}
