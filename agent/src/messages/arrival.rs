//! What comes in: a message is a request of its own.

use std::future::Future;
use std::sync::Arc;

use weighbridge_wire::{Class, side};

use super::{Disposition, Peer, caught};
use crate::account::{self, Account, InAccount, OwnerRef};
use crate::bill::{Bill, Outcome, Start};
use crate::ledger::{Direction, EdgeFigures, EdgeId};
use crate::propagation::{Inbound, Mode, extract_properties};
use crate::tasks::{Context, Ending};
use crate::{clock, state};

/// What is known of a message that has arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Names and values as the message brought them; only ours are kept.
    headers: Vec<(String, String)>,
    body_bytes: u64,
    wire_bytes: Option<u64>,
    redelivered: bool,
    waits: bool,
}

impl Arrival {
    /// A message whose body has this length.
    #[must_use]
    pub fn of_bytes(body_bytes: u64) -> Self {
        Self {
            headers: Vec::new(),
            body_bytes,
            wire_bytes: None,
            redelivered: false,
            waits: false,
        }
    }

    /// The message's headers or properties. All but ours are passed over; of those at most 64 are looked at.
    #[must_use]
    pub fn with_headers<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.headers = pairs
            .into_iter()
            .filter(|(name, _)| crate::propagation::is_header(name))
            .take(crate::propagation::BAGGAGE_HEADERS_MAX)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        self
    }

    /// Bytes that came over the wire, where they are known.
    #[must_use]
    pub fn with_wire_bytes(mut self, bytes: u64) -> Self {
        self.wire_bytes = Some(bytes);
        self
    }

    /// The broker says that it delivered the message before.
    #[must_use]
    pub fn redelivered(mut self, redelivered: bool) -> Self {
        self.redelivered = redelivered;
        self
    }

    /// Whoever sent it waits for an answer.
    #[must_use]
    pub fn answered(mut self) -> Self {
        self.waits = true;
        self
    }
}

/// The request of a message. Dropped before its handler has ended, it is an error.
#[derive(Debug)]
#[must_use = "a consumption that is dropped without being run counts as failed"]
pub struct Consumption {
    bill: Arc<Bill>,
    ending: Ending,
}

impl Consumption {
    pub(super) fn open(peer: &Peer, target: &str, arrival: &Arrival) -> Self {
        let pairs = arrival
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let Inbound { trace, origin, hop } =
            state::with_trust(|trust| extract_properties(trust, peer.address(), pairs));
        let lag_ns = hop.as_ref().map(|hop| {
            // Two hosts' clocks may differ: a lag is never negative.
            clock::wall_unix_ns().saturating_sub(hop.sent_unix_us.saturating_mul(1_000))
        });
        // Both ends call it alike; without the caller's word it is told by whether there is somebody to answer.
        let waits = if arrival.waits {
            Mode::Sync
        } else {
            Mode::Async
        };
        let mode = hop.as_ref().map_or(waits, |hop| hop.mode);
        let (caller, call_id) = match hop {
            Some(hop) => (Some(hop.caller), hop.call_id.to_arc()),
            None => (None, "".into()),
        };
        let of_caller = |part: fn(&crate::propagation::Party) -> &Arc<str>| {
            caller
                .as_ref()
                .map_or_else(|| "".into(), |caller| part(caller).clone())
        };
        let edge = EdgeId {
            side: side::CALLEE,
            mode: mode.as_str(),
            transport: peer.transport(),
            peer_service: of_caller(|party| &party.service),
            peer_operation: of_caller(|party| &party.operation),
            call_id,
            peer: peer.shared_name(),
            target: target.into(),
        };
        let figures = EdgeFigures {
            request_messages: 1,
            request_body_bytes: arrival.body_bytes,
            request_wire_bytes: arrival.wire_bytes,
            wait_ns: lag_ns,
            redelivered: u64::from(arrival.redelivered),
            redelivered_bytes: u64::from(arrival.redelivered) * arrival.body_bytes,
            sizes: vec![(Direction::Request, arrival.body_bytes)],
            ..EdgeFigures::default()
        };
        #[cfg(test)]
        super::observed::observe(&edge, &figures);
        let bill = Bill::start(Start {
            operation: &format!("CONSUME {target}"),
            caller: caller
                .as_ref()
                .map(|caller| (&*caller.service, &*caller.operation)),
            origin: origin
                .as_ref()
                .map(|origin| (&*origin.service, &*origin.operation)),
            trace,
            callee: Some((edge, figures)),
            ..Start::default()
        });
        Self {
            ending: Ending::new(bill.clone()),
            bill,
        }
    }

    /// Runs the handler as this request. A panic in it, or dropping it before its end, is an error.
    pub async fn run<F: Future>(self, handler: F) -> F::Output {
        let output = InAccount::new(self.account(), handler).await;
        self.ending.end(Outcome::Ok);
        output
    }

    /// As [`run`](Self::run); `Err` is an error of the request.
    ///
    /// # Errors
    /// Those of the handler, as they are.
    pub async fn try_run<T, E>(self, handler: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let output = InAccount::new(self.account(), handler).await;
        let outcome = match output {
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Error,
        };
        self.ending.end(outcome);
        output
    }

    /// Counts a message of the answer, for those who wait for one.
    pub fn replied(&self, body_bytes: u64) {
        replied(&self.bill, body_bytes);
    }

    /// Runs the part of a handler that makes its future, as this request.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = account::enter(self.account());
        f()
    }

    /// Runs a handler as this request and, still as this request, tells the broker what becomes of the message.
    /// A panic ends the handler and not the task.
    pub(crate) async fn settle<F, D, A, E>(
        self,
        redelivered: bool,
        handler: F,
        tell: impl FnOnce(Disposition) -> A,
    ) -> Result<(), E>
    where
        F: Future<Output = D>,
        D: Into<Disposition>,
        A: Future<Output = Result<(), E>>,
    {
        let account = self.account();
        let (disposition, told) = InAccount::new(account, async {
            let disposition = match caught(handler).await {
                Some(output) => output.into(),
                None => Disposition::after_panic(redelivered),
            };
            (disposition, tell(disposition).await)
        })
        .await;
        let failed = disposition != Disposition::Accept || told.is_err();
        self.ending
            .end(if failed { Outcome::Error } else { Outcome::Ok });
        told
    }

    /// Ends the request: its work is done.
    pub(crate) fn end(self, outcome: Outcome) {
        self.ending.end(outcome);
    }

    /// The request, to be charged for work that is done for several.
    #[must_use]
    pub fn context(&self) -> Context {
        Context::of(&self.bill)
    }

    pub(crate) fn bill(&self) -> &Arc<Bill> {
        &self.bill
    }

    fn account(&self) -> Account {
        Account::new(OwnerRef::Bill(self.bill.clone()), Class::Handler)
    }
}

/// Counts a message of the answer to the message that this request is.
pub(crate) fn replied(bill: &Bill, body_bytes: u64) {
    bill.with_callee(|figures| {
        figures.response_messages += 1;
        figures.response_body_bytes += body_bytes;
        figures.sizes.push((Direction::Response, body_bytes));
    });
}
