//! A store in memory, for tests and for reading without a directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use weighbridge_wire::{FoldedWindow, RowSet, ServiceId, Window};

use super::tiers::{Marks, Plan, Tier};
use super::{
    Aged, Appended, Blob, DeltaId, EpochId, EpochState, FoldBatch, HalfRun, Scan, Store, StoreError,
};

/// Keeps everything in memory as it was sent, and sums nothing up; gone with the process.
#[derive(Debug)]
pub struct MemoryStore {
    rows_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    blobs: BTreeMap<DeltaId, Blob>,
    windows: BTreeMap<(Window, ServiceId), RowSet>,
    epochs: BTreeMap<EpochId, EpochState>,
    halves: BTreeMap<(u64, u64), Vec<u8>>,
    parked: Option<Vec<u8>>,
    spilled: BTreeMap<u64, Vec<u8>>,
}

impl Inner {
    fn insert_run(&mut self, HalfRun { run, chunks }: &HalfRun) {
        for (first, chunk) in chunks {
            self.halves.insert((*run, *first), chunk.clone());
        }
    }
}

impl MemoryStore {
    /// An empty store that keeps up to `rows_max` rows per window and service.
    #[must_use]
    pub fn new(rows_max: usize) -> Self {
        Self {
            rows_max,
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn append(&self, blobs: &[Blob]) -> Result<Vec<Appended>, StoreError> {
        let mut inner = self.lock();
        Ok(blobs
            .iter()
            .map(|blob| {
                let folded = inner
                    .epochs
                    .get(&blob.id.epoch)
                    .is_some_and(|e| e.contains(blob.id.seq));
                if folded || inner.blobs.contains_key(&blob.id) {
                    return Appended::Duplicate;
                }
                inner.blobs.insert(blob.id.clone(), blob.clone());
                Appended::New
            })
            .collect())
    }

    fn fold(&self, batch: &FoldBatch) -> Result<(), StoreError> {
        let mut inner = self.lock();
        for (key, rows) in &batch.windows {
            crate::fold::merge(
                inner.windows.entry(key.clone()).or_default(),
                rows,
                self.rows_max,
            );
        }
        for note in &batch.notes {
            inner
                .epochs
                .entry(note.id.epoch.clone())
                .or_default()
                .add(note);
            inner.blobs.remove(&note.id);
        }
        for key in &batch.corrected {
            if let Some(rows) = inner.windows.get_mut(key) {
                crate::fold::prune(rows);
            }
        }
        for id in &batch.derived {
            inner.blobs.remove(id);
        }
        if let Some(run) = &batch.half_run {
            inner.insert_run(run);
        }
        inner
            .halves
            .retain(|(run, _), _| !batch.half_runs_gone.contains(run));
        if let Some(parked) = &batch.parked {
            inner.parked = Some(parked.clone());
        }
        inner.spilled.extend(batch.spilled.iter().cloned());
        inner
            .spilled
            .retain(|run, _| !batch.spilled_gone.contains(run));
        Ok(())
    }

    fn write_run(&self, run: &HalfRun) -> Result<(), StoreError> {
        self.lock().insert_run(run);
        Ok(())
    }

    fn scan(
        &self,
        since_unix_ns: u64,
        until_unix_ns: u64,
        _finest: Option<Tier>,
    ) -> Result<(Plan, Scan), StoreError> {
        let found: Vec<_> = self
            .lock()
            .windows
            .iter()
            .filter(|((window, _), _)| {
                (since_unix_ns..until_unix_ns).contains(&window.start_unix_ns)
            })
            .map(|((window, service), rows)| {
                Ok(FoldedWindow {
                    service: service.clone(),
                    window: *window,
                    rows: rows.clone(),
                })
            })
            .collect();
        let plan = Plan::as_sent(since_unix_ns, until_unix_ns);
        Ok((plan, Box::new(found.into_iter())))
    }

    fn window_bytes(&self) -> u64 {
        0
    }

    fn halves(&self) -> Result<(Vec<u64>, Option<Vec<u8>>), StoreError> {
        let inner = self.lock();
        let mut runs: Vec<u64> = inner.halves.keys().map(|(run, _)| *run).collect();
        runs.dedup();
        Ok((runs, inner.parked.clone()))
    }

    fn half_chunk(&self, run: u64, key: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let inner = self.lock();
        let found = inner.halves.range((run, 0)..=(run, key)).next_back();
        Ok(found.map(|((_, first), chunk)| (*first, chunk.clone())))
    }

    fn half_chunks(&self, run: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let inner = self.lock();
        let found = inner.halves.range((run, 0)..=(run, u64::MAX));
        Ok(found.map(|(_, chunk)| chunk.clone()).collect())
    }

    fn spilled_runs(&self) -> Result<Vec<u64>, StoreError> {
        Ok(self.lock().spilled.keys().copied().collect())
    }

    fn spilled(&self, run: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().spilled.get(&run).cloned())
    }

    fn epochs(&self, visit: &mut dyn FnMut(&EpochId, &EpochState)) -> Result<(), StoreError> {
        self.lock()
            .epochs
            .iter()
            .for_each(|(id, state)| visit(id, state));
        Ok(())
    }

    fn age(&self, due: Marks, epochs_before_unix_ns: u64) -> Result<Aged, StoreError> {
        let mut inner = self.lock();
        let before = (inner.windows.len(), inner.epochs.len());
        inner
            .windows
            .retain(|(window, _), _| window.start_unix_ns >= due.kept_from_unix_ns[3]);
        inner
            .epochs
            .retain(|_, epoch| epoch.last_end_unix_ns() >= epochs_before_unix_ns);
        Ok(Aged {
            windows: (before.0 - inner.windows.len()) as u64,
            epochs: (before.1 - inner.epochs.len()) as u64,
            more: false,
        })
    }

    fn snapshot(&self, _to: &Path) -> Result<(), StoreError> {
        Err(StoreError::Failed("a store in memory has no file".into()))
    }

    fn restore(&self, _from: &Path) -> Result<(), StoreError> {
        Err(StoreError::Failed("a store in memory has no file".into()))
    }

    fn recover(
        &self,
        visit: &mut dyn FnMut(Blob) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // Copied first: `visit` may fold.
        let blobs: Vec<_> = self.lock().blobs.values().cloned().collect();
        blobs.into_iter().try_for_each(visit)
    }
}
