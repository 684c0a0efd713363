//! Snapshots: a database as a copy of another, as it stood at one instant.

use std::path::Path;

use redb::{
    Database, Key, ReadTransaction, ReadableTable as _, TableDefinition, TableError, Value,
    WriteTransaction,
};

use super::open::{Opened, Way, builder, open_checked};
use super::{BLOBS, EPOCHS, HALVES, Handle, META, PARKED, SPILLED, failed, packing, sums};
use crate::store::StoreError;
use crate::store::tiers::Tier;

/// Writes everything into a new file.
pub(super) fn write(read: &ReadTransaction, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError::Directory {
            path: to.to_owned(),
            source: std::io::ErrorKind::AlreadyExists.into(),
        });
    }
    let copied = || -> Result<(), redb::Error> {
        let database: Database = builder().create(to)?;
        let write = database.begin_write()?;
        all(read, &write)?;
        write.commit()?;
        Ok(())
    };
    copied().map_err(failed)
}

/// Opens a snapshot, and reads all of it to see that it is whole. The file is changed by that.
pub(super) fn open(from: &Path) -> Result<Opened, StoreError> {
    let path = from.to_owned();
    let way: Way = Box::new(move || {
        let mut builder = builder();
        builder.set_check_integrity_on_open(true);
        builder.open(&path).map(Handle::Writing)
    });
    open_checked(from, &way).map_err(|error| match error {
        // Its path is that of a copy which the one who restores never sees.
        StoreError::Damaged { why, .. } => StoreError::Snapshot { why },
        error => error,
    })
}

/// Puts the contents of a snapshot in the place of everything.
pub(super) fn replace(from: &Opened, write: &WriteTransaction) -> Result<(), redb::Error> {
    let read = from.handle.begin_read()?;
    write.delete_table(META)?;
    write.delete_table(BLOBS)?;
    write.delete_table(EPOCHS)?;
    write.delete_table(HALVES)?;
    write.delete_table(PARKED)?;
    write.delete_table(SPILLED)?;
    write.delete_table(sums::AHEAD)?;
    write.delete_table(packing::GROUPS)?;
    for tier in Tier::ALL {
        write.delete_table(sums::table(tier))?;
    }
    all(&read, write)
}

fn all(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), redb::Error> {
    table(from, to, META)?;
    table(from, to, BLOBS)?;
    table(from, to, EPOCHS)?;
    table(from, to, HALVES)?;
    table(from, to, PARKED)?;
    table(from, to, SPILLED)?;
    table(from, to, sums::AHEAD)?;
    table(from, to, packing::GROUPS)?;
    for tier in Tier::ALL {
        table(from, to, sums::table(tier))?;
    }
    Ok(())
}

fn table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<(), redb::Error> {
    let mut target = to.open_table(definition)?;
    let source = match from.open_table(definition) {
        Ok(source) => source,
        // An earlier version had no such table.
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in source.iter()? {
        let (key, value) = entry?;
        target.insert(key.value(), value.value())?;
    }
    Ok(())
}
