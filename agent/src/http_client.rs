//! An HTTP/1.1 client whose calls are weighed on this side, over hyper-util's pooled client.
//!
//! ```no_run
//! # use weighbridge_agent::http_client::{Client, ClientError};
//! # async fn stock() -> Result<u64, ClientError> {
//! let warehouse = Client::new("warehouse", "http://127.0.0.1:8081")?;
//! let response = warehouse.get("/stock/{sku}").param("sku", "A 1").send().await?;
//! response.error_for_status()?.json().await
//! # }
//! ```
//!
//! It needs a Tokio runtime with io and time enabled.
//!
//! # What is booked where
//!
//! The caller's polls belong to the request that calls: encoding and decoding by [`RequestBuilder::json`] and
//! [`Response::json`], and class `protocol` while the call is handed to the pool. The connection's own task
//! belongs to the owner `pool`, `http <peer>`, for as long as the connection lives: never to the request that
//! happened to open it. A connection serves one request at a time, so what its task spent since the request
//! before is shown in the edge row too, with the bytes that went over the wire.
//!
//! # When a call is counted
//!
//! Once, when the response body has ended or was dropped, or when the call failed. The request counts as sent
//! as soon as bytes of it were written; in the normal case both ends count the same. They differ, and the
//! report shows it, when the connection breaks in the middle: the caller counts what it wrote, whether or not
//! the callee read it. A response that is dropped unread is read to its end in the background, up to
//! [`DRAIN_BYTES_MAX`] and [`DRAIN_TIME_MAX`], which also keeps the connection.
//!
//! Time spent waiting is the time between a poll that was not ready and the next one; of calls made side by
//! side the waits overlap, and their sum may exceed the wall time of the request.

mod client;
mod connection;
mod error;
mod meter;
mod record;
mod request;
mod response;
mod template;

use std::time::Duration;

pub use client::Client;
pub use error::ClientError;
pub use request::RequestBuilder;
pub use response::Response;

/// Time for a call from sending to the head of the response, and again to the end of its body.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Time to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most idle connections kept for one peer.
pub const IDLE_CONNECTIONS_MAX: usize = 64;
/// Most bytes of a body that [`Response::bytes`] and [`Response::json`] collect, if nothing else is set.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// Most bytes of an unread response that are read so that it is counted and its connection kept.
pub const DRAIN_BYTES_MAX: u64 = 1 << 20;
/// Longest time for that.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
