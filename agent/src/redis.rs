//! Redis commands, weighed: their CPU is class `store`, and key spaces are entities.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use redis::AsyncCommands as _;
//!
//! let client = redis::Client::open("redis://127.0.0.1/")?;
//! let mut cache = weighbridge_agent::redis::connect("cache", &client)
//!     .await?
//!     .entity("cart", "cart:");
//! let _: () = cache.set("cart:17", "anvil").await?; // writes `cart`
//! # Ok(())
//! # }
//! ```
//!
//! # Entities
//!
//! Nothing of a key becomes a name: what [`entity`](Connection::entity) declares is told apart by how its keys begin,
//! and all other keys belong to `__other__`. Whether a command reads or writes, and which of its arguments are keys,
//! is known from its name. A command that is not known (those of modules) touches no entity, and is counted as a loss
//! (`agent.redis`). A script writes the keys that it is given. Rows are absent; bytes are those of the arguments of a
//! command that writes, and those of the answer to one that reads, where only one entity is touched.
//!
//! In a pipeline each command counts. What the pipeline costs stands on an entity only if all its commands touch
//! the same one in the same way. A command that failed is an error of its entities, without bytes.
//!
//! # What is booked where
//!
//! CPU of a command's own polls (packing, converting the answer) belongs to the request, in class `store`; the time
//! until the answer is there is its waiting for stores. The connection of [`connect`] has a task of its own, which is
//! the driver `redis <name>`: its socket calls are class `io`, the rest is `protocol`. Any other connection of the
//! crate can be wrapped with [`Connection::new`]; its task is then whatever its runtime makes of it.

mod commands;
mod connect;
mod connection;

pub use crate::store::Socket;
pub use connect::connect;
pub use connection::Connection;

/// Most entities that one connection tells apart; more are `__other__`.
pub const ENTITIES_MAX: usize = 64;
/// How long connecting may take.
pub const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
