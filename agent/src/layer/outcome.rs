//! Which answers are errors (DESIGN §1).

use http::{HeaderMap, HeaderName, StatusCode};

use crate::bill::Outcome;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// By status of the response's head, and `grpc-status` where it stands there.
#[inline]
pub(crate) fn of_head(status: StatusCode, headers: &HeaderMap) -> Outcome {
    if status.is_server_error() {
        return Outcome::Error;
    }
    if status.is_client_error() {
        return Outcome::ClientError;
    }
    of_grpc(headers).unwrap_or(Outcome::Ok)
}

/// By `grpc-status`, if there is one.
#[inline]
pub(crate) fn of_grpc(headers: &HeaderMap) -> Option<Outcome> {
    // Most heads hold two or three: looking at each is quicker than hashing the name.
    const FEW: usize = 8;
    let value = if headers.len() <= FEW {
        headers.iter().find(|(name, _)| **name == GRPC_STATUS)?.1
    } else {
        headers.get(&GRPC_STATUS)?
    };
    let status = value.to_str().ok()?;
    Some(match status {
        // OK
        "0" => Outcome::Ok,
        // CANCELLED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS
        "1" | "3" | "5" | "6" => Outcome::ClientError,
        _ => Outcome::Error,
    })
}
