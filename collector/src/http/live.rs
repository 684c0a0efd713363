//! The live page: the tables of the report on the last minutes, sent again as long as somebody looks.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use weighbridge_reports::html;

use super::{App, answer};
use crate::auth::Scope;
use crate::document::{self, DocumentError};
use crate::span::Span;

/// Ranges that the page offers: what the address says, how it is called, and how long it is.
const RANGES: [(&str, &str, Duration); 4] = [
    ("1m", "the last minute", Duration::from_secs(60)),
    ("5m", "the last 5 minutes", Duration::from_secs(300)),
    ("15m", "the last 15 minutes", Duration::from_secs(900)),
    ("1h", "the last hour", Duration::from_secs(3_600)),
];

/// Time between two pictures of now.
const EVERY: Duration = Duration::from_secs(2);
/// Pictures on one connection; the page then asks again.
const FRAMES_MAX: u32 = 300;

/// Nothing from elsewhere, nothing in-line.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = include_str!("live.js");
const STYLE: &str = include_str!("live.css");

/// What may stand in the address.
#[derive(Debug, Deserialize)]
pub(super) struct LiveQuery {
    #[serde(default)]
    last: String,
}

impl LiveQuery {
    fn range(&self) -> Result<(&'static str, Duration), Box<Response>> {
        let wanted = if self.last.is_empty() {
            RANGES[0].0
        } else {
            self.last.as_str()
        };
        RANGES
            .iter()
            .find(|(key, ..)| *key == wanted)
            .map(|(_, label, length)| (*label, *length))
            .ok_or_else(|| {
                let known: Vec<&str> = RANGES.iter().map(|(key, ..)| *key).collect();
                Box::new(answer::text(
                    StatusCode::BAD_REQUEST,
                    format!("`last` is one of {}", known.join(", ")),
                ))
            })
    }
}

/// The page. It holds no figure that its reader may not see: where tokens are needed and none came, its script asks
/// for one.
pub(super) async fn page(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<LiveQuery>,
) -> Response {
    let (label, length) = match query.range() {
        Ok(range) => range,
        Err(refused) => return *refused,
    };
    let (locked, shown) = match tables(&app, &headers, label, length).await {
        Ok(tables) => ("", tables),
        Err(refused) if refused.status() == StatusCode::UNAUTHORIZED => (
            " data-locked",
            "<p class=\"none\">This collector asks for a token.</p>\n".to_owned(),
        ),
        Err(refused) => return *refused,
    };
    let options: String = RANGES
        .iter()
        .map(|(key, name, _)| {
            let selected = if *name == label { " selected" } else { "" };
            format!("<option value=\"{key}\"{selected}>{name}</option>")
        })
        .collect();
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Weighbridge: now</title>\n<link rel=\"stylesheet\" href=\"/live.css\">\n\
         <script src=\"/live.js\" defer></script>\n</head>\n<body{locked}>\n\
         <header class=\"top live-top\"><p class=\"brand\">Weighbridge</p>\n<h1>What requests cost now</h1>\n\
         <form id=\"controls\" class=\"controls\"><label for=\"last\">Range</label> \
         <select id=\"last\" name=\"last\">{options}</select> \
         <button type=\"button\" id=\"pause\" aria-pressed=\"false\" hidden>Pause</button> \
         <noscript><button>Show</button></noscript> \
         <span id=\"state\" role=\"status\"></span></form>\n\
         <form id=\"token-form\" class=\"controls\" hidden><label for=\"token\">Token (kept in this page only)</label> \
         <input id=\"token\" type=\"password\" autocomplete=\"off\"> <button>Use</button></form>\n\
         <p class=\"small\" id=\"reports\">Reports: <a href=\"/report.html?since=15m\">on the last 15 minutes</a> · \
         <a href=\"/report.html\">on everything</a></p></header>\n\
         <div class=\"frame live-frame\"><main id=\"live\">\n{shown}</main></div>\n</body>\n</html>\n"
    );
    let mut response = answer::typed(StatusCode::OK, "text/html; charset=utf-8", page);
    let policy = HeaderValue::from_static(POLICY);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// The tables alone, once.
pub(super) async fn fragment(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<LiveQuery>,
) -> Response {
    let made = match query.range() {
        Ok((label, length)) => tables(&app, &headers, label, length).await,
        Err(refused) => Err(refused),
    };
    match made {
        Ok(tables) => answer::typed(StatusCode::OK, "text/html; charset=utf-8", tables),
        Err(refused) => *refused,
    }
}

/// The tables again and again: one line of JSON each time, `{"html": "…"}` or, where they could not be made,
/// `{"error": "…"}`, until the reader goes, the collector stops, or [`FRAMES_MAX`] were sent.
pub(super) async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<LiveQuery>,
) -> Response {
    let (label, length) = match query.range() {
        Ok(range) => range,
        Err(refused) => return *refused,
    };
    let tenant = match app.tenant(&headers, Scope::Read) {
        Ok(tenant) => tenant,
        Err(refused) => return *refused,
    };
    let Ok(permit) = app.viewers.clone().try_acquire_owned() else {
        return answer::later("too many people look at the live page; try again later");
    };
    let frames = stream::unfold(
        (app, tenant, 0, permit),
        move |(app, tenant, sent, permit)| async move {
            if sent >= FRAMES_MAX || !app.is_ready() {
                return None;
            }
            if sent > 0 {
                tokio::time::sleep(EVERY).await;
            }
            // A picture that cannot be made now is told of with the reason; the next one may be made.
            let frame = match picture(&app, &tenant, label, length).await {
                Ok(html) => serde_json::json!({ "html": html }),
                Err(refused) => serde_json::json!({ "error": refused.why }),
            };
            let line = frame.to_string() + "\n";
            Some((
                Ok::<Bytes, Infallible>(Bytes::from(line)),
                (app, tenant, sent + 1, permit),
            ))
        },
    );
    answer::typed(
        StatusCode::OK,
        "application/x-ndjson; charset=utf-8",
        Body::from_stream(frames),
    )
}

pub(super) async fn script() -> Response {
    let script = format!("{}\n{SCRIPT}", html::script());
    answer::typed(StatusCode::OK, "text/javascript; charset=utf-8", script)
}

pub(super) async fn style() -> Response {
    let style = format!("{}\n{STYLE}", html::style());
    answer::typed(StatusCode::OK, "text/css; charset=utf-8", style)
}

async fn tables(
    app: &App,
    headers: &HeaderMap,
    label: &'static str,
    length: Duration,
) -> Result<String, Box<Response>> {
    let tenant = app.tenant(headers, Scope::Read)?;
    picture(app, &tenant, label, length)
        .await
        .map_err(|refused| {
            Box::new(match refused.status {
                StatusCode::SERVICE_UNAVAILABLE => answer::later(&refused.why),
                status => answer::text(status, refused.why),
            })
        })
}

/// Why there is no picture.
struct Refused {
    status: StatusCode,
    why: String,
}

impl Refused {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
        }
    }
}

/// One picture of now, made away from the threads that answer. At most as many at once as reports.
async fn picture(
    app: &App,
    tenant: &Arc<str>,
    label: &'static str,
    length: Duration,
) -> Result<String, Refused> {
    let permit = app.documents.clone().try_acquire_owned().map_err(|_| {
        Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "other reports are being made; try again in a few seconds",
        )
    })?;
    let span = Span {
        since_unix_ns: app
            .clock
            .now_unix_ns()
            .saturating_sub(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)),
        until_unix_ns: u64::MAX,
    };
    let engine = app.engine.clone();
    let tenant = tenant.clone();
    let made = super::range::read_blocking(move |stop| {
        let _permit = permit;
        let (since, until) = (span.since_unix_ns, span.until_unix_ns);
        let view = engine.view_until(&tenant, since, until, None, &stop)?;
        let document = document::build(view, span)?;
        Ok(weighbridge_agent::encode(|| {
            if document.services.is_empty() {
                format!(
                    "<p class=\"none\">No window of {label} yet. A service sends here when it is started with \
                     <code>WEIGHBRIDGE_ENDPOINT</code> set to this address.</p>\n"
                )
            } else {
                html::render_live(&document)
            }
        }))
    })
    .await;
    match made {
        Ok(Ok(html)) => Ok(html),
        Ok(Err(DocumentError::Store(error))) => {
            tracing::error!(%error, "a range could not be read");
            Err(Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error.to_string(),
            ))
        }
        Ok(Err(error)) => Err(Refused::new(StatusCode::BAD_REQUEST, error.to_string())),
        Err(error) => {
            answer::count_defect(app, "the live page", &error);
            Err(Refused::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                answer::DEFECT,
            ))
        }
    }
}
