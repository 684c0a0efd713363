//! Our member of the W3C baggage.

use super::memo::{self, push_party};
use super::text::decoded;
use super::{BAGGAGE_BYTES_MAX, BAGGAGE_ORIGIN, Party};

/// The member as it stands in the header: `weighbridge.origin=service;operation`.
///
/// For other readers of baggage the operation is a property of the member, which they keep with it.
pub(super) fn origin_member(origin: &Party) -> String {
    let mut out = String::with_capacity(96);
    out.push_str(BAGGAGE_ORIGIN);
    out.push('=');
    push_party(&mut out, origin);
    out
}

/// True when a member is ours.
pub(super) fn is_ours(member: &str) -> bool {
    member
        .split_once('=')
        .is_some_and(|(key, _)| key.trim() == BAGGAGE_ORIGIN)
}

/// Adds the members of a `baggage` that are not ours; of one beyond the bounds nothing, since nobody looked at it.
pub(crate) fn other_members(baggage: &str, out: &mut String) {
    if baggage.len() + out.len() > BAGGAGE_BYTES_MAX {
        return;
    }
    for member in baggage.split(',').filter(|member| !is_ours(member)) {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(member);
    }
}

/// Reads our member; `None` when it is malformed.
pub(super) fn read_origin(member: &str) -> Option<Party> {
    let (_, value) = member.split_once('=')?;
    memo::party(value, || {
        let (service, operation) = value.split_once(';')?;
        let service = decoded(service.trim())?;
        if service.is_empty() {
            return None;
        }
        Some(Party {
            service,
            operation: decoded(operation.trim())?,
        })
    })
}
