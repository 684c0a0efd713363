//! Statements, by text or prepared.

use std::sync::Arc;

use crate::ledger::limits;
use crate::sql::{Dialect, Statements};
use crate::store::{self, Uses};

/// A prepared statement, with what is known of its text.
#[derive(Clone, Debug)]
pub struct Statement {
    pub(super) inner: tokio_postgres::Statement,
    uses: Arc<Uses>,
}

impl Statement {
    pub(super) fn new(inner: tokio_postgres::Statement, uses: Arc<Uses>) -> Self {
        Self { inner, uses }
    }

    /// The statement of `tokio-postgres`, which tells of its parameters and columns.
    #[must_use]
    pub fn as_inner(&self) -> &tokio_postgres::Statement {
        &self.inner
    }
}

/// What can be run: a text, or a [`Statement`] that was prepared from one.
pub trait ToStatement: sealed::Sealed {}

/// Where a statement comes from.
#[derive(Debug)]
pub enum Source<'a> {
    Text(&'a str),
    Prepared(&'a Statement),
}

pub(super) mod sealed {
    use super::Source;

    pub trait Sealed {
        type Inner: ?Sized + tokio_postgres::ToStatement + Sync;

        fn inner(&self) -> &Self::Inner;

        fn source(&self) -> Source<'_>;
    }
}

impl ToStatement for str {}

impl sealed::Sealed for str {
    type Inner = str;

    fn inner(&self) -> &str {
        self
    }

    fn source(&self) -> Source<'_> {
        Source::Text(self)
    }
}

impl ToStatement for String {}

impl sealed::Sealed for String {
    type Inner = str;

    fn inner(&self) -> &str {
        self
    }

    fn source(&self) -> Source<'_> {
        Source::Text(self)
    }
}

impl ToStatement for Statement {}

impl sealed::Sealed for Statement {
    type Inner = tokio_postgres::Statement;

    fn inner(&self) -> &tokio_postgres::Statement {
        &self.inner
    }

    fn source(&self) -> Source<'_> {
        Source::Prepared(self)
    }
}

/// The name of a database, and what is known of its statements.
#[derive(Debug)]
pub(super) struct Database {
    name: Arc<str>,
    statements: Statements,
}

impl Database {
    pub(super) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: limits::cut(name).into(),
            statements: Statements::new(Dialect::Postgres),
        })
    }

    pub(super) fn uses(&self, text: &str) -> Arc<Uses> {
        self.statements.get(text)
    }

    /// A statement that is about to run.
    pub(super) fn begin<T: ToStatement + ?Sized>(&self, statement: &T) -> store::Statement {
        let uses = match statement.source() {
            Source::Text(text) => self.uses(text),
            Source::Prepared(statement) => statement.uses.clone(),
        };
        store::Statement::begin(&self.name, uses)
    }

    /// Something that the client does besides statements: it touches no entity.
    pub(super) fn begin_other(&self) -> store::Statement {
        store::Statement::begin(&self.name, Arc::default())
    }
}
