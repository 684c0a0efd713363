//! What the writer does with OTLP requests.

use std::sync::PoisonError;

use rustc_hash::FxHashSet;
use weighbridge_wire::Epoch;

use super::{Shared, Writer};
use crate::clock::monotonic;
use crate::ingest::Refusal;
use crate::ingest::otlp::OtlpAppend;
use crate::join::{Joiner, Offer};
use crate::otlp::derived::Derived;
use crate::store::{Blob, DeltaId, Encoding, EpochId, FoldBatch, StoreError};

/// Names blobs: a random epoch of this writer, counted up.
pub(super) struct Ids {
    epoch: Epoch,
    next: u64,
}

impl Ids {
    pub(super) fn new() -> Self {
        Self {
            epoch: super::random_epoch(),
            next: 0,
        }
    }
}

/// The spans of the requests that are committed together.
struct Spans {
    keys: FxHashSet<u64>,
    /// A request that is alone meets no other.
    is_alone: bool,
}

impl Spans {
    fn of(requests: usize) -> Self {
        Self {
            keys: FxHashSet::default(),
            is_alone: requests < 2,
        }
    }

    /// Keys are mixed bits, so the kind can stand in some of them.
    fn key(key: u64, kind: u8) -> u64 {
        key ^ u64::from(kind).rotate_right(8)
    }

    fn has(&self, key: u64, kind: u8) -> bool {
        self.keys.contains(&Self::key(key, kind))
    }

    fn has_any(&self, derived: &Derived) -> bool {
        let known = |offer: &Offer| offer.kind != Offer::ROOT && self.has(offer.key, offer.kind);
        !self.keys.is_empty() && derived.offers.iter().any(known)
    }

    fn add(&mut self, derived: &Derived) {
        if self.is_alone {
            return;
        }
        let spans = derived.offers.iter().filter(|of| of.kind != Offer::ROOT);
        self.keys.extend(spans.map(|of| Self::key(of.key, of.kind)));
    }
}

/// A request on its way to its commit. One that came before as a whole has nothing to commit, but is answered only
/// when what came before is committed for certain.
pub(super) struct Admitted {
    request: OtlpAppend,
    id: Option<DeltaId>,
}

impl Admitted {
    pub(super) fn blob(&self) -> Option<Blob> {
        Some(Blob {
            id: self.id.clone()?,
            encoding: Encoding::Derived,
            body: self.request.encoded.clone(),
        })
    }

    pub(super) fn refuse(self, refusal: Refusal) {
        // The sender may have gone.
        let _ = self.request.reply.send(Err(refusal));
    }
}

impl Writer<'_> {
    /// Leaves out what came before, also in this batch: the joiner knows that only once it is committed. Names the
    /// rest.
    pub(super) fn admit_otlp(&mut self, requests: Vec<OtlpAppend>) -> Vec<Admitted> {
        let mut together = FxHashSet::default();
        let mut admitted = Vec::with_capacity(requests.len());
        let mut spans = Spans::of(requests.len());
        let joiner = self.shared.joiner();
        for mut request in requests {
            if self.next_recover.is_some() {
                let _ = request.reply.send(Err(Refusal::StoreFailed));
                continue;
            }
            let hash = request.derived.body_hash;
            let mut id = None;
            if joiner.has_body(hash) || !together.insert(hash) {
                request.outcome.is_repeated = true;
            } else {
                if joiner.has_any(&request.derived) || spans.has_any(&request.derived) {
                    let known =
                        |key, kind| joiner.has(key, kind as u8) || spans.has(key, kind as u8);
                    if let Err(refusal) = request.without(&known) {
                        let _ = request.reply.send(Err(refusal));
                        continue;
                    }
                }
                spans.add(&request.derived);
                id = Some(DeltaId {
                    epoch: EpochId {
                        tenant: request.rules.tenant.clone(),
                        epoch: self.otlp_ids.epoch,
                    },
                    seq: self.otlp_ids.next,
                });
                self.otlp_ids.next += 1;
            }
            admitted.push(Admitted { request, id });
        }
        admitted
    }

    /// Everything is committed.
    pub(super) fn join_and_acknowledge(&mut self, requests: Vec<Admitted>) {
        if requests.is_empty() {
            return;
        }
        {
            let shared = self.shared;
            let mut pending = shared
                .pending
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            for Admitted { request, id } in &requests {
                if let Some(id) = id {
                    take(shared, &mut pending, id.clone(), &request.derived);
                }
            }
            let blobs = pending.notes.len() + pending.derived.len();
            shared.metrics.pending(blobs, pending.rows());
            if pending.rows() > super::PENDING_ROWS_MAX || shared.joiner().is_over() {
                self.next_fold = std::time::Duration::ZERO;
            }
        }
        for Admitted { request, .. } in requests {
            self.shared.metrics.received(request.body.len());
            let _ = request.reply.send(Ok(request.outcome));
        }
        self.write_run();
    }

    /// What came since the last run goes to disk when it is enough for one.
    fn write_run(&mut self) {
        let shared = self.shared;
        let run = shared.joiner().full_run(shared.clock.now_unix_ns());
        if let Some(run) = run
            && let Err(error) = shared.store.write_run(&run)
        {
            self.broke(&error);
        }
    }
}

fn take(shared: &Shared, pending: &mut FoldBatch, id: DeltaId, derived: &Derived) {
    let mut joiner = shared.joiner();
    let cut = joiner.take(derived, monotonic(), pending, shared.limits.rows_per_window);
    pending.derived.push(id);
    shared.metrics.rows_folded_or_cut(cut);
    tell(shared, &mut joiner);
}

/// Counts what was joined since the last time.
fn tell(shared: &Shared, joiner: &mut Joiner) {
    let counts = joiner.take_counts();
    shared.metrics.otlp.joins(&counts, joiner.waiting());
}

/// Takes up the halves that the store holds.
pub(super) fn restore(shared: &Shared) -> Result<(), StoreError> {
    shared.joiner().restore(&*shared.store, monotonic())
}

/// Folds a blob that an earlier process had committed.
pub(super) fn replay(shared: &Shared, pending: &mut FoldBatch, blob: &Blob) {
    let Some(derived) = Derived::decode(&blob.body) else {
        shared.metrics.unreadable_blob();
        tracing::error!(id = ?blob.id, "a stored blob cannot be read; kept aside");
        return;
    };
    take(shared, pending, blob.id.clone(), &derived);
}

/// True while halves are looked for on disk.
pub(super) fn is_searching(shared: &Shared) -> bool {
    shared.joiner().is_searching()
}

/// Looks on disk a little further.
pub(super) fn search(shared: &Shared, pending: &mut FoldBatch) -> Result<(), StoreError> {
    let mut joiner = shared.joiner();
    let rows_max = shared.limits.rows_per_window;
    joiner.search(&*shared.store, monotonic(), pending, rows_max)?;
    tell(shared, &mut joiner);
    Ok(())
}

/// Adds to a fold what the store must hold of halves from then on.
pub(super) fn prepare_fold(shared: &Shared, pending: &mut FoldBatch) -> Result<(), StoreError> {
    let mut joiner = shared.joiner();
    joiner.prepare_fold(
        &*shared.store,
        monotonic(),
        shared.clock.now_unix_ns(),
        pending,
        shared.limits.rows_per_window,
    )?;
    tell(shared, &mut joiner);
    Ok(())
}
