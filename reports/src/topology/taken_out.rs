//! An operation in a process of its own: the part of a system that this hangs on, priced as everything else is.
//!
//! It equals what [`evaluate`](super::evaluate) says of the whole changed topology (a test holds them together).

use super::deployable::{CoreQueue, carries};
use super::evaluate::{Priced, price};
use super::pair::part;
use super::{
    Beside, Change, EdgesOf, End, Entity, Figures, Inputs, Load, Topology, Weighed, copies,
};
use crate::model::Estimate;

/// What becomes of a service when an operation leaves it, at the load seen with the processes there are.
#[derive(Clone, Debug)]
pub(crate) struct TakenOut {
    /// Cores of the service as it is, of what stays, and of the new process.
    pub(crate) before: Estimate,
    pub(crate) left: Estimate,
    pub(crate) new: Estimate,
    /// Mean wait for a core in the service, as it is and of what stays, ns; none at saturation or without cores.
    pub(crate) wait: Option<Estimate>,
    pub(crate) wait_left: Option<Estimate>,
    /// Cores that one copy of everything that it reads needs to be kept in step; none where nobody tells.
    pub(crate) copies: Option<Estimate>,
    /// By entity that the new process keeps a copy of.
    pub(crate) copied: Vec<Copied>,
    /// Share of the service's cores that is used.
    pub(crate) utilisation: Option<f64>,
    /// The load that today's processes carry at the planned utilisation, as it is and without the operation.
    pub(crate) headroom: (Option<f64>, Option<f64>),
    /// What queues for the cores of a process, as it is and of what stays; by the operation's index in the system.
    pub(crate) queues: Option<(CoreQueue, CoreQueue)>,
    /// The figures of the services involved at the largest load planned for: as they are, and after.
    pub(crate) planned: (Figures, Figures),
}

/// A new copy of an entity.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) entity: String,
    /// Changes in a second.
    pub(crate) changes: Estimate,
    /// CPU of carrying and applying one, ns; none where nobody tells.
    pub(crate) change_ns: Option<Estimate>,
    /// Whether copies that exist tell it.
    pub(crate) seen: bool,
}

impl TakenOut {
    /// Processes that the service needs at the largest load, and those that it and the new one do; none where no number
    /// is known or none suffices.
    pub(crate) fn processes(&self, label: &str) -> (Option<f64>, Option<f64>) {
        let known = |d: &super::DeployableFigures| d.replicas_needed.map(|_| d.replicas);
        let (before, after) = (&self.planned.0.deployables, &self.planned.1.deployables);
        let is = |name: &str| name == label;
        let was = before.iter().find(|d| is(&d.name)).and_then(known);
        // What stays keeps its name; the new one has one that was not there before.
        let theirs = after
            .iter()
            .filter(|d| is(&d.name) || before.iter().all(|b| b.name != d.name));
        (was, theirs.map(known).sum())
    }
}

impl Weighed {
    /// An operation taken out of its service by this change, a split or a replication into one process.
    pub(crate) fn taken_out(
        &self,
        edges: &EdgesOf,
        operation: usize,
        change: &Change,
        loads: (&Load, &Load),
    ) -> Option<TakenOut> {
        let (seen, planned) = loads;
        let whole = self.inputs();
        let service = whole.operations[operation].service;
        let services = involved(whole, service, operation);
        let weighed = self.part_of(|inputs| part(inputs, edges, &services));
        let point = weighed.inputs();
        let today = Topology::as_it_is(point);
        let after = change.apply(point, &today).ok()?;
        let (old, new) = (services.iter().position(|s| *s == service)?, services.len());
        let copied: Vec<usize> = after.copied.iter().map(|(entity, _)| *entity).collect();
        let figures = weighed.spread(|inputs| {
            let (was, is) = (price(inputs, &today, seen), price(inputs, &after, seen));
            let ns = |priced: &Priced| priced.wait[old].map_or(f64::NAN, |s| s * 1e9);
            let each = copied
                .iter()
                .map(|at| copies::copy_cores(inputs, &inputs.entities[*at]));
            let copies: Option<f64> = each.sum();
            let mut all = vec![
                was.sized[old].cores(),
                is.sized[old].cores(),
                is.sized[new].cores(),
                ns(&was),
                ns(&is),
                copies.unwrap_or(f64::NAN),
            ];
            for entity in copied.iter().map(|at| &inputs.entities[*at]) {
                let each = copies::change_ns(inputs, entity);
                let each = each.map_or(f64::NAN, |(carry, apply)| carry + apply);
                all.extend([copies::changes(entity), each]);
            }
            all
        });
        let mut figures = figures.into_iter();
        let known = |estimate: Estimate| Some(estimate).filter(|e| e.point.is_finite());
        let (before, left, new_cores) = (figures.next()?, figures.next()?, figures.next()?);
        let [wait, wait_left, copies] = [figures.next()?, figures.next()?, figures.next()?];
        let mut each = Vec::new();
        for entity in copied.iter().map(|at| &point.entities[*at]) {
            each.push(Copied {
                entity: entity.name.clone(),
                changes: figures.next()?,
                change_ns: known(figures.next()?),
                seen: !entity.links.is_empty(),
            });
        }
        let (was, is) = (price(point, &today, seen), price(point, &after, seen));
        let now = Beside::today(point, seen);
        let used = now.evaluate(&today, seen);
        // Operations of the part in the order of the whole.
        let mut of_whole: Vec<usize> = services
            .iter()
            .flat_map(|s| edges.operations_of(*s).iter().copied())
            .collect();
        of_whole.sort_unstable();
        let queue = |priced: &Priced| {
            let mut queue = priced.queues[old].clone()?;
            for (at, _) in &mut queue.loads {
                *at = of_whole[*at];
            }
            Some(queue)
        };
        Some(TakenOut {
            before,
            left,
            new: new_cores,
            wait: known(wait),
            wait_left: known(wait_left),
            copies: known(copies),
            copied: each,
            utilisation: used.deployables[old].utilisation,
            headroom: (
                carries(point, &today.deployables[old], &was.sized[old], seen),
                carries(point, &after.deployables[old], &is.sized[old], seen),
            ),
            queues: queue(&was).zip(queue(&is)),
            planned: (now.evaluate(&today, planned), now.evaluate(&after, planned)),
        })
    }
}

/// The service, and who else has a part in what the operation reads.
fn involved(inputs: &Inputs, service: usize, operation: usize) -> Vec<usize> {
    let mut services = vec![service];
    for entity in &inputs.entities {
        let reads = entity.places.iter().flat_map(|place| &place.reads);
        if reads.into_iter().any(|(at, _)| *at == operation) {
            services.extend(who_keeps(inputs, entity));
        }
    }
    services.sort_unstable();
    services.dedup();
    services
}

/// Who has a part in an entity: places, owners, and who tells of changes. Some more than once.
pub(super) fn who_keeps(inputs: &Inputs, entity: &Entity) -> Vec<usize> {
    let ends = entity.links.iter().map(|at| &inputs.edges[*at]);
    let mut services: Vec<usize> = entity.places.iter().map(|place| place.service).collect();
    services.extend(entity.owner);
    services.extend(ends.clone().filter_map(|edge| edge.broker));
    services.extend(
        ends.flat_map(|edge| [edge.from, edge.to])
            .filter_map(|end| match end {
                End::Operation(at) => Some(inputs.operations[at].service),
                End::Service(at) => Some(at),
                End::Outside => None,
            }),
    );
    services
}
