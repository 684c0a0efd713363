//! What must hold of every weighing, whatever was planted.

use weighbridge_reports::document::{EdgeReport, Figure};

use super::Line;
use crate::weigh::Weighing;

/// Most memory of all processes together: the demo must fit on any machine that builds it.
const MEMORY_BYTES_MAX: u64 = 400 * 1024 * 1024;
/// How far the sum of a process's rows may lie from the kernel's figure: the kernel counts in ticks of 10 ms, and
/// what runs between the agent's first reading and ours is not in both.
const SUM_SHARE_MAX: f64 = 0.02;
const SUM_SLACK_MS: f64 = 40.0;

/// All checks.
pub(super) fn all(weighing: &Weighing) -> Vec<Line> {
    vec![
        requests(weighing),
        served(weighing),
        sums(weighing),
        edges(weighing),
        parts_of_messages(weighing),
        unexplained(weighing),
        memory(weighing),
    ]
}

fn line(name: &str, expected: &str, found: String, evidence: String, holds: bool) -> Line {
    Line {
        name: name.to_owned(),
        expected: expected.to_owned(),
        found,
        evidence,
        holds: Some(holds),
    }
}

fn requests(weighing: &Weighing) -> Line {
    let (failed, first) = weighing.results.failures();
    let worst = weighing.results.origins.iter().max_by_key(|o| o.p99_us);
    let slowest = worst.map_or_else(String::new, |o| {
        format!(
            "slowest: {} p99 {:.1} ms",
            o.operation,
            o.p99_us as f64 / 1e3
        )
    });
    line(
        "requests",
        "none fails",
        format!("{failed} of {} failed", weighing.results.sent()),
        first.map_or(slowest, str::to_owned),
        failed == 0,
    )
}

/// What the load sent and what the agents counted are two independent counts.
fn served(weighing: &Weighing) -> Line {
    let mut wrong = Vec::new();
    for origin in &weighing.results.origins {
        let counted: f64 = weighing
            .document
            .origins
            .iter()
            .filter(|o| o.operation == origin.operation)
            .filter_map(|o| o.ended.value)
            .sum();
        if counted != origin.sent as f64 {
            wrong.push(format!(
                "{}: {} sent, {counted} counted",
                origin.operation, origin.sent
            ));
        }
    }
    line(
        "requests counted",
        "as many as were sent, to the unit",
        format!(
            "{} of {} origins agree",
            weighing.results.origins.len() - wrong.len(),
            weighing.results.origins.len()
        ),
        wrong.join("; "),
        wrong.is_empty(),
    )
}

/// Rows against the kernel, process by process: read by the demo, not by the agent.
fn sums(weighing: &Weighing) -> Line {
    let (mut holds, mut evidence) = (weighing.document.conservation.cpu_exact, Vec::new());
    for end in &weighing.ends {
        let rows_ns: Option<i64> = weighing
            .document
            .conservation
            .services
            .iter()
            .filter(|s| s.service == end.service)
            .flat_map(|s| &s.processes)
            .filter(|p| p.instance == end.instance)
            .map(|p| Some(p.accounts_cpu_ns? + p.in_progress_ns? + p.unattributed_ns?))
            .sum();
        let (Some(rows_ns), Some(kernel_ms)) = (rows_ns, end.ended.weighed_cpu_ms()) else {
            evidence.push(format!("{}: not known", end.instance));
            holds &= !cfg!(target_os = "linux");
            continue;
        };
        let rows_ms = rows_ns as f64 / 1e6;
        let kernel_ms = kernel_ms as f64;
        holds &= end.ended.flushed
            && (rows_ms - kernel_ms).abs() <= kernel_ms * SUM_SHARE_MAX + SUM_SLACK_MS;
        evidence.push(format!(
            "{}: {rows_ms:.0} of {kernel_ms:.0} ms",
            end.instance
        ));
    }
    line(
        "CPU: rows against the kernel",
        "each process's rows sum to its CPU time",
        if holds { "they do" } else { "they do not" }.to_owned(),
        evidence.join(", "),
        holds,
    )
}

fn edges(weighing: &Weighing) -> Line {
    let conservation = &weighing.document.conservation;
    let wrong: Vec<String> = conservation
        .edges
        .iter()
        .filter(|edge| edge.difference.is_some_and(|d| d != 0))
        .map(|edge| {
            format!(
                "{} {}: {} sent, {} received",
                edge.name,
                edge.what,
                edge.sent.unwrap_or_default(),
                edge.received.unwrap_or_default()
            )
        })
        .collect();
    let checked = conservation
        .edges
        .iter()
        .filter(|edge| edge.difference.is_some())
        .count();
    line(
        "messages and bytes",
        "sent equals received, to the unit",
        format!("{} of {checked} counts agree", checked - wrong.len()),
        wrong.join("; "),
        wrong.is_empty() && checked > 0 && conservation.edges_exact,
    )
}

/// What a message between services costs stands apart by class, with how each figure came about. Where a client's
/// own task talks to the broker, protocol and io are its driver's together.
fn parts_of_messages(weighing: &Weighing) -> Line {
    let between = |edge: &&EdgeReport| {
        let (from, to) = (&edge.from, &edge.to);
        from.instrumented && to.instrumented && from.service != to.service
    };
    let edges: Vec<&EdgeReport> = weighing.document.edges.iter().filter(between).collect();
    let known = |figure: &Figure| figure.value.is_some() && !figure.quality.is_empty();
    let apart = |edge: &EdgeReport| {
        let sides = [&edge.caller_cpu, &edge.callee_cpu];
        let written = known(&edge.caller_cpu.encode) && known(&edge.callee_cpu.decode);
        let carried = match &edge.broker_cpu {
            Some(broker) => known(broker) && sides.iter().all(|side| known(&side.pool)),
            None => sides
                .iter()
                .all(|side| known(&side.protocol) && known(&side.io)),
        };
        written && carried
    };
    let wrong: Vec<String> = edges
        .iter()
        .filter(|edge| !apart(edge))
        .map(|edge| edge.id.clone())
        .collect();
    line(
        "what a message costs",
        "encode, decode, protocol, io and broker of each edge between services are known, each with its quality",
        format!("{} of {} edges", edges.len() - wrong.len(), edges.len()),
        wrong.join("; "),
        !edges.is_empty() && wrong.is_empty(),
    )
}

fn unexplained(weighing: &Weighing) -> Line {
    let mut holds = true;
    let mut evidence = Vec::new();
    for service in &weighing.document.conservation.services {
        let share = service.unexplained_share.value;
        holds &= share.is_some_and(|share| share <= service.unexplained_limit);
        evidence.push(format!(
            "{} {}",
            service.service,
            super::find::percent(&service.unexplained_share)
        ));
    }
    line(
        "unattributed and unwrapped",
        "at most 20 % of each service",
        if holds { "within it" } else { "above it" }.to_owned(),
        evidence.join(", "),
        holds,
    )
}

fn memory(weighing: &Weighing) -> Line {
    const MIB: u64 = 1024 * 1024;
    let found = weighing.memory_peak_bytes.map_or_else(
        || "not known".to_owned(),
        |bytes| format!("{} MiB", bytes / MIB),
    );
    line(
        "memory of all processes",
        "at most 400 MiB",
        found,
        "supervisor, services, broker, collector and load at one instant; pages that they share count once".to_owned(),
        weighing
            .memory_peak_bytes
            .is_none_or(|bytes| bytes <= MEMORY_BYTES_MAX),
    )
}
