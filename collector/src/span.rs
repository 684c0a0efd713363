//! `since` and `until`: which windows a reader asks for.

use jiff::Timestamp;
use weighbridge_wire::{FoldedWindow, Window};

use crate::config::parse_duration;

/// A span of event time as asked for, start inclusive, end exclusive. Whole windows belong to it: every one
/// that starts inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First nanosecond since the Unix epoch.
    pub since_unix_ns: u64,
    /// First nanosecond after it.
    pub until_unix_ns: u64,
}

impl Default for Span {
    fn default() -> Self {
        Self {
            since_unix_ns: 0,
            until_unix_ns: u64::MAX,
        }
    }
}

impl Span {
    /// Reads `since` and `until`, each an instant like `2026-11-23T04:00:00Z` or a time before now like
    /// `15m`. Without `since`: from the beginning; without `until`: to the end.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what would be right.
    pub fn parse(
        since: Option<&str>,
        until: Option<&str>,
        now_unix_ns: u64,
    ) -> Result<Self, String> {
        let all = Self::default();
        let instant = |name, text: Option<&str>, otherwise| match text.filter(|t| !t.is_empty()) {
            Some(text) => {
                parse_instant(text, now_unix_ns).map_err(|why| format!("`{name}`: {why}"))
            }
            None => Ok(otherwise),
        };
        let span = Self {
            since_unix_ns: instant("since", since, all.since_unix_ns)?,
            until_unix_ns: instant("until", until, all.until_unix_ns)?,
        };
        if span.since_unix_ns >= span.until_unix_ns {
            return Err("`until` is not after `since`; exchange them, or leave one out".into());
        }
        Ok(span)
    }
}

impl Span {
    /// The window of a range: what was asked for; where that was left open, what was found.
    #[must_use]
    pub(crate) fn covered(self, found: Option<Window>) -> Window {
        let open = Self::default();
        let found = found.unwrap_or(Window {
            start_unix_ns: 0,
            end_unix_ns: 0,
        });
        let start_unix_ns = if self.since_unix_ns == open.since_unix_ns {
            found.start_unix_ns
        } else {
            self.since_unix_ns
        };
        let end_unix_ns = if self.until_unix_ns == open.until_unix_ns {
            found.end_unix_ns
        } else {
            self.until_unix_ns
        };
        Window {
            start_unix_ns,
            end_unix_ns: end_unix_ns.max(start_unix_ns),
        }
    }

    /// [`covered`](Self::covered) for the windows that were found.
    pub(crate) fn covering(self, windows: &[FoldedWindow]) -> Window {
        self.covered(
            windows
                .iter()
                .map(|folded| folded.window)
                .reduce(Window::cover),
        )
    }
}

fn parse_instant(text: &str, now_unix_ns: u64) -> Result<u64, String> {
    if text == "now" {
        return Ok(now_unix_ns);
    }
    if let Ok(before) = parse_duration(text) {
        let before = u64::try_from(before.as_nanos()).unwrap_or(u64::MAX);
        return Ok(now_unix_ns.saturating_sub(before));
    }
    let timestamp: Timestamp = text.parse().map_err(|_| {
        format!(
            "`{text}` is neither an instant like 2026-11-23T04:00:00Z nor a time before now like 15m"
        )
    })?;
    u64::try_from(timestamp.as_nanosecond())
        .map_err(|_| format!("`{text}` lies before 1970; give a later instant"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SECOND_NS;

    const NOW: u64 = 1_800_000_000 * SECOND_NS;

    #[test]
    fn instants_and_times_before_now() {
        assert_eq!(Span::parse(None, None, NOW), Ok(Span::default()));
        let span = Span::parse(Some("15m"), Some("5s"), NOW).unwrap();
        assert_eq!(span.since_unix_ns, NOW - 900 * SECOND_NS);
        assert_eq!(span.until_unix_ns, NOW - 5 * SECOND_NS);
        let span = Span::parse(
            Some("2027-01-15T08:00:00Z"),
            Some("2027-01-15T09:00:01+01:00"),
            NOW,
        );
        assert_eq!(
            span,
            Ok(Span {
                since_unix_ns: NOW,
                until_unix_ns: NOW + SECOND_NS
            })
        );
    }

    #[test]
    fn nonsense_is_explained() {
        for (since, until) in [
            ("yesterday", ""),
            ("5s", "15m"),
            ("", "1969-01-01T00:00:00Z"),
            ("5", ""),
        ] {
            let why = Span::parse(Some(since), Some(until), NOW).unwrap_err();
            assert!(why.contains("since") || why.contains("until"), "{why}");
        }
    }
}
