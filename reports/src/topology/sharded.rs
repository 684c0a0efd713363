//! A service divided by the key of an entity: the part of a system that this hangs on, priced as everything else is.
//!
//! It equals what [`evaluate`](super::evaluate) says of the whole changed topology (a test holds them together).

use super::deployable::carries;
use super::evaluate::price;
use super::pair::part;
use super::taken_out::who_keeps;
use super::{Beside, Change, EdgesOf, Figures, Inputs, Load, Topology, Weighed};
use crate::model::Estimate;

/// Most shards that a service is divided into.
const SHARDS_MAX: f64 = 1_024.0;

/// What becomes of a service that is divided into as many shards as it needs processes at a load.
#[derive(Clone, Debug)]
pub(crate) struct Sharded {
    pub(crate) shards: u32,
    /// Cores at that load, as it is and divided.
    pub(crate) cores: (Estimate, Estimate),
    /// The multiple of the load seen that it carries at the planned utilisation: with the processes it has, and with
    /// one for each shard. None where no load fills it.
    pub(crate) carries: Option<(Estimate, Estimate)>,
    /// The figures of the services involved at that load, as they are and after.
    pub(crate) planned: (Figures, Figures),
}

impl Weighed {
    /// A service divided by the key of an entity. `None` where it needs no more processes than it has at the load
    /// `planned`, or nobody knows.
    pub(crate) fn sharded(
        &self,
        edges: &EdgesOf,
        (service, entity): (usize, usize),
        (seen, planned): (&Load, &Load),
    ) -> Option<Sharded> {
        let whole = self.inputs();
        let mut services = who_keeps(whole, &whole.entities[entity]);
        services.push(service);
        services.sort_unstable();
        services.dedup();
        let at = services.iter().position(|s| *s == service)?;
        let point = part(whole, edges, &services);
        let today = Topology::as_it_is(&point);
        let now = Beside::today(&point, seen);
        let as_it_is = now.evaluate(&today, planned);
        let label = &whole.services[service].label;
        let needed = as_it_is.named(label)?.replicas_needed?;
        if needed <= whole.services[service].instances.max(1.0) {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let shards = needed.min(SHARDS_MAX) as u32;
        let change = change(whole, service, entity, shards);
        let divided = change.apply(&point, &today).ok()?;
        let weighed = self.part_of(|inputs| part(inputs, edges, &services));
        let figures = weighed.spread(|inputs: &Inputs| {
            let cores = |topology| price(inputs, topology, planned).sized[at].cores();
            let most = |topology: &Topology| {
                let sized = &price(inputs, topology, seen).sized[at];
                carries(inputs, &topology.deployables[at], sized, seen).unwrap_or(f64::NAN)
            };
            vec![cores(&today), cores(&divided), most(&today), most(&divided)]
        });
        let [before, after, carried, carries] = figures.try_into().ok()?;
        let known = carried.point.is_finite() && carries.point.is_finite();
        Some(Sharded {
            shards,
            cores: (before, after),
            carries: known.then_some((carried, carries)),
            planned: (as_it_is, now.evaluate(&divided, planned)),
        })
    }
}

/// The change in the words of the engine.
pub(crate) fn change(inputs: &Inputs, service: usize, entity: usize, shards: u32) -> Change {
    Change::Shard {
        service: inputs.services[service].label.clone(),
        entity: inputs.entities[entity].name.clone(),
        shards,
    }
}
