//! The accept loop.

#[cfg(feature = "axum-0_8")]
use std::any::Any;
use std::future::{Future, poll_fn};
use std::io::Result;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower_service::Service;
use weighbridge_wire::Class;

use super::connection::{Owners, Weighed};
use super::head_timer::HeadTimer;
use super::io::WeighedIo;
use super::service::AppService;
use super::{BoxError, Listener, Serve, Served, accept};
use crate::account::{Account, InAccount};

pub(super) async fn run<L, S, B>(serve: Serve<L, S>) -> Result<()>
where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send + 'static,
    B::Error: Into<BoxError>,
{
    let Serve {
        listener,
        app,
        shutdown,
        head_patience,
    } = serve;
    let app = with_its_routes(app);
    let owners = Owners::new();
    // Accepting comes before any protocol; what is accepted speaks HTTP/1 until it shows otherwise.
    let accounts = Account::new(owners.http1.clone(), Class::Io);
    // Each connection holds a receiver: the sender sees when the last one is gone.
    let (stop, stopping) = watch::channel(false);
    let accepting = accept_all(listener, app, owners, head_patience, &stopping);
    InAccount::new(accounts, async {
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

/// Until a router is told that it has its state, it makes its routes, and puts the layers on them, with each request.
fn with_its_routes<S: 'static>(app: S) -> S {
    #[cfg(feature = "axum-0_8")]
    {
        let mut app = app;
        if let Some(router) = (&mut app as &mut dyn Any).downcast_mut::<axum::Router>() {
            *router = std::mem::take(router).with_state(());
        }
        app
    }
    #[cfg(not(feature = "axum-0_8"))]
    app
}

async fn accept_all<L, S, B>(
    mut listener: L,
    app: S,
    owners: Owners,
    head_patience: Option<Duration>,
    stopping: &watch::Receiver<bool>,
) where
    L: Listener,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send + 'static,
    B::Error: Into<BoxError>,
{
    loop {
        let (io, peer) = accept::accept(&mut listener).await;
        let served = Served::new(peer, owners.clone());
        let driver = Driver {
            stopping: stopping.clone(),
            timer: HeadTimer::new(head_patience),
            served: served.clone(),
        };
        let connection = connection(io, driver, app.clone());
        tokio::spawn(Weighed::new(connection, served));
    }
}

async fn connection<I, S, B>(io: I, mut driver: Driver, app: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send + 'static,
    B::Error: Into<BoxError>,
{
    let served = driver.served.clone();
    #[cfg_attr(not(feature = "http2"), allow(unused_mut))]
    let mut io = WeighedIo::new(io, served.clone());
    #[cfg(feature = "http2")]
    {
        match driver.tell_protocol(&mut io).await {
            Some(true) => {
                // Boxed: connections of the other kind shall not carry its room.
                Box::pin(driver.http2(io, app)).await;
                return;
            }
            Some(false) => {}
            None => return,
        }
    }
    let connection = pin!(
        http1::Builder::new()
            .serve_connection(TokioIo::new(io), AppService::new(app, served))
            .with_upgrades()
    );
    driver
        .drive(connection, http1::UpgradeableConnection::graceful_shutdown)
        .await;
}

/// Drives a connection until it ends, is told to stop, or is too slow.
pub(super) struct Driver {
    stopping: watch::Receiver<bool>,
    timer: HeadTimer,
    pub(super) served: Served,
}

impl Driver {
    /// The connection stays where it is: a future that took it would have room for it twice, as long as it is open.
    pub(super) async fn drive<C, E>(
        &mut self,
        mut connection: Pin<&mut C>,
        shut_down: impl Fn(Pin<&mut C>),
    ) where
        C: Future<Output = std::result::Result<(), E>>,
        E: std::fmt::Display,
    {
        let Self {
            stopping,
            timer,
            served,
        } = self;
        // Looks without waiting: most polls find nothing new, and the task is waited for already.
        let news = stopping.clone();
        let mut stopped = pin!(stopping.wait_for(|stop| *stop));
        let (mut told, mut waited_by) = (false, None::<Waker>);
        let result = poll_fn(|cx| {
            let waits = waited_by
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()));
            if !told && (!waits || news.has_changed().unwrap_or(true)) {
                if stopped.as_mut().poll(cx).is_ready() {
                    told = true;
                    shut_down(connection.as_mut());
                }
                waited_by = Some(cx.waker().clone());
            }
            within(cx, timer, served, |cx| connection.as_mut().poll(cx))
        })
        .await;
        let peer = served.peer();
        match result {
            Some(Ok(())) => {}
            // A peer that goes away in the middle is no news to the host.
            Some(Err(error)) => tracing::debug!(%peer, %error, "connection ended with an error"),
            None => slow(served),
        }
    }

    /// Whether the client speaks HTTP/2; `None` when it is not worth to go on.
    #[cfg(feature = "http2")]
    async fn tell_protocol<I: AsyncRead + Unpin>(&mut self, io: &mut WeighedIo<I>) -> Option<bool> {
        let Self {
            stopping,
            timer,
            served,
        } = self;
        let mut stopped = pin!(stopping.wait_for(|stop| *stop));
        poll_fn(|cx| {
            if stopped.as_mut().poll(cx).is_ready() {
                // Nothing was asked yet.
                return Poll::Ready(None);
            }
            within(cx, timer, served, |cx| io.poll_is_http2(cx)).map(|told| match told {
                Some(Ok(http2)) => Some(http2),
                Some(Err(_)) => None,
                None => {
                    slow(served);
                    None
                }
            })
        })
        .await
    }
}

/// Polls, and is ready with `None` when the head of a request took too long.
fn within<T>(
    cx: &mut Context<'_>,
    timer: &mut HeadTimer,
    served: &Served,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<Option<T>> {
    match poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll(cx, served).map(|()| None),
    }
}

fn slow(served: &Served) {
    tracing::debug!(peer = %served.peer(), "connection closed: the head of a request took too long");
}
