//! Rows of what operations and owners retain: of the quality `sampled`, with columns of memory only, so that
//! they stand beside the measured rows and change no sum of CPU.

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_wire::{
    DistributionKey, OwnerKey, OwnerKind, Quality, RowKey, RowSet, column, scope,
};

use crate::alloc::{Estimate, Holder, Retained};
use crate::ledger::names::{OperationName, Resolved};

fn estimate(retained: &Retained, holder: Holder) -> Estimate {
    retained.by_holder.get(&holder).copied().unwrap_or_default()
}

/// What each operation retains, by the first of its ids: one that gave way to a heavier one and came back has two.
#[derive(Debug)]
pub(super) struct OfOperations<'a> {
    retained: &'a Retained,
    by_id: HashMap<u32, Estimate>,
}

impl<'a> OfOperations<'a> {
    pub(super) fn new(retained: &'a Retained, names: &Resolved) -> Self {
        let mut first = HashMap::new();
        let mut by_id: HashMap<u32, Estimate> = HashMap::new();
        for name in names.operations() {
            let key = (&name.component, &name.operation, &name.class);
            let id = *first.entry(key).or_insert(name.id);
            let more = estimate(retained, Holder::Operation(name.id));
            by_id.entry(id).or_default().join(more);
        }
        Self { retained, by_id }
    }

    /// The row of an operation, also when it retains nothing: that is an observation, and means are taken over
    /// observations.
    pub(super) fn add(&self, rows: &mut RowSet, name: &OperationName) {
        if let Some(estimate) = self.by_id.get(&name.id) {
            write(rows, operation_key(name), *estimate, self.retained);
        }
    }
}

/// One row for each known owner, and one for what is nobody's.
pub(super) fn write_owners(rows: &mut RowSet, retained: &Retained, names: &Resolved) {
    for (id, owner) in names.owners.iter().enumerate() {
        let holder = Holder::Named(u32::try_from(id).unwrap_or(u32::MAX));
        write(
            rows,
            owner_key(owner.kind, &owner.name),
            estimate(retained, holder),
            retained,
        );
    }
    let unknown = |holder: &Holder| match *holder {
        Holder::Nobody => true,
        Holder::Operation(id) => names.operation(id).is_none(),
        Holder::Named(id) => names.owners.get(id as usize).is_none(),
    };
    let mut rest = Estimate::default();
    for (_, estimate) in retained
        .by_holder
        .iter()
        .filter(|(holder, _)| unknown(holder))
    {
        rest.join(*estimate);
    }
    let key = owner_key(OwnerKind::Unattributed, &"unattributed".into());
    write(rows, key, rest, retained);
}

fn operation_key(name: &OperationName) -> RowKey {
    DistributionKey {
        component: name.component.clone(),
        operation: name.operation.clone(),
        class: name.class.clone(),
        scope: scope::ALL.into(),
    }
    .row_key(Quality::Sampled)
}

fn owner_key(kind: OwnerKind, name: &Arc<str>) -> RowKey {
    OwnerKey {
        owner_kind: kind.as_str().into(),
        name: name.clone(),
    }
    .row_key(Quality::Sampled)
}

fn write(rows: &mut RowSet, key: RowKey, estimate: Estimate, retained: &Retained) {
    // Below 2^53: the table has room for 16 384 samples, and a size is an address range.
    let bytes = estimate.bytes.round() as i64;
    let row = rows.row_mut(key);
    row.add(column::RETAINED_BYTES, bytes);
    row.add(column::RETAINED_SUM_BYTES, bytes);
    row.add(
        column::RETAINED_ERROR_SUM_BYTES,
        estimate.variance.sqrt().round() as i64,
    );
    row.add(
        column::RETAINED_MEAN_BYTES,
        retained.mean_bytes.round() as i64,
    );
    row.add(column::SAMPLES, 1);
}
