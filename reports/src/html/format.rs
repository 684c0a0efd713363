//! Numbers as people read them. The exact value stands beside each in an attribute.

/// A number with `digits` significant digits and a comma between thousands; `∞` and `NaN` never come from a
/// document and are written as `not a number`.
#[must_use]
pub fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let precision = digits.max(1) - 1;
    let scientific = format!("{:.*e}", precision, value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if value < 0.0 { "−" } else { "" };
    if !(-6..15).contains(&exponent) {
        return format!("{sign}{mantissa}\u{a0}×\u{a0}10{}", raised(exponent));
    }
    let decimals = usize::try_from(i32::try_from(precision).unwrap_or(0) - exponent).unwrap_or(0);
    // Rounded once by the exponent form; the second form only lays the digits out.
    let rounded: f64 = scientific.parse().unwrap_or(value.abs());
    let plain = format!("{rounded:.decimals$}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let fraction = fraction.trim_end_matches('0');
    let whole = group(whole);
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// An exponent in raised digits.
fn raised(exponent: i32) -> String {
    exponent
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            '9' => '⁹',
            _ => '⁰',
        })
        .collect()
}

/// Digits with a comma between thousands.
fn group(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, c) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// An exact integer with a comma between thousands.
#[must_use]
pub fn integer(value: i64) -> String {
    let digits = group(&value.unsigned_abs().to_string());
    if value < 0 {
        format!("−{digits}")
    } else {
        digits
    }
}

/// A count: whole numbers below 10 million exactly, others with three significant digits.
#[must_use]
pub fn count(value: f64) -> String {
    if value.abs() < 1e7 && value == libm::trunc(value) {
        // Whole and small: the cast is exact.
        integer(value as i64)
    } else {
        significant(value, 3)
    }
}

/// A figure and its unit, apart so that the unit can be set smaller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// The number.
    pub number: String,
    /// The unit; empty when there is none.
    pub unit: &'static str,
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.number)?;
        if self.unit.is_empty() {
            Ok(())
        } else if self.unit.starts_with('/') {
            f.write_str(self.unit)
        } else {
            write!(f, "\u{a0}{}", self.unit)
        }
    }
}

/// Scales a value to the first unit in which it is below the next one.
fn scaled(value: f64, units: &[(f64, &'static str)]) -> Quantity {
    let mut chosen = (1.0, "");
    for (index, unit) in units.iter().enumerate() {
        // 999.6 would be written as 1,000: take the next unit from where it rounds to.
        if index == 0 || value.abs() >= unit.0 * 0.9995 {
            chosen = *unit;
        }
    }
    Quantity {
        number: significant(value / chosen.0, 3),
        unit: chosen.1,
    }
}

/// Below this no time is told from none: clocks count whole nanoseconds.
const NO_TIME_NS: f64 = 0.5;

/// Nanoseconds: ns, µs, ms, s, min, h, d, years; `≈ 0` for less than half of one.
#[must_use]
pub fn duration(ns: f64) -> Quantity {
    if ns != 0.0 && ns.abs() < NO_TIME_NS {
        return Quantity {
            number: "≈\u{a0}0".to_owned(),
            unit: "ns",
        };
    }
    scaled(
        ns,
        &[
            (1.0, "ns"),
            (1e3, "µs"),
            (1e6, "ms"),
            (1e9, "s"),
            (1.2e11, "min"),
            (7.2e12, "h"),
            (1.728e14, "d"),
            (6.3072e16, "years"),
        ]
        .map(|(from, unit)| (from, unit)),
    )
    .fix_duration(ns)
}

impl Quantity {
    /// From two minutes on, the unit changes at twice its own length: 90 s reads better than 1.5 min.
    fn fix_duration(mut self, ns: f64) -> Self {
        let length = match self.unit {
            "min" => 6e10,
            "h" => 3.6e12,
            "d" => 8.64e13,
            "years" => 3.1536e16,
            _ => return self,
        };
        self.number = significant(ns / length, 3);
        self
    }
}

/// Bytes: B, KiB, MiB, GiB, TiB.
#[must_use]
pub fn bytes(value: f64) -> Quantity {
    const K: f64 = 1024.0;
    scaled(
        value,
        &[
            (1.0, "B"),
            (K, "KiB"),
            (K * K, "MiB"),
            (K * K * K, "GiB"),
            (K * K * K * K, "TiB"),
        ],
    )
}

/// A share, 0 to 1, as percent: one decimal below 10 %, `< 0.1` for what is there but too small, and `≈ 0` for what is
/// that little below zero.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        return "not a number".to_owned();
    }
    let size = percent.abs();
    if size == 0.0 {
        "0\u{a0}%".to_owned()
    } else if size < 0.05 {
        // `< −0.1 %` would be more than a tenth: what is a little below zero is about zero.
        (if percent < 0.0 {
            "≈\u{a0}0\u{a0}%"
        } else {
            "<\u{a0}0.1\u{a0}%"
        })
        .to_owned()
    } else if size < 10.0 {
        let sign = if percent < 0.0 { "−" } else { "" };
        let text = format!("{size:.1}");
        format!("{sign}{}\u{a0}%", text.strip_suffix(".0").unwrap_or(&text))
    } else {
        let sign = if percent < 0.0 { "−" } else { "" };
        format!("{sign}{}\u{a0}%", significant(libm::round(size), 6))
    }
}

/// A time of day as documents write it (`2026-11-23T04:00:00.000Z`) as people do: `23 Nov 2026, 04:00:00 UTC`.
/// Anything else comes back as it is.
#[must_use]
pub fn instant(rfc3339: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let parse = || {
        let (date, time) = rfc3339.strip_suffix('Z')?.split_once('T')?;
        let mut parts = date.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
        let day: u8 = day.parse().ok()?;
        let year: u16 = year.parse().ok()?;
        let time = time.strip_suffix(".000").unwrap_or(time);
        Some(format!("{day} {month} {year}, {time} UTC"))
    };
    parse().unwrap_or_else(|| rfc3339.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_thousands() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.001_234, "0.00123"),
            (12.345, "12.3"),
            (999.6, "1,000"),
            (1_234_567.0, "1,230,000"),
            (-45.67, "−45.7"),
            (1e-9, "1.00\u{a0}×\u{a0}10⁻⁹"),
            (1e20, "1.00\u{a0}×\u{a0}10²⁰"),
            (f64::NAN, "not a number"),
        ] {
            assert_eq!(significant(value, 3), text, "{value}");
        }
        assert_eq!(integer(-1_234_567), "−1,234,567");
        assert_eq!(integer(i64::MIN), "−9,223,372,036,854,775,808");
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(2.5), "2.5");
    }

    #[test]
    fn durations_from_a_nanosecond_to_years() {
        for (ns, text) in [
            (1.0, "1\u{a0}ns"),
            (999.7, "1\u{a0}µs"),
            (12_345.0, "12.3\u{a0}µs"),
            (2.5e6, "2.5\u{a0}ms"),
            (9e10, "90\u{a0}s"),
            (1.8e11, "3\u{a0}min"),
            (9e12, "2.5\u{a0}h"),
            (2.592e14, "3\u{a0}d"),
            (6.3072e17, "20\u{a0}years"),
            (-3e6, "−3\u{a0}ms"),
            (0.057_8, "≈\u{a0}0\u{a0}ns"),
            (-0.2, "≈\u{a0}0\u{a0}ns"),
            (0.0, "0\u{a0}ns"),
        ] {
            assert_eq!(duration(ns).to_string(), text, "{ns}");
        }
    }

    #[test]
    fn instants() {
        assert_eq!(
            instant("2026-11-23T04:00:00.000Z"),
            "23 Nov 2026, 04:00:00 UTC"
        );
        assert_eq!(
            instant("2026-01-03T04:00:00.250Z"),
            "3 Jan 2026, 04:00:00.250 UTC"
        );
        for odd in ["", "yesterday", "2026-13-01T00:00:00Z", "T", "Z"] {
            assert_eq!(instant(odd), odd);
        }
    }

    #[test]
    fn bytes_and_percent() {
        assert_eq!(bytes(1023.9).to_string(), "1\u{a0}KiB");
        assert_eq!(bytes(5.0 * 1024.0 * 1024.0).to_string(), "5\u{a0}MiB");
        assert_eq!(percent(0.0), "0\u{a0}%");
        assert_eq!(percent(0.0001), "<\u{a0}0.1\u{a0}%");
        assert_eq!(percent(-0.0001), "≈\u{a0}0\u{a0}%");
        assert_eq!(percent(0.0123), "1.2\u{a0}%");
        assert_eq!(percent(0.617), "62\u{a0}%");
        assert_eq!(percent(12.0), "1,200\u{a0}%");
    }
}
