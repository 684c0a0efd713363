//! What a search over topologies takes, and a report with everything, at 50 and at 1 000 services.

mod numbers;
mod range;
mod system;

use std::process::ExitCode;

use range::{CALLS, Shape, range};
use system::system;
use weighbridge_benches::{Figure, Report, clock};
use weighbridge_reports::topology::{Load, Rules, Weights, search};
use weighbridge_reports::{Constraints, Document, Options, formats, html};

/// The limits.
const SEARCH_MAX_S: f64 = 5.0;
const REPORT_50_MAX_S: f64 = 3.0;
const REPORT_1000_MAX_S: f64 = 30.0;

/// Ranges of 30 days as a collector answers for them: of at most 100 000 windows of services, so hours of 50 services and
/// days of 1 000; and more windows than that of 1 000.
const REPORTS: [(Shape, f64); 5] = [
    (plain(50, 90), REPORT_50_MAX_S),
    (plain(50, 720), REPORT_50_MAX_S),
    (plain(1_000, 90), REPORT_1000_MAX_S),
    (rich(50, 90), REPORT_50_MAX_S),
    (rich(1_000, 30), REPORT_1000_MAX_S),
];

const fn plain(services: usize, windows: u64) -> Shape {
    Shape {
        services,
        operations: 1,
        windows,
        rich: false,
    }
}

const fn rich(services: usize, windows: u64) -> Shape {
    Shape {
        services,
        operations: 10,
        windows,
        rich: true,
    }
}

/// CPU time of this thread: nobody else's work counts.
fn seconds<T>(of: impl FnOnce() -> T) -> (f64, T) {
    let begun = clock::thread_cpu_ns();
    let made = of();
    ((clock::thread_cpu_ns() - begun) as f64 / 1e9, made)
}

/// The exact search looks at every partition: Bell numbers.
fn every_partition(report: &mut Report, load: &Load) {
    for (services, partitions) in [(11, 678_570u64), (12, 4_213_597)] {
        let inputs = system(services, 2 * services);
        let Ok(rules) = Rules::of(&inputs, &Constraints::default()) else {
            continue;
        };
        let (took, found) = seconds(|| search(&inputs, &rules, load, Weights::of(None), 1));
        let missed = partitions.abs_diff(found.examined) as f64;
        report.push(
            Figure::new(
                format!("partitions of {services} services not looked at"),
                missed,
                "",
            )
            .at_most(0.0)
            .note(format!("{} looked at in {took:.2} s", found.examined)),
        );
    }
}

/// The document of a range, and every format of it.
fn report_of(report: &mut Report, options: &Options, shape: Shape, most: f64) {
    let Shape {
        services, windows, ..
    } = shape;
    let what = if shape.rich {
        "all that an agent tells"
    } else {
        "calls"
    };
    let name = format!(
        "report with everything, {services} services, {} operations with {what}, {} edges, {windows} windows of 30 days",
        services * shape.operations,
        services * CALLS,
    );
    if !wanted(&name) {
        return;
    }
    let range = range(shape);
    let (built, document) = seconds(|| Document::build(&range, options));
    let (written, bytes) = seconds(|| {
        let json = formats::json(&document).map_or(0, |json| json.len());
        let tables = formats::csv(&document)
            .iter()
            .map(|t| t.text.len())
            .sum::<usize>();
        json + tables + formats::markdown(&document).len() + html::render(&document).len()
    });
    report.push(
        Figure::new(name, built + written, "s")
            .at_most(most)
            .note(format!(
                "{built:.2} s for the document, {written:.2} s for its {:.1} MB in all formats",
                bytes as f64 / 1e6
            )),
    );
}

/// Whether a figure is asked for: those whose name holds the first argument, all without one.
fn wanted(name: &str) -> bool {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    arguments.next().is_none_or(|part| name.contains(&part))
}

/// The search alone.
fn searches(report: &mut Report, options: &Options) {
    let inputs = system(1_000, 10_000);
    let Ok(rules) = Rules::of(&inputs, &Constraints::default()) else {
        return;
    };
    let load = Load::planned(options, 5.0);
    let (took, found) = seconds(|| search(&inputs, &rules, &load, Weights::of(None), 1));
    report.push(
        Figure::new("search, 1 000 services and 10 000 edges", took, "s").at_most(SEARCH_MAX_S),
    );
    report.push(Figure::new(
        "its gap to the bound",
        found.gap().map_or(f64::NAN, |gap| gap * 100.0),
        "%",
    ));
    every_partition(report, &load);
}

fn main() -> ExitCode {
    let mut report = Report::new("topology");
    let options = Options::default();
    if wanted("search") {
        searches(&mut report, &options);
    }
    for (shape, most) in REPORTS {
        report_of(&mut report, &options, shape, most);
    }
    report.finish()
}
