//! OTLP over HTTP: `/v1/traces`, `/v1/metrics`, `/v1/logs`.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::status::{Status, code, success};
use super::{Format, Signal, receive};
use crate::auth::Scope;
use crate::http::{App, answer, encoding};
use crate::ingest::Refusal;

/// Paths of the three signals.
pub(crate) const TRACES: &str = "/v1/traces";
pub(crate) const METRICS: &str = "/v1/metrics";
pub(crate) const LOGS: &str = "/v1/logs";

pub(crate) async fn traces(State(app): State<App>, request: Request) -> Response {
    take(&app, Signal::Traces, request).await
}

pub(crate) async fn metrics(State(app): State<App>, request: Request) -> Response {
    take(&app, Signal::Metrics, request).await
}

pub(crate) async fn logs(State(app): State<App>, request: Request) -> Response {
    take(&app, Signal::Logs, request).await
}

async fn take(app: &App, signal: Signal, request: Request) -> Response {
    let counters = &app.metrics.otlp;
    let Some(format) = format(request.headers()) else {
        let tenant = app.tenant_of(request.headers());
        counters.refused(&tenant, signal, &Refusal::ContentType);
        let status = Status {
            message: "unsupported content type; OTLP is sent as `Content-Type: application/x-protobuf` or \
                      `application/json`"
                .into(),
            ..Status::from(&Refusal::ContentType)
        };
        return refused(&status, Format::Protobuf);
    };
    let grant = match app.grant(request.headers(), Scope::Ingest) {
        Ok(grant) => grant,
        Err(denied) => {
            counters.unauthorized(&app.tenant_of(request.headers()), signal);
            let status = Status {
                http: denied.status(),
                code: match denied.status() {
                    StatusCode::FORBIDDEN => code::PERMISSION_DENIED,
                    _ => code::UNAUTHENTICATED,
                },
                message: "no token that may send here; set the header `Authorization: Bearer …` (with \
                          OpenTelemetry's SDKs: OTEL_EXPORTER_OTLP_HEADERS=\"Authorization=Bearer%20…\")"
                    .into(),
                retry_after_seconds: None,
            };
            return refused(&status, format);
        }
    };
    let taken = async {
        let encoding = encoding(request.headers()).ok_or(Refusal::ContentEncoding)?;
        let limit_bytes = app.engine.limits().otlp_body_bytes;
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|bytes| bytes > limit_bytes) {
            return Err(Refusal::TooLarge { limit_bytes });
        }
        let read = receive::body(app, request.into_body(), limit_bytes, |_| declared).await?;
        let outcome = receive::take(app, &grant, signal, format, encoding, read.body).await;
        drop(read.permits);
        outcome
    };
    match taken.await {
        Ok(outcome) => {
            let body = success(signal, format, &outcome.tally);
            answer::typed(StatusCode::OK, content_type(format), body)
        }
        Err(refusal) => {
            counters.refused(&grant.tenant, signal, &refusal);
            refused(&Status::from(&refusal), format)
        }
    }
}

pub(super) fn refused(status: &Status, format: Format) -> Response {
    let mut response = answer::typed(status.http, content_type(format), status.body(format));
    if let Some(seconds) = status.retry_after_seconds {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status.http == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

pub(super) fn format(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next()?.trim();
    if media_type.eq_ignore_ascii_case("application/x-protobuf") {
        Some(Format::Protobuf)
    } else if media_type.eq_ignore_ascii_case("application/json") {
        Some(Format::Json)
    } else {
        None
    }
}

fn content_type(format: Format) -> &'static str {
    match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    }
}
