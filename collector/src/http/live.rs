//! The live page: two plain tables, rendered here, fetched again every two seconds.

use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{App, answer};
use crate::auth::Scope;
use crate::live::{Now, OperationNow, ServiceNow};

/// How far back the page looks.
const SPAN: Duration = Duration::from_secs(60);

/// Nothing from elsewhere, nothing in-line.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = include_str!("live.js");
const STYLE: &str = include_str!("live.css");

pub(super) async fn page(State(app): State<App>, headers: HeaderMap) -> Response {
    let tables = match tables(&app, &headers).await {
        Ok(tables) => tables,
        Err(refused) => return *refused,
    };
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Weighbridge: now</title>\n<link rel=\"stylesheet\" href=\"/live.css\">\n\
         <script src=\"/live.js\" defer></script>\n</head>\n<body>\n<h1>Weighbridge: the last {} s</h1>\n\
         <p><a href=\"/report.html?since=15m\">Report on the last 15 minutes</a> · \
         <a href=\"/report.html\">on everything</a> · <span id=\"state\" role=\"status\"></span></p>\n\
         <main id=\"live\">\n{tables}</main>\n</body>\n</html>\n",
        SPAN.as_secs()
    );
    let mut response = answer::typed(StatusCode::OK, "text/html; charset=utf-8", page);
    let policy = HeaderValue::from_static(POLICY);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// The tables alone, for the page's script.
pub(super) async fn fragment(State(app): State<App>, headers: HeaderMap) -> Response {
    match tables(&app, &headers).await {
        Ok(tables) => answer::typed(StatusCode::OK, "text/html; charset=utf-8", tables),
        Err(refused) => *refused,
    }
}

pub(super) async fn script() -> Response {
    answer::typed(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT)
}

pub(super) async fn style() -> Response {
    answer::typed(StatusCode::OK, "text/css; charset=utf-8", STYLE)
}

async fn tables(app: &App, headers: &HeaderMap) -> Result<String, Box<Response>> {
    let tenant = app.tenant(headers, Scope::Read)?;
    let now_unix_ns = app.clock.now_unix_ns();
    let since = now_unix_ns.saturating_sub(u64::try_from(SPAN.as_nanos()).unwrap_or(u64::MAX));
    let engine = app.engine.clone();
    let made = weighbridge_agent::spawn_blocking(move || {
        Now::of(engine.view(&tenant, since, u64::MAX)?)
    })
    .await;
    match made {
        Ok(Ok(now)) => Ok(weighbridge_agent::encode(|| render(&now))),
        Ok(Err(error)) => Err(Box::new(super::range::store_failed(&error))),
        Err(error) => Err(Box::new(answer::defect(app, "the live page", &error))),
    }
}

fn render(now: &Now) -> String {
    if now.services.is_empty() {
        return "<p>No window of the last minute yet. A service sends here when it is started with \
                <code>WEIGHBRIDGE_ENDPOINT</code> set to this address.</p>\n"
            .into();
    }
    let mut html = String::new();
    table(
        &mut html,
        "Services",
        &[
            "service",
            "processes",
            "requests/s",
            "cores",
            "CPU per request",
            "errors",
            "unattributed",
            "largest RSS",
        ],
        now.services.iter().map(service_cells),
    );
    table(
        &mut html,
        "Operations, dearest first",
        &["service", "operation", "ended", "CPU", "CPU per request"],
        now.operations.iter().map(operation_cells),
    );
    html
}

fn service_cells(service: &ServiceNow) -> Vec<String> {
    vec![
        service.service.clone(),
        service.instances.to_string(),
        known(service.requests_per_second, |v| format!("{v:.1}")),
        known(service.cores, |v| format!("{v:.3}")),
        known(service.cpu_per_request_ns, micros),
        known(service.errors, |v| v.to_string()),
        known(service.unattributed_share, |v| {
            format!("{:.1} %", v * 100.0)
        }),
        known(service.rss_bytes, |v| {
            format!("{:.1} MiB", v as f64 / f64::from(1 << 20))
        }),
    ]
}

fn operation_cells(operation: &OperationNow) -> Vec<String> {
    vec![
        operation.service.clone(),
        operation.operation.clone(),
        known(operation.ended, |v| v.to_string()),
        format!("{:.1} ms", operation.cpu_ns as f64 / 1e6),
        known(operation.cpu_per_request_ns, micros),
    ]
}

fn micros(ns: f64) -> String {
    format!("{:.1} µs", ns / 1e3)
}

/// Unknown is never zero.
fn known<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "unknown".into(), show)
}

fn table(
    html: &mut String,
    caption: &str,
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) {
    // Writing to a string does not fail.
    let _ = write!(html, "<table>\n<caption>{caption}</caption>\n<thead><tr>");
    for head in heads {
        let _ = write!(html, "<th scope=\"col\">{head}</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            html.push_str("<td>");
            escape(html, &cell);
            html.push_str("</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n");
}

/// Names come from outside: markup is escaped, control and direction characters are left out.
fn escape(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => {}
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_text() {
        let mut html = String::new();
        escape(
            &mut html,
            "\"><svg/onload=alert(1)>\u{1b}[31m\u{202e}'&\r\n",
        );
        assert_eq!(html, "&quot;&gt;&lt;svg/onload=alert(1)&gt;[31m&#39;&amp;");
    }

    #[test]
    fn unknown_is_not_zero() {
        let service = ServiceNow {
            service: "store".into(),
            ..ServiceNow::default()
        };
        assert_eq!(service_cells(&service)[2..], ["unknown"; 6]);
    }
}
