//! The name of an operation.

use std::sync::Arc;

use http::{Extensions, Method, Uri};

#[cfg(feature = "axum-0_8")]
use axum::extract::MatchedPath;

use crate::bill::GRPC;

/// The route template of a request, for stacks without axum: put it into the request's extensions before the
/// layer sees the request.
#[derive(Clone, Debug)]
pub struct RouteTemplate(pub Arc<str>);

/// What a request without a route is called: its path is the client's choice and would fill any table.
const UNMATCHED: &str = "<unmatched>";

/// What a request asks for, as far as it names the operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// Of HTTP; empty for gRPC, where it says nothing.
    pub(super) method: &'static str,
    /// The route's template, or the method of gRPC.
    pub(super) name: &'a str,
    pub(super) is_grpc: bool,
}

/// What names the operation of a request, kept beyond its head.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// As in [`Asked`].
    method: &'static str,
    template: Template,
}

/// The route's template.
#[derive(Clone, Debug)]
pub(super) enum Template {
    Unmatched,
    Text(Arc<str>),
    #[cfg(feature = "axum-0_8")]
    Matched(MatchedPath),
}

impl Named {
    pub(super) fn of(
        method: &Method,
        uri: &Uri,
        content_type: Option<&[u8]>,
        extensions: &Extensions,
    ) -> Self {
        let template = Template::of(extensions);
        if content_type.is_some_and(is_grpc) {
            // As in `Asked::of`.
            let template = match template {
                Template::Unmatched => Template::Unmatched,
                _ => Template::Text(grpc_name(uri).into()),
            };
            return Self {
                method: "",
                template,
            };
        }
        Self {
            method: known_method(method),
            template,
        }
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            method: self.method,
            name: self.template.text(),
            is_grpc: self.method.is_empty(),
        }
    }
}

impl Template {
    /// The template, if it is the router's and stays where it is from one request to the next.
    pub(super) fn lasting(extensions: &Extensions) -> Option<Self> {
        match Self::of(extensions) {
            Self::Text(_) => None,
            template => Some(template),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Unmatched => UNMATCHED,
            Self::Text(text) => text,
            #[cfg(feature = "axum-0_8")]
            Self::Matched(path) => path.as_str(),
        }
    }

    fn of(extensions: &Extensions) -> Self {
        if let Some(RouteTemplate(template)) = extensions.get() {
            return Self::Text(template.clone());
        }
        #[cfg(feature = "axum-0_8")]
        if let Some(path) = extensions.get::<MatchedPath>() {
            return Self::Matched(path.clone());
        }
        Self::Unmatched
    }
}

impl<'a> Asked<'a> {
    pub(super) fn of(
        method: &Method,
        uri: &'a Uri,
        content_type: Option<&[u8]>,
        extensions: &'a Extensions,
    ) -> Self {
        let template = template(extensions);
        if content_type.is_some_and(is_grpc) {
            // `/package.Service/Method` is the template, but only where a route took it: otherwise any client
            // could fill the table with paths. What a route's service does not know is bounded by the interner.
            return Self {
                method: "",
                name: template.map_or(UNMATCHED, |_| grpc_name(uri)),
                is_grpc: true,
            };
        }
        Self {
            method: known_method(method),
            name: template.unwrap_or(UNMATCHED),
            is_grpc: false,
        }
    }

    /// The name of the operation.
    pub(super) fn operation(&self) -> String {
        if self.is_grpc {
            return self.name.to_owned();
        }
        format!("{} {}", self.method, self.name)
    }

    pub(super) fn transport(&self) -> &'static str {
        if self.is_grpc { GRPC } else { "http" }
    }
}

#[inline]
pub(crate) fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ if method.as_str() == "QUERY" => "QUERY",
        // As OpenTelemetry names them.
        _ => "_OTHER",
    }
}

fn grpc_name(uri: &Uri) -> &str {
    uri.path().trim_start_matches('/')
}

pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

#[inline]
fn template(extensions: &Extensions) -> Option<&str> {
    if let Some(RouteTemplate(template)) = extensions.get() {
        return Some(template);
    }
    #[cfg(feature = "axum-0_8")]
    if let Some(path) = extensions.get::<MatchedPath>() {
        return Some(path.as_str());
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
        let mut extensions = Extensions::new();
        if let Some(template) = template {
            extensions.insert(RouteTemplate(template.into()));
        }
        let (method, uri) = (method.parse().unwrap(), path.parse().unwrap());
        let content_type = content_type.map(str::as_bytes);
        let asked = Asked::of(&method, &uri, content_type, &extensions);
        (asked.operation(), asked.transport())
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
