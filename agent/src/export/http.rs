//! Delivery to a collector over HTTP, under TLS where its address says `https`.
//!
//! The collector is not trusted with the host: it may answer slowly, endlessly, with garbage or not at all.
//! Redirects are not followed, since the token is meant for one address only.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::Delivery;
use crate::config::{Endpoint, Token};
use crate::tls::{Connector, TlsError, TlsFiles};

/// Time to connect to the collector.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for a whole exchange with the collector.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of an answer that are read, head and body each.
pub const RESPONSE_BYTES_MAX: usize = 65_536;
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest part of an answer that is repeated in a log.
const REASON_CHARS_MAX: usize = 200;

/// A collector behind HTTP.
#[derive(Debug)]
pub(crate) struct HttpTarget {
    endpoint: Endpoint,
    token: Option<Token>,
    client: Client<Connector, Full<Bytes>>,
    request_timeout: Duration,
}

/// A client that keeps one connection, and reads no head longer than an answer may be. It follows no redirects. To be
/// used on one runtime only: the pool's connection lives there.
#[cfg(feature = "otlp-metrics")]
pub(crate) fn one_connection() -> Client<HttpConnector, Full<Bytes>> {
    client(tcp())
}

fn tcp() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    connector
}

fn client<C: Connect + Clone>(connector: C) -> Client<C, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(1)
        .http1_max_buf_size(RESPONSE_BYTES_MAX)
        .build(connector)
}

impl HttpTarget {
    /// Must be used on one runtime only: the pool's connections live there.
    ///
    /// # Errors
    /// When the address asks for TLS and its files cannot be used.
    pub(crate) fn new(
        endpoint: Endpoint,
        token: Option<Token>,
        tls: &TlsFiles,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            client: client(tls.connector(tcp(), endpoint.is_tls())?),
            endpoint,
            token,
            request_timeout: REQUEST_TIMEOUT,
        })
    }

    /// The same with another patience, for tests.
    #[cfg(test)]
    pub(super) fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The address, for the log.
    pub(super) fn address(&self) -> String {
        self.endpoint.ledger().to_string()
    }

    /// Posts one compressed delta.
    pub(crate) async fn deliver(&self, body: Bytes) -> Delivery {
        match tokio::time::timeout(self.request_timeout, self.exchange(body)).await {
            Ok(delivery) => delivery,
            Err(_) => busy(None, format!("no answer within {:?}", self.request_timeout)),
        }
    }

    async fn exchange(&self, body: Bytes) -> Delivery {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.ledger().clone();
        let headers = request.headers_mut();
        let agent = concat!("weighbridge-agent/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, http::HeaderValue::from_static(agent));
        headers.insert(
            CONTENT_TYPE,
            http::HeaderValue::from_static(weighbridge_wire::CONTENT_TYPE),
        );
        headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.header());
        }
        match self.client.request(request).await {
            Ok(response) => judge(response).await,
            Err(error) => busy(None, crate::tls::explain(&error)),
        }
    }
}

fn busy(retry_after: Option<Duration>, reason: String) -> Delivery {
    Delivery::Busy {
        retry_after,
        reason,
    }
}

async fn judge(response: Response<Incoming>) -> Delivery {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let text = read_bounded(response.into_body()).await;
    if status.is_success() {
        return Delivery::Accepted;
    }
    let reason = format!("{status}: {}", shown(&text));
    match status {
        // These speak of the collector or of the settings, not of this delta: it will be taken later.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => busy(
            retry_after,
            format!("{reason}; set WEIGHBRIDGE_TOKEN to a token of the collector"),
        ),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => busy(
            retry_after,
            format!("{reason}; WEIGHBRIDGE_ENDPOINT does not name a collector"),
        ),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => busy(retry_after, reason),
        status if status.is_redirection() => busy(
            retry_after,
            format!(
                "{reason}; redirects are not followed, set WEIGHBRIDGE_ENDPOINT to the final address"
            ),
        ),
        status if status.is_client_error() => Delivery::Refused { reason },
        _ => busy(retry_after, reason),
    }
}

/// Reads the answer as far as it is bounded; the rest is dropped with the connection.
async fn read_bounded(mut body: Incoming) -> Vec<u8> {
    let mut text = Vec::new();
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else {
            continue;
        };
        read += data.len();
        let room = (4 * REASON_CHARS_MAX).saturating_sub(text.len());
        text.extend_from_slice(&data[..data.len().min(room)]);
        if read > RESPONSE_BYTES_MAX {
            break;
        }
    }
    text
}

/// Only the form in seconds is understood; a date would need a calendar and two clocks that agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim()
        .chars()
        .take(REASON_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect()
}
