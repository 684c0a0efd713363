//! The client.

use std::sync::Arc;

use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{Config, Error, IsolationLevel, Row, SimpleQueryMessage};

use super::statement::Database;
use super::{
    CancelToken, CopyInSink, CopyOutStream, RowStream, Statement, ToStatement, Transaction,
};

/// A client whose statements are weighed. Its methods are those of [`tokio_postgres::Client`], and so are their
/// errors.
#[derive(Debug)]
pub struct Client {
    inner: tokio_postgres::Client,
    database: Arc<Database>,
    /// Where the server is, if we connected.
    config: Option<Arc<Config>>,
}

/// The methods that a client and a transaction share. Errors are those of `tokio-postgres`.
macro_rules! statements {
    () => {
        /// Prepares a statement.
        ///
        /// # Errors
        /// What the client says.
        pub async fn prepare(&self, sql: &str) -> Result<Statement, Error> {
            self.prepare_typed(sql, &[]).await
        }

        /// Prepares a statement with types of its parameters.
        ///
        /// # Errors
        /// What the client says.
        pub async fn prepare_typed(&self, sql: &str, types: &[Type]) -> Result<Statement, Error> {
            let mut weighed = self.database.begin_other();
            let prepared = weighed.wait(self.inner.prepare_typed(sql, types)).await;
            let uses = self.database.uses(sql);
            weighed
                .end_with(prepared, |_| None)
                .map(|inner| Statement::new(inner, uses))
        }

        /// Runs a statement and returns all its rows.
        ///
        /// # Errors
        /// What the client says.
        pub async fn query<T: ?Sized + ToStatement>(
            &self,
            statement: &T,
            params: &[&(dyn ToSql + Sync)],
        ) -> Result<Vec<Row>, Error> {
            let mut weighed = self.database.begin(statement);
            let result = weighed
                .wait(self.inner.query(statement.inner(), params))
                .await;
            weighed.end_with(result, |rows| Some(rows.len() as u64))
        }

        /// Runs a statement that returns exactly one row.
        ///
        /// # Errors
        /// What the client says, also when there is not exactly one row.
        pub async fn query_one<T: ?Sized + ToStatement>(
            &self,
            statement: &T,
            params: &[&(dyn ToSql + Sync)],
        ) -> Result<Row, Error> {
            let mut weighed = self.database.begin(statement);
            let result = weighed
                .wait(self.inner.query_one(statement.inner(), params))
                .await;
            weighed.end_with(result, |_| Some(1))
        }

        /// Runs a statement that returns one row or none.
        ///
        /// # Errors
        /// What the client says, also when there are several rows.
        pub async fn query_opt<T: ?Sized + ToStatement>(
            &self,
            statement: &T,
            params: &[&(dyn ToSql + Sync)],
        ) -> Result<Option<Row>, Error> {
            let mut weighed = self.database.begin(statement);
            let result = weighed
                .wait(self.inner.query_opt(statement.inner(), params))
                .await;
            weighed.end_with(result, |row| Some(u64::from(row.is_some())))
        }

        /// Runs a statement whose rows come as a stream. The statement ends with the stream; rows that were not
        /// taken are not counted.
        ///
        /// # Errors
        /// What the client says.
        pub async fn query_raw<T, P, I>(&self, statement: &T, params: I) -> Result<RowStream, Error>
        where
            T: ?Sized + ToStatement,
            P: BorrowToSql,
            I: IntoIterator<Item = P>,
            I::IntoIter: ExactSizeIterator,
        {
            let mut weighed = self.database.begin(statement);
            let rows = weighed
                .wait(self.inner.query_raw(statement.inner(), params))
                .await?;
            Ok(RowStream::new(rows, weighed))
        }

        /// Runs a statement that is not prepared before; `types` are those of the parameters.
        ///
        /// # Errors
        /// What the client says.
        pub async fn query_typed(
            &self,
            sql: &str,
            params: &[(&(dyn ToSql + Sync), Type)],
        ) -> Result<Vec<Row>, Error> {
            let mut weighed = self.database.begin(sql);
            let result = weighed.wait(self.inner.query_typed(sql, params)).await;
            weighed.end_with(result, |rows| Some(rows.len() as u64))
        }

        /// Runs a statement and returns how many rows it touched.
        ///
        /// # Errors
        /// What the client says.
        pub async fn execute<T: ?Sized + ToStatement>(
            &self,
            statement: &T,
            params: &[&(dyn ToSql + Sync)],
        ) -> Result<u64, Error> {
            let mut weighed = self.database.begin(statement);
            let result = weighed
                .wait(self.inner.execute(statement.inner(), params))
                .await;
            weighed.end_with(result, |rows| Some(*rows))
        }

        /// As [`execute`](Self::execute), with parameters of one type.
        ///
        /// # Errors
        /// What the client says.
        pub async fn execute_raw<T, P, I>(&self, statement: &T, params: I) -> Result<u64, Error>
        where
            T: ?Sized + ToStatement,
            P: BorrowToSql,
            I: IntoIterator<Item = P>,
            I::IntoIter: ExactSizeIterator,
        {
            let mut weighed = self.database.begin(statement);
            let result = weighed
                .wait(self.inner.execute_raw(statement.inner(), params))
                .await;
            weighed.end_with(result, |rows| Some(*rows))
        }

        /// Runs several statements without parameters. Each entity counts once for the whole text.
        ///
        /// # Errors
        /// What the client says.
        pub async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
            let mut weighed = self.database.begin(sql);
            let result = weighed.wait(self.inner.batch_execute(sql)).await;
            weighed.end_with(result, |()| None)
        }

        /// Runs several statements without parameters and returns what they answer. Each entity counts once for
        /// the whole text, without rows.
        ///
        /// # Errors
        /// What the client says.
        pub async fn simple_query(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
            let mut weighed = self.database.begin(sql);
            let result = weighed.wait(self.inner.simple_query(sql)).await;
            weighed.end_with(result, |_| None)
        }

        /// Runs `COPY … FROM STDIN`.
        ///
        /// # Errors
        /// What the client says.
        pub async fn copy_in<T, U>(&self, statement: &T) -> Result<CopyInSink<U>, Error>
        where
            T: ?Sized + ToStatement,
            U: bytes::Buf + Send + 'static,
        {
            let mut weighed = self.database.begin(statement);
            let sink = weighed.wait(self.inner.copy_in(statement.inner())).await?;
            Ok(CopyInSink::new(sink, weighed))
        }

        /// Runs `COPY … TO STDOUT`.
        ///
        /// # Errors
        /// What the client says.
        pub async fn copy_out<T>(&self, statement: &T) -> Result<CopyOutStream, Error>
        where
            T: ?Sized + ToStatement,
        {
            let mut weighed = self.database.begin(statement);
            let stream = weighed.wait(self.inner.copy_out(statement.inner())).await?;
            Ok(CopyOutStream::new(stream, weighed))
        }
    };
}
pub(super) use statements;

impl Client {
    /// Weighs the statements of a client that was connected elsewhere. `database` is the name under which its tables
    /// are shown. Run its connection in [`driver`](crate::driver).
    #[must_use]
    pub fn new(database: &str, inner: tokio_postgres::Client) -> Self {
        Self {
            inner,
            database: Database::new(database),
            config: None,
        }
    }

    pub(super) fn connected(mut self, config: &Config) -> Self {
        self.config = Some(Arc::new(config.clone()));
        self
    }

    statements!();

    /// Begins a transaction, which is rolled back unless it is committed.
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

    /// As [`transaction`](Self::transaction), with an isolation level, and for reading only if wanted.
    ///
    /// # Errors
    /// What the client says.
    pub async fn transaction_with(
        &mut self,
        isolation: IsolationLevel,
        read_only: bool,
    ) -> Result<Transaction<'_>, Error> {
        let mut weighed = self.database.begin_other();
        let builder = self.inner.build_transaction();
        let begun = builder.isolation_level(isolation).read_only(read_only);
        let begun = weighed.wait(begun.start()).await;
        weighed
            .end_with(begun, |_| None)
            .map(|inner| Transaction::new(inner, self.database.clone()))
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// What the client says.
    pub async fn check_connection(&self) -> Result<(), Error> {
        let mut weighed = self.database.begin_other();
        let result = weighed.wait(self.inner.check_connection()).await;
        weighed.end_with(result, |()| None)
    }

    /// What can cancel a statement under way. Absent for a client that was connected elsewhere, whose own token knows
    /// where the server is.
    #[must_use]
    pub fn cancel_token(&self) -> Option<CancelToken> {
        let config = self.config.clone()?;
        Some(CancelToken::new(self.inner.cancel_token(), config))
    }

    /// True when the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// The client of `tokio-postgres`. What is done with it is not weighed.
    #[must_use]
    pub fn as_inner(&self) -> &tokio_postgres::Client {
        &self.inner
    }
}
