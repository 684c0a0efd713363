//! The tables of a verification.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::Tried;
use super::figure::Subject;
use super::measure::ASIDE;
use super::plan::{GIVEN, TRIED, Trial, UTILISATION_MAX};
use super::score::{self, COVERED, ERROR_MAX, Measured, Pair, Ranked};
use super::seal::Seal;
use crate::options::Options;

/// Width that fits a terminal of the usual size and a page.
const WIDTH: u16 = 118;
/// What the full form must have.
const ROUNDS_MIN: u32 = 5;
const FIGURES_MIN: usize = 60;
/// How far the mean utilisations of two placements may lie apart: used equally.
const UTILISATION_APART_MAX: f64 = 0.05;
/// How long the whole of it may take.
const ELAPSED_MAX: Duration = Duration::from_secs(15 * 60);

/// A target: what must be, what is, and whether it holds.
struct Target {
    what: String,
    found: String,
    holds: bool,
    /// Judged in the full form only.
    full: bool,
}

/// Renders everything, and says whether it passed.
pub(super) fn render(
    trials: &[Trial],
    pairs: &[Pair],
    tried: &BTreeMap<&str, Tried>,
    drifts: &[f64],
    seal: &Seal,
    options: &Options,
    elapsed: Duration,
) -> (String, bool) {
    let mut text = String::from(
        "Predicted against measured. Predicted: from the weighing of the given placement, sealed before any other \
         ran.\nMeasured: by the kernel's clock of each process, beyond what it spends idle. CPU for each request in \
         µs, idle in ms a second.\n",
    );
    let drifts: Vec<String> = drifts.iter().map(|drift| format!("{drift:.2}")).collect();
    let _ = writeln!(
        text,
        "Drift of the machine: in each round the given placement cost the kernel {} times what it cost when it was weighed \
         (median of\nits origins); what was measured in that round is divided by it.",
        drifts.join(", ")
    );
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "Seal: {} SHA-256 {}",
        seal.path.display(),
        seal.sha256
    );
    for trial in trials {
        let of: Vec<&Pair> = pairs
            .iter()
            .filter(|pair| pair.sealed.placement == trial.name)
            .collect();
        let Some(tried) = tried.get(trial.name) else {
            continue;
        };
        let _ = writeln!(text, "\n{}: {}", trial.name, trial.what);
        text.push_str(&placement(&of, tried));
    }
    let full = options.only.is_empty() && options.rounds >= ROUNDS_MIN;
    let targets = targets(trials, pairs, tried, options, elapsed);
    let _ = writeln!(
        text,
        "\nTargets{}",
        if full {
            ""
        } else {
            " (short form: those with ~ are not judged)"
        }
    );
    let mut passed = true;
    for target in &targets {
        let judged = full || !target.full;
        let mark = match (judged, target.holds) {
            (_, true) => "✓",
            (true, false) => "✗",
            (false, false) => "~",
        };
        passed &= !judged || target.holds;
        let _ = writeln!(text, "{mark} {}: {}", target.what, target.found);
    }
    (text, passed)
}

fn placement(pairs: &[&Pair], tried: &Tried) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header([
            "figure",
            "predicted",
            "interval of 90 %",
            "measured",
            "error",
            "inside",
            "agent there",
        ]);
    for pair in pairs {
        let subject = &pair.sealed.subject;
        let unit = unit(subject);
        let interval = pair.sealed.interval;
        table.add_row([
            subject.shown(),
            number(pair.sealed.predicted / unit),
            interval.map_or_else(
                || "none".to_owned(),
                |(low, high)| format!("{} to {}", number(low / unit), number(high / unit)),
            ),
            measured(&pair.measured, unit),
            format!("{:+.1} %", pair.error() * 100.0),
            pair.covered()
                .map_or("", |held| if held { "yes" } else { "no" })
                .to_owned(),
            pair.agent.map_or_else(String::new, |ns| number(ns / unit)),
        ]);
    }
    // Those that nobody predicts: they are no part of the placement.
    for name in ASIDE {
        let subject = Subject::Process(name.to_owned());
        if let Some(spent) = tried.measured(&subject) {
            table.add_row([
                format!("beside it: {name}"),
                String::new(),
                String::new(),
                measured(&spent, unit(&subject)),
            ]);
        }
    }
    for column in [1, 2, 3, 4, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}

fn targets(
    trials: &[Trial],
    pairs: &[Pair],
    tried: &BTreeMap<&str, Tried>,
    options: &Options,
    elapsed: Duration,
) -> Vec<Target> {
    let others: Vec<Pair> = pairs
        .iter()
        .filter(|pair| pair.sealed.placement != GIVEN)
        .cloned()
        .collect();
    let mut targets = vec![requests(tried), utilisation(tried)];
    for (which, wanted) in [
        ("merged", ["merged", "one"]),
        ("split", ["closing", "search"]),
        ("divided", ["sharded", ""]),
    ] {
        let of = || {
            let origins = others.iter().filter(|pair| pair.is_origin());
            origins.filter(|pair| wanted.contains(&pair.sealed.placement.as_str()))
        };
        let Some((median, worst)) = score::median_and_worst(of()) else {
            continue;
        };
        let worst_of = of().max_by(|a, b| a.error().abs().total_cmp(&b.error().abs()));
        targets.push(Target {
            what: format!(
                "CPU of each origin, {which}, within {:.0} % of measured at the median; the worst is told",
                ERROR_MAX * 100.0
            ),
            found: format!(
                "median {:.1} %, worst {:.1} % ({})",
                median * 100.0,
                worst * 100.0,
                worst_of.map_or_else(String::new, |pair| format!(
                    "{} in {}",
                    pair.sealed.subject.shown(),
                    pair.sealed.placement
                ))
            ),
            holds: median <= ERROR_MAX,
            full: true,
        });
    }
    if let Some(covered) = score::coverage(&others) {
        targets.push(Target {
            what: format!(
                "measured inside the interval of 90 % in {:.0} to {:.0} % of the sealed figures",
                COVERED.0 * 100.0,
                COVERED.1 * 100.0
            ),
            found: format!("{:.0} % of {}", covered * 100.0, others.len()),
            holds: (COVERED.0..=COVERED.1).contains(&covered),
            full: true,
        });
    }
    targets.push(ranking(trials, pairs));
    targets.push(Target {
        what: format!(
            "all {} placements, {ROUNDS_MIN} rounds, {FIGURES_MIN} sealed figures of others than the given",
            TRIED.len()
        ),
        found: format!(
            "{} placements, {} rounds, {} figures",
            trials.len() - 1,
            options.rounds,
            others.len()
        ),
        holds: trials.len() == TRIED.len() + 1
            && options.rounds >= ROUNDS_MIN
            && others.len() >= FIGURES_MIN,
        full: true,
    });
    targets.push(Target {
        what: format!("all of it within {} minutes", ELAPSED_MAX.as_secs() / 60),
        found: format!("{:.1} minutes", elapsed.as_secs_f64() / 60.0),
        holds: elapsed <= ELAPSED_MAX,
        full: true,
    });
    targets
}

fn requests(tried: &BTreeMap<&str, Tried>) -> Target {
    let failed: u64 = tried.values().map(|tried| tried.failed).sum();
    let first = tried
        .values()
        .find_map(|tried| tried.first_failure.as_deref());
    Target {
        what: "no request fails".to_owned(),
        found: match first {
            None => "none did".to_owned(),
            Some(first) => format!("{failed} did, first: {first}"),
        },
        holds: failed == 0,
        full: false,
    }
}

fn utilisation(tried: &BTreeMap<&str, Tried>) -> Target {
    let mut found = String::new();
    let mut highest: f64 = 0.0;
    let mut means = Vec::new();
    for (name, tried) in tried {
        let mean = tried.utilisation.iter().sum::<f64>() / tried.utilisation.len().max(1) as f64;
        let most = tried.utilisation.iter().copied().fold(0.0, f64::max);
        highest = highest.max(most);
        means.push(mean);
        let _ = write!(
            found,
            "{}{name} {:.0} % (at most {:.0} %)",
            if found.is_empty() { "" } else { ", " },
            mean * 100.0,
            most * 100.0
        );
    }
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    let apart = means.iter().copied().fold(least, f64::max) - least;
    Target {
        what: format!(
            "the services' core is used equally (within {:.0} points) and to at most {:.0} %",
            UTILISATION_APART_MAX * 100.0,
            UTILISATION_MAX * 100.0
        ),
        found,
        holds: highest <= UTILISATION_MAX && apart <= UTILISATION_APART_MAX,
        full: true,
    }
}

fn ranking(trials: &[Trial], pairs: &[Pair]) -> Target {
    let mut ranked: Vec<Ranked> = trials
        .iter()
        .filter_map(|trial| {
            let pair = pairs.iter().find(|pair| {
                pair.sealed.placement == trial.name && pair.sealed.subject == Subject::Mix
            })?;
            Some(Ranked {
                placement: trial.name.to_owned(),
                predicted: pair.sealed.predicted,
                measured: pair.measured.clone(),
            })
        })
        .collect();
    let wrong = score::misranked(&ranked);
    let names = |ranked: &[Ranked]| {
        let names: Vec<&str> = ranked.iter().map(|r| r.placement.as_str()).collect();
        names.join(" < ")
    };
    ranked.sort_by(|a, b| a.predicted.total_cmp(&b.predicted));
    let predicted = names(&ranked);
    ranked.sort_by(|a, b| a.measured.mean.total_cmp(&b.measured.mean));
    let mut found = format!("predicted {predicted}; measured {}", names(&ranked));
    if !wrong.is_empty() {
        let pairs: Vec<String> = wrong.iter().map(|(a, b)| format!("{a} and {b}")).collect();
        let _ = write!(found, "; in the wrong order: {}", pairs.join(", "));
    }
    Target {
        what: "placements ranked by the mix as the kernel ranks them".to_owned(),
        found,
        holds: wrong.is_empty(),
        full: true,
    }
}

fn unit(subject: &Subject) -> f64 {
    match subject {
        Subject::Idle => 1e6,
        _ => 1e3,
    }
}

fn measured(measured: &Measured, unit: f64) -> String {
    let mean = number(measured.mean / unit);
    match measured.error {
        Some(error) => format!("{mean} ± {}", number(error / unit)),
        None => mean,
    }
}

/// Three figures that count.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_three_that_count() {
        assert_eq!(
            [1_234.4, 99.96, 12.34, 0.123].map(number),
            ["1234", "100", "12.3", "0.12"]
        );
    }
}
