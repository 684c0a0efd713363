//! Statements by `sqlx`, weighed: their CPU is class `store`, and the tables they touch are entities.
//!
//! ```no_run
//! # async fn run<DB: sqlx::Database>(pool: sqlx::Pool<DB>) -> sqlx::Result<()>
//! # where
//! #     for<'c> &'c mut DB::Connection: sqlx::Executor<'c, Database = DB>,
//! #     DB::Arguments: sqlx::IntoArguments<DB>,
//! # {
//! let db = weighbridge_agent::sqlx::Pool::new("store", pool);
//! sqlx::query("UPDATE product SET price = price + 1").execute(&db).await?;
//! let mut tx = db.begin().await?;
//! sqlx::query("DELETE FROM stock").execute(&mut tx).await?;
//! tx.commit().await
//! # }
//! ```
//!
//! The pool, its connections and its transactions are executors, so queries run on them as on those of `sqlx`, with
//! its errors.
//!
//! # What is booked where
//!
//! CPU belongs to the request that runs the statement, in class `store`: `sqlx` calls the socket from the request's own
//! polls, so parsing and socket calls are in it. Only SQLite works on threads of its own, whose CPU is not
//! seen. Waiting, for a connection of the pool too, is the request's waiting for stores. Both stand on the entity too
//! where the statement names only one. Reading values out of rows is the handler's.
//!
//! # Entities
//!
//! They come from the text of the statement, never from its values; a text that cannot be followed is counted as a
//! loss (`agent.sql`) and has no entities. Rows belong to the one entity that can be meant, and are those that came
//! back. How many a statement changed only its database can say: [`Pool::with_rows_affected`] tells how to ask; without
//! it they are absent. A statement that failed, or that nobody waited for any longer, is an error of the entities it
//! names, without rows; a stream that is dropped after its first row has ended there.

mod execute;
mod executor;
mod pool;
mod stream;

pub use pool::{Connection, Pool, Transaction};
