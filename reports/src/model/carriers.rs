//! What carries messages without being a request: pools and drivers of clients, connections of servers.

use std::collections::BTreeMap;

use weighbridge_wire::{OwnerKind, column, mode, side};

use super::edges::SideRef;
use super::rollup::Rollup;
use super::service::{CPU_COLUMNS, EdgeSideFacts, EdgeSideId};
use super::tally::Tally;
use super::{Estimate, Resampler};
use crate::document::QualityWord;

/// Shares of carriers in calls.
#[derive(Debug, Default)]
pub(crate) struct Carriers {
    /// CPU of pools, drivers and connections that edge rows do not show yet, ns per call of that side.
    pool: BTreeMap<SideRef, Estimate>,
    /// Sides of which protocol and io CPU stands in a pool's or driver's owner row, and which share of it does. The
    /// rest stands in the rows of the calling operation: its own polls of the call.
    in_owner: BTreeMap<SideRef, Estimate>,
}

impl Carriers {
    pub(crate) fn new(rollup: &Rollup, sampler: &Resampler) -> Self {
        let mut carriers = Self::default();
        for service in 0..rollup.services.len() {
            carriers.pools_of(rollup, sampler, service);
        }
        carriers
    }

    pub(crate) fn pool_per_call(&self, side: &SideRef) -> Option<&Estimate> {
        self.pool.get(side)
    }

    /// Share, 0 to 1, of the protocol and io CPU of this side that stands in an owner's row and not in the
    /// operation's; `None` when no owner carries it.
    pub(crate) fn share_in_owner(&self, side: &SideRef) -> Option<&Estimate> {
        self.in_owner.get(side)
    }

    /// Shares out the CPU of each pool, driver and connection, less what edge rows already show, evenly over
    /// its messages.
    fn pools_of(&mut self, rollup: &Rollup, sampler: &Resampler, service: usize) {
        let facts = &rollup.services[service];
        for ((kind, name), sums) in &facts.owners {
            let Some(cpu) = sums.sum_of(&CPU_COLUMNS) else {
                continue;
            };
            let sides: Vec<(&EdgeSideId, &EdgeSideFacts)> = facts
                .edges
                .iter()
                .filter(|(id, edge)| carried_by(kind, name, id, edge))
                .collect();
            let mut calls = Tally::default();
            let mut shown = Tally::default();
            let mut carried = Vec::new();
            let is_connection = OwnerKind::parse(kind) == Some(OwnerKind::Connection);
            for (id, edge) in &sides {
                if let Some(messages) = edge.all.get(column::REQUEST_MESSAGES) {
                    calls.merge_sum(messages);
                }
                // What a server's connections share out is taken from them; what clients do stays theirs, on the
                // sides of those who consume too.
                if !is_connection {
                    carried.push(SideRef {
                        service,
                        id: (*id).clone(),
                    });
                    let columns = [column::CPU_PROTOCOL_NS, column::CPU_IO_NS];
                    if let Some(cpu) = edge.all.sum_of(&columns) {
                        shown.merge_sum(&cpu);
                    }
                }
            }
            // What edges show beyond what the owner spent was spent by the callers themselves.
            let share = sampler.estimate(&cpu).over(&sampler.estimate(&shown));
            let share = share.map_or_else(
                || Estimate::exact(1.0, QualityWord::Apportioned),
                |share| share.map(|share| share.clamp(0.0, 1.0)),
            );
            for side in carried {
                self.in_owner.insert(side, share.clone());
            }
            let mut left = cpu;
            left.merge_sum(&shown.negated());
            let left = sampler.estimate(&left).map(|ns| ns.max(0.0));
            let Some(per_call) = left.over(&sampler.estimate(&calls)) else {
                continue;
            };
            let per_call = per_call.of_quality(QualityWord::Apportioned);
            for (id, _) in sides {
                let side = SideRef {
                    service,
                    id: id.clone(),
                };
                self.pool
                    .entry(side)
                    .and_modify(|mine| *mine = mine.plus(&per_call))
                    .or_insert_with(|| per_call.clone());
            }
        }
    }
}

/// Does this owner carry the messages of this side? Pools and drivers are named `transport peer` or after the peer:
/// callers' sides name the peer; a consumer's side is carried by the client that it consumes with. Connections of a
/// server are named by their protocol (`http1`) and carry what it answers, from outside too.
fn carried_by(kind: &str, name: &str, id: &EdgeSideId, edge: &EdgeSideFacts) -> bool {
    let variant = edge.variant();
    let is_async = &*variant.mode == mode::ASYNC;
    match OwnerKind::parse(kind) {
        Some(OwnerKind::Pool | OwnerKind::Driver) => {
            let (transport, peer) = name.split_once(' ').unwrap_or(("", name));
            let same_transport = transport.is_empty() || transport == &*variant.transport;
            let same_peer = *variant.peer == *peer;
            match &*id.side {
                side::CALLER => same_transport && same_peer,
                side::CALLEE if is_async => {
                    same_transport
                        && (same_peer || (!transport.is_empty() && variant.peer.is_empty()))
                }
                _ => false,
            }
        }
        Some(OwnerKind::Connection) => {
            &*id.side == side::CALLEE
                && !is_async
                && !variant.transport.is_empty()
                && name.starts_with(&*variant.transport)
        }
        _ => false,
    }
}
