//! The name of an operation.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, Method, Uri};

use crate::bill::GRPC;

/// The route template of a request, for stacks without axum: put it into the request's extensions before the
/// layer sees the request.
#[derive(Clone, Debug)]
pub struct RouteTemplate(pub Arc<str>);

/// What a request without a route is called: its path is the client's choice and would fill any table.
const UNMATCHED: &str = "<unmatched>";

/// The operation and the transport of a request.
pub(super) fn name(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> (String, &'static str) {
    if is_grpc(headers) {
        // `/package.Service/Method` is the template, but only where a route took it: otherwise any client could
        // fill the table with paths. What a route's service does not know is bounded by the interner.
        let name = match template(extensions) {
            Some(_) => uri.path().trim_start_matches('/').to_owned(),
            None => UNMATCHED.to_owned(),
        };
        return (name, GRPC);
    }
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE"
        | "PATCH" | "QUERY") => known,
        // As OpenTelemetry names them.
        _ => "_OTHER",
    };
    let template = template(extensions);
    (
        format!("{method} {}", template.as_deref().unwrap_or(UNMATCHED)),
        "http",
    )
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

fn template(extensions: &Extensions) -> Option<Arc<str>> {
    if let Some(RouteTemplate(template)) = extensions.get() {
        return Some(template.clone());
    }
    #[cfg(feature = "axum-0_8")]
    if let Some(path) = extensions.get::<axum::extract::MatchedPath>() {
        return Some(path.as_str().into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(
        method: &str,
        path: &str,
        content_type: Option<&str>,
        template: Option<&str>,
    ) -> (String, &'static str) {
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        if let Some(template) = template {
            extensions.insert(RouteTemplate(template.into()));
        }
        name(
            &method.parse().unwrap(),
            &path.parse().unwrap(),
            &headers,
            &extensions,
        )
    }

    #[test]
    fn what_the_client_chooses_never_becomes_a_name() {
        assert_eq!(
            named("GET", "/a/1", None, Some("/a/{id}")),
            ("GET /a/{id}".into(), "http")
        );
        assert_eq!(
            named("GET", "/random/path", None, None),
            ("GET <unmatched>".into(), "http")
        );
        assert_eq!(
            named("BREW", "/a/1", None, Some("/a/{id}")),
            ("_OTHER /a/{id}".into(), "http")
        );
    }

    #[test]
    fn grpc_is_named_by_its_method() {
        let grpc = ("shop.Cart/Add".to_owned(), "grpc");
        let route = Some("/shop.Cart/{*method}");
        for content_type in ["application/grpc", "application/grpc+proto"] {
            assert_eq!(
                named("POST", "/shop.Cart/Add", Some(content_type), route),
                grpc
            );
        }
        assert_eq!(
            named("POST", "/any.Thing/1", Some("application/grpc"), None),
            ("<unmatched>".into(), "grpc")
        );
        assert_eq!(
            named("POST", "/x", Some("application/grpc-web"), None).1,
            "http"
        );
    }
}
