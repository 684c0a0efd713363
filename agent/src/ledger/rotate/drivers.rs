//! What a driver's messages share, over the edges of its peer.
//!
//! A driver's thread works for all messages that pass over its connection. At the end of a window its `protocol` and
//! `io` are shown on the edges of the peer of its name, by what the messages weigh. They stay the driver's: no request
//! spent them.

use rustc_hash::FxHashMap;
use weighbridge_wire::OwnerKind;

use super::apportion::{SHARED, largest_remainder};
use crate::ledger::edge::frame_weight;
use crate::ledger::names::Resolved;
use crate::ledger::shard::{EdgeCell, Merged};

/// Calls inside the process, which no driver carries.
const LOCAL: &str = "local";

/// How a window's drivers are shared out, by number of the edge.
#[derive(Debug, Default)]
pub(super) struct DriverShares(FxHashMap<u32, [Option<i64>; 2]>);

/// Shares out protocol and io of each driver, by the bytes and messages of its edges in this window.
pub(super) fn drivers(merged: &Merged, names: &Resolved) -> DriverShares {
    let mut shares = FxHashMap::default();
    for (owner, cost) in names.owners.iter().zip(&merged.owners) {
        let shared_ns = SHARED.map(|class| cost.class_ns(class));
        if owner.kind != OwnerKind::Driver || shared_ns == [0; 2] {
            continue;
        }
        // By id, so that equal remainders always fall alike.
        let edges: Vec<(u32, i64)> = merged
            .edges
            .iter()
            .filter(|(id, _)| {
                names.edge(*id).is_some_and(|name| {
                    *name.edge.peer == *owner.name && name.edge.transport != LOCAL
                })
            })
            .map(|(id, cell)| (id, carried(&cell)))
            .filter(|(_, weight)| *weight > 0)
            .collect();
        shares.extend(over_edges(shared_ns, &edges));
    }
    DriverShares(shares)
}

/// Shares protocol and io out by weights. What never occurred was not told apart: absent.
fn over_edges(
    shared_ns: [i64; 2],
    edges: &[(u32, i64)],
) -> impl Iterator<Item = (u32, [Option<i64>; 2])> {
    let weights: Vec<i64> = edges.iter().map(|(_, weight)| *weight).collect();
    let columns = shared_ns.map(|ns| (ns != 0).then(|| largest_remainder(ns, &weights)));
    edges.iter().enumerate().map(move |(n, (id, _))| {
        let of = |column: &Option<Vec<i64>>| column.as_ref().map(|shares| shares[n]);
        (*id, columns.each_ref().map(of))
    })
}

/// What the messages of an edge weigh.
fn carried(cell: &EdgeCell) -> i64 {
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    frame_weight(
        unsigned(cell.request_messages.saturating_add(cell.response_messages)),
        unsigned(
            cell.request_body_bytes
                .saturating_add(cell.response_body_bytes),
        ),
    )
}

impl DriverShares {
    /// Protocol and io of an edge's driver; absent where it has none, or where the driver knows none.
    pub(super) fn of_edge(&self, id: u32) -> [Option<i64>; 2] {
        self.0.get(&id).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_driver_is_shared_out_to_the_nanosecond(
            protocol_ns in any::<i64>(),
            io_ns in prop_oneof![Just(0), any::<i64>()],
            weights in proptest::collection::vec(1..=i64::MAX >> 8, 1..40),
        ) {
            let edges: Vec<(u32, i64)> = (0..).zip(weights).collect();
            let shares: Vec<_> = over_edges([protocol_ns, io_ns], &edges).collect();
            prop_assert_eq!(shares.len(), edges.len());
            for (n, whole) in [protocol_ns, io_ns].into_iter().enumerate() {
                let column: Option<Vec<i64>> = shares.iter().map(|(_, both)| both[n]).collect();
                // Absent where the driver had none: unknown is not zero.
                prop_assert_eq!(column.is_some(), whole != 0);
                let sum: i128 = column.iter().flatten().map(|ns| i128::from(*ns)).sum();
                prop_assert_eq!(sum, i128::from(whole));
            }
        }
    }
}
