//! Axes in units that people read.

use crate::html::format::significant;

/// How values are divided and named on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Values are divided by this.
    pub divisor: f64,
    /// And called this; empty for plain numbers.
    pub unit: &'static str,
}

impl Scale {
    /// Plain numbers with a name.
    #[must_use]
    pub fn plain(unit: &'static str) -> Self {
        Self { divisor: 1.0, unit }
    }

    /// The unit of time in which `max_ns` is at least 1.
    #[must_use]
    pub fn nanoseconds(max_ns: f64) -> Self {
        Self::pick(
            max_ns,
            &[
                (1.0, "ns"),
                (1e3, "µs"),
                (1e6, "ms"),
                (1e9, "s"),
                (3.6e12, "h"),
            ],
        )
    }

    /// The unit of size in which `max_bytes` is at least 1.
    #[must_use]
    pub fn bytes(max_bytes: f64) -> Self {
        const KIB: f64 = 1024.0;
        Self::pick(
            max_bytes,
            &[
                (1.0, "B"),
                (KIB, "KiB"),
                (KIB * KIB, "MiB"),
                (KIB * KIB * KIB, "GiB"),
                (KIB * KIB * KIB * KIB, "TiB"),
            ],
        )
    }

    fn pick(max: f64, units: &[(f64, &'static str)]) -> Self {
        let mut chosen = Self::plain("");
        for (index, (divisor, unit)) in units.iter().enumerate() {
            if index == 0 || max >= *divisor {
                chosen = Self {
                    divisor: *divisor,
                    unit,
                };
            }
        }
        chosen
    }

    /// A value on this scale, without the unit.
    pub(crate) fn label(self, scaled: f64) -> String {
        significant(scaled, 3)
    }
}

/// The top of an axis that holds `max`, and the distance of its marks: 1, 2 or 5 times a power of ten, three to
/// six of them.
pub(crate) fn axis(max: f64) -> (f64, f64) {
    if !max.is_finite() || max <= 0.0 {
        return (1.0, 0.5);
    }
    let rough = max / 4.0;
    let power = libm::pow(10.0, libm::floor(libm::log10(rough)));
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    if !step.is_finite() || step <= 0.0 {
        return (max, max);
    }
    (libm::ceil(max / step - 1e-9).max(1.0) * step, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_largest_value() {
        assert_eq!(Scale::nanoseconds(900.0).unit, "ns");
        assert_eq!(Scale::nanoseconds(2.5e6).unit, "ms");
        assert_eq!(Scale::bytes(1e6).unit, "KiB");
        assert_eq!(Scale::bytes(0.0).unit, "B");
    }

    #[test]
    fn axes_hold_their_values_with_few_marks() {
        for max in [1e-12, 0.003, 0.99, 1.0, 4.2, 17.0, 999.0, 3.3e14] {
            let (top, step) = axis(max);
            assert!(top >= max * 0.999 && top <= max * 2.5, "{max}: {top}");
            let marks = top / step;
            assert!((1.0..=7.0).contains(&marks), "{max}: {marks}");
        }
        for odd in [
            0.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::MIN_POSITIVE,
            f64::MAX,
        ] {
            let (top, step) = axis(odd);
            assert!(top > 0.0 && step > 0.0, "{odd}");
        }
    }
}
