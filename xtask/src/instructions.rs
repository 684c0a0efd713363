//! Instructions that a request takes, counted by callgrind: what a noisy machine cannot blur.
//!
//! The baseline stands in `benches/instructions.toml`. A request that takes more than 5 % more fails the
//! gate, and so does an agent that adds more than 5 % more to it: a large request must not hide its growth.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::install::{self, VALGRIND};
use crate::say;
use crate::steps::Outcome;

/// What is counted: the name in the baseline, and the arguments of `weigh_requests` before and after the
/// number of requests.
const CASES: &[(&str, &str, Option<&str>)] = &[
    (PLAIN, "plain", None),
    ("off", "off", None),
    ("on", "on", None),
    ("on_called", "on", Some("hop")),
];
/// The server without the agent, which the others are compared with.
const PLAIN: &str = "plain";
/// Requests of the shorter run; the longer one has twice as many. Start and end cancel in the difference.
const REQUESTS: u64 = 8_000;
/// How much more than the baseline is let through.
const TOLERANCE: f64 = 0.05;
/// Seeds of hash tables and the agent's own thread make runs differ by up to 200; so little says nothing.
const NOISE: f64 = 300.0;

/// How often it is counted before it is too much: the slower a machine, the more often the agent compares its clock with
/// the kernel's, by 250 instructions a request; what a request itself takes is in every try.
const TRIES: usize = 3;

/// Instructions per request by case.
type Counts = BTreeMap<String, u64>;

/// The step of the gate.
pub(crate) fn check(context: &Context) -> Result<Outcome> {
    if !install::ensure(context, &[VALGRIND])?.is_empty() {
        return Ok(Outcome::Skipped(
            "valgrind is not installed, so instructions were not counted; install it (Debian: apt-get install valgrind)".into(),
        ));
    }
    let path = baseline_path(context);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}; `cargo xtask instructions --write` makes it",
            path.display()
        )
    })?;
    let baseline: Counts =
        toml::from_str(&text).with_context(|| format!("{} is no baseline", path.display()))?;
    let mut counts = count(context)?;
    let mut wrong = compare(&baseline, &counts);
    for _ in 1..TRIES {
        if wrong.is_empty() {
            break;
        }
        say::line("more than before; counted again, and the least of each case is taken");
        counts = least(counts, count(context)?);
        wrong = compare(&baseline, &counts);
    }
    if !wrong.is_empty() {
        bail!(
            "{}\nIf the change is worth it, run `cargo xtask instructions --write` and commit {} with the reason; \
             `valgrind --tool=callgrind` on weigh_requests shows where they are",
            wrong.join("\n"),
            path.display()
        );
    }
    Ok(Outcome::Passed)
}

/// The fewest of two counts.
fn least(mut counts: Counts, again: Counts) -> Counts {
    for (case, count) in again {
        let least = counts.entry(case).or_insert(count);
        *least = (*least).min(count);
    }
    counts
}

/// The task: counts and compares, or writes the baseline.
pub(crate) fn run(context: &Context, write: bool) -> Result<()> {
    if !write {
        if let Outcome::Skipped(why) = check(context)? {
            bail!("{why}");
        }
        return Ok(());
    }
    let counts = count(context)?;
    let path = baseline_path(context);
    let mut text = String::from(
        "# Instructions that a request takes, counted by callgrind (x86-64, profile `measure`).\n\
         # `cargo xtask ci` fails above +5 %; after an intended change: cargo xtask instructions --write\n",
    );
    for (case, count) in &counts {
        text.push_str(&format!("{case} = {count}\n"));
    }
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    say::line(&format!("written: {}", path.display()));
    Ok(())
}

fn baseline_path(context: &Context) -> PathBuf {
    context.root.join("benches").join("instructions.toml")
}

fn count(context: &Context) -> Result<Counts> {
    context.run(context.cargo().args([
        "build",
        "--quiet",
        "--locked",
        "--profile",
        "measure",
        "--package",
        "weighbridge-benches",
        "--bin",
        "weigh_requests",
    ]))?;
    let program = context.target.join("measure").join("weigh_requests");
    CASES
        .iter()
        .map(|(case, mode, with)| {
            let collected = |requests: u64| -> Result<u64> {
                let mut valgrind = context.command("valgrind");
                valgrind
                    // Where rseq is absent this clock takes the fast clock's path all the same; and no
                    // rotation falls into one of the runs only.
                    .envs([
                        ("WEIGHBRIDGE_CLOCK", "tsc-unchecked"),
                        ("WEIGHBRIDGE_WINDOW", "1h"),
                    ])
                    .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                    .arg(&program)
                    .arg(mode)
                    .arg(requests.to_string())
                    .args(*with);
                let output = valgrind.output().context("valgrind cannot be started")?;
                let printed = String::from_utf8_lossy(&output.stderr).into_owned();
                if !output.status.success() {
                    bail!("weigh_requests {mode} failed under valgrind:\n{printed}");
                }
                read_collected(&printed)
                    .with_context(|| format!("callgrind did not say what it collected:\n{printed}"))
            };
            let more = collected(2 * REQUESTS)?.saturating_sub(collected(REQUESTS)?);
            let count = more / REQUESTS;
            say::line(&format!("{case}: {count} instructions a request"));
            Ok(((*case).to_owned(), count))
        })
        .collect()
}

/// `==123== Collected : 456`.
fn read_collected(printed: &str) -> Option<u64> {
    printed
        .lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn compare(baseline: &Counts, counts: &Counts) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare_one = |what: String, before: f64, now: f64| {
        if now > before * (1.0 + TOLERANCE) && now > before + NOISE {
            wrong.push(format!(
                "{what}: {now:.0} instructions a request, {before:.0} before ({:+.1} %)",
                (now / before - 1.0) * 100.0
            ));
        }
    };
    let plain = |counts: &Counts| counts.get(PLAIN).copied().unwrap_or(0) as f64;
    for (case, now) in counts {
        let Some(before) = baseline.get(case) else {
            compare_one(format!("{case} (not in the baseline)"), 0.0, *now as f64);
            continue;
        };
        let (before, now) = (*before as f64, *now as f64);
        compare_one(case.clone(), before, now);
        if case != PLAIN {
            compare_one(
                format!("{case}, what is added to {PLAIN}"),
                before - plain(baseline),
                now - plain(counts),
            );
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(plain: u64, on: u64) -> Counts {
        [(PLAIN.to_owned(), plain), ("on".to_owned(), on)].into()
    }

    #[test]
    fn of_two_counts_the_least_of_each_case_is_taken() {
        let counts = |on, off| Counts::from([("on".to_owned(), on), ("off".to_owned(), off)]);
        assert_eq!(least(counts(5, 7), counts(6, 4)), counts(5, 4));
    }

    #[test]
    fn callgrinds_closing_line_is_read() {
        assert_eq!(
            read_collected("==7== Events    : Ir\n==7== Collected : 29683490\n"),
            Some(29_683_490)
        );
        assert_eq!(read_collected("==7== Collected\n"), None);
    }

    #[test]
    fn growth_beyond_five_percent_fails_and_less_does_not() {
        let before = counts(10_000, 18_000);
        assert!(compare(&before, &before).is_empty());
        assert!(compare(&before, &counts(10_000, 18_390)).is_empty());
        assert!(compare(&before, &counts(9_000, 15_000)).is_empty());
        // 2.5 % of the request, 5.6 % of what the agent adds.
        let wrong = compare(&before, &counts(10_000, 18_450));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(
            wrong[0].contains("8450") && wrong[0].contains("8000"),
            "{wrong:?}"
        );
        assert_eq!(compare(&before, &counts(10_000, 19_000)).len(), 2);
    }

    #[test]
    fn a_case_without_baseline_fails() {
        let before = [(PLAIN.to_owned(), 10_000)].into();
        assert_eq!(compare(&before, &counts(10_000, 14_000)).len(), 1);
    }

    #[test]
    fn noise_in_a_small_difference_does_not_fail() {
        assert!(compare(&counts(10_000, 11_000), &counts(10_000, 11_250)).is_empty());
    }
}
