//! Running one statement and recording what it touched.

use std::sync::Arc;

use rusqlite::{Params, Row};

use crate::sql::Statements;
use crate::store::Statement;

/// The name of a database, and what is known of its statements.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) name: Arc<str>,
    pub(super) statements: Arc<Statements>,
}

/// A connection or a transaction on it.
pub(super) struct Weighed<'c> {
    pub(super) connection: &'c rusqlite::Connection,
    pub(super) database: &'c Database,
}

/// Rows that a statement read or wrote; `None` is unknown.
type Rows = Option<u64>;

impl Weighed<'_> {
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.run(sql, || {
            let changed = self.connection.prepare_cached(sql)?.execute(params)?;
            Ok((changed, Some(changed as u64)))
        })
    }

    pub(super) fn execute_batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.run(sql, || Ok((self.connection.execute_batch(sql)?, None)))
    }

    pub(super) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.run(sql, || {
            Ok((
                self.connection
                    .prepare_cached(sql)?
                    .query_row(params, read)?,
                Some(1),
            ))
        })
    }

    pub(super) fn query_optional<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.run(sql, || {
            match self.connection.prepare_cached(sql)?.query_row(params, read) {
                Ok(found) => Ok((Some(found), Some(1))),
                Err(rusqlite::Error::QueryReturnedNoRows) => Ok((None, Some(0))),
                Err(error) => Err(error),
            }
        })
    }

    pub(super) fn query_map<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.run(sql, || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows: Vec<T> = statement
                .query_map(params, read)?
                .collect::<Result<_, _>>()?;
            let count = rows.len() as u64;
            Ok((rows, Some(count)))
        })
    }

    /// Runs a statement in class `store`.
    fn run<T>(
        &self,
        sql: &str,
        statement: impl FnOnce() -> rusqlite::Result<(T, Rows)>,
    ) -> rusqlite::Result<T> {
        let uses = self.database.statements.get(sql);
        let mut weighed = Statement::begin(&self.database.name, uses);
        let result = weighed.block(statement);
        weighed
            .end_with(result, |(_, rows)| *rows)
            .map(|(value, _)| value)
    }
}
