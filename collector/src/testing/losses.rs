//! Loss rows as tests compare them.

use std::collections::BTreeMap;

use weighbridge_wire::{LossKey, RowKind, column};

use crate::Engine;

/// How much was lost, by `place: reason`.
pub(crate) type Lost = BTreeMap<String, i64>;

/// What an engine tells a tenant of.
pub(crate) fn lost(engine: &Engine, tenant: &str) -> Lost {
    let mut lost = Lost::new();
    for folded in engine.view(tenant, 0, u64::MAX).unwrap() {
        for (key, value) in folded.unwrap().rows.of_kind(RowKind::Loss) {
            let loss = LossKey::read(key).unwrap();
            *lost
                .entry(format!("{}: {}", loss.place, loss.reason))
                .or_default() += value.get(column::LOST).unwrap();
        }
    }
    lost
}

/// What is expected of it.
pub(crate) fn expected(losses: &[(&str, i64)]) -> Lost {
    let owned = |(what, count): &(&str, i64)| ((*what).to_owned(), *count);
    losses.iter().map(owned).collect()
}
