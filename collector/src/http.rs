//! The HTTP interface.

mod admin;
pub(crate) mod answer;
mod api;
mod costs;
mod health;
mod host;
mod ledger;
mod listen;
mod live;
mod openapi;
mod range;
mod tls;
mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use crate::auth::{Auth, Denied, Grant, Scope};
use crate::clock::Clock;
use crate::config::Config;
use crate::ingest::{Engine, Refusal};
use crate::metrics::Metrics;
use crate::otlp;

pub(crate) use admin::{RESTORE_PATH, SNAPSHOT_PATH, SNAPSHOT_TYPE};
pub(crate) use ledger::encoding;
pub(crate) use listen::Bounded;
pub(crate) use range::RANGE_PATH;
pub(crate) use tls::{Secured, server as tls_server};

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: Metrics,
    clock: Clock,
    auth: Auth,
    hosts: Arc<host::Hosts>,
    /// One permit per KiB of request body.
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) in_flight_bytes: usize,
    body_bytes: usize,
    pub(crate) request_timeout: Duration,
    /// One permit per range that is being read.
    readers: Arc<Semaphore>,
    /// One permit per report that is being made.
    documents: Arc<Semaphore>,
    /// One permit: snapshots and restores.
    copies: Arc<Semaphore>,
    data_dir: Arc<std::path::Path>,
    snapshot_bytes_max: u64,
    /// One permit per live page that is looked at.
    viewers: Arc<Semaphore>,
    ready: Arc<AtomicBool>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl App {
    pub(crate) fn new(
        config: &Config,
        listen: &[std::net::SocketAddr],
        engine: Arc<Engine>,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        let limits = &config.limits;
        let largest = limits.body_bytes.max(limits.otlp_body_bytes + KIB);
        let in_flight_bytes = limits.in_flight_bytes.max(largest);
        let permits = (in_flight_bytes / KIB + 1).min(Semaphore::MAX_PERMITS);
        Self {
            engine,
            metrics,
            clock,
            auth: Auth::new(&config.tokens),
            hosts: Arc::new(host::Hosts::new(listen, &config.allowed_hosts)),
            in_flight: Arc::new(Semaphore::new(permits)),
            in_flight_bytes,
            body_bytes: config.limits.body_bytes,
            request_timeout: config.request_timeout,
            readers: Arc::new(Semaphore::new(
                limits.readers.clamp(1, Semaphore::MAX_PERMITS),
            )),
            documents: Arc::new(Semaphore::new(DOCUMENTS_AT_ONCE)),
            copies: Arc::new(Semaphore::new(1)),
            data_dir: config.data_dir.as_path().into(),
            snapshot_bytes_max: config.limits.retention_bytes.saturating_mul(4),
            viewers: Arc::new(Semaphore::new(VIEWERS_AT_ONCE)),
            ready: Arc::new(AtomicBool::new(true)),
        }
    }

    /// From now on `/readyz` says no, so that nobody sends new work here.
    pub(crate) fn set_unready(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && self.engine.is_healthy()
    }

    /// The tenant that a request reads or writes, or the answer that refuses it.
    pub(crate) fn tenant(
        &self,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Arc<str>, Box<Response>> {
        self.grant(headers, scope).map(|grant| grant.tenant)
    }

    /// Whose a request is, whatever it may do; the unnamed tenant's when it does not say.
    pub(crate) fn tenant_of(&self, headers: &HeaderMap) -> Arc<str> {
        self.auth.tenant(headers.get(header::AUTHORIZATION))
    }

    /// What a request may do, or the answer that refuses it.
    pub(crate) fn grant(&self, headers: &HeaderMap, scope: Scope) -> Result<Grant, Box<Response>> {
        self.auth.grant(headers, scope).map_err(|denied| {
            Box::new(match denied {
                Denied::Unknown => answer::unauthorized(),
                Denied::Scope => answer::text(
                    StatusCode::FORBIDDEN,
                    format!(
                        "this token lacks the scope `{}`; use another one, or add the scope in the \
                         collector's configuration",
                        scope.as_str()
                    ),
                ),
            })
        })
    }

    pub(crate) fn router(self) -> Router {
        let routes = Router::new()
            .route(ledger::PATH, post(ledger::ingest))
            .route(otlp::http::TRACES, post(otlp::http::traces))
            .route(otlp::http::METRICS, post(otlp::http::metrics))
            .route(otlp::http::LOGS, post(otlp::http::logs))
            .route(otlp::grpc::TRACES, post(otlp::grpc::traces))
            .route(otlp::grpc::METRICS, post(otlp::grpc::metrics))
            .route(otlp::grpc::LOGS, post(otlp::grpc::logs))
            .route(otlp::grpc::HEALTH, post(otlp::grpc::health))
            .route("/livez", get(health::live))
            .route("/readyz", get(health::ready))
            .route("/healthz", get(health::ready))
            .route("/metrics", get(health::metrics))
            .route(RANGE_PATH, get(range::range))
            .route("/api/v1/windows", get(windows::windows))
            .route("/api/v1/openapi.json", get(openapi::openapi))
            .route("/api/v1/report.json", get(api::report_json))
            .route("/api/v1/{part}", get(api::part))
            .route(SNAPSHOT_PATH, get(admin::snapshot))
            .route(RESTORE_PATH, post(admin::restore))
            .route("/report.html", get(api::report_html))
            .route("/", get(live::page))
            .route("/live.js", get(live::script))
            .route("/live.css", get(live::style))
            .route("/api/v1/live", get(live::fragment))
            .route("/api/v1/live/stream", get(live::stream))
            .fallback(answer::not_found);
        self.around(routes)
    }

    /// What stands around every way in.
    fn around(self, routes: Router<Self>) -> Router {
        let metrics = self.metrics.clone();
        routes
            .layer(middleware::from_fn_with_state(self.clone(), guard))
            .layer(CatchPanicLayer::custom(move |_| {
                metrics.panicked();
                answer::text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "a defect in the collector ended this request; its log says more",
                )
            }))
            .layer(weighbridge_agent::layer())
            .with_state(self)
    }
}

pub(crate) const KIB: usize = 1 << 10;

/// Reports made at once; each holds its whole range in memory.
const DOCUMENTS_AT_ONCE: usize = 2;

/// Live pages that are looked at at once.
const VIEWERS_AT_ONCE: usize = 32;

/// Around every request: who is asked for, and for how long.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Err(why) = app.hosts.check(&request) {
        return answer::text(StatusCode::FORBIDDEN, why);
    }
    // These take as long as the disk does, and only an administrator asks for them.
    if [SNAPSHOT_PATH, RESTORE_PATH].contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let way = otlp::Way::of(&request);
    let is_delta = request.uri().path() == ledger::PATH;
    // Whose it was is asked only if it is late.
    let authorization = request.headers().get(header::AUTHORIZATION).cloned();
    match tokio::time::timeout(app.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            app.metrics.timed_out();
            let tenant = app.auth.tenant(authorization.as_ref());
            match way {
                Some(way) => way.refuse(&app.metrics.otlp, &tenant, &Refusal::TimedOut),
                None if is_delta => {
                    app.metrics.refused(&tenant, Refusal::TimedOut.reason());
                    ledger::refused(&Refusal::TimedOut)
                }
                None => answer::later(
                    "the answer took longer than the collector's setting `request_timeout`; try again, or \
                     ask for a shorter range",
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests;
