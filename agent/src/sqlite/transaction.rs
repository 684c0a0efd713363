//! A transaction.

use rusqlite::{Params, Row};

use super::statement::{Database, Weighed};
use crate::store::in_store;

/// A transaction under way; see [`Connection::transaction`](super::Connection::transaction).
#[derive(Debug)]
pub struct Transaction<'c> {
    /// Absent once it is committed.
    inner: Option<rusqlite::Transaction<'c>>,
    database: &'c Database,
}

impl<'c> Transaction<'c> {
    pub(super) fn new(inner: rusqlite::Transaction<'c>, database: &'c Database) -> Self {
        Self {
            inner: Some(inner),
            database,
        }
    }

    pub(super) fn commit(mut self) -> rusqlite::Result<()> {
        match self.inner.take() {
            Some(inner) => in_store(|| inner.commit()),
            None => Ok(()),
        }
    }

    /// Runs `f` on the transaction. It is there until `commit` takes it together with `self`.
    fn with<T>(&self, f: impl FnOnce(Weighed<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let Some(connection) = self.inner.as_deref() else {
            return Err(rusqlite::Error::InvalidQuery);
        };
        f(Weighed {
            connection,
            database: self.database,
        })
    }

    /// As [`Connection::execute`](super::Connection::execute).
    ///
    /// # Errors
    /// What SQLite says.
    pub fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.with(|weighed| weighed.execute(sql, params))
    }

    /// As [`Connection::execute_batch`](super::Connection::execute_batch).
    ///
    /// # Errors
    /// What SQLite says.
    pub fn execute_batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.with(|weighed| weighed.execute_batch(sql))
    }

    /// As [`Connection::query_row`](super::Connection::query_row).
    ///
    /// # Errors
    /// What SQLite or `read` says.
    pub fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.with(|weighed| weighed.query_row(sql, params, read))
    }

    /// As [`Connection::query_optional`](super::Connection::query_optional).
    ///
    /// # Errors
    /// What SQLite or `read` says.
    pub fn query_optional<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.with(|weighed| weighed.query_optional(sql, params, read))
    }

    /// As [`Connection::query_map`](super::Connection::query_map).
    ///
    /// # Errors
    /// What SQLite or `read` says.
    pub fn query_map<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.with(|weighed| weighed.query_map(sql, params, read))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            // Rolls back.
            in_store(|| drop(inner));
        }
    }
}
