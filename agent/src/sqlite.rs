//! SQLite statements, weighed: their CPU is class `store`, and the tables they touch are entities.
//!
//! ```
//! # fn main() -> rusqlite::Result<()> {
//! let mut db = weighbridge_agent::sqlite::Connection::open_in_memory("store")?;
//! db.execute_batch("CREATE TABLE product (sku TEXT PRIMARY KEY, price INTEGER)")?;
//! db.transaction(|tx| tx.execute("INSERT INTO product VALUES (?1, ?2)", ("A1", 250)))?;
//! let price: i64 = db.query_row("SELECT price FROM product WHERE sku = ?1", ["A1"], |row| row.get(0))?;
//! assert_eq!(price, 250);
//! # Ok(())
//! # }
//! ```
//!
//! A statement runs where it is called and blocks; call it from
//! [`spawn_blocking`](crate::spawn_blocking), which carries the request along. Entities come from the text of
//! the statement, never from its values; a text that cannot be followed is counted as a loss
//! (`agent.sql`) and has no entities. Rows are given to an entity when only one can be meant: the table that a
//! statement writes, or the only table that it reads. Statements that failed are errors
//! of the entities they name, without rows.
//!
//! Wall time that a statement spends off the CPU (the disk, a lock) is the request's waiting for stores.

mod connection;
mod sizes;
mod statement;
mod transaction;

pub use connection::Connection;
pub use transaction::Transaction;

/// How long a statement waits for a lock that another connection holds, in ms.
pub const BUSY_TIMEOUT_MS: u64 = 5_000;
/// Most prepared statements kept by one connection.
pub const PREPARED_MAX: usize = 128;

#[cfg(test)]
mod tests;
