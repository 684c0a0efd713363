//! Durations as people write them.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration; write a whole number and a unit, for example `500ms`, `10s` or `1m`")]
pub(crate) struct DurationError;

/// Reads `500ms`, `10s`, `1m` or `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or(DurationError)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| DurationError)?;
    let unit_ms = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(DurationError),
    };
    number
        .checked_mul(unit_ms)
        .map(Duration::from_millis)
        .ok_or(DurationError)
}
