//! `axum::serve` plus the cost of the connection itself.
//!
//! Three places have accounts: the connection's future (class protocol), the service's call (the layer's
//! bill, class handler) and the socket (class io). Between the read that brings a request and the flush after
//! its response the connection works for that request: HTTP/1 has one in flight. Accepts, idle keep-alive and
//! what comes before a request's first byte belong to the owner `connection`.

mod accept;
mod connection;
mod io;
mod listener;
mod run;
mod service;
mod signal;

use std::future::{Future, IntoFuture};
use std::io::Result;
use std::pin::Pin;

use http::{Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

pub(crate) use connection::Served;
pub use listener::Listener;
pub use signal::shutdown_signal;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A server. Await it to run it. Made by [`serve`].
#[must_use = "a server runs when it is awaited"]
pub struct Serve<L, S> {
    listener: L,
    app: S,
    shutdown: Option<BoxFuture<()>>,
}

impl<L, S> std::fmt::Debug for Serve<L, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve").finish_non_exhaustive()
    }
}

/// Serves an app over HTTP/1 and weighs its connections. The app is an axum `Router` with
/// [`layer()`](crate::layer()) on it, or any tower service; without the layer everything is booked to the
/// connection.
///
/// The peer's address stands in the request's extensions as `SocketAddr`.
pub fn serve<L, S>(listener: L, app: S) -> Serve<L, S> {
    Serve {
        listener,
        app,
        shutdown: None,
    }
}

impl<L, S> Serve<L, S> {
    /// Stops accepting when the signal resolves, lets requests in flight finish, and then returns.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.shutdown = Some(Box::pin(signal));
        self
    }
}

impl<L, S, B> IntoFuture for Serve<L, S>
where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Output = Result<()>;
    type IntoFuture = BoxFuture<Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run::run(self.listener, self.app, self.shutdown))
    }
}
