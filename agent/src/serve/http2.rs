//! HTTP/2: the connection's task is shared by its streams, and each stream has a task of its own.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;
use weighbridge_wire::Class;

use super::BoxError;
use super::connection::work;
use super::io::WeighedIo;
use super::run::Driver;
use super::service::AppService;

use crate::account::{self, Account, OwnerRef};
use crate::bill::Bill;

impl Driver {
    /// Serves a connection that was told to speak HTTP/2.
    pub(super) async fn http2<I, S, B>(&mut self, io: WeighedIo<I>, app: S)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + Send,
        B: http_body::Body + Send + 'static,
        B::Data: Send + 'static,
        B::Error: Into<BoxError>,
    {
        let served = self.served.clone();
        served.become_http2();
        let streams = Streams {
            owner: served.owner().clone(),
        };
        let connection = pin!(
            http2::Builder::new(streams)
                .timer(TokioTimer::new())
                // Websockets over HTTP/2 need it.
                .enable_connect_protocol()
                .serve_connection(TokioIo::new(io), AppService::new(app, served))
        );
        self.drive(connection, http2::Connection::graceful_shutdown)
            .await;
    }
}

/// Spawns the tasks of streams.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) owner: OwnerRef,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(Stream {
            inner: Some(future),
            // Not class protocol: without a layer this is the app's own work, which must not be apportioned
            // over the requests of others.
            account: Account::new(self.owner.clone(), Class::Handler),
            bill: None,
        });
    }
}

pin_project! {
    /// A stream's task: the connection's until the layer has opened a bill, then the request's. Its end closes
    /// the bill: by then the whole response has been handed to the connection.
    #[derive(Debug)]
    #[project = StreamProj]
    struct Stream<F> {
        #[pin]
        inner: Option<F>,
        account: Account,
        bill: Option<Arc<Bill>>,
    }

    impl<F> PinnedDrop for Stream<F> {
        fn drop(this: Pin<&mut Self>) {
            this.project().end();
        }
    }
}

impl<F> StreamProj<'_, F> {
    fn end(&mut self) {
        if self.inner.is_some() {
            let work = work(|| self.account.clone());
            self.inner.set(None);
            drop(work);
        }
        if let Some(bill) = self.bill.take() {
            bill.socket_done();
        }
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        let work = work(|| this.account.clone());
        let poll = inner.poll(cx);
        if work.is_weighed()
            && this.bill.is_none()
            && let Some(current) = account::current()
            && let OwnerRef::Bill(bill) = &current.owner
        {
            // The call has made the rest of the poll the request's.
            *this.bill = Some(bill.clone());
            *this.account = current;
        }
        drop(work);
        if poll.is_ready() {
            this.end();
        }
        poll
    }
}
