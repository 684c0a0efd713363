//! A connection and the request that is open on it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use weighbridge_wire::Class;

use crate::account::{self, Account, OwnerRef, enter};
use crate::bill::Bill;
use crate::sync::lock;

/// What the layer, the socket and the connection's future know of each other. Among a request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Served(Arc<State>);

#[derive(Debug)]
struct State {
    peer: SocketAddr,
    /// The owner `connection`.
    owner: OwnerRef,
    /// The request in flight, until the flush after its response.
    open: Mutex<Option<Arc<Bill>>>,
}

impl Served {
    pub(super) fn new(peer: SocketAddr, owner: OwnerRef) -> Self {
        Self(Arc::new(State {
            peer,
            owner,
            open: Mutex::new(None),
        }))
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    fn open(&self) -> Option<Arc<Bill>> {
        lock(&self.0.open).clone()
    }

    /// The connection works for this request from now on. What this poll spent so far was reading and
    /// parsing its head.
    pub(crate) fn begin(&self, bill: &Arc<Bill>) {
        let before = lock(&self.0.open).replace(bill.clone());
        if account::current().is_some_and(|account| account.owner.same(&self.0.owner)) {
            account::book_spent_here_to(bill);
        }
        if let Some(before) = before {
            before.socket_done();
        }
    }

    /// The account in which the connection works now.
    fn account(&self) -> Account {
        let owner = self
            .open()
            .map_or_else(|| self.0.owner.clone(), OwnerRef::Bill);
        Account::new(owner, Class::Protocol)
    }

    /// Makes the rest of the poll the open request's, if one has just begun.
    pub(super) fn follow(&self) {
        if let Some(bill) = self.open() {
            let owner = OwnerRef::Bill(bill);
            if !account::current().is_some_and(|account| account.owner.same(&owner)) {
                account::replace_current(Account::new(owner, Class::Protocol));
            }
        }
    }

    /// Everything written so far has left for the socket. If the response has ended, the request is done.
    pub(super) fn flushed(&self) {
        let done = {
            let mut open = lock(&self.0.open);
            if open.as_ref().is_some_and(|bill| bill.has_ended()) {
                open.take()
            } else {
                None
            }
        };
        if let Some(bill) = done {
            account::replace_current(self.account());
            bill.socket_done();
        }
    }

    /// The connection is gone.
    fn closed(&self) {
        let open = lock(&self.0.open).take();
        if let Some(bill) = open {
            bill.socket_done();
        }
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
            let entered = enter(self.served.account());
            self.inner.set(None);
            drop(entered);
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
        let entered = enter(this.served.account());
        let poll = inner.poll(cx);
        drop(entered);
        if poll.is_ready() {
            this.end();
        }
        poll
    }
}
