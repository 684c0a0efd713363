//! `axum::serve` plus the cost of the connection itself.
//!
//! Three places have accounts: the connection's future (class protocol), the service's call (the layer's
//! bill, class handler) and the socket (class io). Between the read that brings a request and the flush after
//! its response the connection works for that request: HTTP/1 has one in flight. Accepts, idle keep-alive and
//! what comes before a request's first byte belong to the owner `connection`.

mod accept;
mod connection;
mod head_timer;
#[cfg(feature = "http2")]
mod http2;
mod io;
mod listener;
mod run;
mod service;
mod signal;

use std::future::{Future, IntoFuture};
use std::io::Result;
use std::pin::Pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

pub(crate) use connection::{Arrived, Served};
pub use listener::Listener;
pub use signal::shutdown_signal;

/// How long a client may take for the head of an HTTP/1 request
/// ([`with_header_read_timeout`](Serve::with_header_read_timeout)).
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A server. Await it to run it. Made by [`serve`].
#[must_use = "a server runs when it is awaited"]
pub struct Serve<L, S> {
    listener: L,
    app: S,
    shutdown: Option<BoxFuture<()>>,
    head_patience: Option<Duration>,
}

impl<L, S> std::fmt::Debug for Serve<L, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve").finish_non_exhaustive()
    }
}

/// Serves an app over HTTP/1, and with feature `http2` over HTTP/2 too, and weighs its connections. The app is an
/// axum `Router` with [`layer()`](crate::layer()) on it (made of tonic's `Routes` by `into_axum_router()`, if you
/// like), or any tower service; without the layer everything is booked to the connection.
///
/// A client that speaks HTTP/2 is known by its first bytes: by prior knowledge, or because a [`Listener`] with
/// TLS agreed on `h2` by ALPN.
///
/// The peer's address stands in the request's extensions as `SocketAddr`. Needs Tokio's timer (`enable_all`, as
/// [`runtime()`](crate::runtime()) has it).
pub fn serve<L, S>(listener: L, app: S) -> Serve<L, S> {
    Serve {
        listener,
        app,
        shutdown: None,
        head_patience: Some(HEADER_READ_TIMEOUT),
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

    /// How long a client may take for the head of an HTTP/1 request, from its first byte on, or from the begin
    /// of the connection for the first one; then the connection is closed. `None` waits for ever, which lets a
    /// few slow clients hold all connections. Default: [`HEADER_READ_TIMEOUT`]. Idle keep-alive connections and
    /// connections of HTTP/2 stay open.
    pub fn with_header_read_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.head_patience = timeout.into();
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
    B::Data: Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<()>;
    type IntoFuture = BoxFuture<Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run::run(self))
    }
}
