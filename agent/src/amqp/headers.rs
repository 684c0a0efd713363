//! Our headers among those of a message.

use lapin::BasicProperties;
use lapin::protocol::basic::gen_properties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::ledger::loss;
use crate::propagation::is_header;

/// Bytes of a content header's frame beside its properties: type, channel, length, class, weight, length of the
/// body, end.
const FRAME_BYTES: usize = 1 + 2 + 4 + 2 + 2 + 8 + 1;
/// Most bytes of properties that are no headers: their flags, and thirteen of up to 256.
const OTHER_PROPERTIES_BYTES_MAX: usize = 2 + 13 * 256;
/// Bytes of a header beside its name and text.
const HEADER_BYTES: usize = 1 + 1 + 4;

/// Names and values of the headers that are text.
pub(super) fn pairs(properties: &BasicProperties) -> impl Iterator<Item = (&str, &str)> {
    let headers = properties.headers().iter().flat_map(FieldTable::inner);
    headers.filter_map(|(name, value)| Some((name.as_str(), text(value)?)))
}

fn text(value: &AMQPValue) -> Option<&str> {
    match value {
        AMQPValue::LongString(text) => str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

/// The properties of a message with ours among its headers. `merge` says which ours are, beside those that are
/// there.
///
/// A message whose content header would exceed the broker's frame only because of them goes without them: it would
/// cost the connection. `frame_bytes_max` is 0 where there is no limit.
pub(super) fn with_ours(
    properties: BasicProperties,
    frame_bytes_max: u32,
    merge: impl FnOnce(&[(&str, &str)]) -> Vec<(&'static str, String)>,
) -> BasicProperties {
    let present: Vec<_> = pairs(&properties)
        .filter(|(name, _)| is_header(name))
        .collect();
    let ours = merge(&present);
    if ours.is_empty() && present.is_empty() {
        return properties;
    }
    let ours_bytes: usize = ours
        .iter()
        .map(|(name, value)| HEADER_BYTES + name.len() + value.len())
        .sum();
    let mut headers = match properties.headers() {
        None => FieldTable::default(),
        Some(given) if present.is_empty() => given.clone(),
        Some(given) => given
            .inner()
            .iter()
            .filter(|(name, _)| !is_header(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<std::collections::BTreeMap<_, _>>()
            .into(),
    };
    for (name, value) in ours {
        // Names of ours are short.
        if let Ok(name) = ShortString::try_new(name) {
            headers.insert(name, AMQPValue::LongString(value.into()));
        }
    }
    let bytes_max = match frame_bytes_max {
        0 => usize::MAX,
        bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
    };
    let merged = properties.clone().with_headers(headers);
    // Without headers of the user's there is no need to count.
    let surely = properties.headers().is_none()
        && FRAME_BYTES + OTHER_PROPERTIES_BYTES_MAX + 4 + ours_bytes <= bytes_max;
    if surely || frame_bytes(&merged) <= bytes_max {
        return merged;
    }
    // Too large anyway: the client says so of the message as it was given.
    if frame_bytes(&properties) <= bytes_max {
        loss("agent.amqp.headers", "message too large", 1);
    }
    properties
}

/// Length of the frame that carries these properties. What cannot be written is the client's to tell.
fn frame_bytes(properties: &BasicProperties) -> usize {
    let written = gen_properties(properties)(Vec::new().into());
    written.map_or(usize::MAX, |written| {
        FRAME_BYTES + written.into_inner().0.len()
    })
}

/// How many times a message became a dead letter on its way.
pub(super) fn deaths(properties: &BasicProperties) -> u64 {
    let Some(headers) = properties.headers() else {
        return 0;
    };
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else {
        return 0;
    };
    let counts = deaths.as_slice().iter().map(|death| match death {
        AMQPValue::FieldTable(death) => match death.inner().get("count") {
            Some(AMQPValue::LongLongInt(count)) => u64::try_from(*count).unwrap_or(1),
            Some(AMQPValue::LongUInt(count)) => u64::from(*count),
            _ => 1,
        },
        _ => 1,
    });
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_headers_and_properties_stay() {
        let mut headers = FieldTable::default();
        headers.insert("kept".into(), AMQPValue::LongInt(7));
        headers.insert("text".into(), AMQPValue::LongString("t".into()));
        headers.insert(
            "Weighbridge-Hop".into(),
            AMQPValue::LongString("copied".into()),
        );
        let given = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_headers(headers);
        let found = with_ours(given, 131_072, |present| {
            assert_eq!(present, [("Weighbridge-Hop", "copied")]);
            vec![("weighbridge-hop", "h".into())]
        });
        assert_eq!(found.content_type(), &Some("text/plain".into()));
        let headers = found.headers().as_ref().unwrap();
        assert_eq!(headers.inner().get("kept"), Some(&AMQPValue::LongInt(7)));
        assert_eq!(headers.inner().len(), 3);
        let mut pairs: Vec<_> = pairs(&found).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [("text", "t"), ("weighbridge-hop", "h")]);
        let untouched = with_ours(BasicProperties::default(), 131_072, |_| Vec::new());
        assert_eq!(untouched, BasicProperties::default());
    }

    #[test]
    fn a_frame_is_never_too_large_because_of_us() {
        let given = |bytes: usize| {
            let mut headers = FieldTable::default();
            headers.insert(
                "long".into(),
                AMQPValue::LongString("x".repeat(bytes).into()),
            );
            BasicProperties::default().with_headers(headers)
        };
        // Flags, the table's length, and the one header.
        assert_eq!(
            frame_bytes(&given(100)),
            FRAME_BYTES + 2 + 4 + HEADER_BYTES + 4 + 100
        );
        let ours = |_: &[(&str, &str)]| vec![("weighbridge-hop", "h".repeat(85))];
        let ours_bytes = HEADER_BYTES + 15 + 85;
        for bytes in [3_900, 4_000, 8_000] {
            let alone = frame_bytes(&given(bytes));
            for room in [0, ours_bytes - 1, ours_bytes] {
                let frame_bytes_max = u32::try_from(alone + room).unwrap();
                let found = with_ours(given(bytes), frame_bytes_max, ours);
                assert_eq!(found != given(bytes), room == ours_bytes, "{bytes} {room}");
            }
            assert_eq!(
                with_ours(given(bytes), u32::try_from(alone - 1).unwrap(), ours),
                given(bytes),
                "the client speaks of the message as it was given"
            );
            assert_ne!(with_ours(given(bytes), 0, ours), given(bytes), "no limit");
        }
        let small = with_ours(BasicProperties::default(), 4_096, ours);
        assert!(frame_bytes(&small) <= 4_096 && small.headers().is_some());
        let many = |_: &[(&str, &str)]| vec![("baggage", "b".repeat(4_096))];
        let none = with_ours(BasicProperties::default(), 4_096, many);
        assert_eq!(none, BasicProperties::default());
    }

    #[test]
    fn deaths_are_added_up() {
        let death = |count: i64| {
            let mut table = FieldTable::default();
            table.insert("count".into(), AMQPValue::LongLongInt(count));
            AMQPValue::FieldTable(table)
        };
        let mut headers = FieldTable::default();
        let array = vec![death(2), death(1)];
        headers.insert("x-death".into(), AMQPValue::FieldArray(array.into()));
        assert_eq!(deaths(&BasicProperties::default().with_headers(headers)), 3);
        assert_eq!(deaths(&BasicProperties::default()), 0);
    }
}
