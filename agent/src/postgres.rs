//! PostgreSQL statements by `tokio-postgres`, weighed: their CPU is class `store`, and the tables they touch are
//! entities.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use weighbridge_agent::postgres;
//!
//! let config: postgres::Config = "host=127.0.0.1 user=store dbname=store".parse()?;
//! let client = postgres::connect("store", &config).await?;
//! let row = client.query_one("SELECT price FROM product WHERE sku = $1", &[&"A1"]).await?;
//! let _price: i64 = row.get(0);
//! # Ok(())
//! # }
//! ```
//!
//! # What is booked where
//!
//! CPU of a statement's own polls (its values written, its rows taken over) belongs to the request that runs it, in
//! class `store`; the time until the answer is there is the request's waiting for stores. Both stand on the entity
//! too where the statement names only one. Reading values out of a [`Row`](tokio_postgres::Row) is the handler's.
//!
//! The connection has a task of its own, which many requests may share: its owner is the driver `postgres <name>`, its
//! socket calls are class `io` and the rest is `protocol`. They are not given to single statements.
//!
//! # Entities
//!
//! They come from the text of the statement, never from its values; a text that cannot be followed is counted as a
//! loss (`agent.sql`) and has no entities. Rows belong to the one entity that can be meant: the table that a statement
//! writes, or the only one that it reads. A statement that failed, or that nobody waited for any longer, is an error
//! of the entities it names, without rows. What triggers and functions touch is not seen.
//!
//! # Connections made otherwise
//!
//! [`connect`] tries the hosts of the configuration in their order. For TLS there is [`connect_with`]. For anything else
//! (a session of a wanted kind, keepalive times, notifications) connect with `tokio_postgres`, run its connection in
//! [`driver`](crate::driver), and make a [`Client::new`] of its client.

mod client;
mod connect;
mod copy;
mod rows;
mod statement;
mod transaction;

pub use crate::store::Socket;
pub use client::Client;
pub use connect::{CancelToken, ConnectError, connect, connect_with};
pub use copy::{CopyInSink, CopyOutStream};
pub use rows::RowStream;
pub use statement::{Statement, ToStatement};
pub use tokio_postgres::Config;
pub use transaction::Transaction;

/// How long connecting to one address may take where the configuration says nothing.
pub const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
