//! The range and how well it is covered.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::column;

use super::figures::{figure, plain, share};
use super::time::rfc3339;
use crate::Options;
use crate::document::{
    Coverage, EdgeEnd, EdgeReport, Figure, FigureUnit, QualityWord, WindowReport,
};
use crate::model::{DAY_NS, Estimate, Model, ServiceFacts, SideRef, as_f64};

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
    // A range shorter than a day need not hold a daily peak.
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

/// Calls, and how many of them a process with the agent answered.
#[derive(Default)]
struct Traffic {
    answered: f64,
    all: f64,
}

/// Requests that no service made: they need no edge. A job is no traffic.
fn outside(services: &[ServiceFacts]) -> Traffic {
    let mut sums = Traffic::default();
    for service in services {
        let weighed = service.has_agent();
        for (id, operation) in &service.operations {
            if id.operation.starts_with("JOB ") {
                continue;
            }
            let ended = operation
                .by_caller
                .iter()
                .filter(|(caller, _)| caller.service.is_empty())
                .filter_map(|(_, sums)| sums.total(column::ENDED))
                .map(as_f64)
                .sum::<f64>();
            sums.all += ended;
            sums.answered += if weighed { ended } else { 0.0 };
        }
    }
    sums
}

/// Counted by call: what the caller sent, or what was answered where that is more or no caller counts. A service of
/// which only some instances have the agent so answers fewer calls than its callers made. Each consumer of a message
/// gets it whole, so that there only what arrived is counted.
fn traffic(model: &Model) -> Traffic {
    let services = model.services();
    let mut sums = outside(services);
    let mut sent: BTreeMap<&SideRef, Traffic> = BTreeMap::new();
    let from_outside = |callee: &SideRef| callee.id.peer_service.is_empty();
    for edge in &model.edges {
        let joined = &edge.joined;
        if joined.caller.is_none() && joined.callee.as_ref().is_some_and(from_outside) {
            continue;
        }
        let count = |side: &Option<SideRef>| {
            let side = model.side(side.as_ref()?)?;
            side.all.total(column::REQUEST_MESSAGES).map(as_f64)
        };
        let received = count(&joined.callee);
        let weighed = joined.to.seen
            && joined
                .to
                .service
                .is_some_and(|service| services[service].has_agent());
        let answered = received.filter(|_| weighed).unwrap_or(0.0);
        match &joined.caller {
            Some(caller) if edge.is_sync() => {
                let of_call = sent.entry(caller).or_default();
                of_call.answered += answered;
                of_call.all += received.unwrap_or(0.0);
            }
            _ => {
                sums.answered += answered;
                sums.all += received.or_else(|| count(&joined.caller)).unwrap_or(0.0);
            }
        }
    }
    for (caller, of_call) in sent {
        let made = model
            .side(caller)
            .and_then(|side| side.all.total(column::REQUEST_MESSAGES))
            .map_or(0.0, as_f64);
        sums.answered += of_call.answered;
        sums.all += of_call.all.max(made);
    }
    sums
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
    let with_agent: BTreeSet<&str> = model
        .services()
        .iter()
        .filter(|service| service.has_agent())
        .map(|service| service.label.as_str())
        .collect();
    let weighed = |end: &EdgeEnd| end.instrumented && with_agent.contains(end.service.as_str());
    let traffic = traffic(model);
    let part = |of: f64, all: f64, absent: &str| -> Figure {
        let share = (all > 0.0).then(|| of / all);
        plain(share, FigureUnit::Ratio, QualityWord::Measured, absent)
    };
    let services = model.services();
    let sum = |of: &dyn Fn(&ServiceFacts) -> Option<Estimate>| {
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
            traffic.answered,
            traffic.all,
            "no request or call was seen in this range",
        ),
        both_ends: part(
            calls(&|edge| weighed(&edge.from) && weighed(&edge.to)),
            calls(&|edge| weighed(&edge.from)),
            "no service with the agent called another in this range",
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

#[cfg(test)]
mod tests {
    use weighbridge_wire::{FoldedRange, RowSet, column};

    use crate::html::render;
    use crate::testing::{System, without_agent};
    use crate::{Document, Options};

    fn answered(range: &FoldedRange) -> Option<f64> {
        let document = Document::build(range, &Options::default());
        document.window.coverage.unwrap().answered.value
    }

    /// 20 orders a window from outside, 5 calls each.
    fn pair() -> System {
        let mut system = System::new(40);
        let us = [300_000, 40_000, 40_000, 60_000, 60_000, 90_000];
        system.root("front", "POST /a", 20, us);
        system.http(
            ("front", "POST /a"),
            ("back", "POST /b"),
            20,
            5,
            240_000,
            60_000,
        );
        system
    }

    #[test]
    fn all_with_the_agent_cover_all() {
        assert_eq!(answered(&pair().range()), Some(1.0));
    }

    #[test]
    fn requests_from_outside_count_without_an_edge() {
        let mut system = System::new(40);
        system.root("front", "POST /a", 20, [1_000; 6]);
        assert_eq!(answered(&system.range()), Some(1.0));
    }

    #[test]
    fn a_service_that_only_sends_spans_is_not_covered() {
        let mut range = pair().range();
        range = without_agent(range, "back");
        // One request from outside in six calls.
        let share = answered(&range).unwrap();
        assert!((share - 1.0 / 6.0).abs() < 1e-9, "{share}");
        let document = Document::build(&range, &Options::default());
        let count = |n| format!("<data value={n} data-as=count>{n}</data>");
        assert!(render(&document).contains(&format!(
            "in {} processes, {} with the agent inside",
            count(2),
            count(1)
        )));
        range = without_agent(range, "front");
        assert_eq!(answered(&range), Some(0.0), "known to be none");
    }

    #[test]
    fn calls_that_go_to_instances_without_the_agent_are_not_covered() {
        let mut range = pair().range();
        for window in &mut range.windows {
            if window.service.service != "back" {
                continue;
            }
            // Of two instances only one has the agent: half of the calls are seen by it.
            let mut rows = RowSet::new();
            for (key, value) in window.rows.iter() {
                let mut value = value.clone();
                if let Some(n) = value.get(column::REQUEST_MESSAGES) {
                    value.add(column::REQUEST_MESSAGES, -(n / 2));
                }
                rows.add(key.clone(), &value);
            }
            window.rows = rows;
        }
        // (1 + 2.5) of (1 + 5)
        let share = answered(&range).unwrap();
        assert!((share - 3.5 / 6.0).abs() < 0.01, "{share}");
    }

    #[test]
    fn no_traffic_is_not_applicable_and_never_zero() {
        let mut system = System::new(40);
        system.root("front", "JOB nightly", 1, [1_000; 6]);
        let document = Document::build(&system.range(), &Options::default());
        assert_eq!(
            document.window.coverage.as_ref().unwrap().answered.value,
            None
        );
        let html = render(&document);
        let tile = html.split_once("<dt>Coverage</dt>").unwrap().1;
        assert!(
            tile.starts_with(
                "<dd><b>n/a</b> <span>no request or call was seen in this range</span>"
            ),
            "{}",
            &tile[..200]
        );
    }
}
