//! The service that records each call.

use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::layer::Called;
use super::names::grpc_method;
use super::{
    CallFuture, CallRecord, CallRequestBody, CallResponseBody, Caller, Encoded, Target, retries,
    target_of,
};

/// A client whose calls are weighed. Made by [`ClientLayer`](crate::ClientLayer).
#[derive(Debug)]
pub struct Calls<S, K = AsIs> {
    inner: S,
    called: Arc<Called>,
    kind: PhantomData<fn() -> K>,
}

/// In which form the client inside wants the bodies.
#[doc(hidden)]
pub trait Carry<B: http_body::Body> {
    /// The form.
    type Sent;

    /// Brings a body into the form. Nothing is sent by it.
    fn carry(body: CallRequestBody<B>) -> Self::Sent;
}

/// As they are.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct AsIs;

impl<B: http_body::Body> Carry<B> for AsIs {
    type Sent = CallRequestBody<B>;

    fn carry(body: CallRequestBody<B>) -> Self::Sent {
        body
    }
}

/// Marks a request that is recorded: a layer further in leaves it alone.
#[derive(Clone, Copy, Debug)]
struct Recorded;

impl<S, K> Calls<S, K> {
    pub(super) fn new(inner: S, called: Arc<Called>) -> Self {
        Self {
            inner,
            called,
            kind: PhantomData,
        }
    }

    /// The client inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, K> Clone for Calls<S, K> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.called.clone())
    }
}

impl<S, K, B, Out> Service<Request<B>> for Calls<S, K>
where
    S: Service<Request<K::Sent>, Response = Response<Out>> + Clone,
    K: Carry<B>,
    B: http_body::Body,
    Out: http_body::Body,
{
    type Response = Response<CallResponseBody<Out>>;
    type Error = S::Error;
    type Future = CallFuture<S, K::Sent>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if request.extensions().get::<Recorded>().is_some() {
            let request = request.map(|body| K::carry(CallRequestBody::new(body, None)));
            return CallFuture::calling(self.inner.call(request), None);
        }
        request.extensions_mut().insert(Recorded);
        let record = self.begin(&request);
        let mut request =
            request.map(|body| K::carry(CallRequestBody::new(body, Some(record.clone()))));
        let caller = Caller::new(record);
        match self.called.is_trusted(request.uri()) {
            Some(trusted) => {
                let record = caller.record();
                record.set_headers(request.headers_mut(), trusted);
                let calling = record.work(|| self.inner.call(request));
                CallFuture::calling(calling, Some(caller))
            }
            None => {
                // The one that is ready goes along; the clone takes its place.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                let looking = self.called.clone().look_up(request.uri().clone());
                CallFuture::looking(Box::pin(looking), ready, request, caller)
            }
        }
    }
}

impl<S, K> Calls<S, K> {
    fn begin<B>(&self, request: &Request<B>) -> CallRecord {
        let grpc = grpc_method(request.uri(), request.headers());
        let peer = self.called.peer(grpc.is_some());
        let extensions = request.extensions();
        let record = match grpc {
            Some(method) => CallRecord::begin(peer, method, true),
            None => {
                let target = target_of(request.method(), extensions.get::<Target>());
                CallRecord::begin(peer, &target, false)
            }
        };
        record.retried(retries(extensions, request.headers()));
        if let Some(encoded) = extensions.get::<Encoded>() {
            encoded.book(&record);
        }
        record
    }
}
