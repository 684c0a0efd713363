//! A query whose text is known.

use sqlx::error::BoxDynError;
use sqlx::{Database, Execute, SqlStr};

/// What a query is made of: its text cannot be looked at without taking it apart.
pub(super) struct Known<DB: Database> {
    sql: SqlStr,
    statement: Option<DB::Statement>,
    arguments: Option<Result<Option<DB::Arguments>, BoxDynError>>,
    persistent: bool,
}

impl<DB: Database> Known<DB> {
    pub(super) fn new<'q>(mut query: impl Execute<'q, DB>) -> Self {
        Self {
            // In this order: the text comes last, as it takes the query.
            arguments: Some(query.take_arguments()),
            statement: query.statement().cloned(),
            persistent: query.persistent(),
            sql: query.sql(),
        }
    }

    pub(super) fn text(&self) -> &str {
        self.sql.as_str()
    }
}

impl<DB: Database> Execute<'_, DB> for Known<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}
