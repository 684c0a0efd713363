//! A transaction.

use std::sync::Arc;

use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{Error, Row, SimpleQueryMessage};

use super::client::statements;
use super::statement::Database;
use super::{CopyInSink, CopyOutStream, RowStream, Statement, ToStatement};

/// A transaction under way, rolled back when it is dropped without [`commit`](Self::commit).
pub struct Transaction<'c> {
    inner: tokio_postgres::Transaction<'c>,
    database: Arc<Database>,
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl<'c> Transaction<'c> {
    pub(super) fn new(inner: tokio_postgres::Transaction<'c>, database: Arc<Database>) -> Self {
        Self { inner, database }
    }

    statements!();

    /// Commits.
    ///
    /// # Errors
    /// What the client says.
    pub async fn commit(self) -> Result<(), Error> {
        let mut weighed = self.database.begin_other();
        let result = weighed.wait(self.inner.commit()).await;
        weighed.end_with(result, |()| None)
    }

    /// Rolls back.
    ///
    /// # Errors
    /// What the client says.
    pub async fn rollback(self) -> Result<(), Error> {
        let mut weighed = self.database.begin_other();
        let result = weighed.wait(self.inner.rollback()).await;
        weighed.end_with(result, |()| None)
    }

    /// Begins a transaction inside this one.
    ///
    /// # Errors
    /// What the client says.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let mut weighed = self.database.begin_other();
        let begun = weighed.wait(self.inner.transaction()).await;
        weighed
            .end_with(begun, |_| None)
            .map(|inner| Transaction::new(inner, self.database.clone()))
    }
}
