//! Waiting at a station of several servers.

use super::{erlang_c, finite};

/// M/M/c: Poisson arrivals, exponential service, `servers` servers, first come first served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MmcStation {
    /// Arrivals in a second.
    pub rate: f64,
    /// Mean service time in seconds.
    pub service: f64,
    /// Number of servers.
    pub servers: u32,
}

impl MmcStation {
    /// Utilisation of each server. `None` without servers.
    #[must_use]
    pub fn rho(self) -> Option<f64> {
        if self.servers == 0 {
            return None;
        }
        finite(self.rate * self.service / f64::from(self.servers))
    }

    /// Mean wait before service: `C·S / (c(1 − ρ))`. `None` at saturation.
    #[must_use]
    pub fn mean_wait(self) -> Option<f64> {
        let rho = self.rho()?;
        let c = erlang_c(self.servers, self.rate * self.service)?;
        finite(c * self.service / (f64::from(self.servers) * (1.0 - rho)))
    }

    /// Mean time from arrival to departure.
    #[must_use]
    pub fn mean_response(self) -> Option<f64> {
        finite(self.mean_wait()? + self.service)
    }

    /// Mean number that wait (Little's law).
    #[must_use]
    pub fn mean_queue(self) -> Option<f64> {
        finite(self.mean_wait()? * self.rate)
    }

    /// Probability that the wait is longer than `t`: `C·e^{−(c/S − λ)t}`.
    #[must_use]
    pub fn wait_exceeds(self, t: f64) -> Option<f64> {
        if self.service <= 0.0 {
            return None;
        }
        let c = erlang_c(self.servers, self.rate * self.service)?;
        finite(c * libm::exp(-(f64::from(self.servers) / self.service - self.rate) * t))
    }
}

/// Mean wait in G/G/c by Allen and Cunneen: the wait in M/M/c times `(c_a² + c_s²) / 2`.
///
/// Against simulation: within 4 % for constant service at ρ ≥ 0.8, +3 % to +15 % for bursty service at
/// ρ = 0.8 and 2 to 8 servers, but +58 % at ρ = 0.5 and 8 servers: use it near the knee, and only for
/// comparisons elsewhere.
#[must_use]
pub fn allen_cunneen_wait(station: MmcStation, arrival_cs2: f64, service_cs2: f64) -> Option<f64> {
    finite(station.mean_wait()? * (arrival_cs2 + service_cs2) / 2.0)
}

/// As [`allen_cunneen_wait`], with Sakasegawa's closed form `ρ^{√(2(c+1)) − 1}` in place of Erlang C.
#[must_use]
pub fn sakasegawa_wait(station: MmcStation, arrival_cs2: f64, service_cs2: f64) -> Option<f64> {
    let rho = station.rho()?;
    if rho >= 1.0 {
        return None;
    }
    let servers = f64::from(station.servers);
    let c = libm::pow(rho, libm::sqrt(2.0 * (servers + 1.0)) - 1.0);
    finite(c * station.service / (servers * (1.0 - rho)) * (arrival_cs2 + service_cs2) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: Option<f64>, want: f64, tolerance: f64) {
        let got = got.unwrap();
        assert!((got - want).abs() <= tolerance, "{got} instead of {want}");
    }

    /// GNU Octave `queueing`, qsmmm.m; docs/decisions.md: λ = 9, μ = 5.
    #[test]
    fn mmc_of_the_queueing_package() {
        let two = MmcStation {
            rate: 9.0,
            service: 0.2,
            servers: 2,
        };
        close(two.mean_queue(), 7.6737, 5e-5);
        close(two.mean_response(), 1.0526, 5e-5);
        let four = MmcStation { servers: 4, ..two };
        close(four.mean_queue(), 0.1052, 5e-5);
        close(four.mean_response(), 0.2117, 5e-5);
    }

    #[test]
    fn tail_of_the_wait() {
        let station = MmcStation {
            rate: 9.0,
            service: 0.2,
            servers: 2,
        };
        close(station.wait_exceeds(0.0), erlang_c(2, 1.8).unwrap(), 1e-12);
        // The mean is the integral of the tail: C / (c/S − λ).
        close(
            station.mean_wait(),
            erlang_c(2, 1.8).unwrap() / (10.0 - 9.0),
            1e-12,
        );
    }

    #[test]
    fn one_server_is_pollaczek_khinchine() {
        // M/D/1: half the wait of M/M/1.
        let station = MmcStation {
            rate: 0.5,
            service: 1.0,
            servers: 1,
        };
        close(allen_cunneen_wait(station, 1.0, 0.0), 0.5, 1e-12);
        close(sakasegawa_wait(station, 1.0, 0.0), 0.5, 1e-12);
    }

    #[test]
    fn saturation_has_no_wait() {
        let station = MmcStation {
            rate: 10.0,
            service: 0.2,
            servers: 2,
        };
        assert_eq!(station.mean_wait(), None);
        assert_eq!(sakasegawa_wait(station, 1.0, 1.0), None);
        assert_eq!(
            MmcStation {
                rate: 1.0,
                service: 1.0,
                servers: 0
            }
            .mean_wait(),
            None
        );
        assert_eq!(
            MmcStation {
                rate: 0.0,
                service: 1.0,
                servers: 2
            }
            .mean_wait(),
            Some(0.0),
            "zero traffic does not wait"
        );
    }
}
