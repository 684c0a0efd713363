//! `POST /v1/ledger`: one delta.

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use weighbridge_wire::CONTENT_TYPE;

use super::{App, KIB, answer};
use crate::auth::Scope;
use crate::ingest::Refusal;
use crate::store::Encoding;

/// Where deltas are sent.
pub(super) const PATH: &str = "/v1/ledger";

pub(super) async fn ingest(State(app): State<App>, request: Request) -> Response {
    let grant = match app.grant(request.headers(), Scope::Ingest) {
        Ok(grant) => grant,
        Err(denied) => {
            let tenant = app.tenant_of(request.headers());
            app.metrics.refused(&tenant, "unauthorized");
            return *denied;
        }
    };
    let (encoding, body, _permit) = match read(&app, request).await {
        Ok(read) => read,
        Err(refusal) => {
            app.metrics.refused(&grant.tenant, refusal.reason());
            return refused(&refusal);
        }
    };
    let allowed = |service: &str| grant.services.allow(service);
    match app
        .engine
        .ingest_allowed(&grant.tenant, encoding, body, &allowed)
        .await
    {
        Ok(ack) => answer::typed(StatusCode::OK, CONTENT_TYPE, ack.encode_to_vec()),
        Err(refusal) => refused(&refusal),
    }
}

/// Reads the body within its limits. The permit holds its share of the memory for all bodies.
async fn read(
    app: &App,
    request: Request,
) -> Result<(Encoding, Bytes, tokio::sync::OwnedSemaphorePermit), Refusal> {
    let headers = request.headers();
    if !is_protobuf(headers) {
        return Err(Refusal::ContentType);
    }
    let encoding = encoding(headers).ok_or(Refusal::ContentEncoding)?;
    let limit_bytes = app.body_bytes;
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > limit_bytes) {
        return Err(Refusal::TooLarge { limit_bytes });
    }
    let share = u32::try_from(declared.unwrap_or(limit_bytes) / KIB + 1).unwrap_or(u32::MAX);
    let permit = app
        .in_flight
        .clone()
        .try_acquire_many_owned(share)
        .map_err(|_| Refusal::Busy {
            limit_bytes: app.in_flight_bytes,
        })?;
    let collected = Limited::new(request.into_body(), limit_bytes).collect();
    // Half of the time for the whole request, so that the rest is left for the answer.
    let body = tokio::time::timeout(app.request_timeout / 2, collected)
        .await
        .map_err(|_| Refusal::Interrupted)?
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                Refusal::TooLarge { limit_bytes }
            } else {
                Refusal::Interrupted
            }
        })?
        .to_bytes();
    Ok((encoding, body, permit))
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(CONTENT_TYPE))
}

pub(crate) fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Some(Encoding::Identity);
    };
    if values.next().is_some() {
        return None;
    }
    match value.to_str().ok()?.trim().to_ascii_lowercase().as_str() {
        "identity" | "" => Some(Encoding::Identity),
        "gzip" => Some(Encoding::Gzip),
        "zstd" => Some(Encoding::Zstd),
        _ => None,
    }
}

pub(super) fn refused(refusal: &Refusal) -> Response {
    let mut response = answer::text(refusal.status(), refusal.to_string());
    if let Some(seconds) = refusal.retry_after_seconds() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
