//! The bill of one request: what it cost so far, and when it is complete.
//!
//! Counters are booked as they are spent. A bill *closes* once: when its response body has ended, its socket
//! has been flushed after that or is gone, and its last child has ended or [`CHILD_PATIENCE_NS`] has passed.
//! Then its histograms and `ended` are recorded. Costs after that are booked all the same, and counted as late.

mod callee;
mod calls;
mod close;
mod entrance;
mod messages;
mod start;
mod timed;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use callee::Callee;
use calls::Calls;
#[allow(
    unused_imports,
    reason = "only where a client of a database is weighed"
)]
pub(crate) use calls::store_name;
pub(crate) use calls::{CallToken, Stretch};
pub(crate) use entrance::{Entrance, EntranceNames, RememberedEntrance};
use messages::Http2Weight;
pub(crate) use start::{GRPC, Opening, Start};
use timed::Timed;
pub(crate) use waiting::{Held, hold, sweep};

use crate::account::{self, OwnerRef};
use crate::alloc::{self, Holder};
use crate::clock;
use crate::entities::Touched;
use crate::layer::unweighed;
use crate::ledger::limits::CLASSES_PER_OPERATION_MAX;
use crate::ledger::{
    Cost, EntityName, OperationName, OperationRow, Place, Shard, Spent, Wanted, ledger,
};
use crate::propagation::{Trace, TraceContext};
use crate::state;
use crate::sync::lock;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered.
    Ok,
    /// Answered 4xx, or the client went away.
    ClientError,
    /// An error of the service (DESIGN §1).
    Error,
}

/// What a request waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitKind {
    /// Another service.
    Call,
    /// A database.
    Store,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Bill {
    /// The stretch of measuring in which it began; 0 when nothing was measured, and the names only serve
    /// propagation.
    generation: u32,
    /// As the request entered, before it declared a class.
    row: Arc<OperationRow>,
    /// Caller and origin where those of `row` are `__other__`.
    unfolded: Option<Box<(Arc<Place>, Arc<Place>)>>,
    trace: Trace,
    /// True when the chain of requests began here.
    root: bool,
    start_ns: u64,
    /// Id of the operation's name, for whoever can take no lock.
    name_id: AtomicU32,
    /// True when the request ended in the layer without an answer. Something outside may still have given one.
    unanswered: AtomicBool,
    /// True when the layer counts the messages within its bodies: gRPC.
    counts_messages: bool,
    /// True when its frames share an HTTP/2 connection, whose cost is apportioned while the request runs.
    http2: bool,
    /// Shows without a lock that `state.ended` is set.
    ended: AtomicBool,
    /// Calls under way, by [`WaitKind`].
    waiting: [AtomicU32; 2],
    /// True while bytes of the response may still be in our socket's way.
    socket_open: AtomicBool,
    /// True once it has closed. Changes while `state` is locked.
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The row of the declared class.
    declared: Option<Arc<OperationRow>>,
    arrival: Arrival,
    /// Booked to the row so far.
    cost: Cost,
    /// Of it, protocol and io that stand on the edges of its own calls.
    called_ns: [i64; 2],
    /// Of it, shares of work that was done for several requests.
    shared: Option<Box<Cost>>,
    live_bytes: i64,
    peak_live_bytes: i64,
    wait_call_ns: i64,
    wait_store_ns: i64,
    /// When the last thread left it that worked for it, and what it has waited for since.
    left: Option<(u64, WaitKind)>,
    /// Present once it called.
    calls: Option<Box<Calls>>,
    ended: Option<(u64, Outcome)>,
    /// True when protocol and io of the request run in accounts of its own.
    socket_seen: bool,
    children: u32,
    waiting: bool,
    /// The names for which there was no room.
    wanted: Option<Box<Wanted>>,
    /// The callee's side of the edge over which the request came, recorded when the bill closes.
    callee: Option<Callee>,
    /// Present on HTTP/2.
    http2: Option<Http2Weight>,
    /// Keys of entities that it touched.
    keys: Option<Box<Touched>>,
    /// Messages counted so far within the body of the request, and of the response.
    messages: [u64; 2],
}

/// Slot and window in which a request arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Arrival {
    slot: u32,
    window_ns: u64,
}

impl State {
    fn end(&mut self, now_ns: u64, outcome: Outcome) {
        self.ended = Some((now_ns, outcome));
        if let Some(calls) = &mut self.calls {
            calls.request_ended(now_ns);
        }
    }
}

impl Bill {
    /// True when everything has happened that closes the bill.
    fn is_complete(&self, state: &State) -> bool {
        !self.is_closed() && !self.is_socket_open() && state.children == 0 && state.ended.is_some()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn is_socket_open(&self) -> bool {
        self.socket_open.load(Ordering::Acquire)
    }

    /// True while the stretch of measuring lasts in which the request began: another agent's tables never
    /// saw it start, so it must not end there.
    fn is_recorded(&self) -> bool {
        self.generation != 0 && self.generation == state::generation()
    }

    /// The bill of the request that runs on this thread.
    pub(crate) fn current() -> Option<Arc<Self>> {
        if let Some(bill) = unweighed::bill_here() {
            return Some(bill);
        }
        account::with_current_owner(|owner| match owner {
            Some(OwnerRef::Bill(bill)) => Some(bill.clone()),
            Some(OwnerRef::Split(split)) => Some(split.named().clone()),
            _ => None,
        })
        .flatten()
    }

    /// The same, while something is measured: for those who would only add to it.
    pub(crate) fn current_weighed() -> Option<Arc<Self>> {
        state::measuring().then(Self::current).flatten()
    }

    /// The operation.
    pub(crate) fn operation(&self) -> &Arc<str> {
        &self.row.name.operation
    }

    /// Id of the operation's name.
    #[inline]
    pub(crate) fn name_id(&self) -> u32 {
        self.name_id.load(Ordering::Relaxed)
    }

    /// Service and operation at which the chain began.
    pub(crate) fn origin(&self) -> (&Arc<str>, &Arc<str>) {
        let (_, origin) = self.places();
        (&origin.service, &origin.operation)
    }

    /// Caller and origin by their own names.
    fn places(&self) -> (&Arc<Place>, &Arc<Place>) {
        match &self.unfolded {
            Some(places) => (&places.0, &places.1),
            None => (&self.row.caller, &self.row.origin),
        }
    }

    /// The trace that the request belongs to; a new one when it brought none.
    pub(crate) fn trace(&self) -> TraceContext {
        self.trace.get()
    }

    /// The operation, its declared class included, and the origin: for "of which" rows.
    pub(crate) fn names(&self) -> (Arc<OperationName>, Arc<Place>) {
        let state = lock(&self.state);
        let row = self.row(&state);
        (row.name.clone(), self.places().1.clone())
    }

    fn row<'a>(&'a self, state: &'a State) -> &'a Arc<OperationRow> {
        state.declared.as_ref().unwrap_or(&self.row)
    }

    /// The operation with the declared class; while it is held its number is no other's.
    pub(crate) fn operation_name(&self) -> Arc<OperationName> {
        self.row(&lock(&self.state)).name.clone()
    }

    /// True for one request in `k`, chosen evenly by the instant at which it began.
    pub(crate) fn is_one_in(&self, k: u32) -> bool {
        // The finaliser of splitmix64 (Steele, Lea, Flood 2014): instants are no random numbers.
        let mut mixed = self.start_ns.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).is_multiple_of(u64::from(k.max(1)))
    }

    /// Adds wall time in which a thread that works for the request was blocked. What it waited for while no
    /// thread did is known from [`Self::call_began`].
    #[allow(dead_code, reason = "only where a client of a database is weighed")]
    pub(crate) fn add_wait(&self, kind: WaitKind, ns: u64) {
        let ns = i64::try_from(ns).unwrap_or(i64::MAX);
        let mut state = lock(&self.state);
        let sum = state.wait_ns(kind);
        *sum = sum.saturating_add(ns);
    }

    /// A key of an entity was touched. Once closed it is not counted any more.
    pub(crate) fn touch_key(&self, name: &Arc<EntityName>, hash: u64) {
        let mut state = lock(&self.state);
        if !self.is_closed() && self.is_recorded() {
            state.keys.get_or_insert_default().touch(name, hash);
        }
    }

    /// Books a cost, and closes the bill if that is all that it waited for. `booked` runs with the shard
    /// locked. `stretch` is given when a call was under way in it.
    pub(crate) fn book(
        &self,
        spent: &Spent,
        stretch: Option<Stretch>,
        shard: usize,
        booked: impl FnOnce(&mut Shard),
    ) {
        self.book_as::<false>(spent, stretch, shard, booked);
    }

    /// [`Self::book`] for a share of work that was done for several requests.
    pub(crate) fn book_share(&self, spent: &Spent, shard: usize, booked: impl FnOnce(&mut Shard)) {
        self.book_as::<true>(spent, None, shard, booked);
    }

    #[inline]
    fn book_as<const SHARE: bool>(
        &self,
        spent: &Spent,
        stretch: Option<Stretch>,
        shard: usize,
        booked: impl FnOnce(&mut Shard),
    ) {
        let timed = Timed::begin(self.start_ns);
        self.book_into::<SHARE>(spent, stretch, shard, booked);
        if let Some(timed) = timed {
            timed.end(&mut ledger().shard(shard));
        }
    }

    #[inline]
    fn book_into<const SHARE: bool>(
        &self,
        spent: &Spent,
        stretch: Option<Stretch>,
        shard: usize,
        booked: impl FnOnce(&mut Shard),
    ) {
        if !self.is_recorded() {
            // Measuring began in the middle of the request: its cost stays unattributed.
            booked(&mut ledger().shard(shard));
            return;
        }
        // Locks are taken in the order bill, shard; rotation takes shards only.
        let mut state = lock(&self.state);
        state.cost.add(&spent.cost);
        for (sum, ns) in state.called_ns.iter_mut().zip(spent.called_ns) {
            *sum += ns;
        }
        state.peak_live_bytes = state
            .peak_live_bytes
            .max(state.live_bytes + spent.net_max_bytes);
        state.live_bytes += spent.net_bytes;
        if let Some(stretch) = stretch {
            state.worked(stretch, self.waiting_for());
        }
        let mut shard = ledger().shard(shard);
        booked(&mut shard);
        if !SHARE && self.is_complete(&state) {
            self.close(&mut state, &mut shard, Some(&spent.cost));
            return;
        }
        let weight = state.take_http2_weight();
        let cell = shard.operation(self.row(&state));
        cell.http2_weight += weight;
        let (sum, late_cpu_ns) = if SHARE {
            state.shared.get_or_insert_default().add(&spent.cost);
            let shared = cell.shared.get_or_insert_default();
            (&mut shared.cost, &mut shared.late_cpu_ns)
        } else {
            (&mut cell.cost, &mut cell.late_cpu_ns)
        };
        sum.add(&spent.cost);
        if self.is_closed() {
            *late_cpu_ns += spent.cost.total_ns();
        }
        if self.is_complete(&state) {
            self.close(&mut state, &mut shard, None);
        }
    }

    /// Declares the request's class. What was booked so far moves with it, so that `started`, `ended` and the
    /// cost stand in one row; the arrival moves too while its window lasts. Without effect once closed.
    pub(crate) fn declare_class(&self, class: &str) {
        if !self.is_recorded() {
            return;
        }
        let entered = &self.row;
        let name = ledger().operation(&entered.name.component, &entered.name.operation, class);
        let (caller, origin) = self.places();
        let row = ledger().row(&name, caller, origin);
        let mut state = lock(&self.state);
        let before = self.row(&state).clone();
        if self.is_closed() || before.id == row.id {
            return;
        }
        if let Some(callee) = &mut state.callee {
            callee.edge = ledger().edge(&callee.edge.edge, &row.name, origin);
        }
        let mut shard = ledger().shard(account::shard_here());
        let start = shard.offset_ns(self.start_ns);
        let old = shard.operation(&before);
        let weight = state.http2.as_ref().map_or(0, Http2Weight::booked);
        let mut own = state.cost;
        if let Some(shared) = &state.shared {
            own.subtract(shared);
            old.shared.get_or_insert_default().cost.subtract(shared);
        }
        old.cost.subtract(&own);
        old.http2_weight -= weight;
        old.started -= 1;
        old.instants_ns -= start;
        let new = shard.operation(&row);
        if let Some(shared) = &state.shared {
            new.shared.get_or_insert_default().cost.add(shared);
        }
        new.cost.add(&own);
        new.http2_weight += weight;
        new.started += 1;
        new.instants_ns += start;
        if shard.begin_ns == state.arrival.window_ns {
            shard.arrive(before.name.id, state.arrival.slot, -1);
            shard.arrive(row.name.id, state.arrival.slot, 1);
        }
        drop(shard);
        if state.ended.is_none() {
            before.name.leave();
            row.name.arrive();
        }
        self.name_id.store(row.name.id, Ordering::Relaxed);
        state.declared = Some(row);
    }

    /// Opens a child scope: the bill stays open until the guard is dropped.
    pub(crate) fn child(self: &Arc<Self>) -> Child {
        lock(&self.state).children += 1;
        Child(self.clone())
    }

    /// The response body has ended, or was dropped, or the work of a request without a body is done.
    /// Only the first call counts.
    pub(crate) fn end(self: &Arc<Self>, outcome: Outcome) {
        self.end_with(outcome, |_| {});
    }

    /// As [`end`](Self::end), with the answer and so many bytes of its body, unless they
    /// [were told at once](Self::tells_at_once).
    pub(crate) fn end_answered(self: &Arc<Self>, outcome: Outcome, body_bytes: u64) {
        self.end_with(outcome, |state| {
            if self.tells_at_once() {
                return;
            }
            state.answer();
            if let Some(callee) = &mut state.callee {
                callee.counts.response_body_bytes += body_bytes;
            }
        });
    }

    fn end_with(self: &Arc<Self>, outcome: Outcome, change: impl FnOnce(&mut State)) {
        let now = account::instant_here_ns();
        {
            let mut state = lock(&self.state);
            if state.ended.is_some() {
                return;
            }
            change(&mut state);
            // Before others see that it has ended: whoever flushes then closes the bill, with what that cost.
            let socket_open = self.is_socket_open();
            state.end(now, outcome);
            self.ended.store(true, Ordering::Release);
            if self.generation != 0 {
                self.row(&state).name.leave();
            }
            if socket_open {
                return;
            }
        }
        self.try_close(now);
    }

    /// The request ends without an answer of its own, as [`end`](Self::end) does.
    pub(crate) fn end_unanswered(self: &Arc<Self>, outcome: Outcome) {
        self.unanswered.store(true, Ordering::Relaxed);
        self.end(outcome);
    }

    /// True when the request ended in the layer without an answer.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Something outside the layer (a timeout, a catcher of panics) gave the answer after all.
    pub(crate) fn answered_outside(&self, outcome: Outcome, body_bytes: u64) {
        let mut state = lock(&self.state);
        if self.is_closed() || !self.unanswered.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Some((_, ended)) = &mut state.ended {
            *ended = outcome;
        }
        state.answer();
        if let Some(callee) = &mut state.callee {
            callee.counts.response_body_bytes += body_bytes;
        }
    }

    /// True when the response body has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The socket was flushed after the end of the body, or the connection ended. The next booking closes the
    /// bill if nothing else holds it open; [`Self::close_if_complete`] does so without one.
    pub(crate) fn leave_socket(&self) {
        // Whoever looks at it next, under the lock, closes the bill.
        self.socket_open.store(false, Ordering::Release);
    }

    /// [`Self::leave_socket`], and closes the bill now.
    pub(crate) fn socket_done(self: &Arc<Self>) {
        self.leave_socket();
        self.try_close(clock::monotonic_ns());
    }
}

/// Keeps a bill open while a child runs.
#[derive(Debug)]
pub(crate) struct Child(Arc<Bill>);

impl Child {
    /// The bill that it keeps open.
    pub(crate) fn bill(&self) -> &Arc<Bill> {
        &self.0
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        {
            let mut state = lock(&self.0.state);
            state.children = state.children.saturating_sub(1);
        }
        self.0.try_close(clock::monotonic_ns());
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        // Whoever held the request vanished without ending it, e.g. a runtime that was shut down.
        if self.generation == 0 || *self.closed.get_mut() {
            return;
        }
        let recorded = self.is_recorded();
        let mut state = lock(&self.state);
        if state.ended.is_none() {
            state.end(clock::monotonic_ns(), Outcome::ClientError);
            self.row(&state).name.leave();
        }
        if recorded {
            let mut shard = ledger().shard(account::shard_here());
            self.close(&mut state, &mut shard, None);
        }
    }
}

/// Declares the class of the current request, e.g. `class("bulk")`: the second part of its operation.
///
/// At most 8 classes per operation are told apart; the rest is booked under `__other__`. Without a current
/// request nothing happens. Costs booked before the call move to the class.
pub fn class(name: &'static str) {
    const { assert!(CLASSES_PER_OPERATION_MAX == 8) };
    if let Some(bill) = Bill::current_weighed() {
        bill.declare_class(name);
        alloc::set_owner(Holder::Operation(bill.name_id()).tag());
    }
}

#[cfg(test)]
mod tests;
