//! The embedded store: one redb file in the data directory.
//!
//! Tables: `blobs` (accepted, not folded), `windows` (folded rows), `epochs` (what was folded), `meta`
//! (format version). Every transaction is committed with `Durability::Immediate`, redb's default: it is on
//! disk when the commit returns.

mod open;
mod rescue;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable as _, TableDefinition};
use weighbridge_wire::{Epoch, FoldedWindow, RowSet, ServiceId, Window};

use super::{
    Appended, Blob, DeltaId, Encoding, EpochId, EpochState, FoldBatch, Retired, Scan, Store,
    StoreError,
};
use open::{Handle, Ways, open_checked};

/// Name of the database file in the data directory.
pub const DATABASE_FILE: &str = "ledger.redb";

/// Version of the tables and their contents that this code writes, and the newest that it reads.
pub const FORMAT_VERSION: u64 = 1;

/// Page cache, bytes.
const CACHE_BYTES: usize = 32 << 20;

/// Windows removed per transaction, so that ingest does not wait long for retention.
const RETIRE_AT_ONCE: usize = 500;

type BlobKey = (&'static str, &'static [u8; 16], u64);
/// Ordered like (`Window`, `ServiceId`).
type WindowKey = (
    u64,
    u64,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);
type EpochKey = (&'static str, &'static [u8; 16]);

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const BLOBS: TableDefinition<'_, BlobKey, &[u8]> = TableDefinition::new("blobs");
const WINDOWS: TableDefinition<'_, WindowKey, &[u8]> = TableDefinition::new("windows");
const EPOCHS: TableDefinition<'_, EpochKey, &[u8]> = TableDefinition::new("epochs");
const FORMAT_KEY: &str = "format";

/// The embedded home: one file, one process.
pub struct RedbStore {
    path: PathBuf,
    rows_max: usize,
    ways: Ways,
    inner: RwLock<Inner>,
}

struct Inner {
    /// `None` between an error after which not even reading works and the next [`Store::recover`].
    handle: Option<Handle>,
    /// Why the handle is for reading only, after an error.
    rescued: Option<String>,
    epochs: BTreeMap<EpochId, EpochState>,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens the database in a data directory for writing; both are made when they are absent. Up to
    /// `rows_max` rows are kept per window and service.
    ///
    /// # Errors
    /// [`StoreError`] when the directory cannot be used, another process holds it, the file is damaged, or
    /// a later version wrote it.
    pub fn open(data_dir: &Path, rows_max: usize) -> Result<Self, StoreError> {
        std::fs::create_dir_all(data_dir).map_err(|source| StoreError::Directory {
            path: data_dir.to_owned(),
            source,
        })?;
        let path = data_dir.join(DATABASE_FILE);
        let ways = Ways::writing(&path);
        Self::open_with(path, rows_max, ways)
    }

    /// Opens the database in a data directory for reading.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and [`StoreError::Absent`] when there is none.
    pub fn open_read_only(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join(DATABASE_FILE);
        if !path.is_file() {
            return Err(StoreError::Absent {
                path: data_dir.to_owned(),
            });
        }
        let ways = Ways::reading(&path);
        Self::open_with(path, crate::fold::ROWS_PER_WINDOW_DEFAULT, ways)
    }

    /// Opens a database that lives on another backend than a file.
    #[cfg(test)]
    pub(crate) fn open_backend<B: redb::StorageBackend>(
        rows_max: usize,
        make: impl Fn() -> B + Clone + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        Self::open_with(PathBuf::from("backend"), rows_max, Ways::backend(make))
    }

    fn open_with(path: PathBuf, rows_max: usize, ways: Ways) -> Result<Self, StoreError> {
        let (handle, epochs) = open_checked(&path, &ways.open)?;
        Ok(Self {
            path,
            rows_max,
            ways,
            inner: RwLock::new(Inner {
                handle: Some(handle),
                rescued: None,
                epochs,
            }),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.read()
            .handle
            .as_ref()
            .ok_or_else(closed)?
            .begin_read()
            .map_err(failed)
    }

    /// Runs a change. After an error nothing more is changed until the store is recovered, because it is not
    /// known whether this change was committed; reading goes on where the disk still can be read.
    fn change<T>(
        &self,
        change: impl FnOnce(&Handle, &mut BTreeMap<EpochId, EpochState>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut inner = self.write();
        if let Some(why) = &inner.rescued {
            return Err(StoreError::Failed(why.clone()));
        }
        let Inner { handle, epochs, .. } = &mut *inner;
        let outcome = change(handle.as_ref().ok_or_else(closed)?, epochs);
        outcome.map_err(|error| {
            let error = failed(error);
            self.rescue(&mut inner, &error);
            error
        })
    }

    /// Goes on with reading alone.
    fn rescue(&self, inner: &mut Inner, error: &StoreError) {
        // The file's lock goes with the handle.
        inner.handle = None;
        match open_checked(&self.path, &self.ways.rescue) {
            Ok((handle, epochs)) => {
                inner.handle = Some(handle);
                inner.epochs = epochs;
            }
            Err(error) => tracing::error!(%error, "the store cannot be read either"),
        }
        inner.rescued = Some(error.to_string());
    }

    /// Opens for writing again, when the disk takes writes.
    fn reopen(&self) -> Result<(), StoreError> {
        let mut inner = self.write();
        if inner.rescued.is_none() && inner.handle.is_some() {
            return Ok(());
        }
        if inner.handle.is_some() {
            (self.ways.probe)().map_err(|error| failed(redb::Error::Io(error)))?;
        }
        inner.handle = None;
        match open_checked(&self.path, &self.ways.open) {
            Ok((handle, epochs)) => {
                *inner = Inner {
                    handle: Some(handle),
                    rescued: None,
                    epochs,
                };
                Ok(())
            }
            Err(error) => {
                self.rescue(&mut inner, &error);
                Err(error)
            }
        }
    }

    fn visit_blobs(
        &self,
        visit: &mut dyn FnMut(Blob) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let read = self.begin_read()?;
        let table = read.open_table(BLOBS).map_err(failed)?;
        let first = ("", &[0u8; 16], 0);
        for entry in table.range_owned(first..).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let (tenant, epoch, seq) = key.value();
            let id = DeltaId {
                epoch: EpochId {
                    tenant: tenant.into(),
                    epoch: Epoch(*epoch),
                },
                seq,
            };
            let damaged = || StoreError::Damaged {
                path: self.path.clone(),
                why: format!("blob {id:?} has no known encoding"),
            };
            let (encoding, body) = value.value().split_first().ok_or_else(damaged)?;
            let encoding = Encoding::from_byte(*encoding).ok_or_else(damaged)?;
            visit(Blob {
                id,
                encoding,
                body: Bytes::copy_from_slice(body),
            })?;
        }
        Ok(())
    }
}

fn closed() -> StoreError {
    StoreError::Failed("closed after an earlier error".into())
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Failed(error.into().to_string())
}

impl Store for RedbStore {
    fn append(&self, blobs: &[Blob]) -> Result<Vec<Appended>, StoreError> {
        self.change(|handle, epochs| {
            let mut appended = Vec::with_capacity(blobs.len());
            let write = handle.begin_write()?;
            {
                let mut table = write.open_table(BLOBS)?;
                for Blob { id, encoding, body } in blobs {
                    let key = (&*id.epoch.tenant, &id.epoch.epoch.0, id.seq);
                    let folded = epochs.get(&id.epoch).is_some_and(|e| e.contains(id.seq));
                    if folded || table.get(key)?.is_some() {
                        appended.push(Appended::Duplicate);
                        continue;
                    }
                    let mut value = table.insert_reserve(key, body.len() + 1)?;
                    let value = value.as_mut();
                    value[0] = encoding.to_byte();
                    value[1..].copy_from_slice(body);
                    appended.push(Appended::New);
                }
            }
            if appended.contains(&Appended::New) {
                write.commit()?;
            } else {
                write.abort()?;
            }
            Ok(appended)
        })
    }

    fn fold(&self, batch: &FoldBatch) -> Result<(), StoreError> {
        let rows_max = self.rows_max;
        self.change(|handle, epochs| {
            let mut changed: BTreeMap<EpochId, EpochState> = BTreeMap::new();
            for note in &batch.notes {
                let id = &note.id.epoch;
                changed
                    .entry(id.clone())
                    .or_insert_with(|| epochs.get(id).cloned().unwrap_or_default())
                    .add(note);
            }
            let write = handle.begin_write()?;
            {
                let mut table = write.open_table(WINDOWS)?;
                for ((window, service), rows) in &batch.windows {
                    let stored = table
                        .get(window_key(*window, service))?
                        .map(|value| decode_window(value.value()))
                        .transpose()?;
                    let mut merged = stored.map_or_else(RowSet::new, |stored| stored.rows);
                    crate::fold::merge(&mut merged, rows, rows_max);
                    let folded = FoldedWindow {
                        service: service.clone(),
                        window: *window,
                        rows: merged,
                    };
                    table.insert(window_key(*window, service), folded.encode().as_slice())?;
                }
                let mut table = write.open_table(BLOBS)?;
                for DeltaId { epoch, seq } in batch.notes.iter().map(|note| &note.id) {
                    table.remove((&*epoch.tenant, &epoch.epoch.0, *seq))?;
                }
                let mut table = write.open_table(EPOCHS)?;
                for (id, state) in &changed {
                    let record = state.encode().map_err(redb::Error::Corrupted)?;
                    table.insert((&*id.tenant, &id.epoch.0), record.as_slice())?;
                }
            }
            write.commit()?;
            epochs.append(&mut changed);
            Ok(())
        })
    }

    fn scan(&self, since_unix_ns: u64, until_unix_ns: u64) -> Result<Scan, StoreError> {
        let read = self.begin_read()?;
        let table = read.open_table(WINDOWS).map_err(failed)?;
        let first = (since_unix_ns, 0, "", "", "", "", "");
        let end = (until_unix_ns.max(since_unix_ns), 0, "", "", "", "", "");
        let found = table.range_owned(first..end).map_err(failed)?;
        Ok(Box::new(found.map(|entry| {
            let (_, value) = entry.map_err(failed)?;
            decode_window(value.value()).map_err(failed)
        })))
    }

    fn epochs(&self, visit: &mut dyn FnMut(&EpochId, &EpochState)) -> Result<(), StoreError> {
        self.read()
            .epochs
            .iter()
            .for_each(|(id, state)| visit(id, state));
        Ok(())
    }

    fn retire(
        &self,
        windows_before_unix_ns: u64,
        epochs_before_unix_ns: u64,
    ) -> Result<Retired, StoreError> {
        self.change(|handle, epochs| {
            let mut retired = Retired::default();
            let write = handle.begin_write()?;
            {
                let mut table = write.open_table(WINDOWS)?;
                let end = (windows_before_unix_ns, 0, "", "", "", "", "");
                let mut old = table.extract_from_if(..end, |_, _| true)?;
                for entry in old.by_ref().take(RETIRE_AT_ONCE) {
                    entry?;
                    retired.windows += 1;
                }
                drop(old);
                let mut table = write.open_table(EPOCHS)?;
                let past: Vec<_> = epochs
                    .iter()
                    .filter(|(_, state)| state.last_end_unix_ns() < epochs_before_unix_ns)
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in &past {
                    table.remove((&*id.tenant, &id.epoch.0))?;
                    retired.epochs += 1;
                }
                epochs.retain(|_, state| state.last_end_unix_ns() >= epochs_before_unix_ns);
            }
            if retired == Retired::default() {
                write.abort()?;
            } else {
                write.commit()?;
            }
            Ok(retired)
        })
    }

    fn recover(
        &self,
        visit: &mut dyn FnMut(Blob) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let reopened = self.reopen();
        if reopened.is_ok() || self.read().handle.is_some() {
            self.visit_blobs(visit)?;
        }
        reopened
    }
}

fn window_key(window: Window, service: &ServiceId) -> (u64, u64, &str, &str, &str, &str, &str) {
    (
        window.start_unix_ns,
        window.end_unix_ns,
        &service.tenant,
        &service.namespace,
        &service.environment,
        &service.service,
        &service.version,
    )
}

fn decode_window(bytes: &[u8]) -> Result<FoldedWindow, redb::Error> {
    FoldedWindow::decode(bytes)
        .map_err(|error| redb::Error::Corrupted(format!("a folded window: {error}")))
}

#[cfg(test)]
mod tests;
