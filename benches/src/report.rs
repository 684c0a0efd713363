//! What a bench leaves: a printed table, and a document for `RESULTS.md`.

use std::process::ExitCode;

use comfy_table::{Cell, CellAlignment, Table};
use serde::{Deserialize, Serialize};

use crate::figure::Bar;
use crate::machine::{Machine, bench_dir, commit};
use crate::{Figure, say};

/// `target/bench/NAME.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Name of the bench.
    pub bench: String,
    /// The commit that was measured; `+` behind it says that the work tree differed from it.
    pub commit: String,
    /// The command that repeats it.
    pub command: String,
    /// On what it ran.
    pub machine: Machine,
    /// What it measured.
    pub figures: Vec<Figure>,
}

/// The figures of a bench while it runs.
#[derive(Debug)]
pub struct Report {
    document: Document,
    unknown: usize,
}

impl Report {
    /// Begins the report of the bench `name`, as `Cargo.toml` calls it. The features of this build and the
    /// arguments of this run become part of the command that is told.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::begin(name.to_owned(), command(name, &[]))
    }

    /// Begins the report of a part of the bench `bench`, which `arguments` run alone; its document is `BENCH_PART`.
    #[must_use]
    pub fn of_part(bench: &str, part: &str, arguments: &[&str]) -> Self {
        Self::begin(format!("{bench}_{part}"), command(bench, arguments))
    }

    fn begin(name: String, command: String) -> Self {
        Self {
            document: Document {
                bench: name,
                commit: commit(),
                command,
                machine: Machine::read(),
                figures: Vec::new(),
            },
            unknown: 0,
        }
    }

    /// Adds a figure, and says it at once. One that is unknown is left out and fails the bench.
    pub fn push(&mut self, figure: Figure) {
        say::note(&format!(
            "{}: {} {} {}",
            figure.name,
            value(&figure),
            figure.unit,
            verdict(&figure)
        ));
        if figure.value.is_finite() {
            self.document.figures.push(figure);
        } else {
            self.unknown += 1;
        }
    }

    /// Prints the table and writes the document. Fails when a figure misses its limit, or the document
    /// cannot be written.
    #[must_use]
    pub fn finish(self) -> ExitCode {
        say::line(&table(&self.document));
        let dir = bench_dir();
        let path = dir.join(format!("{}.json", self.document.bench));
        let written = std::fs::create_dir_all(&dir)
            .and_then(|()| Ok(serde_json::to_vec_pretty(&self.document)?))
            .and_then(|bytes| std::fs::write(&path, bytes));
        if let Err(error) = written {
            say::note(&format!("cannot write {}: {error}", path.display()));
            return ExitCode::FAILURE;
        }
        say::note(&format!("written: {}", path.display()));
        let missed = self
            .document
            .figures
            .iter()
            .filter(|figure| figure.ok == Some(false))
            .count();
        if missed + self.unknown > 0 {
            say::note(&format!(
                "{missed} figures miss their limit, {} are unknown",
                self.unknown
            ));
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}

/// The command that repeats a run of the bench with this build's features and this run's arguments; `part` are those
/// that run only what is told, where they were not given.
fn command(bench: &str, part: &[&str]) -> String {
    let mut command =
        format!("cargo bench --profile measure --package weighbridge-benches --bench {bench}");
    for (feature, is_on) in [
        ("peers", cfg!(feature = "peers")),
        ("regions", cfg!(feature = "regions")),
        ("messages", cfg!(feature = "messages")),
        ("stores", cfg!(feature = "stores")),
        ("clients", cfg!(feature = "clients")),
    ] {
        if is_on {
            command.push_str(" --features ");
            command.push_str(feature);
        }
    }
    // `cargo bench` passes a flag of its own.
    let mut arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    for argument in part {
        if !arguments.iter().any(|given| given == argument) {
            arguments.push((*argument).to_owned());
        }
    }
    if !arguments.is_empty() {
        command.push_str(" -- ");
        command.push_str(&arguments.join(" "));
    }
    command
}

fn table(document: &Document) -> String {
    let mut table = Table::new();
    table.set_header(["figure", "value", "unit", "limit", ""]);
    for figure in &document.figures {
        table.add_row([
            Cell::new(&figure.name),
            Cell::new(value(figure)).set_alignment(CellAlignment::Right),
            Cell::new(&figure.unit),
            Cell::new(limit(figure)).set_alignment(CellAlignment::Right),
            Cell::new(verdict(figure)),
        ]);
    }
    table.to_string()
}

/// The estimate with its interval.
pub(crate) fn value(figure: &Figure) -> String {
    match (figure.low, figure.high) {
        (Some(low), Some(high)) => format!(
            "{} ({} to {})",
            digits(figure.value),
            digits(low),
            digits(high)
        ),
        _ => digits(figure.value),
    }
}

/// The limit in words.
pub(crate) fn limit(figure: &Figure) -> String {
    let Some(limit) = figure.limit else {
        return String::new();
    };
    match figure.bar {
        Bar::Most => format!("≤ {}", digits(limit)),
        Bar::Least => format!("≥ {}", digits(limit)),
        Bar::Noise => format!("holds {}", digits(limit)),
    }
}

pub(crate) fn verdict(figure: &Figure) -> &'static str {
    match figure.ok {
        Some(true) => "kept",
        Some(false) => "MISSED",
        None => "",
    }
}

/// Three significant digits, no exponent.
fn digits(value: f64) -> String {
    let magnitude = value.abs();
    if value == value.trunc() || magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 0.095 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_as_many_digits_as_they_have() {
        for (value, shown) in [
            (0.0, "0"),
            (0.004_21, "0.0042"),
            (0.6, "0.60"),
            (-1.234, "-1.23"),
            (12.34, "12.3"),
            (14_574.4, "14574"),
            (350.0, "350"),
        ] {
            assert_eq!(digits(value), shown);
        }
    }

    #[test]
    fn a_part_is_repeated_by_its_bench_which_is_there() {
        let report = Report::of_part("request_overhead", "peers", &["--peers"]);
        assert_eq!(report.document.bench, "request_overhead_peers");
        let manifest = include_str!("../Cargo.toml");
        assert!(manifest.contains("[[bench]]\nname = \"request_overhead\"\n"));
        let command = report.document.command;
        assert!(command.contains("--bench request_overhead "), "{command}");
        let (_, arguments) = command.split_once(" -- ").unwrap();
        assert!(arguments.ends_with("--peers"), "{command}");
    }

    #[test]
    fn limits_are_told_by_how_they_are_kept() {
        let figure = Figure::new("a", 0.5, "µs");
        assert_eq!(limit(&figure), "");
        assert_eq!(limit(&figure.clone().at_most(0.6)), "≤ 0.60");
        assert_eq!(limit(&figure.clone().at_least(1.0)), "≥ 1");
        assert_eq!(limit(&figure.noise(0.6)), "holds 0");
    }

    #[test]
    fn the_table_names_what_misses() {
        let mut report = Report::new("sample");
        report.push(Figure::new("far", 2.5, "µs").at_most(1.0));
        report.push(Figure::new("near", 0.5, "µs").at_most(1.0));
        report.push(Figure::new("told", 3.0, "ns"));
        let table = table(&report.document);
        assert_eq!(table.matches("MISSED").count(), 1, "{table}");
        assert_eq!(table.matches("kept").count(), 1, "{table}");
        assert!(table.contains("≤ 1"), "{table}");
    }
}
