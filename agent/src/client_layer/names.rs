//! What a call is booked under.

use http::{Extensions, HeaderMap, Method, Uri};

use crate::layer::{is_grpc, known_method};

/// The template of a call's path, such as `/stock/{sku}`: put it among the extensions of a request. It is text of the
/// code; the values of its parameters never become a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target(pub &'static str);

/// How many times a call was tried before: put it among the extensions of a request that is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt(pub u32);

/// What a call without a template is booked under: paths hold the user's data.
const ANY: &str = "*";
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// `METHOD template`.
pub(crate) fn target_of(method: &Method, target: Option<&Target>) -> String {
    let template = target.map_or(ANY, |target| target.0);
    format!("{} {template}", known_method(method))
}

/// The method of a call of gRPC; `None` when it is none. Its path is made of generated code.
pub(super) fn grpc_method<'a>(uri: &'a Uri, headers: &HeaderMap) -> Option<&'a str> {
    let content_type = headers.get(http::header::CONTENT_TYPE)?;
    is_grpc(content_type.as_bytes()).then(|| uri.path().trim_start_matches('/'))
}

/// 1 when the call is another attempt, by what it says itself.
pub(crate) fn retries(extensions: &Extensions, headers: &HeaderMap) -> u64 {
    let attempt = extensions.get::<Attempt>().map(|attempt| attempt.0);
    let previous = || {
        let value = headers.get(PREVIOUS_ATTEMPTS)?.to_str().ok()?;
        value.parse::<u32>().ok()
    };
    u64::from(attempt.or_else(previous).unwrap_or(0) > 0)
}
