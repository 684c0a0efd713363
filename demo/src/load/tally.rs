//! What came of the load.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::mix::MIX;

/// What came of one row of the mix. Latency counts from the instant at which the request was due, so that a
/// system that stalls cannot hide it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OriginResult {
    pub(crate) operation: String,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    /// The first failure in words.
    pub(crate) first_failure: Option<String>,
    pub(crate) p50_us: u64,
    pub(crate) p95_us: u64,
    pub(crate) p99_us: u64,
}

/// What came of all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) origins: Vec<OriginResult>,
    /// Failures of requests that are no row of the mix, and the first in words.
    pub(crate) other_failed: u64,
    pub(crate) other_first_failure: Option<String>,
}

impl Results {
    /// Requests sent.
    pub(crate) fn sent(&self) -> u64 {
        self.origins.iter().map(|o| o.sent).sum()
    }

    /// Requests that failed, with the words of the first failure.
    pub(crate) fn failures(&self) -> (u64, Option<&str>) {
        (
            self.origins.iter().map(|o| o.failed).sum::<u64>() + self.other_failed,
            self.origins
                .iter()
                .find_map(|o| o.first_failure.as_deref())
                .or(self.other_first_failure.as_deref()),
        )
    }
}

/// Longest latency that is told apart; beyond it counts as this.
const LATENCY_US_MAX: u64 = 120_000_000;

struct Row {
    latency_us: Histogram<u64>,
    failed: u64,
    first_failure: Option<String>,
}

/// Counts while the load runs.
pub(super) struct Tally {
    rows: Vec<Row>,
    other_failed: u64,
    other_first_failure: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, hdrhistogram::CreationError> {
        let rows = MIX
            .iter()
            .map(|_| {
                Ok(Row {
                    latency_us: Histogram::new_with_max(LATENCY_US_MAX, 3)?,
                    failed: 0,
                    first_failure: None,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            rows,
            other_failed: 0,
            other_first_failure: None,
        })
    }

    pub(super) fn record(&mut self, origin: usize, latency_us: u64, outcome: Result<(), String>) {
        let Some(row) = self.rows.get_mut(origin) else {
            if let Err(failure) = outcome {
                self.other_failed += 1;
                self.other_first_failure.get_or_insert(failure);
            }
            return;
        };
        row.latency_us.saturating_record(latency_us);
        if let Err(failure) = outcome {
            row.failed += 1;
            row.first_failure.get_or_insert(failure);
        }
    }

    pub(super) fn results(&self) -> Results {
        let origins = MIX
            .iter()
            .zip(&self.rows)
            .map(|(origin, row)| OriginResult {
                operation: origin.operation.to_owned(),
                sent: row.latency_us.len(),
                failed: row.failed,
                first_failure: row.first_failure.clone(),
                p50_us: row.latency_us.value_at_quantile(0.50),
                p95_us: row.latency_us.value_at_quantile(0.95),
                p99_us: row.latency_us.value_at_quantile(0.99),
            })
            .collect();
        Results {
            origins,
            other_failed: self.other_failed,
            other_first_failure: self.other_first_failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_the_first_is_kept() {
        let mut tally = Tally::new().expect("made");
        tally.record(0, 100, Ok(()));
        tally.record(0, 900_000_000, Err("first".to_owned()));
        tally.record(1, 300, Err("second".to_owned()));
        let results = tally.results();
        assert_eq!(results.sent(), 3);
        assert_eq!(results.failures(), (2, Some("first")));
        tally.record(usize::MAX, 1, Err("probe".to_owned()));
        assert_eq!(tally.results().failures().0, 3);
        assert_eq!(results.origins[0].p50_us, 100);
        assert!(results.origins[0].p99_us.abs_diff(LATENCY_US_MAX) < LATENCY_US_MAX / 500);
    }
}
