//! One SQLite file: one writer, as many readers as there are blocking threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use weighbridge_agent::sqlite::Connection;

use super::schema;
use crate::domain::DomainError;
use crate::placement::DatabaseName;

/// A handle on a database; clones share its connections.
#[derive(Clone)]
pub(crate) struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    name: DatabaseName,
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Database {
    /// Opens a database that [`seed`](super::seed) made: all of it, or one of the parts of a divided one.
    pub(crate) fn open(
        directory: &Path,
        name: DatabaseName,
        shard: Option<usize>,
    ) -> Result<Self, DomainError> {
        let path = schema::shard_path(directory, name, shard);
        let writer = Mutex::new(connect(name, &path)?);
        let readers = Mutex::new(Vec::new());
        Ok(Self {
            inner: Arc::new(Inner {
                name,
                path,
                writer,
                readers,
            }),
        })
    }

    /// Runs short statements that read where it is called: they take less time than a blocking thread takes to
    /// wake.
    pub(crate) fn read_here<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, DomainError>,
    ) -> Result<T, DomainError> {
        self.inner.read(work)
    }

    /// Runs short statements that write where it is called.
    pub(crate) fn write_here<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, DomainError>,
    ) -> Result<T, DomainError> {
        self.inner.write(work)
    }

    /// Runs statements that read, on a blocking thread.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, DomainError> + Send + 'static,
    ) -> Result<T, DomainError> {
        let inner = self.inner.clone();
        blocking(move || inner.read(work)).await
    }

    /// Runs statements that write, on a blocking thread, one such work at a time.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, DomainError> + Send + 'static,
    ) -> Result<T, DomainError> {
        let inner = self.inner.clone();
        blocking(move || inner.write(work)).await
    }

    /// Tells the agent how large each table is.
    pub(crate) async fn report_sizes(&self) -> Result<(), DomainError> {
        self.read(|connection| Ok(connection.report_sizes()?)).await
    }
}

impl Inner {
    fn read<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, DomainError>,
    ) -> Result<T, DomainError> {
        let idle = lock(&self.readers).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(self.name, &self.path)?,
        };
        let outcome = work(&mut connection);
        lock(&self.readers).push(connection);
        outcome
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, DomainError>,
    ) -> Result<T, DomainError> {
        work(&mut lock(&self.writer))
    }
}

fn connect(name: DatabaseName, path: &Path) -> Result<Connection, DomainError> {
    let connection = Connection::open(name.as_str(), path)?;
    connection.execute_batch(schema::PRAGMAS)?;
    Ok(connection)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DomainError> + Send + 'static,
) -> Result<T, DomainError> {
    weighbridge_agent::spawn_blocking(work)
        .await
        .map_err(|e| DomainError::Store(format!("its thread broke off: {e}")))?
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic in between leaves SQLite's own state whole: it rolls back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
