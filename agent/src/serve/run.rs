//! The accept loop.

use std::future::{Future, poll_fn};
use std::io::Result;
use std::net::SocketAddr;
use std::pin::pin;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tower_service::Service;
use weighbridge_wire::{Class, OwnerKind};

use super::connection::Weighed;
use super::io::WeighedIo;
use super::service::AppService;
use super::{BoxError, BoxFuture, Listener, Served, accept};
use crate::account::{Account, InAccount, OwnerRef, owner};

/// The owner of what no request asked for on a connection.
const CONNECTION: &str = "http1";

pub(super) async fn run<L, S, B>(listener: L, app: S, shutdown: Option<BoxFuture<()>>) -> Result<()>
where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let owner = owner(OwnerKind::Connection, CONNECTION);
    // Each connection holds a receiver: the sender sees when the last one is gone.
    let (stop, stopping) = watch::channel(false);
    let accepting = accept_all(listener, app, owner.clone(), &stopping);
    InAccount::new(Account::new(owner, Class::Io), async {
        match shutdown {
            None => accepting.await,
            Some(shutdown) => {
                tokio::select! {
                    () = accepting => {}
                    () = shutdown => {}
                }
            }
        }
    })
    .await;
    stop.send_replace(true);
    drop(stopping);
    stop.closed().await;
    Ok(())
}

async fn accept_all<L, S, B>(
    mut listener: L,
    app: S,
    owner: OwnerRef,
    stopping: &watch::Receiver<bool>,
) where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    loop {
        let (io, peer) = accept::accept(&mut listener).await;
        let served = Served::new(peer, owner.clone());
        let connection = connection(io, peer, served.clone(), app.clone(), stopping.clone());
        tokio::spawn(Weighed::new(connection, served));
    }
}

async fn connection<I, S, B>(
    io: I,
    peer: SocketAddr,
    served: Served,
    app: S,
    mut stopping: watch::Receiver<bool>,
) where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let io = TokioIo::new(WeighedIo::new(io, served.clone()));
    let connection = http1::Builder::new()
        .serve_connection(io, AppService { app, served })
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = {
        let mut stopped = pin!(stopping.wait_for(|stop| *stop));
        let mut told = false;
        poll_fn(|cx| {
            if !told && stopped.as_mut().poll(cx).is_ready() {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(cx)
        })
        .await
    };
    if let Err(error) = result {
        // A peer that goes away in the middle is no news to the host.
        tracing::debug!(%peer, %error, "connection ended with an error");
    }
}
