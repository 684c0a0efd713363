//! A tower layer for HTTP clients of any make: weighs each call on the caller's side.
//!
//! ```
//! # async fn stock<S>(client: S) -> Result<(), S::Error>
//! # where S: tower_service::Service<http::Request<weighbridge_agent::CallRequestBody<String>>, Response = http::Response<String>> + Clone {
//! use tower_layer::Layer as _;
//! use tower_service::Service as _;
//! use weighbridge_agent::{Target, client_layer};
//!
//! let mut warehouse = client_layer("warehouse").layer(client); // the peer's name for this service
//! let request = http::Request::get("http://127.0.0.1:8081/stock/7")
//!     .extension(Target("/stock/{sku}")) // what the call is booked under
//!     .body(String::new());
//! # let request = request.expect("a request");
//! let response = warehouse.call(request).await?;
//! # Ok(()) }
//! ```
//!
//! **Names.** A call is booked under `METHOD template`, the template from a [`Target`] among the request's
//! extensions; without one it is `METHOD *`, never the path. A call of gRPC, told by its content type, has transport
//! `grpc` and is booked under its method, `package.Service/Method`.
//!
//! **What is counted.** The request, once the transport has asked for its body or an answer has come; the answer,
//! once its head is there; bytes of bodies as they pass. Of gRPC each message within a stream. A connection that
//! could not be opened got no message and is an error of the edge; so are answers with 5xx, statuses of gRPC that are
//! errors, and bodies that break. Who drops a call does not make it an error.
//!
//! **What is booked where.** The caller's polls of the call are class `protocol`, and while they are not ready the
//! request waits for a call. A request body is produced in the account of the request that calls, wherever the client
//! polls it: in its connection's task, mostly. What that task itself spends is its owner's, and stands on the edge
//! only with [`driver_thread`](crate::driver_thread).
//!
//! **Trust.** Our headers go along where all addresses of the URI's host are trusted; they are looked up before the
//! first call to a host and remembered for half a minute. A request without a host in its URI (a client that knows
//! its server itself) needs [`ClientLayer::at`]. To anybody else nothing of ours is sent. A `traceparent` that the
//! request has already stays as it is.
//!
//! **Retries.** A layer outside of this one that retries makes calls: each is counted. Those that say so, by an
//! [`Attempt`] among the extensions or by gRPC's header `grpc-previous-rpc-attempts`, are counted as retries too.
//!
//! Of two such layers around one client the outer one counts.

mod body;
mod future;
mod layer;
mod names;
mod record;
mod service;

pub use body::{CallRequestBody, CallResponseBody};
pub use future::CallFuture;
pub use layer::{ClientLayer, client_layer};
pub use names::{Attempt, Target};
pub(crate) use names::{retries, target_of};
pub use record::{CallHandle, Encoded};
pub(crate) use record::{CallRecord, Caller, WeakRecord};
pub use service::Calls;
#[doc(hidden)]
pub use service::{AsIs, Carry};

#[cfg(test)]
mod tests;
