//! The embedded store: one redb file in the data directory.
//!
//! Tables: `blobs` (accepted, not folded), `windows` (folded rows as sent), `minutes`, `hours`, `days` (their
//! sums), `groups` (those of them that are over), `epochs` (what was folded), `meta` (format version, marks of the tiers), `ahead` (how far
//! minutes are added up). Every transaction is committed with `Durability::Immediate`, redb's default: it is on
//! disk when the commit returns.

mod copy;
mod group;
mod open;
mod packing;
mod rescue;
mod summing;
mod sums;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use {group::decode_body as decode_group, sums::decode as decode_window};

use bytes::Bytes;
use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, Table, TableDefinition,
    TableError, WriteTransaction,
};
use weighbridge_wire::{Epoch, ServiceId, Window};

use super::tiers::{Marks, Plan, Tier};
use super::{
    Aged, Appended, Blob, DeltaId, Encoding, EpochId, EpochState, FoldBatch, HalfRun, Scan, Store,
    StoreError,
};
use open::{Handle, Opened, Ways, open_checked};
use summing::Piece;

/// Name of the database file in the data directory.
pub const DATABASE_FILE: &str = "ledger.redb";

/// Version of the tables and their contents that this code writes, and the newest that it reads.
pub const FORMAT_VERSION: u64 = 4;

/// Page cache, bytes.
const CACHE_BYTES: usize = 16 << 20;

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
/// Halves of calls by run and first key of the piece.
const HALVES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("halves");
/// What waits to be joined: one entry.
const PARKED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("parked");
/// What waits to be joined beyond that, by run.
const SPILLED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("spilled");
const FORMAT_KEY: &str = "format";

/// What became of minutes that were due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Summed {
    /// None were.
    Nothing,
    /// There are more.
    Part,
    /// These were the last.
    All,
}

/// The embedded home: one file, one process.
pub struct RedbStore {
    path: PathBuf,
    rows_max: usize,
    ways: Ways,
    inner: RwLock<Inner>,
    /// Held while a piece of what is due is added up.
    summing: Mutex<()>,
    /// Where putting windows into groups stands, while it goes on.
    packing: Mutex<Option<packing::Cursor>>,
    /// Called between reading what is to be added up and putting the sums in place.
    #[cfg(test)]
    while_summing: Mutex<Option<Box<dyn FnMut() + Send>>>,
}

struct Inner {
    /// `None` between an error after which not even reading works and the next [`Store::recover`].
    handle: Option<Handle>,
    /// Why the handle is for reading only, after an error.
    rescued: Option<String>,
    memory: Memory,
}

/// What is kept in memory of the database.
struct Memory {
    epochs: BTreeMap<EpochId, EpochState>,
    windows: sums::State,
    /// Set while a piece is added up that a change may make stale.
    touched: Option<summing::Touched>,
}

impl Memory {
    /// Notes what a fold changed.
    fn touch(&mut self, batch: &FoldBatch) {
        let Some(touched) = &mut self.touched else {
            return;
        };
        for (window, service) in batch.windows.keys() {
            let earliest = touched
                .entry(service.clone())
                .or_insert(window.start_unix_ns);
            *earliest = window.start_unix_ns.min(*earliest);
        }
    }
}

impl Inner {
    fn new(opened: Opened) -> Self {
        Self {
            handle: Some(opened.handle),
            rescued: None,
            memory: Memory {
                epochs: opened.epochs,
                windows: opened.windows,
                touched: None,
            },
        }
    }
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
        let rows_max = crate::fold::ROWS_PER_WINDOW_DEFAULT;
        let ways = Ways::reading(&path);
        match Self::open_with(path.clone(), rows_max, ways) {
            Err(StoreError::OlderFormat { .. }) => {
                let ways = Ways::writing(&path);
                Self::open_with(path, rows_max, ways)
            }
            opened => opened,
        }
    }

    /// True when nothing was ever taken in, as far as can be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let no_blobs = || -> Result<bool, StoreError> {
            let table = self.begin_read()?.open_table(BLOBS).map_err(failed)?;
            table.is_empty().map_err(failed)
        };
        let inner = self.read();
        let nothing_folded = inner.memory.epochs.is_empty() && inner.memory.windows.bytes == 0;
        drop(inner);
        nothing_folded && no_blobs().unwrap_or(false)
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
        let opened = open_checked(&path, &ways.open)?;
        Ok(Self {
            path,
            rows_max,
            ways,
            inner: RwLock::new(Inner::new(opened)),
            summing: Mutex::default(),
            packing: Mutex::default(),
            #[cfg(test)]
            while_summing: Mutex::default(),
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
        change: impl FnOnce(&Handle, &mut Memory) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut inner = self.write();
        if let Some(why) = &inner.rescued {
            return Err(StoreError::Failed(why.clone()));
        }
        let Inner { handle, memory, .. } = &mut *inner;
        let outcome = change(handle.as_ref().ok_or_else(closed)?, memory);
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
            Ok(opened) => *inner = Inner::new(opened),
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
            Ok(opened) => {
                *inner = Inner::new(opened);
                Ok(())
            }
            Err(error) => {
                self.rescue(&mut inner, &error);
                Err(error)
            }
        }
    }

    /// Adds up one piece of what is due. Others wait for it while it is put in place, and not while it is made.
    fn sum_piece(&self, due: Marks) -> Result<Summed, StoreError> {
        let _one_at_a_time = self.summing.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, state) = {
            let mut inner = self.write();
            if let Some(why) = &inner.rescued {
                return Err(StoreError::Failed(why.clone()));
            }
            if !Piece::is_due(&inner.memory.windows, due) {
                return Ok(Summed::Nothing);
            }
            let handle = inner.handle.as_ref().ok_or_else(closed)?;
            let read = handle.begin_read().map_err(failed)?;
            inner.memory.touched = Some(summing::Touched::new());
            (read, inner.memory.windows.clone())
        };
        let piece = Piece::next(&read, &state, due, self.rows_max).map_err(failed)?;
        drop(read);
        #[cfg(test)]
        self.call_while_summing();
        self.change(|handle, memory| {
            // Absent: a snapshot took the place of everything, or the file was opened again.
            let is_stale = memory
                .touched
                .take()
                .is_none_or(|touched| piece.is_stale(&touched));
            if is_stale {
                return Ok(Summed::Part);
            }
            let write = handle.begin_write()?;
            let state = piece.apply(&write, memory.windows.clone())?;
            write.commit()?;
            let is_all = state.ahead.is_none() && state.marks.summed_unix_ns >= due.summed_unix_ns;
            memory.windows = state;
            Ok(if is_all { Summed::All } else { Summed::Part })
        })
    }

    /// Has something called between reading what is to be added up and putting the sums in place.
    #[cfg(test)]
    pub(crate) fn while_summing(&self, hook: impl FnMut() + Send + 'static) {
        *self
            .while_summing
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    #[cfg(test)]
    fn call_while_summing(&self) {
        let mut hook = self
            .while_summing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(hook) = hook.as_mut() {
            hook();
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
        self.change(|handle, memory| {
            let epochs = &memory.epochs;
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
        self.change(|handle, memory| {
            let epochs = &memory.epochs;
            let mut changed: BTreeMap<EpochId, EpochState> = BTreeMap::new();
            for note in &batch.notes {
                let id = &note.id.epoch;
                changed
                    .entry(id.clone())
                    .or_insert_with(|| epochs.get(id).cloned().unwrap_or_default())
                    .add(note);
            }
            let write = handle.begin_write()?;
            let state = sums::fold(&write, memory.windows.clone(), batch, rows_max)?;
            {
                let mut table = write.open_table(BLOBS)?;
                for DeltaId { epoch, seq } in batch
                    .notes
                    .iter()
                    .map(|note| &note.id)
                    .chain(&batch.derived)
                {
                    table.remove((&*epoch.tenant, &epoch.epoch.0, *seq))?;
                }
                write_halves(&write, batch)?;
                let mut table = write.open_table(EPOCHS)?;
                for (id, state) in &changed {
                    let record = state.encode().map_err(redb::Error::Corrupted)?;
                    table.insert((&*id.tenant, &id.epoch.0), record.as_slice())?;
                }
            }
            write.commit()?;
            memory.windows = state;
            memory.epochs.append(&mut changed);
            memory.touch(batch);
            Ok(())
        })
    }

    fn write_run(&self, run: &HalfRun) -> Result<(), StoreError> {
        self.change(|handle, _| {
            let write = handle.begin_write()?;
            insert_run(&mut write.open_table(HALVES)?, run)?;
            Ok(write.commit()?)
        })
    }

    fn scan(
        &self,
        since_unix_ns: u64,
        until_unix_ns: u64,
        finest: Option<Tier>,
    ) -> Result<(Plan, Scan), StoreError> {
        sums::scan(
            self.begin_read()?,
            since_unix_ns,
            until_unix_ns,
            finest,
            self.rows_max,
        )
    }

    fn window_bytes(&self) -> u64 {
        self.read().memory.windows.bytes
    }

    fn halves(&self) -> Result<(Vec<u64>, Option<Vec<u8>>), StoreError> {
        let read = self.begin_read()?;
        let mut runs = Vec::new();
        if let Some(table) = present(read.open_table(HALVES))? {
            for entry in table.iter().map_err(failed)? {
                let (run, _) = entry.map_err(failed)?.0.value();
                if runs.last() != Some(&run) {
                    runs.push(run);
                }
            }
        }
        let parked = match present(read.open_table(PARKED))? {
            Some(table) => table
                .get(0)
                .map_err(failed)?
                .map(|value| value.value().to_vec()),
            None => None,
        };
        Ok((runs, parked))
    }

    fn half_chunk(&self, run: u64, key: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let read = self.begin_read()?;
        let Some(table) = present(read.open_table(HALVES))? else {
            return Ok(None);
        };
        let mut found = table.range((run, 0)..=(run, key)).map_err(failed)?;
        let found = found.next_back().transpose().map_err(failed)?;
        Ok(found.map(|(key, value)| (key.value().1, value.value().to_vec())))
    }

    fn half_chunks(&self, run: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = self.begin_read()?;
        let Some(table) = present(read.open_table(HALVES))? else {
            return Ok(Vec::new());
        };
        let found = table.range((run, 0)..=(run, u64::MAX)).map_err(failed)?;
        found
            .map(|entry| Ok(entry.map_err(failed)?.1.value().to_vec()))
            .collect()
    }

    fn spilled_runs(&self) -> Result<Vec<u64>, StoreError> {
        let read = self.begin_read()?;
        let Some(table) = present(read.open_table(SPILLED))? else {
            return Ok(Vec::new());
        };
        let runs = table.iter().map_err(failed)?;
        runs.map(|entry| Ok(entry.map_err(failed)?.0.value()))
            .collect()
    }

    fn spilled(&self, run: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.begin_read()?;
        let Some(table) = present(read.open_table(SPILLED))? else {
            return Ok(None);
        };
        let found = table.get(run).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn epochs(&self, visit: &mut dyn FnMut(&EpochId, &EpochState)) -> Result<(), StoreError> {
        self.read()
            .memory
            .epochs
            .iter()
            .for_each(|(id, state)| visit(id, state));
        Ok(())
    }

    fn age(&self, due: Marks, epochs_before_unix_ns: u64) -> Result<Aged, StoreError> {
        let summed = self.sum_piece(due)?;
        let more_to_pack = self.pack_piece()?;
        self.change(|handle, memory| {
            let mut aged = Aged::default();
            let write = handle.begin_write()?;
            let (state, removed, more) = sums::remove(&write, memory.windows.clone(), due)?;
            aged.windows = removed;
            aged.more = more || more_to_pack || summed == Summed::Part;
            let past: Vec<_> = memory
                .epochs
                .iter()
                .filter(|(_, state)| state.last_end_unix_ns() < epochs_before_unix_ns)
                .map(|(id, _)| id.clone())
                .collect();
            {
                let mut table = write.open_table(EPOCHS)?;
                for id in &past {
                    table.remove((&*id.tenant, &id.epoch.0))?;
                }
            }
            aged.epochs = past.len() as u64;
            if summed == Summed::All || removed > 0 || !past.is_empty() {
                write.commit()?;
                memory.windows = state;
                past.iter().for_each(|id| drop(memory.epochs.remove(id)));
            } else {
                write.abort()?;
            }
            Ok(aged)
        })
    }

    fn snapshot(&self, to: &Path) -> Result<(), StoreError> {
        copy::write(&self.begin_read()?, to)
    }

    fn restore(&self, from: &Path) -> Result<(), StoreError> {
        let source = copy::open(from)?;
        self.change(|handle, memory| {
            let write = handle.begin_write()?;
            copy::replace(&source, &write)?;
            write.commit()?;
            *memory = Memory {
                epochs: source.epochs,
                windows: source.windows,
                touched: None,
            };
            Ok(())
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

/// A table that databases of before do not have.
fn present<T>(opened: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn insert_run(
    table: &mut Table<'_, (u64, u64), &[u8]>,
    HalfRun { run, chunks }: &HalfRun,
) -> Result<(), redb::Error> {
    for (first, chunk) in chunks {
        table.insert((*run, *first), chunk.as_slice())?;
    }
    Ok(())
}

fn write_halves(write: &WriteTransaction, batch: &FoldBatch) -> Result<(), redb::Error> {
    if batch.half_run.is_some() || !batch.half_runs_gone.is_empty() {
        let mut table = write.open_table(HALVES)?;
        if let Some(run) = &batch.half_run {
            insert_run(&mut table, run)?;
        }
        for run in &batch.half_runs_gone {
            table.retain_in((*run, 0)..=(*run, u64::MAX), |_, _| false)?;
        }
    }
    if let Some(parked) = &batch.parked {
        write.open_table(PARKED)?.insert(0, parked.as_slice())?;
    }
    if !batch.spilled.is_empty() || !batch.spilled_gone.is_empty() {
        let mut table = write.open_table(SPILLED)?;
        for (run, bytes) in &batch.spilled {
            table.insert(run, bytes.as_slice())?;
        }
        for run in &batch.spilled_gone {
            table.remove(run)?;
        }
    }
    Ok(())
}

/// The service that keys name by these texts, in this order.
fn service_id([tenant, namespace, environment, service, version]: [&str; 5]) -> ServiceId {
    ServiceId {
        tenant: tenant.into(),
        namespace: namespace.into(),
        environment: environment.into(),
        service: service.into(),
        version: version.into(),
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

#[cfg(test)]
mod packing_tests;
#[cfg(test)]
mod summing_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tiers_tests;
