//! Figures in sentences.

use crate::model::Estimate;

/// Three significant digits, without an exponent.
pub(crate) fn number(x: f64) -> String {
    let size = x.abs();
    if size >= 99.95 {
        format!("{x:.0}")
    } else if size >= 9.995 {
        format!("{x:.1}")
    } else if size >= 0.9995 {
        format!("{x:.2}")
    } else if size >= 0.09995 {
        format!("{x:.3}")
    } else if size >= 1e-6 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let decimals = (2.0 - libm::floor(libm::log10(size))) as usize;
        format!("{x:.decimals$}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    } else if x == 0.0 {
        "0".to_owned()
    } else {
        "less than 0.000001".to_owned()
    }
}

/// A multiple: whole ones without decimals.
pub(crate) fn factor(x: f64) -> String {
    if x == libm::round(x) && x.abs() < 1e6 {
        format!("{x:.0}")
    } else {
        number(x)
    }
}

/// Nanoseconds.
pub(crate) fn ns(x: f64) -> String {
    let size = x.abs();
    if size >= 1e9 {
        format!("{} s", number(x / 1e9))
    } else if size >= 1e6 {
        format!("{} ms", number(x / 1e6))
    } else if size >= 1e3 {
        format!("{} µs", number(x / 1e3))
    } else {
        format!("{} ns", number(x))
    }
}

/// Bytes.
pub(crate) fn bytes(x: f64) -> String {
    let size = x.abs();
    for (unit, name) in [
        (1024.0 * 1024.0 * 1024.0, "GiB"),
        (1024.0 * 1024.0, "MiB"),
        (1024.0, "KiB"),
    ] {
        if size >= unit {
            return format!("{} {name}", number(x / unit));
        }
    }
    format!("{} bytes", number(x))
}

/// A share of 1.
pub(crate) fn share(x: f64) -> String {
    format!("{} %", number(x * 100.0))
}

/// Cores.
pub(crate) fn cores(x: f64) -> String {
    format!("{} cores", number(x))
}

/// Things in a second.
pub(crate) fn rate(x: f64) -> String {
    format!("{}/s", number(x))
}

/// An estimate with its interval.
pub(crate) fn with_interval(estimate: &Estimate, say: fn(f64) -> String) -> String {
    match estimate.interval() {
        Ok((low, high)) if say(low) != say(high) => {
            format!("{} ({} to {})", say(estimate.point), say(low), say(high))
        }
        _ => say(estimate.point),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [firsts @ .., last] => format!("{} and {last}", firsts.join(", ")),
    }
}

/// What follows a list that was cut: ` and 3 more`, nothing where nothing is left.
pub(crate) fn and_more(left: usize) -> String {
    match left {
        0 => String::new(),
        left => format!(" and {left} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_can_read_them() {
        assert_eq!(ns(0.0), "0 ns");
        assert_eq!(ns(1_234_567.0), "1.23 ms");
        assert_eq!(ns(-45_600.0), "-45.6 µs");
        assert_eq!(bytes(1_536.0), "1.50 KiB");
        assert_eq!(share(0.6234), "62.3 %");
        assert_eq!(number(999.6), "1000");
        assert_eq!(number(0.012), "0.012");
        assert_eq!(number(0.055_694), "0.0557");
        assert_eq!(number(-0.000_123_4), "-0.000123");
        assert_eq!(number(1e-9), "less than 0.000001");
        assert_eq!(factor(5.0), "5");
        assert_eq!(factor(2.5), "2.50");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
