//! The range and how well it is covered.

use super::time::rfc3339;
use crate::document::WindowReport;
use crate::model::Model;

/// A range shorter than this cannot hold a daily peak.
const DAY_NS: u64 = 86_400_000_000_000;

pub(crate) fn window(model: &Model) -> WindowReport {
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
        notes,
    }
}
