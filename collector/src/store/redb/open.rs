//! How the database is opened: for writing, for reading, and for reading what a disk that takes nothing more
//! still holds.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    StorageError, TableError, WriteTransaction,
};
use weighbridge_wire::Epoch;

use super::rescue::Overlay;
use super::{
    BLOBS, CACHE_BYTES, EPOCHS, FORMAT_KEY, FORMAT_VERSION, META, failed, packing, summing, sums,
};
use crate::store::{EpochId, EpochState, StoreError};

/// What a write of the probe holds, bytes: enough that a disk with a last free page does not pass.
const PROBE_BYTES: usize = 256 << 10;
/// The file that a probe writes and removes.
const PROBE_FILE: &str = "write.probe";

/// The ways to the database; taken again after an error.
pub(super) struct Ways {
    /// As it is used.
    pub(super) open: Way,
    /// Over a disk that takes no more writes: they stay in memory, and nothing of them is kept.
    pub(super) rescue: Way,
    /// Whether the disk takes writes.
    pub(super) probe: Box<dyn Fn() -> std::io::Result<()> + Send + Sync>,
}

pub(super) type Way = Box<dyn Fn() -> Result<Handle, DatabaseError> + Send + Sync>;

impl Ways {
    /// A file in a directory, for writing; made when it is absent.
    pub(super) fn writing(file: &Path) -> Self {
        let (path, rescued) = (file.to_owned(), file.to_owned());
        let probe = file.with_file_name(PROBE_FILE);
        Self {
            open: Box::new(move || {
                // redb makes a database out of an empty file, and refuses any other.
                builder().create(&path).map(Handle::Writing)
            }),
            rescue: Box::new(move || {
                let file = std::fs::File::options()
                    .read(true)
                    .write(true)
                    .open(&rescued)?;
                let backend = redb::backends::FileBackend::new(file)?;
                builder()
                    .create_with_backend(Overlay::new(backend))
                    .map(Handle::Writing)
            }),
            probe: Box::new(move || {
                let written = write_probe(&probe);
                // It may never have been made.
                let _ = std::fs::remove_file(&probe);
                written
            }),
        }
    }

    /// A file for reading.
    pub(super) fn reading(file: &Path) -> Self {
        let path = file.to_owned();
        Self {
            open: Box::new(move || match redb::ReadOnlyDatabase::open(&path) {
                // Not closed properly: opening it for writing repairs it.
                Err(DatabaseError::RepairAborted) => Database::open(&path).map(Handle::Writing),
                opened => opened.map(Handle::Reading),
            }),
            ..Self::writing(file)
        }
    }

    /// A backend of a test. The probe is a sync.
    #[cfg(test)]
    pub(super) fn backend<B: redb::StorageBackend>(
        make: impl Fn() -> B + Clone + Send + Sync + 'static,
    ) -> Self {
        let (rescued, probe) = (make.clone(), make.clone());
        Self {
            open: Box::new(move || builder().create_with_backend(make()).map(Handle::Writing)),
            rescue: Box::new(move || {
                builder()
                    .create_with_backend(Overlay::new(rescued()))
                    .map(Handle::Writing)
            }),
            probe: Box::new(move || probe().sync_data()),
        }
    }
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn write_probe(path: &Path) -> std::io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(&vec![0; PROBE_BYTES])?;
    file.sync_data()
}

/// An open database and what is kept of it in memory.
pub(super) struct Opened {
    pub(super) handle: Handle,
    pub(super) epochs: BTreeMap<EpochId, EpochState>,
    pub(super) windows: sums::State,
}

pub(super) enum Handle {
    Writing(Database),
    Reading(redb::ReadOnlyDatabase),
}

impl Handle {
    pub(super) fn begin_read(&self) -> Result<ReadTransaction, redb::Error> {
        Ok(match self {
            Self::Writing(database) => database.begin_read()?,
            Self::Reading(database) => database.begin_read()?,
        })
    }

    pub(super) fn begin_write(&self) -> Result<WriteTransaction, redb::Error> {
        match self {
            Self::Writing(database) => Ok(database.begin_write()?),
            Self::Reading(_) => Err(redb::Error::Corrupted("opened for reading only".into())),
        }
    }
}

pub(super) fn open_checked(path: &Path, open: &Way) -> Result<Opened, StoreError> {
    let handle = open().map_err(|error| open_error(path, error))?;
    let damaged = |why: String| StoreError::Damaged {
        path: path.to_owned(),
        why,
    };
    let read = handle.begin_read().map_err(failed)?;
    let found = match read.open_table(META) {
        Ok(meta) => meta
            .get(FORMAT_KEY)
            .map_err(failed)?
            .map(|version| version.value()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(damaged(error.to_string())),
    };
    match found {
        None => prepare(&handle).map_err(failed)?,
        Some(found @ 1..FORMAT_VERSION) if matches!(handle, Handle::Reading(_)) => {
            return Err(StoreError::OlderFormat {
                path: path.to_owned(),
                found,
            });
        }
        // Before there were sums.
        Some(1) => prepare(&handle).map_err(failed)?,
        // Before they were made in pieces.
        Some(2) => upgrade(&handle).map_err(failed)?,
        // Before windows stood in groups; those that stand alone are put into them by and by.
        Some(3) => convert(&handle).map_err(failed)?,
        Some(FORMAT_VERSION) => {}
        Some(found) if found > FORMAT_VERSION => {
            return Err(StoreError::NewerFormat {
                path: path.to_owned(),
                found,
                supported: FORMAT_VERSION,
            });
        }
        Some(found) => return Err(damaged(format!("format {found} was never written"))),
    }
    drop(read);
    let read = handle.begin_read().map_err(failed)?;
    let mut epochs = BTreeMap::new();
    let table = read.open_table(EPOCHS).map_err(failed)?;
    for entry in table.iter().map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        let (tenant, epoch) = key.value();
        let state = EpochState::decode(tenant, value.value()).map_err(damaged)?;
        epochs.insert(
            EpochId {
                tenant: tenant.into(),
                epoch: Epoch(*epoch),
            },
            state,
        );
    }
    let windows = sums::State::read(&read).map_err(failed)?;
    drop(table);
    drop(read);
    Ok(Opened {
        handle,
        epochs,
        windows,
    })
}

/// Makes the tables of a new database, or those that one of an earlier format lacks.
fn prepare(handle: &Handle) -> Result<(), redb::Error> {
    let write = handle.begin_write()?;
    write.open_table(META)?.insert(FORMAT_KEY, FORMAT_VERSION)?;
    write.open_table(BLOBS)?;
    write.open_table(EPOCHS)?;
    sums::prepare(&write)?;
    write.commit()?;
    Ok(())
}

fn upgrade(handle: &Handle) -> Result<(), redb::Error> {
    let read = handle.begin_read()?;
    let write = handle.begin_write()?;
    write.open_table(META)?.insert(FORMAT_KEY, FORMAT_VERSION)?;
    write.open_table(packing::GROUPS)?;
    summing::upgrade(&read, &write, crate::fold::ROWS_PER_WINDOW_MAX)?;
    write.commit()?;
    Ok(())
}

fn convert(handle: &Handle) -> Result<(), redb::Error> {
    let write = handle.begin_write()?;
    write.open_table(META)?.insert(FORMAT_KEY, FORMAT_VERSION)?;
    write.open_table(packing::GROUPS)?;
    write.commit()?;
    Ok(())
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::InUse { path }
        }
        DatabaseError::UpgradeRequired(version) => StoreError::Damaged {
            path,
            why: format!("storage engine file format {version} is too old"),
        },
        DatabaseError::Storage(StorageError::Io(source)) => {
            use std::io::ErrorKind;
            match source.kind() {
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => StoreError::Damaged {
                    path,
                    why: source.to_string(),
                },
                ErrorKind::WouldBlock => StoreError::InUse { path },
                _ => StoreError::Directory { path, source },
            }
        }
        error => StoreError::Damaged {
            path,
            why: error.to_string(),
        },
    }
}
