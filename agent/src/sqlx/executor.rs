//! What is weighed as an executor of `sqlx`.

use std::pin::Pin;

use sqlx::{Database, Describe, Error, Execute, Executor, SqlStr};

use super::execute::Known;
use super::pool::Weighing;
use super::stream::{Items, Weighed};
use super::{Connection, Pool, Transaction};

type Boxed<'e, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'e>>;

/// The rows of a query that an executor of `sqlx` runs.
fn many<'e, DB: Database>(
    weighing: Weighing<DB>,
    query: Known<DB>,
    run: impl FnOnce(Known<DB>) -> Items<'e, DB>,
) -> Items<'e, DB> {
    let uses = weighing.uses(query.text());
    Box::pin(Weighed::new(run(query), weighing, uses))
}

/// The first row of a query.
fn optional<'e, DB: Database>(
    weighing: Weighing<DB>,
    query: Known<DB>,
    run: impl FnOnce(Known<DB>) -> Boxed<'e, Option<DB::Row>>,
) -> Boxed<'e, Option<DB::Row>> {
    let uses = weighing.uses(query.text());
    let row = run(query);
    Box::pin(async move {
        let mut weighed = weighing.begin(uses);
        let result = weighed.wait(row).await;
        weighed.end_with(result, |row| Some(u64::from(row.is_some())))
    })
}

/// Something that is no statement.
fn other<'e, DB: Database, T: Send + 'e>(
    weighing: Weighing<DB>,
    work: Boxed<'e, T>,
) -> Boxed<'e, T> {
    Box::pin(async move {
        let mut weighed = weighing.begin(std::sync::Arc::default());
        let result = weighed.wait(work).await;
        weighed.end_with(result, |_| None)
    })
}

macro_rules! executor {
    ($lifetime:lifetime, [$($params:tt)*], $this:ty, |$self:ident| $inner:expr) => {
        impl<$lifetime, $($params)* DB: Database> Executor<$lifetime> for $this
        where
            for<'x> &'x mut DB::Connection: Executor<'x, Database = DB>,
        {
            type Database = DB;

            fn fetch_many<'e, 'q: 'e, E>(
                $self,
                query: E,
            ) -> Items<'e, DB>
            where
                $lifetime: 'e,
                E: 'q + Execute<'q, DB>,
            {
                many($self.weighing.clone(), Known::new(query), move |query| {
                    $inner.fetch_many(query)
                })
            }

            fn fetch_optional<'e, 'q: 'e, E>($self, query: E) -> Boxed<'e, Option<DB::Row>>
            where
                $lifetime: 'e,
                E: 'q + Execute<'q, DB>,
            {
                optional($self.weighing.clone(), Known::new(query), move |query| {
                    $inner.fetch_optional(query)
                })
            }

            fn prepare_with<'e>(
                $self,
                sql: SqlStr,
                parameters: &'e [DB::TypeInfo],
            ) -> Boxed<'e, DB::Statement>
            where
                $lifetime: 'e,
            {
                other(
                    $self.weighing.clone(),
                    $inner.prepare_with(sql, parameters),
                )
            }

            fn describe<'e>($self, sql: SqlStr) -> Boxed<'e, Describe<DB>>
            where
                $lifetime: 'e,
            {
                other($self.weighing.clone(), $inner.describe(sql))
            }
        }
    };
}

executor!('c, [], &'_ Pool<DB>, |self| (&self.inner));
executor!('c, [], &'c mut Connection<DB>, |self| (&mut *self.inner));
executor!('c, ['t,], &'c mut Transaction<'t, DB>, |self| (&mut *self.inner));
