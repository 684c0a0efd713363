//! A client's connection on a thread of its own, so that the thread's CPU is what the connection costs.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use weighbridge_wire::{Class, OwnerKind};

use crate::account::{self, Account};
use crate::ledger::limits::DRIVER_THREADS_MAX;

/// How long what the client runs on blocking threads (looking a name up) is waited for when its thread ends.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(1);

/// Why a client has no thread of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError<E> {
    /// The client could not connect: its own error.
    #[error("the client could not connect")]
    Connect(#[source] E),
    /// Connecting panicked.
    #[error("connecting panicked: {0}; the panic ended the driver's thread and nothing else")]
    Panicked(String),
    /// There are too many.
    #[error(
        "{DRIVER_THREADS_MAX} drivers have threads of their own already; connect this client without `driver_thread`"
    )]
    TooMany,
    /// The system gave no thread, or no runtime.
    #[error("the system gave no thread for the driver; connect the client without `driver_thread`")]
    Thread(#[source] std::io::Error),
}

/// A client that is driven by a thread of its own. Dropping it, or its [`DriverThread`], ends the thread and with it
/// the connection, also for clones of the client.
#[derive(Debug)]
#[must_use = "dropping it ends the client's thread"]
pub struct Driven<T> {
    client: T,
    thread: DriverThread,
}

/// The thread that drives a client. It ends when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the client's thread"]
pub struct DriverThread {
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
}

/// Connects a client on a runtime of its own, on a thread of its own: whatever the client spawns while it connects
/// runs there, and all of the thread's CPU belongs to the owner `driver` under this name, class `protocol`. When a
/// window ends, it is shared out by bytes over the edges of the peer that has this name, as an apportioned figure.
///
/// ```
/// # async fn connect(_: &str) -> Result<Client, std::io::Error> { Ok(Client) }
/// # #[derive(Clone)] struct Client;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = weighbridge_agent::driver_thread("queue", || connect("127.0.0.1:4222")).await?;
/// let client: &Client = &queue; // to be used from anywhere; `queue` keeps the thread
/// # let _ = client;
/// queue.stop().await;
/// # Ok(()) }
/// ```
///
/// For clients whose connection is a task: NATS, Redis, AMQP, MQTT, a tonic channel. A client that opens connections
/// when it is called (hyper-util, reqwest) does that where it is called: use [`Driven::within`] around its calls.
///
/// **The difference to [`driver`](crate::driver()):** that one books the polls of one future, where it is run, to the
/// owner `driver`; its costs stay there. This one sees everything that the client does by itself, on stable Tokio
/// too, and says what it costs per edge. Its price: each message goes to another thread and back, a wake-up each way
/// (`docs/accounting.md` has the figure). So it is for those who want to know, not a default.
///
/// A panic of the client's tasks ends these, as on any runtime. At most
/// [`DRIVER_THREADS_MAX`](crate::limits::DRIVER_THREADS_MAX) such threads live at once. Switched off, the thread is
/// there and nothing is booked.
///
/// # Errors
/// [`DriverError`]; the client's own error is inside.
pub async fn driver_thread<C, F, T, E>(name: &str, connect: C) -> Result<Driven<T>, DriverError<E>>
where
    C: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<T, E>>,
    T: Send + 'static,
    E: Send + 'static,
{
    let place = Place::take().ok_or(DriverError::TooMany)?;
    let runtime = runtime(name).map_err(DriverError::Thread)?;
    let (stop, stopped) = oneshot::channel();
    let (connected, connecting) = oneshot::channel();
    let (ending, ended) = oneshot::channel::<()>();
    let thread = DriverThread {
        runtime: runtime.handle().clone(),
        stop: Some(stop),
        ended,
    };
    let owner = account::owner(OwnerKind::Driver, name);
    std::thread::Builder::new()
        .name(thread_name(name))
        .spawn(move || {
            // Dropped last: whoever waits for the end sees that the place is free.
            let _ending = ending;
            let _place = place;
            account::be_born_here();
            let _driver = account::enter(Account::new(owner, Class::Protocol));
            run(runtime, connect, connected, stopped);
        })
        .map_err(DriverError::Thread)?;
    match connecting.await {
        Ok(Ok(Ok(client))) => Ok(Driven { client, thread }),
        Ok(Ok(Err(error))) => Err(DriverError::Connect(error)),
        Ok(Err(panic)) => Err(DriverError::Panicked(panic)),
        Err(_) => Err(DriverError::Panicked("its thread ended".to_owned())),
    }
}

/// A runtime without the hooks that would book its tasks to others.
fn runtime(name: &str) -> std::io::Result<Runtime> {
    let account = Account::new(account::owner(OwnerKind::Driver, name), Class::Protocol);
    Builder::new_current_thread()
        .enable_all()
        .thread_name(thread_name(name))
        // The threads for what blocks are the driver's too.
        .on_thread_start(move || account::become_new_thread_of(account.clone()))
        .on_thread_stop(account::leave_thread)
        .on_thread_park(account::on_park)
        .on_thread_unpark(account::on_unpark)
        .build()
}

/// The system cuts names of threads to 15 bytes; they may hold no zero byte.
fn thread_name(name: &str) -> String {
    format!("wb {}", name.replace('\0', ""))
}

type Connected<T, E> = Result<Result<T, E>, String>;

fn run<C, F, T, E>(
    runtime: Runtime,
    connect: C,
    connected: oneshot::Sender<Connected<T, E>>,
    mut stopped: oneshot::Receiver<()>,
) where
    C: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
{
    runtime.block_on(async {
        let connecting = contained(connect);
        let result = {
            let mut connecting = pin!(connecting);
            // Nobody waits any more: stopped before it was connected.
            poll_fn(|cx| match Pin::new(&mut stopped).poll(cx) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => connecting.as_mut().poll(cx).map(Some),
            })
            .await
        };
        if let Some(result) = result
            && connected.send(result).is_ok()
        {
            let _ = stopped.await;
        }
    });
    runtime.shutdown_timeout(SHUTDOWN_TIME_MAX);
}

/// Connects; a panic becomes a result.
async fn contained<C, F, T, E>(connect: C) -> Connected<T, E>
where
    C: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
{
    let connecting = catch_unwind(AssertUnwindSafe(connect)).map_err(|panic| said(&*panic))?;
    let mut connecting = Box::pin(connecting);
    poll_fn(|cx| {
        let poll = AssertUnwindSafe(|| connecting.as_mut().poll(cx));
        match catch_unwind(poll) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(said(&*panic))),
        }
    })
    .await
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned())
}

impl<T> Driven<T> {
    /// The client and its thread, each on its own.
    pub fn into_parts(self) -> (T, DriverThread) {
        (self.client, self.thread)
    }

    /// Runs a call of the client; see [`DriverThread::within`].
    pub fn within<F: Future>(&self, call: F) -> Within<F> {
        self.thread.within(call)
    }

    /// Ends the thread and waits until it has ended.
    pub async fn stop(self) {
        drop(self.client);
        self.thread.stop().await;
    }
}

impl<T> Deref for Driven<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

impl DriverThread {
    /// The future as it is, polled where it is awaited, but with this thread's runtime as the one that it spawns
    /// tasks and opens sockets on: so the connections that a call opens are driven here.
    pub fn within<F: Future>(&self, call: F) -> Within<F> {
        Within {
            call,
            runtime: self.runtime.clone(),
        }
    }

    /// Ends the thread and waits until it has ended.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let _ = (&mut self.ended).await;
    }
}

pin_project! {
    /// A future on the runtime of a driver's thread. Made by [`DriverThread::within`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Within<F> {
        #[pin]
        call: F,
        runtime: Handle,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _runtime = this.runtime.enter();
        this.call.poll(cx)
    }
}

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// One of the threads that there may be.
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let more = |threads: usize| (threads < DRIVER_THREADS_MAX).then_some(threads + 1);
        THREADS
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
