//! What the changes on the shortlist do to the whole system, by the topology engine: messages, copies, the latency of
//! origins, and whether service-level objectives are kept. The same draws for all of them.

use std::collections::BTreeSet;

use crate::Options;
use crate::topology::{
    Beside, Change, Compared, Figures, Inputs, Load, TOO_FEW_WINDOWS, Tails, Topology, Weighed,
    apply_all, resized, touched,
};

/// Resampled ranges that are evaluated at most: each prices the whole system anew.
const DRAWS_MAX: usize = 100;
/// Fewest that make an interval.
const DRAWS_MIN: usize = 40;
/// Operations and edges that are priced for all changes and draws together, about.
const WORK_MAX: usize = 20_000_000;
/// Origins that a recommendation shows.
const ORIGINS_MAX: usize = 4;

/// What a change does.
pub(crate) struct Changed {
    /// Its figures; origins that it does not touch are left out.
    pub(crate) compared: Compared,
    /// Share of the resampled ranges in which every origin with a limit keeps it at the load seen; the reason when that
    /// cannot be told.
    pub(crate) slo_kept: Result<f64, String>,
}

/// One answer for each list of changes, in their order; the reason where the engine refuses one.
pub(crate) fn evaluated(
    weighed: &Weighed,
    changes: &[&[Change]],
    options: &Options,
) -> Vec<Result<Changed, String>> {
    let inputs = weighed.inputs();
    let (load, today) = (Load::seen(options), weighed.as_it_is());
    let limited = with_limits(inputs, options);
    let now = Beside::today(inputs, &load);
    let before = now.evaluate(&today, &load);
    let mut tried: Vec<Result<Tried, String>> = changes
        .iter()
        .map(|changes| {
            let topology = apply_all(changes, inputs, &today)
                .map_err(|error| format!("the topology model refuses this change: {error}"))?;
            let mut after = now.evaluate(&topology, &load);
            let origins = touched(&before, &after, ORIGINS_MAX);
            let mut spread: Vec<usize> = origins.iter().chain(&limited).copied().collect();
            spread.sort_unstable();
            spread.dedup();
            let tails = Tails::of(inputs, &topology, &load, &after, spread);
            tails.apply(&mut after);
            Ok(Tried {
                origins,
                tails,
                deployables: resized(&before, &after),
                after,
                topology,
                draws: Vec::new(),
                slo: Ok((0, 0)),
            })
        })
        .collect();
    let is_asked = !options.constraints.slo_p95_ns.is_empty();
    let size = inputs.operations.len() + inputs.edges.len();
    let each = size.saturating_mul(changes.len()).max(1);
    let mut most = DRAWS_MAX.min(WORK_MAX / each);
    let mut no_draws = TOO_FEW_WINDOWS;
    if most < DRAWS_MIN {
        no_draws = "the system is too large to be priced in every resampled range";
        most = if is_asked { DRAWS_MIN } else { 0 };
    }
    if most > 0 && weighed.draws() > 0 {
        let step = weighed.draws().div_ceil(most);
        let mut inputs = inputs.clone();
        for draw in (0..weighed.draws()).step_by(step) {
            weighed.redraw(&mut inputs, draw);
            let now = Beside::today(&inputs, &load);
            let before = now.evaluate(&today, &load);
            for one in tried.iter_mut().flatten() {
                let mut after = now.evaluate(&one.topology, &load);
                one.tails.apply(&mut after);
                if is_asked && let Ok((held, drawn)) = &mut one.slo {
                    match keeps(&after, options) {
                        Ok(kept) => (*held, *drawn) = (*held + u32::from(kept), *drawn + 1),
                        Err(why) => one.slo = Err(why),
                    }
                }
                let before = before.only(&one.origins, &one.deployables);
                one.draws
                    .push((before, after.only(&one.origins, &one.deployables)));
            }
        }
    }
    tried
        .into_iter()
        .map(|one| one.map(|one| one.finish(&before, no_draws, is_asked)))
        .collect()
}

/// A change on its way through the draws.
struct Tried {
    topology: Topology,
    tails: Tails,
    after: Figures,
    origins: Vec<usize>,
    deployables: BTreeSet<String>,
    draws: Vec<(Figures, Figures)>,
    /// Draws in which all limits are kept, of how many.
    slo: Result<(u32, u32), String>,
}

impl Tried {
    fn finish(self, before: &Figures, no_draws: &'static str, is_asked: bool) -> Changed {
        let slo_kept = self.slo.and_then(|(held, drawn)| {
            if !is_asked {
                Err("no service-level objective is given".to_owned())
            } else if drawn == 0 {
                Err("too few windows to resample".to_owned())
            } else {
                Ok(f64::from(held) / f64::from(drawn))
            }
        });
        Changed {
            compared: Compared {
                point: (
                    before.only(&self.origins, &self.deployables),
                    self.after.only(&self.origins, &self.deployables),
                ),
                draws: self.draws,
                no_draws,
            },
            slo_kept,
        }
    }
}

/// Origins with a limit of latency.
pub(crate) fn with_limits(inputs: &Inputs, options: &Options) -> Vec<usize> {
    let limits = &options.constraints.slo_p95_ns;
    let limited = |at: &usize| {
        let origin = &inputs.origins[*at];
        let name = (origin.service.clone(), origin.operation.clone());
        limits.contains_key(&name)
    };
    if limits.is_empty() {
        return Vec::new();
    }
    (0..inputs.origins.len()).filter(limited).collect()
}

/// Does every origin with a limit keep it?
fn keeps(figures: &Figures, options: &Options) -> Result<bool, String> {
    let mut all = true;
    for ((service, operation), limit) in &options.constraints.slo_p95_ns {
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
    Ok(all)
}
