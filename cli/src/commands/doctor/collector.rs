//! Whether the collector answers, understands us, and has heard of anybody.

use std::collections::BTreeMap;

use weighbridge_collector::{Access, Clock, FetchError, fetch_range};
use weighbridge_wire::FoldedRange;

use super::finding::Finding;
use crate::exit::Stop;
use crate::runtime;

const WHAT: &str = "collector";
/// How far back it is asked.
const SINCE: &str = "5m";
/// Clocks that differ by more than this put figures into wrong windows.
const SKEW_MAX_S: u64 = 5;

/// Asks the collector for the last minutes: that needs the right address, a token that may read, and a
/// version that both understand.
pub(super) fn look(endpoint: Option<&str>, access: &Access) -> Result<Vec<Finding>, Stop> {
    let Some(endpoint) = endpoint else {
        return Ok(vec![Finding::less(
            WHAT,
            "WEIGHBRIDGE_ENDPOINT is not set: services print their table of costs when they end",
            "start `weighbridge collect` and set WEIGHBRIDGE_ENDPOINT=http://127.0.0.1:4318",
        )]);
    };
    let answer =
        runtime::current_thread()?.block_on(fetch_range(endpoint, access, Some(SINCE), None));
    Ok(match answer {
        Ok(range) => heard(endpoint, &range, Clock::system().now_unix_ns()),
        Err(error) => vec![Finding::broken(WHAT, error.to_string(), remedy(&error))],
    })
}

fn remedy(error: &FetchError) -> String {
    match error {
        FetchError::Refused { status, .. } if matches!(status.as_u16(), 401 | 403) => {
            "set WEIGHBRIDGE_TOKEN to a token of the collector that may read".into()
        }
        FetchError::Decode { .. } => {
            "bring collector and services to versions that differ by at most one major version"
                .into()
        }
        FetchError::Tls { .. } => "give the files that it names, in PEM".into(),
        FetchError::NoAnswer { .. } => {
            "start it with `weighbridge collect`, or set WEIGHBRIDGE_ENDPOINT to where it runs"
                .into()
        }
        _ => "set WEIGHBRIDGE_ENDPOINT to the URL of a collector".into(),
    }
}

fn heard(endpoint: &str, range: &FoldedRange, now_unix_ns: u64) -> Vec<Finding> {
    const SECOND_NS: u64 = 1_000_000_000;
    let mut findings = vec![Finding::good(
        WHAT,
        format!(
            "{endpoint} answers and speaks version {}",
            weighbridge_wire::VERSION
        ),
    )];
    let mut last = BTreeMap::new();
    for window in &range.windows {
        let end = last.entry(window.service.service.as_str()).or_insert(0);
        *end = window.window.end_unix_ns.max(*end);
    }
    if last.is_empty() {
        findings.push(Finding::less(
            "services",
            format!("nobody has sent anything in the last {SINCE}"),
            "start a service with the agent and this WEIGHBRIDGE_ENDPOINT, and give it some load",
        ));
    }
    for (service, end) in last {
        let ahead_s = end.saturating_sub(now_unix_ns) / SECOND_NS;
        findings.push(if ahead_s > SKEW_MAX_S {
            Finding::less(
                "services",
                format!("{service} is {ahead_s} s ahead of this machine's clock"),
                "synchronise the clocks of both machines (NTP)",
            )
        } else {
            let ago_s = now_unix_ns.saturating_sub(end) / SECOND_NS;
            Finding::good(
                "services",
                format!("{service}, last heard of {ago_s} s ago"),
            )
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{FoldedWindow, RowSet, ServiceId, Window};

    use super::*;
    use crate::commands::doctor::finding::State;

    const NOW: u64 = 1_800_000_000_000_000_000;

    fn range(ends: &[(&str, u64)]) -> FoldedRange {
        let windows = ends
            .iter()
            .map(|(service, end_unix_ns)| FoldedWindow {
                service: ServiceId {
                    service: (*service).into(),
                    ..ServiceId::default()
                },
                window: Window {
                    start_unix_ns: end_unix_ns - 1,
                    end_unix_ns: *end_unix_ns,
                },
                rows: RowSet::new(),
            })
            .collect();
        FoldedRange {
            window: Window {
                start_unix_ns: 0,
                end_unix_ns: NOW,
            },
            windows,
        }
    }

    #[test]
    fn silence_and_wrong_clocks_are_said() {
        let states = |range| {
            heard("url", &range, NOW)
                .into_iter()
                .map(|f| f.state)
                .collect::<Vec<_>>()
        };
        assert_eq!(states(range(&[])), [State::Good, State::Less]);
        assert_eq!(
            states(range(&[("a", NOW - 5), ("a", NOW - 9)])),
            [State::Good, State::Good]
        );
        let ahead = range(&[("a", NOW - 5), ("b", NOW + 60_000_000_000)]);
        assert_eq!(states(ahead), [State::Good, State::Good, State::Less]);
    }

    #[test]
    fn a_collector_that_is_not_there_is_broken() {
        // Port 1 of the loopback interface: nothing listens there.
        let findings =
            look(Some("http://127.0.0.1:1"), &Access::default()).expect("a runtime starts");
        assert_eq!(findings[0].state, State::Broken);
        assert!(
            findings[0].remedy.contains("weighbridge collect"),
            "{findings:?}"
        );
    }
}
