//! How the figures came about, and their limits.

use std::collections::BTreeMap;

use weighbridge_wire::column;

use super::conservation::unexplained;
use super::figures::{plain, share};
use super::services::AgentCpu;
use crate::Options;
use crate::document::{ClockNote, FigureUnit, Formula, QualityReport, QualityWord, UnknownKind};
use crate::model::{Estimate, Model, as_f64, cpu_by_quality, message_classes, shares};

pub(crate) fn quality(model: &Model, options: &Options) -> QualityReport {
    let services = model.services();
    let add = |of: &dyn Fn(&crate::model::ServiceFacts) -> Option<Estimate>| {
        services.iter().filter_map(of).reduce(|a, b| a.plus(&b))
    };
    let process = add(&|s| model.column(&s.process, column::CPU_PROCESS_NS));
    let hidden = add(&|s| unexplained(model, s));
    let agent = add(&|s| AgentCpu::of(model, s).whole());
    let lost: i64 = model
        .losing()
        .flat_map(|s| s.losses.values())
        .filter_map(|sums| sums.total(column::LOST))
        .fold(0, i64::saturating_add);
    QualityReport {
        cpu_shares: shares(&cpu_by_quality(services)),
        unexplained_share: share(hidden.as_ref(), process.as_ref()),
        agent_share: share(agent.as_ref(), process.as_ref()),
        clocks: clocks(model),
        lost: plain(
            Some(as_f64(lost)),
            FigureUnit::Count,
            QualityWord::Measured,
            "",
        ),
        unknown_kinds: model
            .rollup
            .unknown_kinds
            .iter()
            .map(|(kind, rows)| UnknownKind {
                kind: *kind,
                rows: *rows,
            })
            .collect(),
        seed: format!("{:016x}", model.rollup.seed),
        method: method(options),
        limits: limits(),
        formulas: formulas(),
    }
}

fn clocks(model: &Model) -> Vec<ClockNote> {
    let mut notes = Vec::new();
    for service in model.services() {
        let mut modes: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        for (key, sums) in &service.processes {
            let readings = modes.entry(&key.clock_mode).or_default();
            if let Some(more) = sums.total(column::CLOCK_READINGS) {
                *readings = Some(readings.unwrap_or(0).saturating_add(more));
            }
        }
        for (mode, readings) in modes {
            notes.push(ClockNote {
                service: service.label.clone(),
                mode: mode.to_owned(),
                readings: plain(
                    readings.map(as_f64),
                    FigureUnit::Count,
                    QualityWord::Measured,
                    "no row holds it",
                ),
            });
        }
    }
    notes
}

fn method(options: &Options) -> Vec<String> {
    vec![
        "CPU time is booked to accounts (who × what kind of work) as it is spent; for each process the accounts, what is in progress and what is unattributed sum to the CPU time that the kernel reports.".to_owned(),
        "A unit cost is the CPU booked in the range divided by the requests that ended in it.".to_owned(),
        "Intervals hold 90 % and come from a circular block bootstrap over the windows with one set of draws for all figures, so that differences and ratios keep what their parts have in common. How sure a recommendation is comes from a thousand and more resamplings of its own.".to_owned(),
        format!(
            "Message overhead is {} on both sides of an edge, plus the share of client pools, drivers and server connections that carry it, plus the broker's CPU, shared out over the messages that it took in and those that it delivered.",
            message_classes()
        ),
        format!(
            "A verdict needs {} windows and {} ended requests of each operation that decides, and an interval that does not cross its threshold; else it is cannot_say.",
            options.sufficiency.windows, options.sufficiency.ended
        ),
        format!(
            "A call that stays inside the process is taken to cost {:.0} ns, which every predicted saving is reduced by.",
            options.local_call_ns
        ),
    ]
}

fn limits() -> Vec<String> {
    [
        "Work of the kernel outside a process (softirq, receive path of a network card) is in no account. On loopback the receive path of TCP runs inside the sender's call; on a network it runs in interrupts outside every process.",
        "Two hardware threads of a core inflate each other's CPU seconds; CPU seconds under contention are not those of an idle machine.",
        "Requests that straddle the ends of the range bring an error of about the requests in flight divided by those ended; it stands beside each operation.",
        "Work inside a database server or any process without an agent is not seen.",
        "A merge is priced by the messages it removes, the schedulers' part in them, and what one process takes by itself. What it couples (failures, deployments, memory, scaling) is named, not priced, unless a price says so.",
        "Percentiles are those of one operation; percentiles of chains are not sums of them and are not given.",
    ]
    .map(str::to_owned)
    .into()
}

fn formulas() -> Vec<Formula> {
    let formula = |name: &str, formula: &str, source: &str, limits: &str| Formula {
        name: name.to_owned(),
        formula: formula.to_owned(),
        source: source.to_owned(),
        limits: limits.to_owned(),
    };
    vec![
        formula(
            "unit cost",
            "Σ CPU ÷ Σ ended",
            "operational analysis: D = U ÷ X (Denning & Buzen 1978)",
            "Edge error of mean in flight ÷ ended.",
        ),
        formula(
            "interval",
            "circular block bootstrap over windows, block length ⌈n^⅓⌉, 200 draws, 5th to 95th percentile",
            "Politis & Romano 1992",
            "Fewer than 8 windows have none; with few windows it is somewhat too narrow. It knows the spread over windows, not what changes between days.",
        ),
        formula(
            "message overhead",
            "caller (encode + decode + protocol + io + pool) + callee (the same) + broker",
            "definition",
            "The CPU of pools, connections and brokers is shared out evenly over messages: apportioned.",
        ),
        formula(
            "price of a message",
            "CPU = a · messages + b · body bytes, least squares over size classes, weighted by messages",
            "ordinary least squares",
            "Needs two size classes of 20 messages whose sizes differ fourfold; else the mean per message stands.",
        ),
        formula(
            "merge",
            "cores saved = rate · (overhead + schedulers' part in its messages − local call), over the synchronous edges that become local, + CPU that one process takes by itself",
            "definition",
            "Asynchronous edges are left as they are. Framework work around a handler that is not protocol stays counted as work, so the saving is a lower estimate.",
        ),
        formula(
            "waiting",
            "W = C(c, a) · S ÷ (c (1 − ρ)) · (c_a² + c_s²) ÷ 2, mixtures by E[S] and E[S²]",
            "Erlang C; Allen & Cunneen 1978",
            "Within 15 % near the knee (ρ ≥ 0.8), an order of magnitude at low utilisation; first come first served is harsher to short requests than a time-sharing scheduler.",
        ),
        formula(
            "replicas",
            "⌈cores ÷ (cores of a process · target utilisation)⌉, at least the minimum for availability",
            "utilisation law",
            "Takes unit costs as constant; contention and caches are not seen.",
        ),
        formula(
            "copy against remote read",
            "copy: changes/s · (carry + apply); remote: reads/s · message overhead of a synchronous call",
            "definition",
            "Storage and staleness are shown beside it, not weighed in.",
        ),
    ]
}
