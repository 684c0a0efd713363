//! The pool, its connections and its transactions.

use std::sync::Arc;

use sqlx::{Acquire as _, Database, Result};

use crate::ledger::limits;
use crate::sql::{Dialect, Statements};
use crate::store::{self, Uses};

/// How a database says how many rows a statement changed.
type Affected<DB> = fn(&<DB as Database>::QueryResult) -> u64;

/// What the executors of one database share.
pub(super) struct Weighing<DB: Database> {
    database: Arc<str>,
    statements: Arc<Statements>,
    affected: Option<Affected<DB>>,
}

impl<DB: Database> Clone for Weighing<DB> {
    fn clone(&self) -> Self {
        Self {
            database: self.database.clone(),
            statements: self.statements.clone(),
            affected: self.affected,
        }
    }
}

impl<DB: Database> Weighing<DB> {
    fn new(database: &str) -> Self {
        let dialect = match DB::NAME {
            "PostgreSQL" => Dialect::Postgres,
            "MySQL" => Dialect::MySql,
            "SQLite" => Dialect::Sqlite,
            _ => Dialect::Other,
        };
        Self {
            database: limits::cut(database).into(),
            statements: Arc::new(Statements::new(dialect)),
            affected: None,
        }
    }

    pub(super) fn uses(&self, text: &str) -> Arc<Uses> {
        self.statements.get(text)
    }

    pub(super) fn affected(&self) -> Option<Affected<DB>> {
        self.affected
    }

    /// A statement that is about to run.
    pub(super) fn begin(&self, uses: Arc<Uses>) -> store::Statement {
        store::Statement::begin(&self.database, uses)
    }

    /// Does something besides statements: it touches no entity.
    fn other<T>(&self, work: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
        // Futures of sqlx are large.
        let work = Box::pin(work);
        async move {
            let mut weighed = self.begin(Arc::default());
            let result = weighed.wait(work).await;
            weighed.end_with(result, |_| None)
        }
    }
}

/// A pool whose statements are weighed. An executor as `&Pool`.
pub struct Pool<DB: Database> {
    pub(super) inner: sqlx::Pool<DB>,
    pub(super) weighing: Weighing<DB>,
}

impl<DB: Database> Clone for Pool<DB> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            weighing: self.weighing.clone(),
        }
    }
}

impl<DB: Database> Pool<DB> {
    /// Weighs the statements of a pool. `database` is the name under which its tables are shown.
    #[must_use]
    pub fn new(database: &str, inner: sqlx::Pool<DB>) -> Self {
        Self {
            inner,
            weighing: Weighing::new(database),
        }
    }

    /// Says how the database tells how many rows a statement changed, such as `PgQueryResult::rows_affected`.
    #[must_use]
    pub fn with_rows_affected(mut self, affected: fn(&DB::QueryResult) -> u64) -> Self {
        self.weighing.affected = Some(affected);
        self
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// What `sqlx` says.
    pub async fn acquire(&self) -> Result<Connection<DB>> {
        let inner = self.weighing.other(self.inner.acquire()).await?;
        Ok(Connection {
            inner,
            weighing: self.weighing.clone(),
        })
    }

    /// Begins a transaction, which is rolled back unless it is committed.
    ///
    /// # Errors
    /// What `sqlx` says.
    pub async fn begin(&self) -> Result<Transaction<'static, DB>> {
        let inner = self.weighing.other(self.inner.begin()).await?;
        Ok(Transaction {
            inner,
            weighing: self.weighing.clone(),
        })
    }

    /// The pool of `sqlx`. What is done with it is not weighed.
    #[must_use]
    pub fn as_inner(&self) -> &sqlx::Pool<DB> {
        &self.inner
    }
}

/// A connection of the pool. An executor as `&mut Connection`.
pub struct Connection<DB: Database> {
    pub(super) inner: sqlx::pool::PoolConnection<DB>,
    pub(super) weighing: Weighing<DB>,
}

impl<DB: Database> Connection<DB> {
    /// Begins a transaction, which is rolled back unless it is committed.
    ///
    /// # Errors
    /// What `sqlx` says.
    pub async fn begin(&mut self) -> Result<Transaction<'_, DB>> {
        let inner = self.weighing.other((&mut self.inner).begin()).await?;
        Ok(Transaction {
            inner,
            weighing: self.weighing.clone(),
        })
    }

    /// The connection of `sqlx`. What is done with it is not weighed.
    pub fn as_inner_mut(&mut self) -> &mut sqlx::pool::PoolConnection<DB> {
        &mut self.inner
    }
}

/// A transaction under way, rolled back when it is dropped without [`commit`](Self::commit). An executor as
/// `&mut Transaction`.
pub struct Transaction<'c, DB: Database> {
    pub(super) inner: sqlx::Transaction<'c, DB>,
    pub(super) weighing: Weighing<DB>,
}

impl<DB: Database> Transaction<'_, DB> {
    /// Commits.
    ///
    /// # Errors
    /// What `sqlx` says.
    pub async fn commit(self) -> Result<()> {
        self.weighing.other(self.inner.commit()).await
    }

    /// Rolls back.
    ///
    /// # Errors
    /// What `sqlx` says.
    pub async fn rollback(self) -> Result<()> {
        self.weighing.other(self.inner.rollback()).await
    }

    /// Begins a transaction inside this one.
    ///
    /// # Errors
    /// What `sqlx` says.
    pub async fn begin(&mut self) -> Result<Transaction<'_, DB>> {
        let inner = self.weighing.other((&mut self.inner).begin()).await?;
        Ok(Transaction {
            inner,
            weighing: self.weighing.clone(),
        })
    }

    /// The transaction of `sqlx`. What is done with it is not weighed.
    pub fn as_inner_mut(&mut self) -> &mut DB::Connection {
        &mut self.inner
    }
}

macro_rules! debug {
    ($($name:ident <$($lifetime:lifetime,)? DB>)*) => {$(
        impl<DB: Database> std::fmt::Debug for $name<$($lifetime,)? DB> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut shown = f.debug_struct(stringify!($name));
                shown.field("database", &self.weighing.database);
                shown.finish_non_exhaustive()
            }
        }
    )*};
}

debug! { Pool<DB> Connection<DB> Transaction<'_, DB> }
