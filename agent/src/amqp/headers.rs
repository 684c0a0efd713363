//! Our headers among those of a message.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::propagation::is_header;

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
pub(super) fn with_ours(
    properties: BasicProperties,
    merge: impl FnOnce(&[(&str, &str)]) -> Vec<(&'static str, String)>,
) -> BasicProperties {
    let present: Vec<_> = pairs(&properties)
        .filter(|(name, _)| is_header(name))
        .collect();
    let ours = merge(&present);
    if ours.is_empty() && present.is_empty() {
        return properties;
    }
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
    properties.with_headers(headers)
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
        let found = with_ours(given, |present| {
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
        let untouched = with_ours(BasicProperties::default(), |_| Vec::new());
        assert_eq!(untouched, BasicProperties::default());
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
