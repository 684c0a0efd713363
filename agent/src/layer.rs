//! The tower layer: one bill per request.
//!
//! Put it on the router after the routes, so that it sees their templates:
//!
//! ```
//! # #[cfg(feature = "axum-0_8")] {
//! use axum::{Router, routing::get};
//! let app: Router = Router::new()
//!     .route("/orders/{id}", get(|| async { "one order" }))
//!     .layer(weighbridge_agent::layer());
//! # }
//! ```
//!
//! The handler, the middleware inside the layer, the request body as it is read and the response body as it
//! is produced all run in the request's account, and are dropped in it.

mod body;
mod carrier;
mod future;
mod known;
mod messages;
mod operation;
mod outcome;
mod service;
pub(crate) mod unweighed;

pub use body::{RequestBody, ResponseBody};
pub use future::ResponseFuture;
pub(crate) use messages::Messages;
pub use operation::RouteTemplate;
pub(crate) use operation::{is_grpc, known_method};
pub(crate) use outcome::{of_grpc as outcome_of_grpc, of_head as outcome_of_head};
pub use service::Weigh;

/// A tower layer that weighs each request. Made by [`layer`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Layer(());

/// The layer for axum routers, tonic routes and any other tower stack over `http` types.
///
/// Operations are named by method and route template (`GET /orders/{id}`): axum's matched path with feature
/// `axum-0_8`, else a [`RouteTemplate`] among the request's extensions, else `<unmatched>`; for gRPC the path.
/// Of two such layers around one handler the outer one counts.
#[must_use]
pub fn layer() -> Layer {
    Layer(())
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Weigh<S>;

    fn layer(&self, inner: S) -> Weigh<S> {
        Weigh::new(inner)
    }
}

#[cfg(test)]
mod tests;
