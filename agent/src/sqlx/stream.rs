//! Rows as a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use sqlx::{Database, Either, Error};

use super::pool::Weighing;
use crate::store::{Access, Statement, Uses};

/// What `sqlx` calls one item of a stream.
pub(super) type Item<DB> =
    Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>, Error>;

/// A stream of `sqlx`.
pub(super) type Items<'e, DB> = Pin<Box<dyn Stream<Item = Item<DB>> + Send + 'e>>;

/// The items of a statement, which begins with the first poll.
pub(super) struct Weighed<'e, DB: Database> {
    inner: Items<'e, DB>,
    weighing: Weighing<DB>,
    uses: Arc<Uses>,
    statement: Option<Statement>,
    done: bool,
    /// Rows that came back.
    returned: u64,
    /// Rows that were changed, where the database can be asked.
    changed: Option<u64>,
    /// True when something came back.
    answered: bool,
}

impl<'e, DB: Database> Weighed<'e, DB> {
    pub(super) fn new(inner: Items<'e, DB>, weighing: Weighing<DB>, uses: Arc<Uses>) -> Self {
        Self {
            inner,
            weighing,
            uses,
            statement: None,
            done: false,
            returned: 0,
            changed: None,
            answered: false,
        }
    }

    fn note(&mut self, item: &Either<DB::QueryResult, DB::Row>) {
        self.answered = true;
        match (item, self.weighing.affected()) {
            (Either::Right(_), _) => self.returned += 1,
            (Either::Left(result), Some(affected)) => {
                *self.changed.get_or_insert(0) += affected(result);
            }
            (Either::Left(_), None) => {}
        }
    }

    fn end(&mut self) {
        let Some(statement) = self.statement.take() else {
            return;
        };
        // What a write returns it has written; else only the database knows how many there were.
        let rows = match self.uses.rows {
            Some(Access::Write) if self.returned == 0 => self.changed,
            _ => Some(self.returned),
        };
        statement.end(rows);
    }
}

impl<DB: Database> Unpin for Weighed<'_, DB> {}

impl<DB: Database> Stream for Weighed<'_, DB> {
    type Item = Item<DB>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.done {
            return this.inner.as_mut().poll_next(cx);
        }
        let (weighing, uses) = (&this.weighing, &this.uses);
        let statement = this
            .statement
            .get_or_insert_with(|| weighing.begin(uses.clone()));
        let inner = this.inner.as_mut();
        let next = ready!(statement.poll(|| inner.poll_next(cx)));
        match &next {
            Some(Ok(item)) => this.note(item),
            Some(Err(_)) => {
                this.done = true;
                this.statement = None;
            }
            None => {
                this.done = true;
                this.end();
            }
        }
        Poll::Ready(next)
    }
}

impl<DB: Database> Drop for Weighed<'_, DB> {
    fn drop(&mut self) {
        // Whoever stops after a row has had what he wanted; before it he went away.
        if self.answered {
            self.end();
        }
    }
}
