//! Work beside the request's own future: children, background work, jobs, drivers, calls inside the process.

mod local;
mod scope;
mod spawn;

pub use local::local_call;
pub use scope::Scope;
pub use spawn::{spawn, spawn_blocking};

use std::future::Future;

use weighbridge_wire::{Class, OwnerKind};

use crate::account::{Account, InAccount, owner};
use crate::bill::{Bill, Outcome, Start};

/// Runs a future that no request asked for: its CPU belongs to the owner `background` under this name.
pub async fn background<F: Future>(name: &'static str, future: F) -> F::Output {
    owned(OwnerKind::Background, name, future).await
}

/// Runs the driver of a client (a connection's task, an event loop): its CPU belongs to the owner `driver`
/// under this name, never to the request that happened to open it.
pub async fn driver<F: Future>(name: &str, future: F) -> F::Output {
    owned(OwnerKind::Driver, name, future).await
}

/// Runs work on pooled connections: its CPU belongs to the owner `pool` under this name.
pub async fn pool<F: Future>(name: &str, future: F) -> F::Output {
    owned(OwnerKind::Pool, name, future).await
}

fn owned<F: Future>(kind: OwnerKind, name: &str, future: F) -> InAccount<F> {
    InAccount::new(Account::new(owner(kind, name), Class::Handler), future)
}

/// Runs a job as a request of its own: operation `JOB <name>`, origin of whatever it calls.
pub async fn job<F: Future>(name: &'static str, future: F) -> F::Output {
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
