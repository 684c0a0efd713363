//! Reads the figures that people see back into numbers, told here once more, so that the page's own formatting is not
//! its own judge.

/// Between which values of the document a shown number may stand: itself, give or take half of the last digit that is
/// shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Read {
    from: f64,
    to: f64,
}

impl Read {
    pub(crate) fn holds(self, exact: f64) -> bool {
        // A tie may be written either way, and the scaling has its own error.
        let slack = exact.abs() * 1e-9;
        self.from - slack <= exact && exact <= self.to + slack
    }
}

/// A number as it is written, with the words behind it.
struct Written<'a> {
    /// `≈` or `<`, if one stands before it.
    about: Option<char>,
    value: f64,
    /// The power of ten of its last digit that is told.
    last: f64,
    unit: &'a str,
}

/// How many of the document's units one of the page's is; none for words that are no unit.
fn scale(unit: &str) -> Option<f64> {
    const K: f64 = 1024.0;
    let unit = unit.strip_suffix("/s").unwrap_or(unit).trim_end();
    Some(match unit {
        "" | "ns" | "B" | "cores" | "×" | "/h" | "ns/byte" | "time" | "times" | "window"
        | "windows" | "row" | "rows" | "edge" | "edges" | "messages" => 1.0,
        "%" => 0.01,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "min" => 6e10,
        "h" => 3.6e12,
        "d" => 8.64e13,
        "years" => 3.1536e16,
        "KiB" => K,
        "MiB" => K * K,
        "GiB" => K * K * K,
        "TiB" => K * K * K * K,
        _ => return None,
    })
}

/// The exponent of a number written as `1.2 × 10⁻⁷`.
fn raised(text: &str) -> Option<i32> {
    let plain: String = text
        .chars()
        .map(|c| match c {
            '⁻' => '-',
            '¹' => '1',
            '²' => '2',
            '³' => '3',
            '⁰' => '0',
            '⁴'..='⁹' => {
                char::from(b'4' + u8::try_from(u32::from(c) - u32::from('⁴')).unwrap_or(0))
            }
            _ => 'x',
        })
        .collect();
    plain.parse().ok()
}

fn written(text: &str) -> Option<Written<'_>> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let about = text.chars().next().filter(|c| matches!(c, '≈' | '<'));
    let text = text.trim_start_matches(['≈', '<']).trim_start();
    let (sign, text) = match text.strip_prefix('−') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == ',' || c == '.'))
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let digits = number.replace(',', "");
    let size: f64 = digits.parse().ok()?;
    let rest = rest.trim_start();
    let (exponent, unit) = match rest.strip_prefix('×').map(str::trim_start) {
        Some(power) if power.starts_with("10") => {
            let power = &power[2..];
            let end = power.find(char::is_whitespace).unwrap_or(power.len());
            (raised(&power[..end])?, power[end..].trim())
        }
        _ => (0, rest.trim()),
    };
    // Three digits are told; zeros at the end are not written. Whole numbers may have more.
    let third = if size == 0.0 {
        0.0
    } else {
        10_f64.powf(size.log10().floor() - 2.0)
    };
    let last = if digits.trim_end_matches('0').len() > 3 && !digits.contains('.') {
        1.0
    } else {
        third
    };
    let power = 10_f64.powi(exponent);
    Some(Written {
        about,
        value: sign * size * power,
        last: last * power,
        unit,
    })
}

fn within(it: &Written<'_>, scale: f64) -> Read {
    let is_share = it.unit == "%";
    let half = match it.about {
        // Less than half a nanosecond, or of a tenth of a percent.
        Some('≈') if it.value == 0.0 => 0.5 * if is_share { 0.1 } else { 1.0 },
        Some('<') => {
            return Read {
                from: 0.0,
                to: it.value * scale / 2.0,
            };
        }
        _ if it.value == 0.0 => 0.0,
        _ if is_share && it.value.abs() < 10.0 => 0.05,
        // Whole percents, of which at most six digits are written.
        _ if is_share => 0.5 * 10_f64.powf((it.value.abs().log10().floor() - 5.0).max(0.0)),
        _ => it.last / 2.0,
    };
    Read {
        from: (it.value - half) * scale,
        to: (it.value + half) * scale,
    }
}

/// The number of `1.23 ms`; none where there is more than a number and its unit.
pub(crate) fn read(text: &str) -> Option<Read> {
    let it = written(text)?;
    Some(within(&it, scale(it.unit)?))
}

/// The number of `12 ×`, of which two digits are told.
pub(crate) fn read_times(text: &str) -> Option<Read> {
    let it = written(text.strip_suffix('×')?)?;
    let half = it.last * 10.0 / 2.0;
    Some(Read {
        from: it.value - half,
        to: it.value + half,
    })
}

/// The two ends of `1.2–1.4 ms`, `−3 to 2 ms`, or of `≈ 1.2 ms` where both are written alike.
pub(crate) fn read_range(text: &str) -> Option<(Read, Read)> {
    let ends = text.split_once('–').or_else(|| text.split_once(" to "));
    let Some((low, high)) = ends else {
        let about = text.trim().strip_prefix('≈')?.trim_start();
        let both = if about.starts_with('0') {
            read(text)?
        } else {
            read(about)?
        };
        return Some((both, both));
    };
    let (low, high) = (written(low)?, written(high)?);
    let unit = scale(high.unit)?;
    let low = if low.unit.is_empty() {
        within(
            &Written {
                unit: high.unit,
                ..low
            },
            unit,
        )
    } else {
        within(&low, scale(low.unit)?)
    };
    Some((low, within(&high, unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back_with_its_rounding() {
        for (text, in_it, not) in [
            ("1.23 ms", 1_234_999.0, 1_236_000.0),
            ("1.2 ms", 1_204_000.0, 1_210_000.0),
            ("12.5\u{a0}KiB /s", 12_800.0, 12_900.0),
            ("1,234", 1_234.0, 1_235.0),
            ("−0.5", -0.5, 0.5),
            ("1.5 × 10⁻⁷ cores", 1.5e-7, 1.5e-6),
            ("4.9 %", 0.049_4, 0.049_6),
            ("102 %", 1.024, 1.026),
            ("< 0.1 %", 0.000_4, 0.000_6),
            ("≈ 0 ns", -0.4, 0.6),
            ("0 %", 0.0, 0.000_1),
            ("2×", 2.0, 2.1),
            ("14,048,700 %", 140_487.04, 140_488.0),
        ] {
            let read = read(text).unwrap_or_else(|| panic!("{text}"));
            assert!(read.holds(in_it) && !read.holds(not), "{text}: {read:?}");
        }
        assert_eq!(read("3 services"), None);
        assert_eq!(read("1 of 2"), None);
        let times = read_times("12\u{a0}×").expect("times");
        assert!(times.holds(12.4) && !times.holds(12.6) && times.holds(11.6));
    }

    #[test]
    fn ranges_are_read_with_the_unit_of_their_end() {
        let (low, high) = read_range("1.2\u{2009}–\u{2009}1.4\u{a0}ms").expect("a range");
        assert!(low.holds(1.2e6) && high.holds(1.4e6) && !low.holds(1.4e6));
        let (low, high) = read_range("−3 µs to 2 ms").expect("a range");
        assert!(low.holds(-3e3) && high.holds(2e6));
        let (low, high) = read_range("≈ 1.2 ms").expect("a range");
        assert!(low.holds(1.2e6) && high.holds(1.2e6) && !low.holds(0.0));
        assert_eq!(read_range("1.2 ms"), None);
    }
}
