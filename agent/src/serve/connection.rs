//! A connection and the request that is open on it.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use weighbridge_wire::{Class, OwnerKind};

use crate::account::{self, Account, Entered, OwnerRef, enter, owner};
use crate::bill::Bill;
use crate::ledger::HTTP2_CONNECTION;
use crate::state;
use crate::sync::lock;

/// What the layer, the socket and the connection's future know of each other.
#[derive(Clone, Debug)]
pub(crate) struct Served(Arc<State>);

/// Among the extensions of a request that came over a connection of ours while something was measured.
/// A layer takes it, so that of two the outer one weighs the request.
#[derive(Clone, Debug)]
pub(crate) struct Arrived(pub(crate) Option<Served>);

#[derive(Debug)]
struct State {
    peer: SocketAddr,
    owners: Owners,
    /// A [`Phase`].
    phase: AtomicU8,
    /// The request in flight, until the flush after its response. On HTTP/2 each stream has its own.
    open: Mutex<Option<Arc<Bill>>>,
    /// Shows without a lock which one that is: its address, or 0.
    open_at: AtomicUsize,
}

/// The owners `connection`.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    pub(super) http1: OwnerRef,
    pub(super) http2: OwnerRef,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self {
            http1: owner(OwnerKind::Connection, "http1"),
            http2: owner(OwnerKind::Connection, HTTP2_CONNECTION),
        }
    }
}

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// It has begun, or a part of a request's head has come.
    Head,
    /// Between the head of a request and the end of its response.
    Request,
    /// The same of a request that has no body: nothing of it is still to come.
    Bodyless,
    /// Keep-alive: nothing of the next head has come.
    Idle,
    /// HTTP/2, for good.
    Http2,
}

impl Served {
    pub(super) fn new(peer: SocketAddr, owners: Owners) -> Self {
        Self::with_phase(peer, owners, Phase::Head)
    }

    fn with_phase(peer: SocketAddr, owners: Owners, phase: Phase) -> Self {
        Self(Arc::new(State {
            peer,
            owners,
            phase: AtomicU8::new(phase as u8),
            open: Mutex::new(None),
            open_at: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    #[inline]
    pub(super) fn is(&self, phase: Phase) -> bool {
        self.0.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// Changes the phase if it is `from`.
    #[inline]
    pub(super) fn pass(&self, from: Phase, to: Phase) {
        if self.is(from) {
            self.0.phase.store(to as u8, Ordering::Relaxed);
        }
    }

    /// A request's head has been read: from the socket, or from what was read with the request before it.
    #[inline]
    pub(super) fn head_is_complete(&self, bodyless: bool) {
        let to = if bodyless {
            Phase::Bodyless
        } else {
            Phase::Request
        };
        self.pass(Phase::Head, to);
        self.pass(Phase::Idle, to);
    }

    /// The response to a request has ended.
    #[inline]
    pub(super) fn answer_is_complete(&self) {
        self.pass(Phase::Request, Phase::Idle);
        self.pass(Phase::Bodyless, Phase::Idle);
    }

    /// True when the connection itself is about to read, and most often nothing has come.
    #[inline]
    pub(super) fn may_read_nothing(&self) -> bool {
        (self.is(Phase::Idle) || self.is(Phase::Bodyless)) && is_working()
    }

    /// True when the connection speaks HTTP/2: its protocol and io are apportioned, not measured by request.
    #[inline]
    pub(crate) fn is_http2(&self) -> bool {
        self.is(Phase::Http2)
    }

    /// The connection speaks HTTP/2 from here on.
    #[cfg(feature = "http2")]
    pub(super) fn become_http2(&self) {
        self.0.phase.store(Phase::Http2 as u8, Ordering::Relaxed);
        self.go_on();
    }

    /// What a request's extensions hold: requests on HTTP/2 are many at a time.
    #[inline]
    pub(super) fn of_request(&self) -> Self {
        if self.is_http2() {
            Self::with_phase(self.0.peer, self.0.owners.clone(), Phase::Http2)
        } else {
            self.clone()
        }
    }

    /// The owner of what no request asked for.
    #[inline]
    pub(super) fn owner(&self) -> &OwnerRef {
        if self.is_http2() {
            &self.0.owners.http2
        } else {
            &self.0.owners.http1
        }
    }

    #[inline]
    fn open_at(&self) -> usize {
        self.0.open_at.load(Ordering::Acquire)
    }

    #[inline]
    fn open(&self) -> Option<Arc<Bill>> {
        if self.open_at() == 0 {
            return None;
        }
        lock(&self.0.open).clone()
    }

    /// The request that is done with the socket from now on, if `done` says so of it.
    fn close(&self, done: impl FnOnce(&Bill) -> bool) -> Option<Arc<Bill>> {
        if self.open_at() == 0 {
            return None;
        }
        let mut open = lock(&self.0.open);
        let closed = open.take_if(|bill| done(bill));
        let at = open.as_ref().map_or(0, address);
        self.0.open_at.store(at, Ordering::Release);
        closed
    }

    /// The connection works for this request from now on. What this poll spent so far was reading and
    /// parsing its head.
    #[inline]
    pub(crate) fn begin(&self, bill: &Arc<Bill>) {
        let before = {
            let mut open = lock(&self.0.open);
            self.0.open_at.store(address(bill), Ordering::Release);
            open.replace(bill.clone())
        };
        account::hand_over(self.owner(), bill, Class::Protocol);
        if let Some(before) = before {
            before.socket_done();
        }
    }

    /// The instant of this thread's last reading, if it works for the connection now.
    #[inline]
    pub(crate) fn instant_at_work(&self) -> Option<u64> {
        account::instant_in(self.owner())
    }

    /// Makes the account current in which the connection works now, in place of the one before.
    fn go_on(&self) {
        if is_working() {
            account::replace_current(self.account());
        }
    }

    /// The account in which the connection works now.
    #[inline]
    fn account(&self) -> Account {
        let owner = self
            .open()
            .map_or_else(|| self.owner().clone(), OwnerRef::Bill);
        Account::new(owner, Class::Protocol)
    }

    /// Makes the rest of the poll the open request's, if one began while another account was current.
    #[inline]
    pub(super) fn follow(&self) {
        let at = self.open_at();
        if at == 0 || account::is_current_at(at) || !is_working() {
            return;
        }
        self.come_back();
    }

    #[cold]
    fn come_back(&self) {
        if let Some(bill) = self.open() {
            account::replace_current(Account::new(OwnerRef::Bill(bill), Class::Protocol));
        }
    }

    /// The open request, if it ended without an answer.
    #[inline]
    pub(super) fn unanswered(&self) -> Option<Arc<Bill>> {
        let at = self.open_at();
        let answered = |bill: &Arc<Bill>| address(bill) == at && !bill.is_unanswered();
        if at == 0 || account::with_current_bill(answered) {
            return None;
        }
        self.open().filter(|bill| bill.is_unanswered())
    }

    /// Everything written so far has left for the socket. If the response has ended, the request is done.
    pub(super) fn flushed(&self) {
        if let Some(bill) = self.close(Bill::has_ended) {
            bill.leave_socket();
            // Books to the request what was spent for it, which closes it in most cases.
            self.go_on();
            bill.close_if_complete();
        }
    }

    /// The connection is gone.
    fn closed(&self) {
        if let Some(bill) = self.close(|_| true) {
            bill.socket_done();
        }
    }
}

fn address(bill: &Arc<Bill>) -> usize {
    Arc::as_ptr(bill).addr()
}

thread_local! {
    static WORKING: Cell<bool> = const { Cell::new(false) };
}

/// True when the poll that runs on this thread has an account, which another of the same connection may replace.
#[inline]
fn is_working() -> bool {
    WORKING.get()
}

/// A poll of a connection, or of one of its streams.
#[must_use = "the account is left when the guard is dropped"]
pub(super) struct Work {
    entered: Option<Entered>,
    outer: bool,
}

/// Enters an account, but not while nothing is measured: what begins to be measured in the middle of the poll is
/// the thread's until the next one.
#[inline]
pub(super) fn work(account: impl FnOnce() -> Account) -> Work {
    let entered = state::measuring().then(|| enter(account()));
    Work {
        outer: WORKING.replace(entered.is_some()),
        entered,
    }
}

impl Work {
    #[cfg(feature = "http2")]
    pub(super) fn is_weighed(&self) -> bool {
        self.entered.is_some()
    }
}

impl Drop for Work {
    #[inline]
    fn drop(&mut self) {
        WORKING.set(self.outer);
    }
}

pin_project! {
    /// The connection's future in the account of the connection, or of the request open on it.
    #[derive(Debug)]
    #[project = WeighedProj]
    pub(super) struct Weighed<F> {
        #[pin]
        inner: Option<F>,
        served: Served,
    }

    impl<F> PinnedDrop for Weighed<F> {
        fn drop(this: Pin<&mut Self>) {
            this.project().end();
        }
    }
}

impl<F> Weighed<F> {
    pub(super) fn new(inner: F, served: Served) -> Self {
        Self {
            inner: Some(inner),
            served,
        }
    }
}

impl<F> WeighedProj<'_, F> {
    fn end(&mut self) {
        if self.inner.is_some() {
            let work = work(|| self.served.account());
            self.inner.set(None);
            drop(work);
            self.served.closed();
        }
    }
}

impl<F: Future<Output = ()>> Future for Weighed<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        let work = work(|| this.served.account());
        let poll = inner.poll(cx);
        drop(work);
        if poll.is_ready() {
            this.end();
        }
        poll
    }
}
