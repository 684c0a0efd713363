//! The service that opens a bill per request.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
use tower_service::Service;
use weighbridge_wire::{Class, side};

use super::{RequestBody, ResponseBody, ResponseFuture, operation};
use crate::account::{Account, OwnerRef, enter};
use crate::bill::{Bill, Start};
use crate::ledger::{EdgeFigures, EdgeId};
use crate::serve::Served;
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
        if request.extensions().get::<Weighed>().is_some() {
            let request = request.map(|body| RequestBody::new(body, None));
            return ResponseFuture::new(self.inner.call(request), None);
        }
        let bill = open(&mut request);
        request.extensions_mut().insert(Weighed);
        let account = Account::new(OwnerRef::Bill(bill.clone()), Class::Handler);
        let entered = enter(account);
        let request = request.map(|body| RequestBody::new(body, Some(bill.clone())));
        let future = self.inner.call(request);
        drop(entered);
        ResponseFuture::new(future, Some(bill))
    }
}

/// Opens the bill of a request, with the callee's side of its edge.
fn open<B>(request: &mut Request<B>) -> std::sync::Arc<Bill> {
    let served = request.extensions().get::<Served>().cloned();
    let peer = served
        .as_ref()
        .map(|served| served.peer().ip())
        .or_else(|| peer(request.extensions()));
    let inbound = propagation::extract(&state::trust(), peer, request.headers_mut());
    let (operation, transport) = operation::name(
        request.method(),
        request.uri(),
        request.headers(),
        request.extensions(),
    );
    let hop = inbound.hop.as_ref();
    let none = || std::sync::Arc::<str>::from("");
    let id = EdgeId {
        side: side::CALLEE,
        mode: hop.map_or(weighbridge_wire::mode::SYNC, |hop| hop.mode.as_str()),
        transport,
        peer_service: hop.map_or_else(none, |hop| hop.caller.service.clone()),
        peer_operation: hop.map_or_else(none, |hop| hop.caller.operation.clone()),
        call_id: hop.map_or_else(none, |hop| hop.call_id.to_arc()),
        peer: none(),
        target: none(),
    };
    let bill = Bill::start(Start {
        component: "",
        operation: &operation,
        caller: hop.map(|hop| (&*hop.caller.service, &*hop.caller.operation)),
        origin: inbound
            .origin
            .as_ref()
            .map(|origin| (&*origin.service, &*origin.operation)),
        trace: inbound.trace,
        callee: Some((
            id,
            EdgeFigures {
                request_messages: 1,
                ..EdgeFigures::default()
            },
        )),
        socket: served.is_some(),
        http2: served.as_ref().is_some_and(Served::is_http2),
    });
    if let Some(served) = served {
        served.begin(&bill);
    }
    bill
}

/// The peer's address as other servers tell it.
fn peer(extensions: &Extensions) -> Option<IpAddr> {
    #[cfg(feature = "axum-0_8")]
    if let Some(info) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(info.0.ip());
    }
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}
