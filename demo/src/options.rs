//! What a run is asked for and what it gives.

use std::path::PathBuf;

/// Settings of `weighbridge demo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of the load in seconds. At least [`SECONDS_MIN`](Self::SECONDS_MIN).
    pub seconds: u64,
    /// Seed of the data and the load: the same seed asks the same.
    pub seed: u64,
    /// Directory for the report and everything that a run makes.
    pub out: PathBuf,
    /// A placement file; absent: the embedded default.
    pub placement: Option<PathBuf>,
    /// Seal predictions for other placements, run these, and compare what was predicted with what the kernel
    /// measures, in place of looking for planted truths.
    pub verify: bool,
    /// With `verify`: how often each placement is run. At least 1.
    pub rounds: u32,
    /// With `verify`: words of the placements to try; empty: all.
    pub only: Vec<String>,
    /// Open the report in a browser when standard output is a terminal.
    pub open: bool,
    /// Kill the collector this many seconds into the load and start it again, to show that nothing is lost.
    pub kill_collector_at: Option<u64>,
}

impl Options {
    /// Length of the load when nothing is said: long enough for every verdict, short enough to wait for.
    pub const SECONDS_DEFAULT: u64 = 40;
    /// Shortest load. Below it, windows get too short to say anything.
    pub const SECONDS_MIN: u64 = 10;
    /// Longest load: an hour.
    pub const SECONDS_MAX: u64 = 3_600;

    /// Rounds of a verification when nothing is said.
    pub const ROUNDS_DEFAULT: u32 = 5;
    /// Most rounds: each takes about two minutes.
    pub const ROUNDS_MAX: u32 = 100;

    /// Length of the agents' windows in ms: 1 s, or shorter in a short run, since a verdict needs 30 of them.
    pub(crate) fn window_ms(&self) -> u64 {
        const WINDOWS: u64 = 36;
        const STEP_MS: u64 = 50;
        (self.seconds * 1_000 / WINDOWS / STEP_MS * STEP_MS).clamp(250, 1_000)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: Self::SECONDS_DEFAULT,
            seed: 1,
            out: PathBuf::from("weighbridge-demo"),
            placement: None,
            verify: false,
            rounds: Self::ROUNDS_DEFAULT,
            only: Vec::new(),
            open: false,
            kill_collector_at: None,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Every planted truth was found and every check held.
    pub passed: bool,
    /// The verdict table, the checks and the next step, ready to print.
    pub text: String,
    /// The report for people.
    pub report_html: PathBuf,
    /// The report for programs.
    pub report_json: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_run_has_more_than_thirty_windows() {
        for seconds in [Options::SECONDS_MIN, 15, 36, Options::SECONDS_DEFAULT, 600] {
            let options = Options {
                seconds,
                ..Options::default()
            };
            let windows = seconds * 1_000 / options.window_ms();
            assert!(windows > 30, "{seconds} s make {windows} windows");
        }
    }
}
