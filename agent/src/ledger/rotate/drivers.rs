//! What a driver's messages share, over the edges of its peer.
//!
//! A driver works for all messages that pass over its connection. At the end of a window its `protocol` and `io` are
//! shown on the edges of its peer, by what the messages weigh: of the peer of its name (`driver_thread`), or of its
//! transport and peer (`amqp broker`). They stay the driver's: no request spent them.

use rustc_hash::FxHashMap;
use weighbridge_wire::OwnerKind;

use super::apportion::{SHARED, largest_remainder};
use crate::ledger::edge::{add_known, frame_weight};
use crate::ledger::names::Resolved;
use crate::ledger::shard::{EdgeCell, Merged};

/// Calls inside the process, which no driver carries.
const LOCAL: &str = "local";

/// How a window's drivers are shared out, by number of the edge.
#[derive(Debug, Default)]
pub(super) struct DriverShares(FxHashMap<u32, [Option<i64>; 2]>);

/// Shares out protocol and io of each driver, by the bytes and messages of its edges in this window. `foreign` are
/// owners whose threads the agent does not run on: all that they spend is protocol.
pub(super) fn drivers(
    merged: &Merged,
    names: &Resolved,
    foreign: &[(OwnerKind, String, i64)],
) -> DriverShares {
    let mut shares = DriverShares::default();
    let own = names.owners.iter().zip(&merged.owners);
    let own = own.map(|(owner, cost)| {
        let shared_ns = SHARED.map(|class| cost.class_ns(class));
        (owner.kind, &*owner.name, shared_ns)
    });
    let foreign = foreign
        .iter()
        .map(|(kind, name, protocol_ns)| (*kind, name.as_str(), [*protocol_ns, 0]));
    for (kind, owner, shared_ns) in own.chain(foreign) {
        if kind != OwnerKind::Driver || shared_ns == [0; 2] {
            continue;
        }
        // By id, so that equal remainders always fall alike.
        let edges: Vec<(u32, i64)> = merged
            .edges
            .iter()
            .filter(|(id, _)| {
                names.edge(*id).is_some_and(|name| {
                    let edge = &name.edge;
                    edge.transport != LOCAL && carries(owner, edge.transport, &edge.peer)
                })
            })
            .map(|(id, cell)| (id, carried(&cell)))
            .filter(|(_, weight)| *weight > 0)
            .collect();
        shares.add(over_edges(shared_ns, &edges));
    }
    shares
}

/// Whether a driver of this name carries the messages of a peer.
fn carries(owner: &str, transport: &str, peer: &str) -> bool {
    let of_transport = || {
        let rest = owner.strip_prefix(transport)?;
        rest.strip_prefix(' ')
    };
    !peer.is_empty() && (owner == peer || of_transport() == Some(peer))
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
    /// A peer may have several: its tasks on a driver's thread, beside the thread itself.
    fn add(&mut self, shares: impl Iterator<Item = (u32, [Option<i64>; 2])>) {
        for (id, shared) in shares {
            let sums = self.0.entry(id).or_default();
            for (sum, ns) in sums.iter_mut().zip(shared) {
                add_known(sum, ns);
            }
        }
    }

    /// Protocol and io of an edge's driver; absent where it has none, or where the driver knows none.
    pub(super) fn of_edge(&self, id: u32) -> [Option<i64>; 2] {
        self.0.get(&id).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_driver_carries_the_messages_of_its_peer_only() {
        for owner in ["broker", "amqp broker"] {
            assert!(carries(owner, "amqp", "broker"), "{owner}");
        }
        for owner in ["amqp", "nats broker", "amqp broker two", "amqpbroker", ""] {
            assert!(!carries(owner, "amqp", "broker"), "{owner}");
        }
        assert!(!carries("", "", ""), "callers without a name");
        assert!(!carries("http ", "http", ""));
    }

    #[test]
    fn two_drivers_of_a_peer_add_up() {
        let mut shares = DriverShares::default();
        shares.add([(1, [Some(5), None])].into_iter());
        shares.add([(1, [Some(2), Some(3)]), (2, [None, Some(1)])].into_iter());
        assert_eq!(shares.of_edge(1), [Some(7), Some(3)]);
        assert_eq!(shares.of_edge(2), [None, Some(1)]);
        assert_eq!(shares.of_edge(3), [None, None]);
    }

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
