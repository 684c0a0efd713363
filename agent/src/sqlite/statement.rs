//! Running one statement and recording what it touched.

use std::sync::Arc;

use rusqlite::{Params, Row};
use weighbridge_wire::Class;

use crate::account;
use crate::bill::{Bill, WaitKind};
use crate::clock;
use crate::ledger::{EntityFigures, loss, record_entity};
use crate::sql::{Access, Analysis, Statements};

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
        self.run(sql, Access::Write, || {
            let changed = self.connection.prepare_cached(sql)?.execute(params)?;
            Ok((changed, Some(changed as u64)))
        })
    }

    pub(super) fn execute_batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.run(sql, Access::Write, || {
            Ok((self.connection.execute_batch(sql)?, None))
        })
    }

    pub(super) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.run(sql, Access::Read, || {
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
        self.run(sql, Access::Read, || {
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
        self.run(sql, Access::Read, || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows: Vec<T> = statement
                .query_map(params, read)?
                .collect::<Result<_, _>>()?;
            let count = rows.len() as u64;
            Ok((rows, Some(count)))
        })
    }

    /// Runs a statement in class `store`. `counted` says what its rows are: written or read.
    fn run<T>(
        &self,
        sql: &str,
        counted: Access,
        statement: impl FnOnce() -> rusqlite::Result<(T, Rows)>,
    ) -> rusqlite::Result<T> {
        let (result, rows) = in_store(statement)?;
        self.record(&self.database.statements.get(sql), counted, rows);
        Ok(result)
    }

    fn record(&self, analysis: &Analysis, counted: Access, rows: Rows) {
        if analysis.unknown {
            loss("agent.sql", "statement not understood", 1);
        }
        let alike = analysis
            .entities
            .iter()
            .filter(|(_, access)| *access == counted)
            .count();
        let bill = Bill::current_weighed();
        for (entity, access) in &analysis.entities {
            // Of several tables nobody can say which one the rows came from.
            let rows = rows.filter(|_| *access == counted && alike == 1);
            let figures = EntityFigures {
                statements: 1,
                rows,
                bytes: None,
            };
            #[cfg(test)]
            super::tests::observe(&self.database.name, entity, *access, figures);
            record_entity(
                bill.as_deref(),
                &self.database.name,
                entity,
                access.as_str(),
                figures,
            );
        }
    }
}

/// Runs `f` in class `store` and counts the time off the CPU as waiting.
pub(super) fn in_store<R>(f: impl FnOnce() -> R) -> R {
    let start_ns = clock::monotonic_ns();
    let (result, cpu_ns) = account::timed_class(Class::Store, f);
    if let Some(bill) = Bill::current_weighed() {
        let wall_ns = clock::monotonic_ns().saturating_sub(start_ns);
        let cpu_ns = u64::try_from(cpu_ns).unwrap_or(0);
        bill.add_wait(WaitKind::Store, wall_ns.saturating_sub(cpu_ns));
    }
    result
}
