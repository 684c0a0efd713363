//! Steps with their times, and the summary at the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::Stopwatch;
use crate::say;

/// Less than this and the next step may find the disk full.
const SPACE_LOW_BYTES: u64 = 1 << 30;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it should.
    Passed,
    /// It could not run here; why.
    Skipped(String),
    /// It found something wrong; what.
    Failed(String),
}

/// Cargo's own counts of tests, summed over all test binaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tests {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that were ignored.
    pub(crate) ignored: u64,
}

impl Tests {
    /// Adds the figures of one of cargo's closing lines; other lines change nothing.
    pub(crate) fn read_line(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        let figure = |word: &str| {
            rest.split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(word)?.trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.passed += figure(" passed");
        self.failed += figure(" failed");
        self.ignored += figure(" ignored");
    }
}

/// A run of steps. A failed step does not stop the run: one run shows all that is wrong.
#[derive(Debug)]
pub(crate) struct Steps {
    strict: bool,
    whole: Stopwatch,
    done: Vec<(String, Outcome, Duration)>,
    /// Whose disk is watched.
    target: Option<PathBuf>,
    /// What the tests among the steps counted.
    pub(crate) tests: Tests,
}

impl Steps {
    /// Starts a run. In a `strict` one a skip is a failure.
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            strict,
            whole: Stopwatch::start(),
            done: Vec::new(),
            target: None,
            tests: Tests::default(),
        }
    }

    /// Says after each step how much space the disk of this folder has left.
    pub(crate) fn watch_disk_of(mut self, target: &Path) -> Self {
        // An empty one is made now, since only a folder that exists can be asked.
        if std::fs::create_dir_all(target).is_ok() {
            self.target = Some(target.to_path_buf());
        }
        self.say_disk();
        self
    }

    /// Runs a step that cannot be skipped.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce(&mut Tests) -> Result<()>) {
        self.run_or_skip(name, |tests| step(tests).map(|()| Outcome::Passed));
    }

    /// Runs a step that may say that it cannot run here.
    pub(crate) fn run_or_skip(
        &mut self,
        name: &str,
        step: impl FnOnce(&mut Tests) -> Result<Outcome>,
    ) {
        say::title(name);
        let watch = Stopwatch::start();
        let outcome = match step(&mut self.tests) {
            Ok(Outcome::Skipped(why)) if self.strict => {
                Outcome::Failed(format!("{why} (a skip is a failure under CI=true)"))
            }
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        match &outcome {
            Outcome::Passed => {}
            Outcome::Skipped(why) => say::loud(&format!("SKIPPED {name}: {why}")),
            Outcome::Failed(why) => say::loud(&format!("FAILED {name}: {why}")),
        }
        self.done.push((name.to_owned(), outcome, watch.elapsed()));
        self.say_disk();
    }

    /// Says how much of the disk is left: a compiler that finds it full says so in the middle of a thousand lines.
    fn say_disk(&self) {
        let Some(free) = self
            .target
            .as_deref()
            .and_then(|dir| fs4::available_space(dir).ok())
        else {
            return;
        };
        let line = format!(
            "{:.1} GiB left on the disk of the target directory",
            gibibytes(free)
        );
        if free < SPACE_LOW_BYTES {
            say::loud(&format!(
                "{line}, too little for what comes: make room, or point CARGO_TARGET_DIR at another disk"
            ));
        } else {
            say::line(&line);
        }
    }

    /// Prints what happened, and fails when a step failed.
    pub(crate) fn finish(self) -> Result<()> {
        say::title("steps");
        for line in summary(&self.done, self.whole.elapsed()) {
            say::line(&line);
        }
        let count = |wanted: fn(&Outcome) -> bool| {
            self.done
                .iter()
                .filter(|(_, outcome, _)| wanted(outcome))
                .count() as u64
        };
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        if self.tests != Tests::default() {
            say::line(&format!(
                "{} passed, {} failed, {} skipped",
                self.tests.passed,
                self.tests.failed,
                self.tests.ignored + skipped
            ));
        }
        if failed > 0 {
            bail!(
                "{failed} of {} steps failed; each says above what to do",
                self.done.len()
            );
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / (1_u64 << 30) as f64
}

fn summary(done: &[(String, Outcome, Duration)], whole: Duration) -> Vec<String> {
    let width = done
        .iter()
        .map(|(name, ..)| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut lines: Vec<String> = done
        .iter()
        .map(|(name, outcome, took)| {
            let (word, why) = match outcome {
                Outcome::Passed => ("ok     ", ""),
                Outcome::Skipped(why) => ("SKIPPED", why.as_str()),
                Outcome::Failed(why) => ("FAILED ", why.lines().next().unwrap_or("")),
            };
            format!(
                "{word} {:>7.1} s  {name:<width$}  {why}",
                took.as_secs_f64()
            )
            .trim_end()
            .to_owned()
        })
        .collect();
    lines.push(format!("        {:>7.1} s  together", whole.as_secs_f64()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_closing_lines_are_summed() {
        let mut tests = Tests::default();
        tests.read_line("running 3 tests");
        tests.read_line(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
        );
        tests.read_line(
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.00s",
        );
        assert_eq!(
            tests,
            Tests {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
    }

    #[test]
    fn a_failed_step_fails_the_run_after_all_steps_ran() {
        let mut steps = Steps::new(false);
        let mut ran = 0;
        steps.run("first", |_| bail!("broken"));
        steps.run("second", |_| {
            ran += 1;
            Ok(())
        });
        assert_eq!(ran, 1);
        assert!(steps.finish().is_err());
    }

    #[test]
    fn a_skip_passes_by_hand_and_fails_in_the_gate() {
        let skip = |_: &mut Tests| Ok(Outcome::Skipped("no browser".into()));
        let mut by_hand = Steps::new(false);
        by_hand.run_or_skip("browser", skip);
        assert!(by_hand.finish().is_ok());
        let mut gate = Steps::new(true);
        gate.run_or_skip("browser", skip);
        assert!(gate.finish().is_err());
    }

    #[test]
    fn the_summary_names_each_step_with_its_time() {
        let lines = summary(
            &[
                ("fmt".into(), Outcome::Passed, Duration::from_millis(1_234)),
                (
                    "browser".into(),
                    Outcome::Skipped("no npm".into()),
                    Duration::ZERO,
                ),
            ],
            Duration::from_secs(2),
        );
        assert_eq!(
            lines,
            [
                "ok          1.2 s  fmt",
                "SKIPPED     0.0 s  browser  no npm",
                "            2.0 s  together",
            ]
        );
    }
}
