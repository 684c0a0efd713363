//! Answers in plain text.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

/// A sentence. Never markup, whatever a browser thinks, and nothing that a terminal obeys: it may quote what was asked.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut text = weighbridge_wire::visible(&text.into(), &['\n']);
    text.push('\n');
    typed(status, "text/plain; charset=utf-8", text)
}

/// Seconds after which a reader may come again.
const LATER_SECONDS: u64 = 5;

/// Not now.
pub(crate) fn later(why: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, why);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(LATER_SECONDS));
    response
}

/// A body of a type.
pub(crate) fn typed(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn unauthorized() -> Response {
    let mut response = text(
        StatusCode::UNAUTHORIZED,
        "no token, or one that is not known here; send `Authorization: Bearer …` (agents: set \
         WEIGHBRIDGE_TOKEN)",
    );
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

pub(super) async fn not_found(headers: http::HeaderMap) -> Response {
    if let Some(refused) = crate::otlp::grpc::unimplemented(&headers) {
        return refused;
    }
    text(
        StatusCode::NOT_FOUND,
        "nothing here; see / for the live page, /report.html for the report, and docs/operating.md for \
         the API",
    )
}

/// What is said of a defect of ours.
pub(crate) const DEFECT: &str = "a defect in the collector ended this request; its log says more";

/// A task of ours panicked.
pub(crate) fn defect(app: &super::App, what: &str, error: &dyn std::fmt::Display) -> Response {
    count_defect(app, what, error);
    text(StatusCode::INTERNAL_SERVER_ERROR, DEFECT)
}

/// Counts and logs that a task of ours panicked.
pub(crate) fn count_defect(app: &super::App, what: &str, error: &dyn std::fmt::Display) {
    app.metrics.panicked();
    tracing::error!(%error, what, "could not be made because of a defect");
}
