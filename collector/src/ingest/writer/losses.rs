//! What was refused or could not be used, as rows of the tenant whose it was: it travels to the report as deltas of the
//! collector's own, so that each loss counts once, also when the disk fails or the process is killed.

use std::collections::BTreeMap;
use std::sync::Arc;

use weighbridge_wire::{
    Delta, Epoch, Identity, LossKey, Quality, RowSet, RowValue, Totals, Window, column, limits,
};

use super::Writer;
use crate::SERVICE;
use crate::ingest::Shared;
use crate::metrics::Loss;
use crate::store::{Appended, Blob, DeltaId, Encoding, EpochId, FoldBatch, Note, StoreError};

/// Losses that stand in rows, and those on their way there.
pub(super) struct Losses {
    epoch: Epoch,
    /// The next sequence number of each tenant.
    next: BTreeMap<Arc<str>, u64>,
    told: BTreeMap<Loss, u64>,
    /// Deltas of which it is not known whether they are on disk, and what was told when they are: the same come again.
    on_its_way: Vec<(Arc<str>, Delta)>,
    told_then: BTreeMap<Loss, u64>,
}

impl Losses {
    pub(super) fn new() -> Self {
        Self {
            epoch: super::random_epoch(),
            next: BTreeMap::new(),
            told: BTreeMap::new(),
            on_its_way: Vec::new(),
            told_then: BTreeMap::new(),
        }
    }

    /// Puts what is new into one delta for each tenant.
    fn gather(&mut self, shared: &Shared) {
        let all = shared.metrics.losses();
        let mut rows: BTreeMap<Arc<str>, RowSet> = BTreeMap::new();
        for (loss, &count) in &all {
            let new = count.saturating_sub(self.told.get(loss).copied().unwrap_or(0));
            if new > 0 {
                let key = LossKey {
                    place: loss.place.into(),
                    reason: loss.reason.as_str().into(),
                };
                let lost = i64::try_from(new)
                    .unwrap_or(i64::MAX)
                    .min(limits::VALUE_MAX);
                rows.entry(loss.tenant.clone()).or_default().add(
                    key.row_key(Quality::Measured),
                    &RowValue::new().with(column::LOST, lost),
                );
            }
        }
        let window = window(shared);
        self.on_its_way = rows
            .into_iter()
            .map(|(tenant, rows)| {
                let seq = self.next.entry(tenant.clone()).or_default();
                let delta = delta(self.epoch, *seq, window, rows);
                *seq += 1;
                (tenant, delta)
            })
            .collect();
        self.told_then = all;
    }
}

/// The window of now. Rows of it are merged with those by which the collector weighs itself.
fn window(shared: &Shared) -> Window {
    let len_ns = u64::try_from(shared.limits.otlp_window.as_nanos()).unwrap_or(u64::MAX);
    let len_ns = len_ns.clamp(1_000_000_000, limits::WINDOW_NS_MAX);
    let start_unix_ns = shared.clock.now_unix_ns() / len_ns * len_ns;
    Window {
        start_unix_ns,
        end_unix_ns: start_unix_ns.saturating_add(len_ns),
    }
}

fn delta(epoch: Epoch, seq: u64, window: Window, rows: RowSet) -> Delta {
    Delta {
        identity: Identity {
            service: SERVICE.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            ..Identity::default()
        },
        epoch,
        seq,
        window,
        rows,
        cumulative: Totals::default(),
        tombstones: Vec::new(),
    }
}

impl Writer<'_> {
    /// Before a fold: commits what was lost since the last one, and folds it.
    pub(super) fn tell_losses(&mut self, pending: &mut FoldBatch) -> Result<(), StoreError> {
        // First what the store may not have taken before it failed.
        self.send_losses(pending)?;
        self.losses.gather(self.shared);
        self.send_losses(pending)
    }

    fn send_losses(&mut self, pending: &mut FoldBatch) -> Result<(), StoreError> {
        if self.losses.on_its_way.is_empty() {
            return Ok(());
        }
        let blob = |(tenant, delta): &(Arc<str>, Delta)| Blob {
            id: DeltaId {
                epoch: EpochId {
                    tenant: tenant.clone(),
                    epoch: delta.epoch,
                },
                seq: delta.seq,
            },
            encoding: Encoding::Identity,
            body: delta.encode().into(),
        };
        let blobs: Vec<Blob> = self.losses.on_its_way.iter().map(blob).collect();
        let outcomes = self.shared.store.append(&blobs)?;
        let told = std::mem::take(&mut self.losses.on_its_way);
        for (((tenant, delta), blob), outcome) in told.iter().zip(&blobs).zip(outcomes) {
            // What is a duplicate was committed before the store failed, and folded when it was opened again.
            if outcome == Appended::New {
                super::add(self.shared, pending, blob, delta);
                let note = Note::of(tenant, delta);
                self.known
                    .entry(blob.id.epoch.clone())
                    .or_default()
                    .add(&note);
            }
        }
        self.losses.told = std::mem::take(&mut self.losses.told_then);
        Ok(())
    }
}
