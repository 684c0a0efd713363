//! Memory of two services apart and together, at the largest load planned for.

use weighbridge_wire::column;

use super::context::Context;
use crate::model::{OperationId, as_f64};
use crate::topology::{DeployableFigures, Figures, Load};

/// Memory of a pair, bytes.
#[derive(Clone, Debug)]
pub(crate) struct PairMemory {
    /// Processes of each service.
    pub(crate) replicas: (f64, f64),
    /// Processes when they are one.
    pub(crate) replicas_merged: f64,
    /// What one process of each holds.
    pub(crate) rss: (f64, f64),
    pub(crate) before: f64,
    pub(crate) after: f64,
}

impl PairMemory {
    pub(crate) fn growth(&self) -> Option<f64> {
        (self.before > 0.0).then(|| self.after / self.before)
    }
}

/// By the topology engine: the processes that each needs at the largest load planned for and what they hold, apart and
/// merged. `None` when cores, limits or memory are not known.
pub(crate) fn pair_memory(context: &Context<'_>, a: usize, b: usize) -> Option<PairMemory> {
    context.memory_once((a, b), || evaluated(context, a, b))
}

fn evaluated(context: &Context<'_>, a: usize, b: usize) -> Option<PairMemory> {
    let load = Load::planned(context.options, context.options.design_load());
    let (apart, together) = context.apart_and_together((a, b), &load)?;
    let ([one, other], [merged]) = (&apart.deployables[..], &together.deployables[..]) else {
        return None;
    };
    let (first, second, all) = (sized(one)?, sized(other)?, sized(merged)?);
    Some(PairMemory {
        replicas: (first.0, second.0),
        replicas_merged: all.0,
        rss: (first.1, second.1),
        before: first.0 * first.1 + second.0 * second.1,
        after: all.0 * all.1,
    })
}

/// Processes of some deployables and the memory that all of these hold, bytes. `None` when cores, limits or memory of one
/// are not known.
pub(crate) fn held(figures: &Figures) -> Option<(f64, f64)> {
    let each = figures.deployables.iter().map(sized);
    each.collect::<Option<Vec<(f64, f64)>>>().map(|all| {
        let processes = all.iter().map(|(replicas, _)| replicas);
        let bytes = all.iter().map(|(replicas, bytes)| replicas * bytes);
        (processes.sum(), bytes.sum())
    })
}

/// Processes and what one holds. Without cores of a process nobody knows how many there must be.
fn sized(d: &DeployableFigures) -> Option<(f64, f64)> {
    Some((d.replicas_needed.map(|_| d.replicas)?, d.process_bytes?))
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
