//! The range and how well it is covered.

use super::figures::{figure, plain, share};
use super::time::rfc3339;
use crate::Options;
use crate::document::{Coverage, EdgeReport, Figure, FigureUnit, QualityWord, WindowReport};
use crate::model::{Estimate, Model};

/// A range shorter than this cannot hold a daily peak.
const DAY_NS: u64 = 86_400_000_000_000;

pub(crate) fn window(model: &Model, options: &Options, edges: &[EdgeReport]) -> WindowReport {
    let rollup = &model.rollup;
    let seen = rollup.seen;
    let mut notes = Vec::new();
    if rollup.windows == 0 {
        notes.push("No window in this range holds data; ask for another range or check that the services send.".to_owned());
    }
    let duration_ns = if rollup.windows == 0 {
        0
    } else {
        seen.len_ns()
    };
    if rollup.covered_ns < duration_ns {
        let percent = rollup.covered_ns * 100 / duration_ns.max(1);
        notes.push(format!(
            "Windows cover {percent} % of the range; rates are taken over the time covered."
        ));
    }
    for service in model.services() {
        let windows = service.windows();
        if windows < rollup.windows {
            notes.push(format!(
                "{} reported in {windows} of {} windows.",
                service.label, rollup.windows
            ));
        }
        if service.processes.is_empty() {
            notes.push(format!(
                "{} sent no process rows: its CPU time cannot be checked against the kernel.",
                service.label
            ));
        }
    }
    let at_the_load_seen = duration_ns < DAY_NS;
    if at_the_load_seen && rollup.windows > 0 {
        notes.push(
            "The range is shorter than a day: it need not hold a daily peak, and verdicts speak of the load seen."
                .to_owned(),
        );
    }
    WindowReport {
        start_unix_ns: seen.start_unix_ns,
        end_unix_ns: seen.end_unix_ns,
        start: rfc3339(seen.start_unix_ns),
        end: rfc3339(seen.end_unix_ns),
        duration_ns,
        window_ns: rollup.window_ns,
        windows: rollup.windows,
        at_the_load_seen,
        coverage: Some(coverage(model, options, edges)),
        notes,
    }
}

/// How much of the traffic was seen, and what all services together use.
fn coverage(model: &Model, options: &Options, edges: &[EdgeReport]) -> Coverage {
    let calls = |wanted: &dyn Fn(&EdgeReport) -> bool| -> f64 {
        edges
            .iter()
            .filter(|edge| wanted(edge))
            .filter_map(|edge| edge.calls.value)
            .sum()
    };
    let part = |of: f64, all: f64, absent: &str| -> Figure {
        let share = (all > 0.0).then(|| of / all);
        plain(share, FigureUnit::Ratio, QualityWord::Measured, absent)
    };
    let services = model.services();
    let sum = |of: &dyn Fn(&crate::model::ServiceFacts) -> Option<Estimate>| {
        services.iter().filter_map(of).reduce(|a, b| a.plus(&b))
    };
    let cores = sum(&|service| model.service_cores(service));
    let messages = sum(&|service| {
        model.service_cpu(service)?;
        model.message_cpu(service)
    });
    let cpu = sum(&|service| model.service_cpu(service));
    let processes: usize = services.iter().map(|s| s.processes.len()).sum();
    Coverage {
        answered: part(
            calls(&|edge| edge.to.instrumented),
            calls(&|_| true),
            "no call was seen in this range",
        ),
        both_ends: part(
            calls(&|edge| edge.from.instrumented && edge.to.instrumented),
            calls(&|edge| edge.from.instrumented),
            "no service called another in this range",
        ),
        #[allow(clippy::cast_precision_loss)]
        processes: plain(
            Some(processes as f64),
            FigureUnit::Count,
            QualityWord::Measured,
            "",
        ),
        cpu_cores: figure(cores.as_ref(), FigureUnit::Cores, "no CPU is known"),
        message_share: share(messages.as_ref(), cpu.as_ref()),
        money: options.prices.as_ref().map(|prices| {
            figure(
                cores
                    .as_ref()
                    .map(|cores| cores.scaled(prices.core_hour))
                    .as_ref(),
                FigureUnit::MoneyPerHour,
                "no CPU is known",
            )
        }),
    }
}
