//! Memory of two services apart and together, at the largest load planned for.

use weighbridge_wire::column;

use super::context::Context;
use crate::build::replicas_for;
use crate::model::{OperationId, as_f64};

/// Memory of a pair, bytes.
#[derive(Clone, Debug)]
pub(crate) struct PairMemory {
    /// Processes of each service.
    pub(crate) replicas: (f64, f64),
    /// Processes when they are one.
    pub(crate) replicas_merged: f64,
    /// Peak resident set of one process of each.
    pub(crate) rss: (f64, f64),
    pub(crate) before: f64,
    pub(crate) after: f64,
}

impl PairMemory {
    pub(crate) fn growth(&self) -> Option<f64> {
        (self.before > 0.0).then(|| self.after / self.before)
    }
}

/// Peak resident sets times processes: apart, `r_a·M_a + r_b·M_b`; together, every process holds both and
/// one base less: `r·(M_a + M_b − M_base)`. `None` when cores, limits or memory are not known.
pub(crate) fn pair_memory(context: &Context<'_>, a: usize, b: usize) -> Option<PairMemory> {
    let factor = context.options.design_load();
    let one = |index: usize| {
        let service = context.service(index);
        let limit = context.model.cores_limit(service)?;
        let cores = context.load(index)?.at(factor).point;
        let replicas = replicas_for(cores, limit, context.options)?
            .max(libm::round(context.model.instances(service).unwrap_or(1.0)));
        let rss = service
            .process
            .total(column::RSS_PEAK_BYTES)
            .or_else(|| service.process.total(column::RSS_BYTES))?;
        let init = service.process.total(column::RSS_INIT_BYTES).unwrap_or(0);
        Some((limit, cores, replicas, as_f64(rss), as_f64(init)))
    };
    let (limit_a, cores_a, r_a, rss_a, init_a) = one(a)?;
    let (limit_b, cores_b, r_b, rss_b, init_b) = one(b)?;
    let merged = replicas_for(cores_a + cores_b, limit_a.max(limit_b), context.options)?;
    // One service's processes never become fewer than the more numerous of the two asked for.
    let merged = merged.max(r_a.max(r_b));
    let base = init_a.min(init_b);
    Some(PairMemory {
        replicas: (r_a, r_b),
        replicas_merged: merged,
        rss: (rss_a, rss_b),
        before: r_a * rss_a + r_b * rss_b,
        after: merged * (rss_a + rss_b - base).max(0.0),
    })
}

/// The operation of a service of which one request holds most memory, and how much, bytes.
pub(crate) fn heaviest(context: &Context<'_>, service: usize) -> Option<(OperationId, f64)> {
    context
        .service(service)
        .operations
        .iter()
        .filter_map(|(id, facts)| Some((id, facts.all.total(column::PEAK_LIVE_BYTES)?)))
        .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(a.0)))
        .map(|(id, bytes)| (id.clone(), as_f64(bytes)))
}
