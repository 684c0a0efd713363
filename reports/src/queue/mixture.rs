//! Several kinds of requests at one station: what short ones suffer from long ones.

use super::{Cores, MmcStation, allen_cunneen_wait, finite};

/// One kind of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassLoad {
    /// Arrivals in a second.
    pub rate: f64,
    /// Mean service time, seconds.
    pub mean: f64,
    /// Mean of the squared service time, seconds².
    pub mean_square: f64,
    /// Squared coefficient of variation of the times between arrivals (1 for Poisson).
    pub arrival_cs2: f64,
}

/// All kinds at one station, first come first served: `E[S] = Σ pᵢSᵢ`, `E[S²] = Σ pᵢE[Sᵢ²]`,
/// `c_s² = E[S²]/E[S]² − 1`; `c_a²` is weighted by rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// Arrivals in a second.
    pub rate: f64,
    /// Mean service time, seconds.
    pub mean: f64,
    /// Squared coefficient of variation of service times.
    pub service_cs2: f64,
    /// Squared coefficient of variation of the times between arrivals.
    pub arrival_cs2: f64,
}

impl Mixture {
    /// The mixture of `classes`. `None` when nothing arrives or a figure is negative or not finite.
    #[must_use]
    pub fn of(classes: &[ClassLoad]) -> Option<Self> {
        let rate: f64 = classes.iter().map(|c| c.rate).sum();
        if !(rate.is_finite() && rate > 0.0) {
            return None;
        }
        let weighted = |f: fn(&ClassLoad) -> f64| {
            finite(classes.iter().map(|c| c.rate / rate * f(c)).sum::<f64>())
        };
        let mean = weighted(|c| c.mean)?;
        let mean_square = weighted(|c| c.mean_square)?;
        let arrival_cs2 = weighted(|c| c.arrival_cs2)?;
        if mean <= 0.0 {
            return None;
        }
        // Rounding may bring constant times a hair below zero.
        let service_cs2 = (mean_square / (mean * mean) - 1.0).max(0.0);
        Some(Self {
            rate,
            mean,
            service_cs2: finite(service_cs2)?,
            arrival_cs2,
        })
    }

    /// Utilisation of each of `servers`.
    #[must_use]
    pub fn rho(self, servers: u32) -> Option<f64> {
        MmcStation {
            rate: self.rate,
            service: self.mean,
            servers,
        }
        .rho()
    }

    /// Mean wait of every kind on so many cores, parts of one included ([`Cores`]), seconds. `None` at saturation, and
    /// where the cores are no number.
    #[must_use]
    pub fn wait_on(self, limit: f64) -> Option<f64> {
        let cores = Cores::of(limit)?;
        let slowed = Self {
            mean: self.mean * cores.stretch,
            ..self
        };
        slowed.wait(cores.servers)
    }

    /// Mean wait of every kind at `servers` servers, by Allen and Cunneen, seconds. `None` at saturation.
    #[must_use]
    pub fn wait(self, servers: u32) -> Option<f64> {
        let station = MmcStation {
            rate: self.rate,
            service: self.mean,
            servers,
        };
        allen_cunneen_wait(station, self.arrival_cs2, self.service_cs2)
    }
}

/// A class by the variability of its service times.
#[cfg(test)]
pub(super) fn class(rate: f64, mean: f64, cs2: f64) -> ClassLoad {
    ClassLoad {
        rate,
        mean,
        mean_square: (1.0 + cs2) * mean * mean,
        arrival_cs2: 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{got} instead of {want}");
    }

    /// docs/decisions.md: two classes of constant times 1 and 10, ρ = .833 each. Separate servers:
    /// 2.5 and 25, on average 4.545; pooled on two servers 6.25 for everybody.
    #[test]
    fn pooling_a_mixture_hurts_the_short_ones() {
        let short = class(5.0 / 6.0, 1.0, 0.0);
        let long = class(1.0 / 12.0, 10.0, 0.0);
        let w_short = Mixture::of(&[short]).unwrap().wait(1).unwrap();
        let w_long = Mixture::of(&[long]).unwrap().wait(1).unwrap();
        close(w_short, 2.5, 1e-9);
        close(w_long, 25.0, 1e-9);
        let average = (short.rate * w_short + long.rate * w_long) / (short.rate + long.rate);
        close(average, 4.545, 5e-4);
        // The mean queue probability at two servers makes 6.25 to the digits printed.
        let pooled = Mixture::of(&[short, long]).unwrap().wait(2).unwrap();
        close(pooled, 6.25, 5e-3);
    }

    /// The same with exponential times: 5, 50, 9.09 and 12.5.
    #[test]
    fn pooling_exponential_times() {
        let short = class(5.0 / 6.0, 1.0, 1.0);
        let long = class(1.0 / 12.0, 10.0, 1.0);
        let w_short = Mixture::of(&[short]).unwrap().wait(1).unwrap();
        let w_long = Mixture::of(&[long]).unwrap().wait(1).unwrap();
        close(w_short, 5.0, 1e-9);
        close(w_long, 50.0, 1e-9);
        let average = (short.rate * w_short + long.rate * w_long) / (short.rate + long.rate);
        close(average, 9.09, 5e-3);
        close(
            Mixture::of(&[short, long]).unwrap().wait(2).unwrap(),
            12.5,
            1e-2,
        );
    }

    #[test]
    fn nothing_arrives_or_too_much() {
        assert_eq!(Mixture::of(&[]), None);
        assert_eq!(Mixture::of(&[class(0.0, 1.0, 0.0)]), None);
        assert_eq!(Mixture::of(&[class(1.0, 0.0, 0.0)]), None);
        assert_eq!(Mixture::of(&[class(1.0, f64::NAN, 0.0)]), None);
        assert_eq!(Mixture::of(&[class(3.0, 1.0, 1.0)]).unwrap().wait(2), None);
    }
}
