//! The service that opens a bill per request.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
use tower_service::Service;
use weighbridge_wire::{mode, side};

use super::carrier::Carrier;
use super::known::Kind;
use super::operation::{Asked, Named, Template};
use super::unweighed::Unweighed;
use super::{RequestBody, ResponseBody, ResponseFuture};
use crate::bill::{Bill, Entrance, EntranceNames, Opening};
use crate::ledger::{EdgeId, ledger};
use crate::propagation::{Chain, Hop, Incoming, Party};
use crate::serve::{Arrived, Served};
use crate::{propagation, state};

/// A service that weighs each request to the one inside. Made by [`layer`](crate::layer()).
#[derive(Clone, Debug)]
pub struct Weigh<S> {
    inner: S,
}

/// Marks a request that has its bill: an inner layer leaves it alone.
#[derive(Clone, Copy, Debug)]
struct Weighed;

impl<S> Weigh<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, In, Out> Service<Request<In>> for Weigh<S>
where
    S: Service<Request<RequestBody<In>>, Response = Response<Out>>,
    In: http_body::Body,
    Out: http_body::Body,
{
    type Response = Response<ResponseBody<Out>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<In>) -> Self::Future {
        let mut carrier = match claim(request.extensions_mut()) {
            Claim::Taken => Carrier::Nobody,
            Claim::Free(served) => carrier(&mut request, served),
        };
        // Of a body that has ended nothing will be read.
        let bill = carrier.bill().filter(|_| !request.body().is_end_stream());
        let bill = bill.cloned();
        let inside = carrier.enter();
        let request = request.map(|body| RequestBody::new(body, bill));
        // It is large, and is made where it stays.
        let mut future = ResponseFuture::new(self.inner.call(request));
        inside.leave_soon();
        future.carry(carrier);
        future
    }
}

enum Claim {
    /// An outer layer was first.
    Taken,
    /// The request is this layer's; over which connection it came, where that matters.
    Free(Option<Served>),
}

/// Marks the request as this layer's.
#[inline]
fn claim(extensions: &mut Extensions) -> Claim {
    if let Some(arrived) = extensions.get_mut::<Arrived>() {
        return match arrived.0.take() {
            Some(served) => Claim::Free(Some(served)),
            None => Claim::Taken,
        };
    }
    if extensions.get::<Weighed>().is_some() {
        return Claim::Taken;
    }
    extensions.insert(Weighed);
    Claim::Free(None)
}

/// What the request's work is booked to.
#[inline]
fn carrier<B>(request: &mut Request<B>, served: Option<Served>) -> Carrier {
    if state::measuring() {
        return Carrier::Bill(open(request, served));
    }
    let incoming = Incoming::find(request.headers());
    Carrier::Unweighed(Some(if incoming.is_nothing() {
        Unweighed::Named(Named::of(
            request.method(),
            request.uri(),
            incoming.content_type,
            request.extensions(),
        ))
    } else {
        Unweighed::Bill(open(request, served))
    }))
}

/// Opens the bill of a request, with the callee's side of its edge.
fn open<B>(request: &mut Request<B>, served: Option<Served>) -> Arc<Bill> {
    let incoming = Incoming::find(request.headers());
    let mut chain = None;
    if incoming.has_hop() {
        let peer = served
            .as_ref()
            .map(|served| served.peer().ip())
            .or_else(|| peer(request.extensions()));
        chain = state::with_trust(|trust| incoming.believed(trust, peer));
    }
    let asked = Asked::of(
        request.method(),
        request.uri(),
        incoming.content_type,
        request.extensions(),
    );
    // A malformed hop is as good as none. Its entrance is never remembered, so this shows it.
    let is_hop_read = Cell::new(chain.is_some());
    let find = || {
        let read = chain.as_ref().and_then(Chain::read);
        is_hop_read.set(read.is_some());
        let (entrance, whole) = find(&asked, read);
        (entrance, whole && is_hop_read.get() == chain.is_some())
    };
    let kind = Kind {
        asked: &asked,
        chain: chain.as_ref(),
    };
    let template = || Template::lasting(request.extensions());
    let entrance = kind.entrance(ledger(), template, find);
    let opening = Opening {
        // Its head was read from the socket a moment ago, and the clock with it.
        begun_ns: served.as_ref().and_then(Served::instant_at_work),
        trace: incoming.trace(),
        figures: None,
        // A bill that is not recorded has nothing to book at the flush.
        socket: served.is_some() && state::measuring(),
        http2: served.as_ref().is_some_and(Served::is_http2),
    };
    let to_strip = !is_hop_read.get() && incoming.has_ours();
    let bill = Bill::open(entrance, opening, || find().0);
    if to_strip {
        propagation::strip(request.headers_mut());
    }
    if let Some(served) = served
        && state::measuring()
    {
        served.begin(&bill);
    }
    bill
}

/// Looks the names of an entrance up. False when one was folded.
pub(super) fn find(asked: &Asked<'_>, read: Option<(Hop, Option<Party>)>) -> (Entrance, bool) {
    let (hop, origin) = read.unzip();
    let origin = origin.flatten();
    let none = || Arc::<str>::from("");
    let hop = hop.as_ref();
    let edge = EdgeId {
        side: side::CALLEE,
        mode: hop.map_or(mode::SYNC, |hop| hop.mode.as_str()),
        transport: asked.transport(),
        peer_service: hop.map_or_else(none, |hop| hop.caller.service.clone()),
        peer_operation: hop.map_or_else(none, |hop| hop.caller.operation.clone()),
        call_id: hop.map_or_else(none, |hop| hop.call_id.to_arc()),
        peer: none(),
        target: none(),
    };
    let names = EntranceNames {
        component: "",
        operation: &asked.operation(),
        caller: hop.map(|hop| (&*hop.caller.service, &*hop.caller.operation)),
        origin: origin.as_ref().map(|o| (&*o.service, &*o.operation)),
        callee: Some(&edge),
    };
    Entrance::find(ledger(), &names)
}

/// The peer's address as other servers tell it.
fn peer(extensions: &Extensions) -> Option<IpAddr> {
    #[cfg(feature = "axum-0_8")]
    if let Some(info) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(info.0.ip());
    }
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}
