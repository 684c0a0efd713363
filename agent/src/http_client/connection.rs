//! Connections: made, counted, and driven in the account of the pool.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;
use weighbridge_wire::{Class, OwnerKind};

use super::CONNECT_TIMEOUT;
use super::meter::{Meter, TaskCost};
use crate::account::{self, Account, InAccount, OwnerRef};

/// The owner of a peer's connections.
pub(super) fn pool_owner(peer: &str) -> OwnerRef {
    account::owner(OwnerKind::Pool, &format!("http {peer}"))
}

/// Host and port of an address, as `connect` takes them.
pub(super) fn host_and_port(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?;
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    Some((host.to_owned(), uri.port_u16().unwrap_or(80)))
}

/// Opens metered connections.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) owner: OwnerRef,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Metered>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Metered>>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // Connecting serves whoever gets the connection later.
        let account = Account::new(self.owner.clone(), Class::Io);
        Box::pin(InAccount::new(account, async move {
            let (host, port) = host_and_port(&uri).ok_or(io::ErrorKind::InvalidInput)?;
            let connecting = TcpStream::connect((host, port));
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
                .await
                .map_err(|_| {
                    let text = format!("no connection within {CONNECT_TIMEOUT:?}");
                    io::Error::new(io::ErrorKind::TimedOut, text)
                })??;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(Metered {
                stream,
                meter: Meter::default(),
            }))
        }))
    }
}

pin_project! {
    /// A socket that counts, in class `io`.
    #[derive(Debug)]
    pub(super) struct Metered {
        #[pin]
        stream: TcpStream,
        meter: Meter,
    }
}

impl Connection for Metered {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.meter.clone())
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        this.meter.meet_task();
        let before = buf.filled().len();
        let entered = account::enter_class(Class::Io);
        let poll = this.stream.poll_read(cx, buf);
        drop(entered);
        this.meter.read(buf.filled().len().saturating_sub(before));
        poll
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        count(this.meter, || this.stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        count(this.meter, || this.stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP stream has nothing to flush: no system call, no reading of the clock.
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _entered = account::enter_class(Class::Io);
        self.project().stream.poll_shutdown(cx)
    }
}

fn count(
    meter: &Meter,
    write: impl FnOnce() -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    meter.meet_task();
    meter.writing();
    let entered = account::enter_class(Class::Io);
    let poll = write();
    drop(entered);
    if let Poll::Ready(Ok(written)) = &poll {
        meter.wrote(*written);
    }
    poll
}

/// Spawns what the pool wants done, in the account of the pool.
#[derive(Clone, Debug)]
pub(super) struct PoolExecutor {
    pub(super) owner: OwnerRef,
}

impl<F> hyper::rt::Executor<F> for PoolExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        // Without a runtime there is nobody to drive a connection; the caller's own poll has failed before.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(PoolTask {
                future: Some(future),
                owner: self.owner.clone(),
                cost: Arc::default(),
            });
        }
    }
}

pin_project! {
    struct PoolTask<F> {
        #[pin]
        future: Option<F>,
        owner: OwnerRef,
        cost: Arc<TaskCost>,
    }

    impl<F> PinnedDrop for PoolTask<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let account = Account::new(this.owner.clone(), Class::Protocol);
                this.cost.poll(account, || this.future.set(None));
            }
        }
    }
}

impl<F: Future<Output = ()>> Future for PoolTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let account = Account::new(this.owner.clone(), Class::Protocol);
        this.cost
            .poll(account, || match this.future.as_mut().as_pin_mut() {
                Some(future) => {
                    let poll = future.poll(cx);
                    if poll.is_ready() {
                        this.future.set(None);
                    }
                    poll
                }
                None => Poll::Ready(()),
            })
    }
}
