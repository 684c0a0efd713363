//! reqwest: a middleware that weighs each call, and JSON whose encoding and decoding are told apart.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};

use ::reqwest::{Body, Request, Response, ResponseBuilderExt as _};
use bytes::Bytes;
use http::Extensions;
use reqwest_middleware::{
    ClientBuilder, ClientWithMiddleware, Error, Middleware, Next, RequestBuilder, Result,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bill::Outcome;
use crate::client_layer::{
    CallHandle, CallRecord, CallRequestBody, CallResponseBody, Caller, Encoded, Target, retries,
    target_of,
};
use crate::layer::outcome_of_head;
use crate::ledger::Direction;
use crate::messages::{Peer, Whereabouts};

/// Weighs the calls of a client of reqwest. `peer` is what this service calls the one at the other end.
///
/// ```no_run
/// # async fn stock(sku: &str) -> Result<u64, Box<dyn std::error::Error>> {
/// use weighbridge_agent::{Target, WeighedRequest as _, WeighedResponse as _};
/// let warehouse = weighbridge_agent::reqwest("warehouse", reqwest::Client::new());
/// let response = warehouse
///     .post(format!("http://127.0.0.1:8081/stock/{sku}"))
///     .with_extension(Target("/stock/{sku}")) // what the call is booked under, else `POST *`
///     .weighed_json(&[1, 2, 3])
///     .send()
///     .await?;
/// Ok(response.weighed_json().await?)
/// # }
/// ```
///
/// What is recorded, and when, is said in the docs of [`client_layer`](crate::client_layer()). Differences: a body
/// that is not a stream is sent out of sight, so a call that fails or is dropped without an answer counts as sent
/// unless reqwest says that it could not connect. Bytes of an answer are those after reqwest's own decompression. A
/// redirect is followed inside of reqwest and belongs to the call that it began with; our headers go along to
/// wherever it leads, so give a client that may be sent astray [`reqwest_redirects`] or a policy of your own.
#[must_use]
pub fn reqwest(peer: &str, client: ::reqwest::Client) -> ClientWithMiddleware {
    ClientBuilder::new(client)
        .with(ReqwestCalls::new(peer))
        .build()
}

/// Follows up to 10 redirects within a host and a port, and hands the answer over where it leads to another: what
/// goes along with a call, stays with whom it was meant for.
#[must_use]
pub fn reqwest_redirects() -> ::reqwest::redirect::Policy {
    ::reqwest::redirect::Policy::custom(|attempt| {
        let place = |url: &::reqwest::Url| {
            let host = url.host_str().map(str::to_owned);
            (url.scheme().to_owned(), host, url.port_or_known_default())
        };
        let here = attempt.previous().last().map(place);
        if here != Some(place(attempt.url())) {
            attempt.stop()
        } else if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    })
}

/// As reqwest's own limit.
const REDIRECTS_MAX: usize = 10;

/// The middleware of [`reqwest()`], for a stack with others: best the innermost of them. Inside of one that retries,
/// each attempt is a call, and those after the first are counted as retries too.
#[derive(Debug)]
pub struct ReqwestCalls {
    peer: Peer,
    whereabouts: Whereabouts,
}

/// Marks a request that is recorded: a middleware further in leaves it alone.
#[derive(Clone, Copy, Debug)]
struct Recorded;

/// How many calls one request has become.
#[derive(Clone, Copy, Debug)]
struct Calls(u64);

impl ReqwestCalls {
    /// For calls to this peer.
    #[must_use]
    pub fn new(peer: &str) -> Self {
        Self {
            peer: Peer::new("http", peer),
            whereabouts: Whereabouts::default(),
        }
    }

    fn begin(&self, request: &mut Request, extensions: &mut Extensions) -> Caller {
        let target = target_of(request.method(), extensions.get::<Target>());
        let record = CallRecord::begin(&self.peer, &target, false);
        let before = extensions.get::<Calls>().map_or(0, |calls| calls.0);
        extensions.insert(Calls(before + 1));
        record.retried(u64::from(before > 0).max(retries(extensions, request.headers())));
        if let Some(encoded) = extensions.remove::<Encoded>() {
            encoded.book(&record);
        }
        // What is in memory stays as it is: reqwest sends it again where it has to.
        let is_stream = request.body().is_some_and(|body| body.as_bytes().is_none());
        if is_stream && let Some(body) = request.body_mut().take() {
            let counted = CallRequestBody::new(body, Some(record.clone()));
            *request.body_mut() = Some(Body::wrap(counted));
        }
        Caller::new(record)
    }

    async fn is_trusted(&self, request: &Request) -> bool {
        let Some(host) = request.url().host_str() else {
            return false;
        };
        match self.whereabouts.is_trusted(host) {
            Some(trusted) => trusted,
            None => self.whereabouts.look_up(host).await,
        }
    }

    async fn call(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        if extensions.get::<Recorded>().is_some() {
            return next.run(request, extensions).await;
        }
        let caller = self.begin(&mut request, extensions);
        let trusted = self.is_trusted(&request).await;
        caller.record().set_headers(request.headers_mut(), trusted);
        let mut sending = Sending {
            body_bytes: request
                .body()
                .map_or(Some(0), |body| body.as_bytes().map(|b| b.len() as u64)),
            record: caller.record().clone(),
            begun: false,
        };
        extensions.insert(Recorded);
        let result = {
            let mut running = pin!(next.run(request, extensions));
            poll_fn(|cx| {
                sending.begun = true;
                caller.record().poll(|| running.as_mut().poll(cx))
            })
            .await
        };
        extensions.remove::<Recorded>();
        if let Err(error) = &result {
            sending.begun &= !was_not_sent(error);
            caller.fail();
        }
        drop(sending);
        Ok(answered(result?, caller))
    }
}

/// True when no server can have seen the request.
fn was_not_sent(error: &Error) -> bool {
    match error {
        Error::Reqwest(error) => error.is_connect() || error.is_builder(),
        Error::Middleware(_) => true,
    }
}

/// Counts a request whose body is in memory when it has gone out, also when the call is dropped.
struct Sending {
    /// None for a stream, which counts itself.
    body_bytes: Option<u64>,
    record: CallRecord,
    begun: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(bytes) = self.body_bytes
            && self.begun
        {
            self.record.sent();
            self.record.passed(Direction::Request, bytes);
        }
    }
}

fn answered(response: Response, caller: Caller) -> Response {
    let outcome: Outcome = outcome_of_head(response.status(), response.headers());
    caller.record().answered(outcome);
    let handle = CallHandle::new(caller.record().clone());
    let url = response.url().clone();
    let mut response: http::Response<Body> = response.into();
    response.extensions_mut().insert(handle);
    // The address that answered travels among the extensions.
    if let Ok(addressed) = http::Response::builder().url(url).body(()) {
        let (parts, ()) = addressed.into_parts();
        response.extensions_mut().extend(parts.extensions);
    }
    response
        .map(|body| Body::wrap(CallResponseBody::new(body, Some(caller))))
        .into()
}

impl Middleware for ReqwestCalls {
    // What the attribute of the trait would write.
    fn handle<'this, 'extensions, 'next, 'all>(
        &'this self,
        request: Request,
        extensions: &'extensions mut Extensions,
        next: Next<'next>,
    ) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'all>>
    where
        'this: 'all,
        'extensions: 'all,
        'next: 'all,
        Self: 'all,
    {
        Box::pin(self.call(request, extensions, next))
    }
}

/// JSON into a request of [`reqwest()`].
pub trait WeighedRequest {
    /// As `json`, with its CPU in class `encode` and on the edge. What cannot be encoded is the error of `send`.
    #[must_use]
    fn weighed_json<T: Serialize + ?Sized>(self, value: &T) -> Self;
}

impl WeighedRequest for RequestBuilder {
    fn weighed_json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let (encoded, cost) = Encoded::run(|| serde_json::to_vec(value));
        match encoded {
            // With the content type that it sets where there is none; the body is replaced.
            Ok(body) => self.json(&()).body(body).with_extension(cost),
            // reqwest's own error.
            Err(_) => self.json(value),
        }
    }
}

/// JSON out of an answer to a call of [`reqwest()`].
pub trait WeighedResponse {
    /// As `json`, with its CPU in class `decode` and on the edge.
    ///
    /// # Errors
    /// Those of `json`.
    fn weighed_json<T: DeserializeOwned>(self)
    -> impl Future<Output = ::reqwest::Result<T>> + Send;
}

impl WeighedResponse for Response {
    async fn weighed_json<T: DeserializeOwned>(self) -> ::reqwest::Result<T> {
        let call = self.extensions().get::<CallHandle>().cloned();
        let url = self.url().clone();
        let body = self.bytes().await?;
        // What was decoded does not live on: it may not be allowed to leave its thread.
        let misread = {
            let read = || serde_json::from_slice(&body);
            let decoded = match &call {
                Some(call) => call.decode(read),
                None => read(),
            };
            match decoded {
                Ok(value) => return Ok(value),
                Err(_) => misread(url, body.clone()),
            }
        };
        misread.json().await
    }
}

/// A response with this body, for reqwest's own error.
fn misread(url: ::reqwest::Url, body: Bytes) -> Response {
    let response = http::Response::builder().url(url).body(body.clone());
    response
        .unwrap_or_else(|_| http::Response::new(body))
        .into()
}
