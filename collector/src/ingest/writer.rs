//! The thread that changes the store; only [`ageing`](super::ageing) does beside it.
//!
//! It commits all deltas that wait in one transaction (group commit), folds them in memory, acknowledges
//! them, and every few seconds writes the folded windows and deletes the blobs in one more. When the store
//! fails, nobody knows whether the last transaction is on disk, so everything in memory is thrown away
//! and built anew from what the store then holds.

mod losses;
mod otlp;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use weighbridge_wire::{Delta, Epoch, pb};

use super::inflate::inflate;
use super::otlp::OtlpAppend;
use super::{Append, Job, Refusal, Shared};
use crate::clock::monotonic;
use crate::store::{Appended, Blob, Encoding, EpochId, EpochState, FoldBatch, Note, StoreError};

/// Most deltas in one commit.
const COMMIT_DELTAS_MAX: usize = 512;
/// Most bytes in one commit.
const COMMIT_BYTES_MAX: usize = 16 << 20;
/// Pending rows at which folded windows are written early.
const PENDING_ROWS_MAX: usize = 100_000;
/// How often a failed store is opened again.
const RECOVER_EVERY: Duration = Duration::from_secs(2);
/// How often some more of the runs on disk are searched, while there are any left.
const SEARCH_EVERY: Duration = Duration::from_millis(100);

/// Reads every blob that is not folded and folds it.
pub(super) fn recover(shared: &Shared) -> Result<(), StoreError> {
    let mut pending = shared
        .pending
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    recover_into(shared, &mut pending)
}

/// [`recover`] while readers wait: they see all of what the store holds, or nothing yet.
fn recover_into(shared: &Shared, pending: &mut FoldBatch) -> Result<(), StoreError> {
    let mut found = FoldBatch::default();
    let mut is_restored = false;
    let recovered = shared.store.recover(&mut |blob: Blob| {
        // Before the first blob, and not before the store is open again.
        if !is_restored {
            is_restored = true;
            otlp::restore(shared)?;
        }
        if blob.encoding == Encoding::Derived {
            otlp::replay(shared, &mut found, &blob);
            return Ok(());
        }
        // One after the other, and nobody else asks for memory yet.
        match inflate(blob.encoding, &blob.body, shared.delta_bytes(), &mut |_| Ok(()))
            .and_then(|bytes| super::decode(&bytes))
        {
            Ok(delta) => add(shared, &mut found, &blob, &delta),
            // It was accepted, so a later version wrote it or the file is damaged; it stays as it is.
            Err(refusal) => {
                shared.metrics.unreadable_blob();
                tracing::error!(id = ?blob.id, %refusal, "a stored blob cannot be read; kept aside");
            }
        }
        Ok(())
    });
    *pending = found;
    recovered?;
    if !is_restored {
        otlp::restore(shared)?;
    }
    if !pending.is_empty() {
        tracing::info!(
            blobs = pending.notes.len() + pending.derived.len(),
            "folded what an earlier process had committed"
        );
    }
    Ok(())
}

fn add(shared: &Shared, pending: &mut FoldBatch, blob: &Blob, delta: &Delta) {
    let cut = pending.add(&blob.id.epoch.tenant, delta, shared.limits.rows_per_window);
    shared.metrics.rows_folded_or_cut(cut);
}

fn write_pending(shared: &Shared, pending: &mut FoldBatch) -> Result<(), StoreError> {
    otlp::prepare_fold(shared, pending)?;
    if pending.is_empty() {
        return Ok(());
    }
    let begin = monotonic();
    shared.store.fold(pending)?;
    shared.metrics.folded(monotonic() - begin);
    *pending = FoldBatch::default();
    shared.metrics.pending(0, 0);
    Ok(())
}

/// Works until every sender is gone, then commits and folds what is left.
pub(super) fn run(shared: &Shared, queue: &Receiver<Job>) {
    let mut writer = Writer {
        shared,
        next_fold: monotonic() + shared.limits.fold_every,
        next_search: None,
        next_recover: None,
        known: BTreeMap::new(),
        otlp_ids: otlp::Ids::new(),
        losses: losses::Losses::new(),
    };
    writer.learn_epochs();
    loop {
        let wait = writer.next_due().saturating_sub(monotonic());
        match queue.recv_timeout(wait) {
            Ok(job) => writer.take(job, queue),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        writer.do_what_is_due();
    }
    if writer.next_recover.is_none()
        && let Err(error) = writer.fold()
    {
        tracing::error!(%error, "folded windows are not written; the next start folds the blobs again");
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    next_fold: Duration,
    /// Set while halves are looked for on disk.
    next_search: Option<Duration>,
    /// Set while the store does not work.
    next_recover: Option<Duration>,
    /// What is committed of each epoch, for the bounds on epochs and gaps. The store itself decides what
    /// is a duplicate.
    known: BTreeMap<EpochId, EpochState>,
    /// Names what is derived from OTLP requests, which have no id of their own.
    otlp_ids: otlp::Ids,
    /// Tells what was refused.
    losses: losses::Losses,
}

/// Names what this writer puts into the store by itself.
fn random_epoch() -> Epoch {
    let mut epoch = [0; 16];
    for half in epoch.chunks_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(0u8).to_le_bytes());
    }
    Epoch(epoch)
}

impl Writer<'_> {
    fn learn_epochs(&mut self) {
        let mut known: BTreeMap<EpochId, EpochState> = BTreeMap::new();
        let read = self.shared.store.epochs(&mut |id, state| {
            known.insert(id.clone(), state.clone());
        });
        if let Err(error) = read {
            self.broke(&error);
        }
        let pending = self
            .shared
            .pending
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for note in &pending.notes {
            known.entry(note.id.epoch.clone()).or_default().add(note);
        }
        self.known = known;
    }

    fn next_due(&self) -> Duration {
        let next = self
            .next_search
            .map_or(self.next_fold, |search| search.min(self.next_fold));
        self.next_recover.unwrap_or(next)
    }

    fn take(&mut self, job: Job, queue: &Receiver<Job>) {
        let mut appends: Vec<Append> = Vec::new();
        let mut requests: Vec<OtlpAppend> = Vec::new();
        let mut folds = Vec::new();
        let mut restore = None;
        let mut broken = None;
        let mut bytes = 0;
        let mut next = Some(job);
        while let Some(job) = next.take() {
            self.shared.metrics.unqueued();
            match job {
                Job::Append(append) => {
                    bytes += append.blob.body.len();
                    appends.push(*append);
                }
                Job::Otlp(request) => {
                    bytes += request.encoded.len();
                    requests.push(*request);
                }
                Job::Fold(reply) => folds.push(reply),
                Job::Forgotten(before_unix_ns) => self
                    .known
                    .retain(|_, state| state.last_end_unix_ns() >= before_unix_ns),
                Job::Broke(error) => broken = Some(error),
                Job::Restore(path, reply) => restore = Some((path, reply)),
            }
            // What comes after a restore counts after it.
            if restore.is_none()
                && appends.len() + requests.len() < COMMIT_DELTAS_MAX
                && bytes < COMMIT_BYTES_MAX
            {
                next = queue.try_recv().ok();
            }
        }
        self.append(appends, requests);
        if let Some(error) = broken
            && self.next_recover.is_none()
        {
            self.broke(&error);
        }
        for reply in folds {
            let outcome = self.fold().map_err(|error| error.to_string());
            // The one who asked may have gone.
            let _ = reply.send(outcome);
        }
        if let Some((path, reply)) = restore {
            // The one who asked may have gone.
            let _ = reply.send(self.restore(&path));
        }
    }

    fn restore(&mut self, from: &Path) -> Result<(), StoreError> {
        if self.next_recover.is_some() {
            return Err(StoreError::Failed(
                "waiting until the store can be opened again".into(),
            ));
        }
        let mut pending = self
            .shared
            .pending
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match self.shared.store.restore(from) {
            Ok(()) => {
                tracing::warn!("a snapshot took the place of everything");
                recover_into(self.shared, &mut pending)?;
                drop(pending);
                self.learn_epochs();
                Ok(())
            }
            Err(error @ StoreError::Failed(_)) => {
                self.broke_with(&error, &mut pending);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn append(&mut self, appends: Vec<Append>, requests: Vec<OtlpAppend>) {
        let mut admitted = Vec::with_capacity(appends.len());
        for append in appends {
            match self.admit(&append) {
                Ok(()) => admitted.push(append),
                Err(refusal) => self.refuse(append, refusal),
            }
        }
        let requests = self.admit_otlp(requests);
        if admitted.is_empty() && requests.is_empty() {
            return;
        }
        let begin = monotonic();
        let mut blobs: Vec<Blob> = admitted.iter().map(|append| append.blob.clone()).collect();
        blobs.extend(requests.iter().filter_map(otlp::Admitted::blob));
        match self.shared.store.append(&blobs) {
            Ok(outcomes) => {
                self.shared.metrics.committed(monotonic() - begin);
                self.fold_and_acknowledge(admitted, &outcomes);
                self.join_and_acknowledge(requests);
            }
            Err(error) => {
                self.broke(&error);
                for append in admitted {
                    self.refuse(append, Refusal::StoreFailed);
                }
                for request in requests {
                    request.refuse(Refusal::StoreFailed);
                }
            }
        }
    }

    fn refuse(&self, append: Append, refusal: Refusal) {
        let tenant = &append.blob.id.epoch.tenant;
        self.shared.metrics.refused(tenant, refusal.reason());
        (append.reply)(Err(refusal));
    }

    /// The bounds on what is remembered.
    fn admit(&self, append: &Append) -> Result<(), Refusal> {
        if self.next_recover.is_some() {
            return Err(Refusal::StoreFailed);
        }
        let limits = &self.shared.limits;
        match self.known.get(&append.blob.id.epoch) {
            Some(state) => {
                let folded = state.folded();
                if folded.range_count() >= limits.ranges_per_epoch
                    && folded.would_grow(append.blob.id.seq)
                {
                    return Err(Refusal::TooManyGaps);
                }
            }
            None if self.known.len() >= limits.epochs => return Err(Refusal::TooManyEpochs),
            None => {}
        }
        Ok(())
    }

    fn fold_and_acknowledge(&mut self, appends: Vec<Append>, outcomes: &[Appended]) {
        {
            let mut pending = self
                .shared
                .pending
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            for (append, outcome) in appends.iter().zip(outcomes) {
                if *outcome == Appended::New {
                    add(self.shared, &mut pending, &append.blob, &append.delta);
                    let id = &append.blob.id.epoch;
                    let note = Note::of(&id.tenant, &append.delta);
                    self.known.entry(id.clone()).or_default().add(&note);
                    self.shared.metrics.accepted();
                }
            }
            self.shared
                .metrics
                .pending(pending.notes.len(), pending.rows());
            if pending.rows() > PENDING_ROWS_MAX {
                self.next_fold = Duration::ZERO;
            }
        }
        for (append, outcome) in appends.into_iter().zip(outcomes) {
            let ack = pb::Ack {
                seq: append.blob.id.seq,
                duplicate: *outcome == Appended::Duplicate,
            };
            self.shared.metrics.received(append.blob.body.len());
            if ack.duplicate {
                self.shared.metrics.duplicate();
            }
            (append.reply)(Ok(ack));
        }
    }

    fn fold(&mut self) -> Result<(), StoreError> {
        if self.next_recover.is_some() {
            return Err(StoreError::Failed(
                "waiting until the store can be opened again".into(),
            ));
        }
        self.next_fold = monotonic() + self.shared.limits.fold_every;
        let mut pending = self
            .shared
            .pending
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let outcome = self
            .tell_losses(&mut pending)
            .and_then(|()| write_pending(self.shared, &mut pending));
        self.search_on();
        if let Err(error) = &outcome {
            // Still under the lock: whether these deltas stand in the folded windows now, only the store knows.
            self.broke_with(error, &mut pending);
        }
        outcome
    }

    /// Looks further on disk in a moment, while there is more to read.
    fn search_on(&mut self) {
        self.next_search = otlp::is_searching(self.shared).then(|| monotonic() + SEARCH_EVERY);
    }

    fn search(&mut self) {
        let mut pending = self
            .shared
            .pending
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let outcome = otlp::search(self.shared, &mut pending);
        self.search_on();
        if let Err(error) = outcome {
            self.broke_with(&error, &mut pending);
        }
    }

    fn broke(&mut self, error: &StoreError) {
        let mut pending = self
            .shared
            .pending
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.broke_with(error, &mut pending);
    }

    /// Nobody knows what the failed change left on disk, so everything in memory is built anew from what can
    /// be read; readers go on with that.
    fn broke_with(&mut self, error: &StoreError, pending: &mut FoldBatch) {
        tracing::error!(%error, "the store failed; refusing deltas until it works again");
        self.shared.healthy.store(false, Ordering::Relaxed);
        self.shared.metrics.store_failed();
        self.next_recover = Some(monotonic() + RECOVER_EVERY);
        // What it returns says whether it can be written; that is tried again in a moment.
        if let Err(error) = recover_into(self.shared, pending) {
            tracing::warn!(%error, "the store is read only");
        }
    }

    fn do_what_is_due(&mut self) {
        let now = monotonic();
        if let Some(due) = self.next_recover {
            if now >= due {
                self.recover();
            }
            return;
        }
        if now >= self.next_fold {
            // `broke` has said it.
            let _ = self.fold();
        }
        if self.next_search.is_some_and(|due| now >= due) {
            self.search();
        }
    }

    fn recover(&mut self) {
        match recover(self.shared) {
            Ok(()) => {
                tracing::info!("the store works again");
                self.next_recover = None;
                self.learn_epochs();
                self.shared.healthy.store(true, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(%error, "the store still fails");
                self.next_recover = Some(monotonic() + RECOVER_EVERY);
            }
        }
    }
}
