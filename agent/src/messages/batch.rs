//! Messages that are handled together.

use std::future::Future;

use weighbridge_wire::Class;

use super::{Consumption, Disposition, caught};
use crate::account::{Account, InAccount, OwnerRef, Split};
use crate::bill::Outcome;

/// The requests of messages that are handled together. What that costs is shared out by the lengths of their
/// bodies.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    consumptions: Vec<Consumption>,
    weights: Vec<u64>,
    redelivered: bool,
}

impl Batch {
    pub(crate) fn push(&mut self, consumption: Consumption, body_bytes: usize, redelivered: bool) {
        self.consumptions.push(consumption);
        // An empty message is handled, too.
        self.weights.push(body_bytes.max(1) as u64);
        self.redelivered |= redelivered;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.consumptions.is_empty()
    }

    /// Runs a handler for all of them and tells the broker what becomes of the messages. A panic ends the
    /// handler and not the task.
    pub(crate) async fn settle<F, D, A, E>(
        self,
        handler: impl FnOnce() -> F,
        tell: impl FnOnce(Disposition) -> A,
    ) -> Result<(), E>
    where
        F: Future<Output = D>,
        D: Into<Disposition>,
        A: Future<Output = Result<(), E>>,
    {
        let bills: Vec<_> = self.consumptions.iter().map(Consumption::bill).collect();
        let Some(split) = Split::new(&bills, &self.weights) else {
            return Ok(());
        };
        let account = Account::new(OwnerRef::Split(split), Class::Handler);
        let redelivered = self.redelivered;
        let work = InAccount::new(account, async {
            let disposition = match caught(async { handler().await }).await {
                Some(output) => output.into(),
                None => Disposition::after_panic(redelivered),
            };
            (disposition, tell(disposition).await)
        });
        let (disposition, told) = work.await;
        let failed = disposition != Disposition::Accept || told.is_err();
        for consumption in self.consumptions {
            consumption.end(if failed { Outcome::Error } else { Outcome::Ok });
        }
        told
    }
}
