//! Messages over any transport: what a client that Weighbridge does not know says about its calls, and what all
//! of its own clients are made of.
//!
//! ```
//! # use weighbridge_agent::messages::{Arrival, Peer};
//! # async fn exchange(_: Vec<u8>) -> Result<Vec<u8>, std::io::Error> { Ok(Vec::new()) }
//! # async fn run(address: std::net::IpAddr, incoming: Vec<u8>, headers: Vec<(String, String)>) -> std::io::Result<()> {
//! let peer = Peer::new("queue", "jobs"); // transport, and the peer's name for this service
//! peer.set_addresses([address]); // headers go only where the rule of trust allows it
//!
//! // A call: the caller waits for an answer.
//! let mut call = peer.call("lookup");
//! let body = call.encode(|| b"one".to_vec());
//! let _send_along: Vec<(&str, String)> = call.headers();
//! call.sent(body.len() as u64);
//! let answer = call.wait(exchange(body)).await?; // dropped on error: counted as one
//! call.received(answer.len() as u64);
//! call.end();
//!
//! // A message that nobody answers.
//! let mut publication = peer.publish("orders.created");
//! publication.sent(3);
//! publication.end();
//!
//! // A message that arrived: a request of its own, `CONSUME orders.created`.
//! let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
//! let consumption = peer
//!     .consume("orders.created", &Arrival::of_bytes(incoming.len() as u64).with_headers(pairs));
//! consumption.run(async { /* the handler */ }).await;
//! # Ok(()) }
//! ```
//!
//! **Names.** What a message is booked under (`"orders.created"`) is text of the code, a template, never of the
//! data: nothing that a user sent becomes a label.
//!
//! **What is booked where.** Encoding and decoding belong to the request that calls, in their classes, and stand
//! on the edge. CPU of the polls inside [`Call::wait`] is class `protocol`, or `io` where a socket of ours is
//! polled. What a client's own task spends is its owner's; see [`driver_thread`](crate::driver_thread).
//!
//! **When a message is counted.** Once, when its record ends or is dropped; dropped without
//! [`end`](Call::end) it is an error of the edge. Messages and bytes count as they were told, so a call that
//! failed before anything was sent counts an error and no message.

mod arrival;
mod batch;
mod call;
mod disposition;
mod exchange;
mod handlers;
#[cfg(test)]
pub(crate) mod observed;
mod peer;
mod spent;
mod topic;
mod whereabouts;

pub(crate) use arrival::replied;
pub use arrival::{Arrival, Consumption};
pub(crate) use batch::Batch;
pub use call::{Call, Publication};
pub use disposition::Disposition;
pub(crate) use exchange::Exchange;
pub(crate) use handlers::{Handlers, caught};
pub use peer::Peer;
pub(crate) use peer::{Site, look_up};
pub(crate) use spent::Spent;
pub use topic::Topic;
pub(crate) use whereabouts::Whereabouts;

/// Most targets whose call ids one peer remembers; they are written in code, so there are few.
pub const TARGETS_MAX: usize = 1_024;

/// The code of the guide for adapters compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/adapters.md")]
struct Guide;

#[cfg(test)]
mod tests;
