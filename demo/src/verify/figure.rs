//! The figures that are predicted and measured: one list of names for both.

use serde::{Deserialize, Serialize};

use super::measure::Spent;
use crate::load::MIX;

/// What a figure is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Subject {
    /// CPU of one request of an origin over all processes that are placed, ns.
    Origin(String),
    /// The same of one request of the mix, whichever it is, ns.
    Mix,
    /// The part of it that one process spends (replicas together), ns.
    Process(String),
    /// CPU of everything placed while nothing is asked, ns in a second.
    Idle,
}

impl Subject {
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Origin(operation) => operation.clone(),
            Self::Mix => "a request of the mix".to_owned(),
            Self::Process(name) => format!("of that: {name}"),
            Self::Idle => "idle, in a second".to_owned(),
        }
    }
}

/// A predicted figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) placement: String,
    pub(super) subject: Subject,
    /// ns.
    pub(super) predicted: f64,
    /// The interval that holds 90 %; absent when there is none.
    pub(super) interval: Option<(f64, f64)>,
}

/// What the segments of one start say, by subject.
pub(super) struct Round {
    pub(super) idle: Spent,
    pub(super) mix: Spent,
    /// By row of the mix.
    pub(super) alone: Vec<Spent>,
}

impl Round {
    /// All figures: what was spent beyond what is spent idle, for each request.
    pub(super) fn figures(&self) -> Vec<(Subject, f64)> {
        let idle_s = self.idle.seconds.max(1e-9);
        let idle = self.idle.placed_ns() / idle_s;
        let mut figures = Vec::new();
        for (row, (origin, spent)) in MIX.iter().zip(&self.alone).enumerate() {
            let sent = spent.requests.get(row).copied().unwrap_or(0);
            if sent > 0 {
                let ns = (spent.placed_ns() - idle * spent.seconds) / sent as f64;
                figures.push((Subject::Origin(origin.operation.to_owned()), ns));
            }
        }
        let sent = self.mix.sent().max(1) as f64;
        figures.push((
            Subject::Mix,
            (self.mix.placed_ns() - idle * self.mix.seconds) / sent,
        ));
        for (name, ns) in &self.mix.cpu_ns {
            let idle = self.idle.cpu_ns.get(name).copied().unwrap_or(0.0) / idle_s;
            figures.push((
                Subject::Process(name.clone()),
                (ns - idle * self.mix.seconds) / sent,
            ));
        }
        figures.push((Subject::Idle, idle));
        figures
    }

    /// Largest utilisation of a segment.
    pub(super) fn utilisations(&self) -> impl Iterator<Item = f64> {
        self.alone.iter().chain([&self.mix]).map(Spent::utilisation)
    }

    /// Requests that failed, with the words of the first failure.
    pub(super) fn failures(&self) -> (u64, Option<&str>) {
        let all = || self.alone.iter().chain([&self.mix]);
        (
            all().map(|spent| spent.failed).sum(),
            all().find_map(|spent| spent.first_failure.as_deref()),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn spent(seconds: f64, requests: Vec<u64>, store: f64, load: f64) -> Spent {
        Spent {
            seconds,
            requests,
            cpu_ns: BTreeMap::from([("store".to_owned(), store), ("load".to_owned(), load)]),
            ..Spent::default()
        }
    }

    #[test]
    fn what_is_spent_idle_belongs_to_no_request() {
        let only = |row: usize, n: u64| {
            let mut requests = vec![0; MIX.len()];
            requests[row] = n;
            requests
        };
        let round = Round {
            idle: spent(2.0, vec![0; MIX.len()], 2e6, 7e6),
            mix: spent(1.0, vec![10; MIX.len()], 81e6, 1e6),
            alone: (0..MIX.len())
                .map(|row| spent(3.0, only(row, 100), 103e6, 9e6))
                .collect(),
        };
        let figures: BTreeMap<Subject, f64> = round.figures().into_iter().collect();
        assert_eq!(figures[&Subject::Origin("GET /search".to_owned())], 1e6);
        assert_eq!(figures[&Subject::Mix], 1e6);
        assert_eq!(figures[&Subject::Process("store".to_owned())], 1e6);
        assert_eq!(figures[&Subject::Idle], 1e6);
        // The load is a row, but no part of what is placed.
        assert!(figures.contains_key(&Subject::Process("load".to_owned())));
    }
}
