//! Whether the collector lives, is ready, and what it counts.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::{App, answer};
use crate::auth::Scope;

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
    match app.tenant(&headers, Scope::Read) {
        Err(denied) => *denied,
        Ok(_) => answer::typed(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            app.metrics.encode(),
        ),
    }
}
