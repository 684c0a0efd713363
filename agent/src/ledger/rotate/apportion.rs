//! What the streams of HTTP/2 connections share, over the operations that were active on them.
//!
//! A connection's task parses, frames and writes for all its streams at once. At the end of a window its
//! `protocol` and `io` are shared out over the operation rows by what their frames weigh: integers, by largest
//! remainder, so that the sum is kept to the nanosecond. Where nothing was carried it stays the connection's.

use weighbridge_wire::{Class, OwnerKind};

use crate::ledger::HTTP2_CONNECTION;
use crate::ledger::names::Resolved;
use crate::ledger::shard::{EdgeCell, Merged};

pub(super) const SHARED: [Class; 2] = [Class::Protocol, Class::Io];

/// How a window's HTTP/2 connections are shared out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Http2Shares {
    /// Protocol and io of each operation row.
    operations: Vec<(u32, [i64; 2])>,
    /// What was shared out, and over what weight.
    shared_ns: [i64; 2],
    weight: i64,
}

/// Takes the shared cost from the connections' owner.
pub(super) fn http2(merged: &mut Merged, names: &Resolved) -> Http2Shares {
    // By id, so that equal remainders always fall alike. A class declared in the middle of a request moves its
    // weight, in another window perhaps: what is negative here was counted before.
    let weights: Vec<(u32, i64)> = merged
        .operations
        .iter()
        .map(|(id, cell)| (id, cell.http2_weight))
        .filter(|(id, weight)| *weight > 0 && names.row(*id).is_some())
        .collect();
    let owner = names
        .owners
        .iter()
        .position(|owner| owner.kind == OwnerKind::Connection && *owner.name == *HTTP2_CONNECTION);
    let connection = owner.and_then(|n| merged.owners.get_mut(n));
    match connection {
        Some(cost) if !weights.is_empty() => share(&mut cost.cpu_ns, &weights),
        _ => Http2Shares::default(),
    }
}

fn share(cpu_ns: &mut [i64], weights: &[(u32, i64)]) -> Http2Shares {
    let shared_ns = SHARED.map(|class| std::mem::take(&mut cpu_ns[class as usize]));
    let bare: Vec<i64> = weights.iter().map(|(_, weight)| *weight).collect();
    let [protocol, io] = shared_ns.map(|ns| largest_remainder(ns, &bare));
    Http2Shares {
        operations: weights
            .iter()
            .zip(protocol.iter().zip(&io))
            .map(|((id, _), (protocol, io))| (*id, [*protocol, *io]))
            .collect(),
        shared_ns,
        weight: bare
            .iter()
            .fold(0, |sum, weight| sum.saturating_add(*weight)),
    }
}

impl Http2Shares {
    /// Protocol and io of an operation row; `None` where HTTP/2 carried nothing of it.
    pub(super) fn of_operation(&self, id: u32) -> Option<[i64; 2]> {
        let at = self.operations.binary_search_by_key(&id, |(id, _)| *id);
        self.operations.get(at.ok()?).map(|(_, shares)| *shares)
    }

    /// Protocol and io of the requests that closed on an edge, at this window's price; `None` where HTTP/2
    /// carried none of them.
    pub(super) fn of_edge(&self, cell: &EdgeCell) -> Option<[i64; 2]> {
        if self.weight == 0 || cell.http2_weight <= 0 {
            return None;
        }
        let price = |ns: i64| {
            let share = i128::from(ns) * i128::from(cell.http2_weight) / i128::from(self.weight);
            i64::try_from(share).unwrap_or(0)
        };
        Some(self.shared_ns.map(price))
    }
}

/// Shares out a signed sum by weights of at least 0: each gets its whole part, and the largest remainders one more
/// each. The shares add up to the sum; without any weight all are 0.
pub(super) fn largest_remainder(sum: i64, weights: &[i64]) -> Vec<i64> {
    let whole: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    if whole <= 0 {
        return vec![0; weights.len()];
    }
    let amount = i128::from(sum).abs();
    let mut shares: Vec<i128> = Vec::with_capacity(weights.len());
    let mut remainders: Vec<(i128, usize)> = Vec::with_capacity(weights.len());
    for (n, weight) in weights.iter().enumerate() {
        let product = amount * i128::from(*weight);
        shares.push(product / whole);
        remainders.push((product % whole, n));
    }
    let left = amount - shares.iter().sum::<i128>();
    // Largest first, and the earlier of equals: always the same way.
    remainders.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, n) in remainders.iter().take(usize::try_from(left).unwrap_or(0)) {
        shares[*n] += 1;
    }
    let sign = i128::from(sum.signum());
    shares
        .into_iter()
        // A share of an i64 is an i64.
        .map(|share| i64::try_from(sign * share).unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::cost::Cost;
    use crate::ledger::names::Names;
    use crate::ledger::shard::OperationCell;

    #[test]
    fn the_largest_remainders_get_what_division_leaves() {
        assert_eq!(largest_remainder(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(largest_remainder(-10, &[1, 1, 1]), [-4, -3, -3]);
        assert_eq!(largest_remainder(100, &[50, 150, 0]), [25, 75, 0]);
        assert_eq!(largest_remainder(1, &[1, 2]), [0, 1]);
        assert_eq!(largest_remainder(7, &[0, 0]), [0, 0]);
        assert_eq!(largest_remainder(7, &[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn shares_add_up_and_follow_the_weights(
            sum in any::<i64>(),
            weights in proptest::collection::vec(0..=i64::MAX, 1..40),
        ) {
            let shares = largest_remainder(sum, &weights);
            let whole: i128 = weights.iter().map(|w| i128::from(*w)).sum();
            if whole > 0 {
                prop_assert_eq!(shares.iter().map(|s| i128::from(*s)).sum::<i128>(), i128::from(sum));
            }
            for (share, weight) in shares.iter().zip(&weights) {
                // Never more than one away from the exact share.
                let exact = i128::from(sum) * i128::from(*weight);
                prop_assert!((i128::from(*share) * whole - exact).abs() <= whole.max(0));
            }
        }
    }

    /// What is shared out over rows of these weights, and what stays with the connection.
    fn shared(weights: &[i64]) -> (Vec<[i64; 2]>, i64) {
        let names = Names::new();
        let owner = names.owner(OwnerKind::Connection, HTTP2_CONNECTION).0;
        let mut merged = Merged::default();
        let mut cost = Cost::default();
        cost.cpu_ns[Class::Protocol as usize] = 90;
        cost.cpu_ns[Class::Io as usize] = -30;
        merged.owners.resize(owner.0 as usize + 1, Cost::default());
        merged.owners[owner.0 as usize] = cost;
        let place = names.caller("", "").0;
        let rows: Vec<_> = (0..weights.len())
            .map(|n| {
                let name = names.operation("", &format!("{n}"), "").0;
                names.row(&name, &place, &place).0.id
            })
            .collect();
        for (id, weight) in rows.iter().zip(weights) {
            let mut cell = OperationCell {
                http2_weight: *weight,
                ..OperationCell::default()
            };
            merged.operations.push(*id, &mut cell);
        }
        let shares = http2(&mut merged, &names.resolve_and_forget(1));
        let of = |id: &u32| shares.of_operation(*id).unwrap_or_default();
        let left = merged.owners[owner.0 as usize].total_ns();
        (rows.iter().map(of).collect(), left)
    }

    #[test]
    fn what_was_taken_back_has_no_share_and_without_frames_the_connection_pays() {
        assert_eq!(shared(&[1, 2]), (vec![[30, -10], [60, -20]], 0));
        assert_eq!(
            shared(&[1, -5, 2, 0]),
            (vec![[30, -10], [0, 0], [60, -20], [0, 0]], 0)
        );
        assert_eq!(shared(&[0, -5]), (vec![[0, 0], [0, 0]], 60));
        assert_eq!(shared(&[]), (vec![], 60));
    }

    #[test]
    fn nothing_is_taken_from_the_other_classes() {
        let mut cpu_ns = [3; weighbridge_wire::ALL_CLASSES.len()];
        let shares = share(&mut cpu_ns, &[(7, 100), (9, 200)]);
        assert_eq!(shares.operations, [(7, [1, 1]), (9, [2, 2])]);
        let left: i64 = cpu_ns.iter().sum();
        assert_eq!(left, 3 * (i64::try_from(cpu_ns.len()).unwrap() - 2));
        let cell = EdgeCell {
            http2_weight: 100,
            ..EdgeCell::default()
        };
        assert_eq!(shares.of_edge(&cell), Some([1, 1]));
        assert_eq!(shares.of_edge(&EdgeCell::default()), None);
    }
}
