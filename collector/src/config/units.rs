//! Durations and sizes as people write them.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 6] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const SIZE_UNITS: [(&str, u64); 6] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("B", 1),
];

/// Reads `500ms`, `10s`, `15m`, `2h`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, &DURATION_UNITS)
        .map(Duration::from_nanos)
        .ok_or_else(|| {
            format!("`{text}` is not a duration; write a number and ms, s, m, h or d, like `10s`")
        })
}

/// Writes what [`parse_duration`] reads, in the largest unit that leaves no rest.
pub(crate) fn show_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    for (unit, factor) in [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ] {
        if nanos >= factor && nanos.is_multiple_of(factor) {
            return format!("{}{unit}", nanos / factor);
        }
    }
    format!("{}ms", nanos / 1_000_000)
}

/// Reads `4MiB`, `64KiB`, or plain bytes.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = match text.trim().parse::<u64>() {
        Ok(bytes) => Some(bytes),
        Err(_) => parse(text, &SIZE_UNITS),
    };
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| {
            format!("`{text}` is not a size; write a number and KiB, MiB or GiB, like `4MiB`")
        })
}

/// Writes what [`parse_size`] reads.
pub(crate) fn show_size(bytes: usize) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_back() {
        for text in ["500ms", "10s", "15m", "2h", "7d"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["4MiB", "64KiB", "3GiB", "17B"] {
            assert_eq!(show_size(parse_size(text).unwrap()), text);
        }
        assert_eq!(parse_size("17"), Ok(17));
        for text in [
            "",
            "s",
            "10",
            "10 parsecs",
            "-1s",
            "99999999999999999999s",
            "1.5h",
        ] {
            assert!(
                parse_duration(text).unwrap_err().contains("like `10s`"),
                "{text}"
            );
        }
        assert!(parse_size("0").is_err());
    }
}
