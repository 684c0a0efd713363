//! Are the service-level objectives kept after a change? By the topology model, over resampled ranges.

use crate::Options;
use crate::topology::{Change, Load, Weighed, apply_all, evaluate};

/// Resampled ranges that are evaluated at most: each prices the whole system anew.
const DRAWS_MAX: usize = 100;

/// Share of the resampled ranges in which every origin with a limit keeps it at the load seen, after the changes; the
/// reason when that cannot be told.
pub(crate) fn kept(
    weighed: &Weighed,
    changes: &[Change],
    options: &Options,
) -> Result<f64, String> {
    let limits = &options.constraints.slo_p95_ns;
    if limits.is_empty() {
        return Err("no service-level objective is given".to_owned());
    }
    if changes.is_empty() {
        return Err("the topology model does not know this change".to_owned());
    }
    let topology = apply_all(changes, weighed.inputs(), &weighed.as_it_is())
        .map_err(|error| format!("the topology model refuses this change: {error}"))?;
    let load = Load::seen(options);
    let draws = weighed.draws();
    if draws == 0 {
        return Err("too few windows to resample".to_owned());
    }
    let step = draws.div_ceil(DRAWS_MAX);
    let (mut held, mut tried) = (0u32, 0u32);
    for draw in (0..draws).step_by(step) {
        let figures = evaluate(&weighed.draw(draw), &topology, &load);
        let mut all = true;
        for ((service, operation), limit) in limits {
            let origin = figures
                .origins
                .iter()
                .find(|o| o.service == *service && o.operation == *operation);
            let Some(origin) = origin else {
                return Err(format!("{operation} of {service} is no origin here"));
            };
            let Some(p95) = origin.p95_ns else {
                let why = origin.latency_absent_reason.as_deref();
                return Err(format!(
                    "the latency of {operation} of {service} is not known: {}",
                    why.unwrap_or("no histogram at its root")
                ));
            };
            all &= p95 <= *limit;
        }
        tried += 1;
        held += u32::from(all);
    }
    Ok(f64::from(held) / f64::from(tried.max(1)))
}
