//! How long a tick of the processor's counter is.

use super::{counter, kernel};

/// Nanoseconds per tick as a fraction of 2^32.
pub(super) type Multiplier = u64;

/// Ticks of the counter and the kernel's raw clock at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) tsc: u64,
    pub(super) ns: u64,
}

impl Instant {
    /// The closest of a few readings: an interruption between the two would tear them apart.
    pub(super) fn now() -> Self {
        const TRIES: u32 = 5;
        let mut best = None;
        for _ in 0..TRIES {
            let before = counter::tsc();
            let ns = kernel::raw_ns();
            let after = counter::tsc();
            let apart = after.wrapping_sub(before);
            if best.is_none_or(|(least, _)| apart < least) {
                let tsc = before.wrapping_add(apart / 2);
                best = Some((apart, Self { tsc, ns }));
            }
        }
        best.map_or(Self { tsc: 0, ns: 0 }, |(_, instant)| instant)
    }

    /// The rate between two instants; `None` when it is not that of a time stamp counter.
    pub(super) fn multiplier_since(self, earlier: Self) -> Option<Multiplier> {
        /// From 100 MHz to 20 GHz.
        const PLAUSIBLE: std::ops::RangeInclusive<u128> = (1 << 32) / 20..=10 << 32;
        let ns = self.ns.checked_sub(earlier.ns)?;
        let ticks = self
            .tsc
            .checked_sub(earlier.tsc)
            .filter(|ticks| *ticks > 0)?;
        let multiplier = (u128::from(ns) << 32) / u128::from(ticks);
        PLAUSIBLE
            .contains(&multiplier)
            .then(|| u64::try_from(multiplier).ok())
            .flatten()
    }
}

/// Measures the rate for half a millisecond: two readings off by 50 ns each give 0.02 %, and rotations
/// measure it better. Returns the instant from which they can go on.
pub(super) fn calibrate() -> Option<(Instant, Multiplier)> {
    const ENOUGH_NS: u64 = 500_000;
    /// Ends the loop should the clock stand still.
    const READINGS_MAX: u32 = 100_000;
    let begin = Instant::now();
    for _ in 0..READINGS_MAX {
        if kernel::raw_ns().wrapping_sub(begin.ns) >= ENOUGH_NS {
            return Some((begin, Instant::now().multiplier_since(begin)?));
        }
    }
    None
}

/// Nanoseconds of a number of ticks, however many.
pub(super) fn ns_of(ticks: u64, multiplier: Multiplier) -> i64 {
    let ns = (u128::from(ticks) * u128::from(multiplier)) >> 32;
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// Ticks in a span of nanoseconds.
pub(super) fn ticks_of(ns: u64, multiplier: Multiplier) -> u64 {
    let ticks = (u128::from(ns) << 32) / u128::from(multiplier.max(1));
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_nanoseconds_per_tick_and_must_be_plausible() {
        let at = |tsc, ns| Instant { tsc, ns };
        let zero = at(0, 0);
        let rate = at(2_500_000, 1_000_000).multiplier_since(zero).unwrap();
        assert_eq!(rate, (1 << 32) * 2 / 5);
        assert_eq!(ns_of(2_500, rate), 999, "rounded down");
        assert_eq!(ticks_of(1_000, rate), 2_500);
        assert_eq!(at(1, 1_000_000).multiplier_since(zero), None, "1 kHz");
        assert_eq!(at(0, 1_000).multiplier_since(zero), None, "stands still");
        assert_eq!(zero.multiplier_since(at(10, 10)), None, "runs backwards");
        assert_eq!(ns_of(u64::MAX, u64::MAX), i64::MAX, "saturates");
    }

    #[test]
    fn two_calibrations_agree() {
        if counter::usable().is_err() {
            return;
        }
        let (_, first) = calibrate().unwrap();
        let (_, second) = calibrate().unwrap();
        assert!(first.abs_diff(second) < first / 200, "{first} and {second}");
    }
}
