//! The way of metrics: what is known is handed over after each window, and sent when the one before has arrived.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use prost::Message as _;
use tokio::sync::Notify;
use weighbridge_wire::{Identity, RowSet, Window};

use super::config::{OtlpSettings, Temporality};
use super::metrics::{self, Range};
use crate::export::{Backoff, REQUEST_TIMEOUT, RESPONSE_BYTES_MAX, one_connection};
use crate::ledger::loss;
use crate::sync::lock;

/// How often the same metrics are sent before they are given up.
const ATTEMPTS_MAX: u32 = 8;

/// Sends the ledger's figures as metrics. `offer` never waits; `pump` runs on the agent's runtime.
pub(crate) struct OtlpExporter {
    settings: OtlpSettings,
    identity: Identity,
    client: Client<HttpConnector, Full<Bytes>>,
    known: Mutex<Known>,
    /// One request at a time.
    sending: tokio::sync::Mutex<Sending>,
    offered: Notify,
}

/// What was handed over and not yet sent.
#[derive(Debug, Default)]
struct Known {
    rows: RowSet,
    /// Start of the first window in `rows`.
    start_unix_ns: Option<u64>,
    end_unix_ns: u64,
    fresh: bool,
}

/// The request under way.
#[derive(Debug, Default)]
struct Sending {
    body: Option<Bytes>,
    attempts: u32,
    /// What the log has heard.
    failing_told: bool,
    loss_told: bool,
}

/// Why metrics did not arrive.
enum Failed {
    /// They may next time.
    Now(String),
    /// They never will.
    Refused(String),
}

impl OtlpExporter {
    /// Must be used on one runtime only: the pool's connections live there.
    pub(crate) fn new(settings: OtlpSettings, identity: Identity) -> Self {
        Self {
            settings,
            identity,
            client: one_connection(),
            known: Mutex::default(),
            sending: tokio::sync::Mutex::default(),
            offered: Notify::new(),
        }
    }

    /// Adds rows of the window that ends.
    pub(crate) fn add(&self, rows: &RowSet) {
        let folded = metrics::add(&mut lock(&self.known).rows, rows);
        loss("agent.otlp", "table full", folded);
    }

    /// All rows of the window have been added.
    pub(crate) fn end_window(&self, window: Window) {
        let mut known = lock(&self.known);
        known.start_unix_ns.get_or_insert(window.start_unix_ns);
        known.end_unix_ns = window.end_unix_ns;
        known.fresh = true;
        drop(known);
        self.offered.notify_one();
    }

    /// Sends what is there and waits for more, for ever. Dropping it at any point loses nothing.
    pub(crate) async fn pump(&self) {
        loop {
            let offered = self.offered.notified();
            let mut backoff = Backoff::default();
            while !self.send_known().await {
                tokio::time::sleep(backoff.next(None, false)).await;
            }
            offered.await;
        }
    }

    /// Sends what is there for at most this time.
    pub(crate) async fn flush(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.send_known()).await;
    }

    /// False when something was not taken and is to be sent again.
    async fn send_known(&self) -> bool {
        let mut sending = self.sending.lock().await;
        loop {
            if sending.body.is_none() {
                sending.body = self.take();
                sending.attempts = 0;
            }
            let Some(body) = sending.body.clone() else {
                return true;
            };
            let reason = match self.post(body).await {
                Ok(()) => {
                    sending.body = None;
                    sending.failing_told = false;
                    continue;
                }
                Err(Failed::Now(reason)) if sending.attempts + 1 < ATTEMPTS_MAX => {
                    sending.attempts += 1;
                    if !std::mem::replace(&mut sending.failing_told, true) {
                        tracing::warn!(
                            address = %self.settings.address, reason,
                            "OTLP metrics are not taken; they are sent again (told once)"
                        );
                    }
                    return false;
                }
                Err(Failed::Now(reason) | Failed::Refused(reason)) => reason,
            };
            sending.body = None;
            loss("agent.otlp", "not taken", 1);
            if !std::mem::replace(&mut sending.loss_told, true) {
                tracing::warn!(
                    address = %self.settings.address, reason,
                    "OTLP metrics are given up and counted as lost (told once)"
                );
            }
        }
    }

    /// The request for what is known since the last one, or since the start.
    fn take(&self) -> Option<Bytes> {
        let mut known = lock(&self.known);
        if !std::mem::take(&mut known.fresh) {
            return None;
        }
        let temporality = self.settings.temporality;
        let start_unix_ns = known.start_unix_ns.unwrap_or(known.end_unix_ns);
        let rows = std::mem::take(&mut known.rows);
        match temporality {
            Temporality::Cumulative => known.rows = metrics::sums(&rows),
            Temporality::Delta => known.start_unix_ns = None,
        }
        let range = Range {
            rows,
            start_unix_ns,
            end_unix_ns: known.end_unix_ns,
        };
        drop(known);
        let request = metrics::request(&self.identity, &range, temporality);
        Some(request.encode_to_vec().into())
    }

    async fn post(&self, body: Bytes) -> Result<(), Failed> {
        match tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(body)).await {
            Ok(result) => result,
            Err(_) => Err(Failed::Now(format!("no answer within {REQUEST_TIMEOUT:?}"))),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<(), Failed> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.settings.address.clone();
        let headers = request.headers_mut();
        *headers = self.settings.headers.clone();
        let agent = concat!("weighbridge-agent/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(CONTENT_TYPE, protobuf);
        let response = self.client.request(request).await;
        let response = response.map_err(|error| Failed::Now(error.to_string()))?;
        let status = response.status();
        // Read, so that the connection serves again; a longer answer is dropped with it.
        let _ = Limited::new(response.into_body(), RESPONSE_BYTES_MAX)
            .collect()
            .await;
        match status {
            status if status.is_success() => Ok(()),
            // Those that the specification calls retryable.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Failed::Now(status.to_string())),
            status => Err(Failed::Refused(status.to_string())),
        }
    }
}
