//! What a home for ledgers must do: append, fold, scan, retire.

mod epoch;
mod memory;
mod redb;
mod seqs;
mod tiers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use weighbridge_wire::{Delta, Epoch, FoldedWindow, RowSet, ServiceId, Window};

pub use epoch::{EpochState, Note};
pub use memory::MemoryStore;
pub use redb::{DATABASE_FILE, FORMAT_VERSION, RedbStore};
#[cfg(any(test, feature = "fuzz"))]
pub(crate) use redb::{decode_group, decode_window};
pub use seqs::SeqSet;
pub use tiers::{Keep, Marks, Plan, Tier};

/// Which start of which producer, within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochId {
    /// The tenant, from the token.
    pub tenant: Arc<str>,
    /// The epoch, from the delta.
    pub epoch: Epoch,
}

/// What identifies a delta: sent twice, it counts once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeltaId {
    /// Which start of which producer.
    pub epoch: EpochId,
    /// Which delta of it.
    pub seq: u64,
}

/// How the body of a request is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// `Content-Encoding: gzip`.
    Gzip,
    /// `Content-Encoding: zstd`.
    Zstd,
    /// Not a body that came: what the collector derived from an OTLP request.
    Derived,
}

impl Encoding {
    /// The byte that stands before a stored body.
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Identity => 0,
            Self::Gzip => 1,
            Self::Zstd => 2,
            Self::Derived => 3,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Identity, Self::Gzip, Self::Zstd, Self::Derived]
            .into_iter()
            .find(|e| e.to_byte() == byte)
    }
}

/// An accepted request, kept as it came until it is folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Which delta it is.
    pub id: DeltaId,
    /// How `body` is compressed.
    pub encoding: Encoding,
    /// The body of the request.
    pub body: Bytes,
}

/// What became of an appended blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is committed now.
    New,
    /// The same id had been committed before; nothing changed.
    Duplicate,
}

/// Folded rows that are to be merged into the stored ones, and the deltas they came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldBatch {
    /// Rows by window and service.
    pub windows: BTreeMap<(Window, ServiceId), RowSet>,
    /// One note per delta in `windows`.
    pub notes: Vec<Note>,
    /// Blobs of derived OTLP requests in `windows`.
    pub derived: Vec<DeltaId>,
    /// Windows in which rows were taken back; what comes to nothing in them is removed.
    pub corrected: BTreeSet<(Window, ServiceId)>,
    /// Halves of calls that came.
    pub half_run: Option<HalfRun>,
    /// Runs whose time is over.
    pub half_runs_gone: Vec<u64>,
    /// What waits to be joined now, in place of what waited before.
    pub parked: Option<Vec<u8>>,
    /// Runs of what waits beyond that.
    pub spilled: Vec<(u64, Vec<u8>)>,
    /// Such runs that are no longer needed.
    pub spilled_gone: Vec<u64>,
}

/// Halves of calls, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HalfRun {
    /// Names the run; ascends with time.
    pub run: u64,
    /// Its pieces, each with its first key.
    pub chunks: Vec<(u64, Vec<u8>)>,
}

impl FoldBatch {
    /// Folds one delta in. Returns how many rows or figures had to be folded into `__other__` or cut
    /// because of a bound.
    pub(crate) fn add(&mut self, tenant: &Arc<str>, delta: &Delta, rows_max: usize) -> u64 {
        let note = Note::of(tenant, delta);
        let rows = self
            .windows
            .entry((delta.window, note.service.clone()))
            .or_default();
        self.notes.push(note);
        crate::fold::merge(rows, &delta.rows, rows_max)
    }

    /// Rows in all windows.
    pub(crate) fn rows(&self) -> usize {
        self.windows.values().map(RowSet::len).sum()
    }

    /// True when there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
            && self.windows.is_empty()
            && self.derived.is_empty()
            && self.half_run.is_none()
            && self.half_runs_gone.is_empty()
            && self.parked.is_none()
            && self.spilled.is_empty()
            && self.spilled_gone.is_empty()
    }
}

/// What [`Store::age`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aged {
    /// Folded windows, of all tiers.
    pub windows: u64,
    /// Epoch states.
    pub epochs: u64,
    /// True when there is more to do than was done at once.
    pub more: bool,
}

/// Folded windows as they stood when the scan began: each (window, service) once, in no order.
pub type Scan = Box<dyn Iterator<Item = Result<FoldedWindow, StoreError>> + Send>;

/// A home for ledgers. Every method that changes something is made of transactions, one but for [`age`](Self::age): all
/// of it or nothing, and on disk (where there is one) when it returns. There is one writer; readers may come at any
/// time, and [`age`](Self::age) from one other thread.
pub trait Store: Send + Sync + 'static {
    /// Commits blobs. An id that is known, as a blob or as folded, or that stands earlier in `blobs`, is a
    /// [duplicate](Appended::Duplicate).
    ///
    /// # Errors
    /// [`StoreError`]; then it is unknown which blobs were committed, and the store must be
    /// [recovered](Self::recover) before it is used again.
    fn append(&self, blobs: &[Blob]) -> Result<Vec<Appended>, StoreError>;

    /// Merges folded rows into the stored ones, notes their deltas as folded, and deletes their blobs.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    fn fold(&self, batch: &FoldBatch) -> Result<(), StoreError>;

    /// Writes a run of halves by itself; a fold does the same for the one that it carries.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    fn write_run(&self, run: &HalfRun) -> Result<(), StoreError>;

    /// Every folded window that starts in `[since_unix_ns, until_unix_ns)`, not finer than `finest`; where that is
    /// not said, as finely as it is kept and not too long. The plan says how it is read.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn scan(
        &self,
        since_unix_ns: u64,
        until_unix_ns: u64,
        finest: Option<Tier>,
    ) -> Result<(Plan, Scan), StoreError>;

    /// Bytes of all folded windows as they are stored.
    fn window_bytes(&self) -> u64;

    /// The names of all runs of halves, and what waits to be joined.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn halves(&self) -> Result<(Vec<u64>, Option<Vec<u8>>), StoreError>;

    /// The piece of a run in which a key stands if it stands in that run, with its first key.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn half_chunk(&self, run: u64, key: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// All pieces of a run.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn half_chunks(&self, run: u64) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The names of all runs of what waits beyond that, ascending.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn spilled_runs(&self) -> Result<Vec<u64>, StoreError>;

    /// One of these runs.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn spilled(&self, run: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the states of all epochs. `visit` must not call back into the store.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    fn epochs(&self, visit: &mut dyn FnMut(&EpochId, &EpochState)) -> Result<(), StoreError>;

    /// Moves the tiers towards where they should stand, a piece at a time: adds up minutes that are over, removes
    /// what its tier keeps no longer, and the states of epochs whose last window ended before an instant. The writer
    /// waits for one short transaction of it at most.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    fn age(&self, due: Marks, epochs_before_unix_ns: u64) -> Result<Aged, StoreError>;

    /// Writes everything, as it stands, into a new file; meanwhile the store is used as ever.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read, or the file exists or cannot be written.
    fn snapshot(&self, to: &Path) -> Result<(), StoreError>;

    /// Puts what a snapshot holds in the place of everything. The file must be the caller's own: looking whether it
    /// is whole may change it. What had come since the snapshot was taken is lost, and the gaps tell.
    ///
    /// # Errors
    /// [`StoreError`]; when the snapshot is at fault, nothing was changed.
    fn restore(&self, from: &Path) -> Result<(), StoreError>;

    /// Opens the store again if an error broke it, and visits every blob that is not folded.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be opened for writing, or what `visit` returned. Where it can be read all
    /// the same, the blobs were visited: what it then holds is what readers see.
    fn recover(
        &self,
        visit: &mut dyn FnMut(Blob) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
}

/// Why a store could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds the directory.
    #[error(
        "{path} is held by another process; if that is a running collector, read from it with `--from URL`, \
         or stop it first"
    )]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// Written by a later version.
    #[error(
        "{path} has data format {found}, and this version reads up to {supported}; use the version of \
         weighbridge that wrote it, or a later one"
    )]
    NewerFormat {
        /// The database file.
        path: PathBuf,
        /// The format found.
        found: u64,
        /// The newest format supported.
        supported: u64,
    },
    /// Written by an earlier version, and opened for reading only.
    #[error(
        "{path} has data format {found}, of an earlier version; it is brought to this one when it is opened for \
         writing"
    )]
    OlderFormat {
        /// The database file.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
    /// Not a database, or a damaged one.
    #[error(
        "{path} is damaged or not a Weighbridge database ({why}); restore a backup in its place \
         (`weighbridge restore --replace`, which keeps it), or move it aside and start with an empty data directory"
    )]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What the storage engine said.
        why: String,
    },
    /// A snapshot that cannot be restored.
    #[error(
        "the snapshot is damaged or not a Weighbridge database ({why}); nothing was changed: restore another one"
    )]
    Snapshot {
        /// What the storage engine said.
        why: String,
    },
    /// The directory cannot be used.
    #[error(
        "cannot use {path}: {source}; check that the directory exists and may be read and written"
    )]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is something that would be replaced.
    #[error(
        "{path} holds a ledger; say --replace to put the snapshot in its place, or give another directory"
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// There is no database.
    #[error("no ledger in {path}; give the data directory of a collector (its setting `data_dir`)")]
    Absent {
        /// The directory.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error(
        "the store failed: {0}; check the disk (space, permissions), it is tried again by itself"
    )]
    Failed(String),
}
