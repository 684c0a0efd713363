//! A connection.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Params, Row, TransactionBehavior};

use super::sizes::report_sizes;
use super::statement::{Database, Weighed};
use super::{BUSY_TIMEOUT_MS, PREPARED_MAX, Transaction};
use crate::ledger::limits;
use crate::sql::{Dialect, Statements};
use crate::store::in_store;

/// A connection to one SQLite file. `Send`, but not `Sync`: share it behind a mutex.
#[derive(Debug)]
pub struct Connection {
    inner: rusqlite::Connection,
    database: Database,
}

impl Connection {
    /// Opens a file, which is made if it does not exist. `database` is the name under which its tables are
    /// shown.
    ///
    /// # Errors
    /// What SQLite says when the file cannot be opened.
    pub fn open(database: &str, path: impl AsRef<Path>) -> rusqlite::Result<Self> {
        Self::new(database, in_store(|| rusqlite::Connection::open(path))?)
    }

    /// Opens a database in memory, for tests.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn open_in_memory(database: &str) -> rusqlite::Result<Self> {
        Self::new(database, rusqlite::Connection::open_in_memory()?)
    }

    fn new(database: &str, inner: rusqlite::Connection) -> rusqlite::Result<Self> {
        inner.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        inner.set_prepared_statement_cache_capacity(PREPARED_MAX);
        let name = limits::cut(database).into();
        Ok(Self {
            inner,
            database: Database {
                name,
                statements: Arc::new(Statements::new(Dialect::Sqlite)),
            },
        })
    }

    fn weighed(&self) -> Weighed<'_> {
        Weighed {
            connection: &self.inner,
            database: &self.database,
        }
    }

    /// Runs a statement that returns no rows; returns how many it changed.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.weighed().execute(sql, params)
    }

    /// Runs several statements without values. Each entity counts once for the whole text.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn execute_batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.weighed().execute_batch(sql)
    }

    /// Reads the first row.
    ///
    /// # Errors
    /// What SQLite or `read` says; [`rusqlite::Error::QueryReturnedNoRows`] when there is none.
    pub fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.weighed().query_row(sql, params, read)
    }

    /// Reads the first row, if there is one.
    ///
    /// # Errors
    /// What SQLite or `read` says.
    pub fn query_optional<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.weighed().query_optional(sql, params, read)
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// What SQLite or `read` says.
    pub fn query_map<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.weighed().query_map(sql, params, read)
    }

    /// Runs `work` in a transaction that may write from its start. Commits when it returns `Ok`, rolls back
    /// when it returns an error or panics.
    ///
    /// # Errors
    /// What `work` returns, or what SQLite says about the begin and the commit.
    pub fn transaction<T, E: From<rusqlite::Error>>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // Taking the write lock late is what makes two writers fail instead of wait.
        let behavior = TransactionBehavior::Immediate;
        let inner = in_store(|| self.inner.transaction_with_behavior(behavior))?;
        let transaction = Transaction::new(inner, &self.database);
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Reports how many rows each table has and how many bytes it occupies with its indexes, as gauges.
    /// Counts rows, so call it from time to time, not for each request.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn report_sizes(&self) -> rusqlite::Result<()> {
        in_store(|| report_sizes(&self.inner, &self.database.name))
    }
}
