//! The record of one call. Its halves live apart: the request body goes to the transport, the answer to the caller.

use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;

use http::HeaderMap;
use weighbridge_wire::Class;

use crate::account::{self, Account};
use crate::bill::Outcome;
use crate::ledger::Direction;
use crate::messages::{Exchange, Peer, Spent};
use crate::propagation::{self, Mode};
use crate::state;
use crate::sync::lock;

/// The record of a call, written when its last holder is dropped.
#[derive(Clone, Debug)]
pub(crate) struct CallRecord(Arc<Inner>);

/// Does not keep a record open.
#[derive(Clone, Debug, Default)]
pub(crate) struct WeakRecord(Weak<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whose work the request's body is.
    account: Option<Account>,
    is_grpc: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    exchange: Exchange,
    sent: bool,
    answered: bool,
    failed: bool,
    /// Bytes of both directions, where they do not go over in pieces.
    bytes: [u64; 2],
    /// Messages seen within the bodies of both directions.
    messages: [u64; 2],
}

impl CallRecord {
    /// Begins a call of the current request.
    pub(crate) fn begin(peer: &Peer, target: &str, is_grpc: bool) -> Self {
        let exchange = Exchange::begin(peer.site(Mode::Sync, target));
        let account = account::current().map(|current| Account::new(current.owner, Class::Handler));
        Self(Arc::new(Inner {
            account,
            is_grpc,
            state: Mutex::new(State {
                exchange,
                sent: false,
                answered: false,
                failed: false,
                bytes: [0; 2],
                messages: [0; 2],
            }),
        }))
    }

    /// Puts our headers on the call, or takes off what is ours, by whether the peer is trusted.
    pub(crate) fn set_headers(&self, headers: &mut HeaderMap, trusted: bool) {
        if !trusted {
            propagation::strip(headers);
            return;
        }
        let outgoing = lock(&self.0.state).exchange.outgoing(Mode::Sync);
        state::with_trust(|trust| propagation::inject(headers, &outgoing.headers(), trust));
    }

    pub(crate) fn is_grpc(&self) -> bool {
        self.0.is_grpc
    }

    /// Hands the call to the client, in class `protocol`.
    pub(crate) fn work<R>(&self, work: impl FnOnce() -> R) -> R {
        let spent = Spent::begin_protocol();
        let result = work();
        let spent = spent.end();
        lock(&self.0.state).exchange.polled(spent, false);
        result
    }

    /// Runs a poll by the caller in class `protocol`. Nothing is locked meanwhile: the poll may well come to the
    /// other half.
    pub(crate) fn poll<R>(&self, poll: impl FnOnce() -> Poll<R>) -> Poll<R> {
        let spent = Spent::begin_protocol();
        let result = poll();
        let spent = spent.end();
        lock(&self.0.state)
            .exchange
            .polled(spent, result.is_pending());
        result
    }

    /// Runs the production of the request's body in the account of whoever calls.
    pub(crate) fn produce<R>(&self, produce: impl FnOnce() -> R) -> R {
        let _entered = self.0.account.clone().map(account::enter);
        produce()
    }

    /// Counts another attempt.
    pub(crate) fn retried(&self, retries: u64) {
        if retries > 0 {
            lock(&self.0.state).exchange.figures().retries += retries;
        }
    }

    /// The transport has taken the request over.
    pub(crate) fn sent(&self) {
        let mut state = lock(&self.0.state);
        if !state.sent {
            state.sent = true;
            state.exchange.figures().request_messages += 1;
        }
    }

    /// A piece of a body has passed.
    pub(crate) fn passed(&self, direction: Direction, bytes: u64) {
        let mut state = lock(&self.0.state);
        state.bytes[direction as usize] += bytes;
        let figures = state.exchange.figures();
        match direction {
            Direction::Request => figures.request_body_bytes += bytes,
            Direction::Response => figures.response_body_bytes += bytes,
        }
    }

    /// A message within a body has passed. The exchange itself stands for the first one of each direction.
    pub(crate) fn message(&self, direction: Direction, bytes: u64) {
        let mut state = lock(&self.0.state);
        let seen = &mut state.messages[direction as usize];
        *seen += 1;
        if *seen > 1 {
            let figures = state.exchange.figures();
            match direction {
                Direction::Request => figures.request_messages += 1,
                Direction::Response => figures.response_messages += 1,
            }
        }
        state.exchange.note(direction, bytes);
    }

    /// The head of the answer is there.
    pub(crate) fn answered(&self, outcome: Outcome) {
        self.sent();
        let mut state = lock(&self.0.state);
        state.answered = true;
        state.exchange.figures().response_messages += 1;
        drop(state);
        self.told(outcome);
    }

    /// The head or the trailers say how it went.
    pub(crate) fn told(&self, outcome: Outcome) {
        if outcome == Outcome::Error {
            lock(&self.0.state).failed = true;
        }
    }

    /// Encoding cost this much.
    pub(crate) fn encoded(&self, cpu_ns: i64) {
        lock(&self.0.state).exchange.encoded(cpu_ns);
    }

    /// Decoding cost this much.
    pub(crate) fn decoded(&self, cpu_ns: i64) {
        lock(&self.0.state).exchange.decoded(cpu_ns);
    }

    /// For those who may come back to it, without keeping it open.
    pub(crate) fn downgrade(&self) -> WeakRecord {
        WeakRecord(Arc::downgrade(&self.0))
    }
}

impl WeakRecord {
    /// The record, if it is open still.
    pub(crate) fn upgrade(&self) -> Option<CallRecord> {
        self.0.upgrade().map(CallRecord)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self
            .state
            .get_mut()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // What was counted message by message has its sizes; else there is one message each way.
        for (direction, counted) in [
            (Direction::Request, state.sent),
            (Direction::Response, state.answered),
        ] {
            if counted && state.messages[direction as usize] == 0 {
                let bytes = state.bytes[direction as usize];
                state.exchange.note(direction, bytes);
            }
        }
        state.exchange.end(state.failed);
    }
}

/// The caller's half of a record: when it is dropped, nobody waits for the answer any more.
#[derive(Debug)]
pub(crate) struct Caller(CallRecord);

impl Caller {
    pub(crate) fn new(record: CallRecord) -> Self {
        Self(record)
    }

    pub(crate) fn record(&self) -> &CallRecord {
        &self.0
    }

    /// The call failed, with or without an answer.
    pub(crate) fn fail(&self) {
        self.0.told(Outcome::Error);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        lock(&self.0.0.state).exchange.over();
    }
}

/// A call that was answered, among the extensions of the answer: for decoding what it brought.
///
/// ```
/// # fn read(response: http::Response<Vec<u8>>) -> Option<u64> {
/// use weighbridge_agent::CallHandle;
/// let call = response.extensions().get::<CallHandle>().cloned();
/// let body = response.into_body();
/// let read = || serde_json::from_slice(&body).ok();
/// match call {
///     Some(call) => call.decode(read), // stands on the edge as decoding
///     None => read(),
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CallHandle(CallRecord);

impl CallHandle {
    pub(crate) fn new(record: CallRecord) -> Self {
        Self(record)
    }

    /// Runs the decoding of the answer in class `decode`. The call is recorded when the last handle is dropped and
    /// the body has ended.
    pub fn decode<R>(&self, f: impl FnOnce() -> R) -> R {
        let (result, cpu_ns) = account::timed_class(Class::Decode, f);
        self.0.decoded(cpu_ns);
        result
    }
}

/// What encoding a request has cost: put it among the request's extensions, so that it stands on the edge.
///
/// ```
/// use weighbridge_agent::Encoded;
/// let (body, encoded) = Encoded::run(|| b"[1,2]".to_vec());
/// let request = http::Request::post("http://127.0.0.1:8081/stock").extension(encoded).body(body);
/// # drop(request);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    cpu_ns: i64,
}

impl Encoded {
    /// Runs the encoding of a request in class `encode`.
    pub fn run<R>(f: impl FnOnce() -> R) -> (R, Self) {
        let (result, cpu_ns) = account::timed_class(Class::Encode, f);
        (result, Self { cpu_ns })
    }

    /// What it cost, in ns.
    pub(crate) fn cpu_ns(self) -> i64 {
        self.cpu_ns
    }

    pub(crate) fn book(self, record: &CallRecord) {
        record.encoded(self.cpu_ns);
    }
}
