//! Work beside the request's own future: children, background work, jobs, drivers, calls inside the process.

mod context;
mod driver_thread;
mod join_set;
mod local;
mod scope;
mod spawn;
mod split;
mod stamped;

pub use context::Context;
pub use driver_thread::{Driven, DriverError, DriverThread, Within, driver_thread};
pub use join_set::JoinSet;
pub use local::local_call;
pub use scope::{InScope, Scope};
#[cfg(tokio_unstable)]
pub(crate) use spawn::child_account;
pub use spawn::{spawn, spawn_blocking, spawn_blocking_on, spawn_local, spawn_on};

pub use split::charge_split;
pub use stamped::Stamped;

use std::future::Future;

use weighbridge_wire::{Class, OwnerKind};

use crate::account::{Account, InAccount, owner};
use crate::bill::{Bill, Outcome, Start};
use crate::hooks;

/// Runs a future that no request asked for: its CPU belongs to the owner `background` under this name.
pub fn background<F: Future>(
    name: &'static str,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    owned(OwnerKind::Background, name, future)
}

/// Runs the driver of a client (a connection's task, an event loop): its CPU belongs to the owner `driver`
/// under this name, never to the request that happened to open it. For a client that spawns its own tasks, and to
/// have the costs on the edges too, there is [`driver_thread`].
pub fn driver<F: Future>(name: &str, future: F) -> impl Future<Output = F::Output> + use<F> {
    owned(OwnerKind::Driver, name, future)
}

/// Runs work on pooled connections: its CPU belongs to the owner `pool` under this name.
pub fn pool<F: Future>(name: &str, future: F) -> impl Future<Output = F::Output> + use<F> {
    owned(OwnerKind::Pool, name, future)
}

/// Runs what follows an upgrade, such as a websocket or a tunnel: its CPU belongs to the owner `connection` under
/// this name, the socket's as `io`. The request that asked for the upgrade has ended with its answer.
///
/// ```
/// # #[cfg(feature = "axum-0_8")] mod service {
/// use axum::extract::ws::{WebSocket, WebSocketUpgrade};
/// use axum::response::Response;
///
/// async fn handler(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(|socket| weighbridge_agent::connection("chat", chat(socket)))
/// }
///
/// async fn chat(mut socket: WebSocket) {
///     while let Some(Ok(message)) = socket.recv().await {
///         // A message that is a unit of work of its own may run in `job(..)`.
///         let _ = socket.send(message).await;
///     }
/// }
/// # }
/// ```
///
/// To book it to the request instead, which then stays open for at most 10 s: `Scope::current().wrap(..)`, made
/// in the handler.
pub fn connection<F: Future>(name: &str, future: F) -> impl Future<Output = F::Output> + use<F> {
    owned(OwnerKind::Connection, name, future)
}

fn owned<F: Future>(
    kind: OwnerKind,
    name: &str,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    // Made now, so that a future dropped before its first poll is dropped in its account too.
    let future = InAccount::new(Account::new(owner(kind, name), Class::Handler), future);
    async move {
        hooks::detach_current();
        future.await
    }
}

/// Runs a job as a request of its own: operation `JOB <name>`, origin of whatever it calls.
pub async fn job<F: Future>(name: &'static str, future: F) -> F::Output {
    hooks::detach_current();
    let bill = Bill::start(Start {
        operation: &format!("JOB {name}"),
        ..Start::default()
    });
    in_bill(bill, future).await
}

/// Runs a future in a bill and ends the bill with it. Dropped before its end, or by a panic, it is an error.
pub(crate) async fn in_bill<F: Future>(bill: std::sync::Arc<Bill>, future: F) -> F::Output {
    let ending = Ending::new(bill.clone());
    let account = Account::new(crate::account::OwnerRef::Bill(bill), Class::Handler);
    let output = InAccount::new(account, future).await;
    ending.end(Outcome::Ok);
    output
}

/// Ends a bill when dropped, after its future: fields and locals are dropped in reverse order.
#[derive(Debug)]
pub(crate) struct Ending {
    bill: std::sync::Arc<Bill>,
    outcome: Outcome,
}

impl Ending {
    /// An ending as an error, unless [`end`](Self::end) says otherwise.
    pub(crate) fn new(bill: std::sync::Arc<Bill>) -> Self {
        Self {
            bill,
            outcome: Outcome::Error,
        }
    }

    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.bill.end(self.outcome);
    }
}
