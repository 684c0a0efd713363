//! Building and sending a request.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use hyper_util::client::legacy::connect::capture_connection;
use serde::Serialize;
use weighbridge_wire::Class;

use super::record::CallRecord;
use super::template::{fill, push_query};
use super::{Client, ClientError, Response};
use crate::account;
use crate::bill::Bill;
use crate::messages::Spent;
use crate::propagation::{CallId, Mode, Outgoing, inject, strip};
use crate::state;

/// A request in the making. Mistakes show when it is sent.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    method: Method,
    template: &'static str,
    params: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
    encode_ns: Option<i64>,
    mistake: Option<ClientError>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, template: &'static str) -> Self {
        Self {
            client,
            method,
            template,
            params: Vec::new(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            encode_ns: None,
            mistake: None,
        }
    }

    /// Sets a parameter of the template; the value is percent-encoded into its segment.
    pub fn param(mut self, name: &'static str, value: impl Display) -> Self {
        self.params.push((name, value.to_string()));
        self
    }

    /// Appends pairs to the query.
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        let owned = pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        self.query.extend(owned);
        self
    }

    /// Sets a header; one set before under this name is replaced.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            _ => {
                let reason = format!(
                    "`{}` is no header, or its value has control characters",
                    name.escape_debug()
                );
                self.mistake = Some(ClientError::Build {
                    target: self.target(),
                    reason,
                });
            }
        }
        self
    }

    /// Sets the body to a value as JSON; its CPU is booked as `encode`.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let (encoded, cpu_ns) = account::timed_class(Class::Encode, || serde_json::to_vec(value));
        self.encode_ns = Some(self.encode_ns.unwrap_or(0) + cpu_ns);
        match encoded {
            Ok(body) => {
                self.body = body.into();
                self.headers
                    .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            Err(source) => {
                self.mistake = Some(ClientError::Encode {
                    target: self.target(),
                    source,
                });
            }
        }
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn target(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// Sends the request and waits for the head of the response.
    ///
    /// # Errors
    /// [`ClientError`] when the request cannot be built, the peer cannot be reached, the connection breaks or
    /// the time is up. A response with an error status is not an error here.
    pub async fn send(mut self) -> Result<Response, ClientError> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        let client = self.client.clone();
        let (id, edge) = client.call(&self.method, self.template);
        let bill = Bill::current();
        let trusted = client.is_trusted().await;
        // Path, headers and what follows are the message's cost, as parsing them is at the other end.
        let building = Spent::begin_protocol();
        let (body_bytes, encode_ns) = (self.body.len() as u64, self.encode_ns);
        let mut request = self.into_request()?;
        if trusted {
            inject_for(bill.as_deref(), id, request.headers_mut());
        } else {
            strip(request.headers_mut());
        }
        let captured = capture_connection(&mut request);
        let target = Arc::clone(&edge.target);
        let mut record = CallRecord::begin(bill, edge, body_bytes, encode_ns, captured);
        record.built(building);
        let mut response = pin!(client.start(request));
        let answer = poll_fn(|cx| record.poll(|| response.as_mut().poll(cx)));
        match tokio::time::timeout(client.timeout(), answer).await {
            Ok(Ok(response)) => Ok(Response::new(client, target, record, response)),
            Ok(Err(error)) => {
                record.failed();
                let (peer, target) = (client.peer().to_owned(), target.to_string());
                Err(if error.is_connect() {
                    ClientError::Connect {
                        peer,
                        target,
                        source: Box::new(error),
                    }
                } else {
                    ClientError::Broken {
                        peer,
                        target,
                        source: Box::new(error),
                    }
                })
            }
            Err(_) => {
                record.failed();
                Err(ClientError::Timeout {
                    peer: client.peer().to_owned(),
                    target: target.to_string(),
                    after: client.timeout(),
                })
            }
        }
    }

    fn into_request(self) -> Result<Request<Full<Bytes>>, ClientError> {
        let wrong = |reason: String| ClientError::Build {
            target: self.target(),
            reason,
        };
        let mut path = fill(self.template, &self.params).map_err(wrong)?;
        push_query(&mut path, &self.query);
        let uri = self
            .client
            .uri(&path)
            .map_err(|error| wrong(error.to_string()))?;
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

/// Puts our headers on a call of this request, or of background work.
fn inject_for(bill: Option<&Bill>, call_id: CallId, headers: &mut HeaderMap) {
    inject(
        headers,
        &Outgoing::new(bill, call_id, Mode::Sync).headers(),
        &state::trust(),
    );
}
