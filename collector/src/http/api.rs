//! The report on a range, whole or in pieces.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use weighbridge_reports::Document;

use super::range::{SpanQuery, read_blocking, store_failed};
use super::{App, answer};
use crate::auth::Scope;
use crate::document::{self, DocumentError, PARTS};

const JSON: &str = "application/json";

pub(super) async fn report_json(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<SpanQuery>,
) -> Response {
    let written = answer_with(&app, &headers, &query, document::json).await;
    written.map_or_else(
        |refused| *refused,
        |body| answer::typed(StatusCode::OK, JSON, body),
    )
}

pub(super) async fn part(
    State(app): State<App>,
    Path(part): Path<String>,
    headers: HeaderMap,
    Query(query): Query<SpanQuery>,
) -> Response {
    let Some(part) = PARTS.into_iter().find(|known| *known == part) else {
        return answer::text(
            StatusCode::NOT_FOUND,
            format!("no such part; there are: {}", PARTS.join(", ")),
        );
    };
    let written = answer_with(&app, &headers, &query, |document| {
        document::part_json(document, part)
    })
    .await;
    written.map_or_else(
        |refused| *refused,
        |body| answer::typed(StatusCode::OK, JSON, body),
    )
}

pub(super) async fn report_html(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<SpanQuery>,
) -> Response {
    let written = answer_with(&app, &headers, &query, |document| {
        Ok(weighbridge_reports::html::render(document).into_bytes())
    })
    .await;
    match written {
        Err(refused) => *refused,
        Ok(body) => {
            // The page carries its own Content Security Policy; this one adds what a page cannot say of
            // itself.
            let mut response = answer::typed(StatusCode::OK, "text/html; charset=utf-8", body);
            let policy = HeaderValue::from_static("frame-ancestors 'none'");
            response
                .headers_mut()
                .insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
    }
}

/// Builds the document away from the threads that answer, and writes it.
async fn answer_with(
    app: &App,
    headers: &HeaderMap,
    query: &SpanQuery,
    write: impl FnOnce(&Document) -> Result<Vec<u8>, DocumentError> + Send + 'static,
) -> Result<Vec<u8>, Box<Response>> {
    let tenant = app.tenant(headers, Scope::Read)?;
    let span = query.span(app)?;
    let finest = query.finest()?;
    let permit = app.documents.clone().try_acquire_owned().map_err(|_| {
        Box::new(answer::later(
            "other reports are being made; try again in a few seconds",
        ))
    })?;
    let engine = app.engine.clone();
    let made = read_blocking(move |stop| {
        let _permit = permit;
        let (since, until) = (span.since_unix_ns, span.until_unix_ns);
        let view = engine.view_until(&tenant, since, until, finest, &stop)?;
        write(&document::build(view, span)?)
    })
    .await;
    match made {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(DocumentError::Store(error))) => Err(Box::new(store_failed(&error))),
        Ok(Err(error @ DocumentError::TooLong)) => Err(Box::new(answer::text(
            StatusCode::BAD_REQUEST,
            error.to_string(),
        ))),
        Ok(Err(error)) => Err(Box::new(answer::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            error.to_string(),
        ))),
        Err(error) => Err(Box::new(answer::defect(app, "a report", &error))),
    }
}
