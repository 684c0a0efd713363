//! Whether the collector lives, is ready, and what it counts.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::{App, answer, costs};
use crate::auth::Scope;
use crate::document;
use crate::span::Span;

/// Alive as long as it answers; says nothing about the disk.
pub(super) async fn live() -> Response {
    answer::text(StatusCode::OK, "alive")
}

pub(super) async fn ready(State(app): State<App>) -> Response {
    if app.is_ready() {
        answer::text(StatusCode::OK, "ready")
    } else if app.engine.is_healthy() {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, "not ready: stopping")
    } else {
        answer::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the store failed; see the collector's log, and check the disk's free space",
        )
    }
}

pub(super) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let tenant = match app.tenant(&headers, Scope::Read) {
        Err(denied) => return *denied,
        Ok(tenant) => tenant,
    };
    let own = app.metrics.encode();
    // Unit costs stand before the end mark; a scrape at which they cannot be made has the collector's own alone.
    let text = match unit_costs(&app, tenant).await {
        Some(costs) => {
            let own = own.strip_suffix("# EOF\n").unwrap_or(&own);
            format!("{own}{costs}# EOF\n")
        }
        None => own,
    };
    answer::typed(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        text,
    )
}

/// What requests cost over the last minutes. `None` while other reports are being made, or when the store fails.
async fn unit_costs(app: &App, tenant: Arc<str>) -> Option<String> {
    let permit = app.documents.clone().try_acquire_owned().ok()?;
    let span = Span {
        since_unix_ns: app.clock.now_unix_ns().saturating_sub(COSTS_NS),
        until_unix_ns: u64::MAX,
    };
    let engine = app.engine.clone();
    let made = super::range::read_blocking(move |stop| {
        let _permit = permit;
        let (since, until) = (span.since_unix_ns, span.until_unix_ns);
        let view = engine.view_until(&tenant, since, until, None, &stop).ok()?;
        Some(costs::unit_costs(&document::build(view, span).ok()?))
    })
    .await;
    made.ok().flatten()
}

/// How far back unit costs look: 5 minutes.
const COSTS_NS: u64 = 300_000_000_000;
