//! Our headers among those of a message.

use async_nats::{HeaderMap, HeaderName, HeaderValue};

use super::wire::header_bytes;
use crate::ledger::loss;
use crate::propagation::is_header;

/// The pairs of a block of headers, values of one name apart.
pub(super) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(|value| (name.as_ref(), value.as_str())))
}

/// The headers of a message with ours among them. `merge` says which ours are, beside those that are there.
///
/// A message that would be too large for the server only because of them goes without them.
pub(super) fn with_ours(
    headers: Option<HeaderMap>,
    payload_bytes: usize,
    payload_bytes_max: usize,
    merge: impl FnOnce(&[(&str, &str)]) -> Vec<(&'static str, String)>,
) -> Option<HeaderMap> {
    let empty = HeaderMap::new();
    let given = headers.as_ref().unwrap_or(&empty);
    let present: Vec<_> = pairs(given).filter(|(name, _)| is_header(name)).collect();
    let ours = merge(&present);
    if ours.is_empty() && present.is_empty() {
        return headers;
    }
    let mut merged: HeaderMap = if present.is_empty() {
        given.clone()
    } else {
        given
            .iter()
            .filter(|(name, _)| !is_header((*name).as_ref()))
            .flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone())))
            .fold(HeaderMap::new(), |mut kept, (name, value)| {
                kept.append(name, value);
                kept
            })
    };
    for (name, value) in ours {
        // Names and values of ours are visible ASCII; a header that cannot be sent is left out all the same.
        if let Ok(value) = value.parse::<HeaderValue>() {
            merged.insert(HeaderName::from_static(name), value);
        }
    }
    let fits = |headers: &HeaderMap| match headers.is_empty() {
        true => payload_bytes <= payload_bytes_max,
        false => header_bytes(headers).saturating_add(payload_bytes) <= payload_bytes_max,
    };
    if !fits(&merged) {
        // Too large anyway: the client says so of the message as it was given.
        if fits(given) {
            loss("agent.nats.headers", "message too large", 1);
        }
        return headers;
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(_: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        vec![("traceparent", "t".into()), ("weighbridge-hop", "h".into())]
    }

    #[test]
    fn ours_take_the_place_of_what_was_copied() {
        let mut given = HeaderMap::new();
        given.append("Nats-Msg-Id", "1");
        given.append("list", "a");
        given.append("list", "b");
        given.append("Weighbridge-Hop", "copied");
        let merged = with_ours(Some(given), 0, 1_000, ours).unwrap();
        let mut found: Vec<_> = pairs(&merged).collect();
        found.sort_unstable();
        let wanted = [
            ("Nats-Msg-Id", "1"),
            ("list", "a"),
            ("list", "b"),
            ("traceparent", "t"),
            ("weighbridge-hop", "h"),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_message_is_never_too_large_because_of_us() {
        assert!(with_ours(None, 1_000, 1_000, ours).is_none());
        assert!(with_ours(None, 1_000, 1_100, ours).is_some());
        assert!(
            with_ours(None, 2_000, 1_000, ours).is_none(),
            "the client speaks of the message as it was given"
        );
        assert!(with_ours(None, 0, 1_000, |_| Vec::new()).is_none());
    }
}
