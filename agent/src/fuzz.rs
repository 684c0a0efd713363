//! Doors to the decoders of headers, statements and messages for the fuzz targets in `fuzz/`, and for a test that gives them every seed kept
//! there: what once crashed stays there as a seed.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::propagation::{
    BAGGAGE, BAGGAGE_BYTES_MAX, HOP, Hop, Incoming, TRACEPARENT, TraceContext, other_members,
};
use crate::trust::Trust;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const KEY: &str = "key:0123456789abcdef";

/// The headers of a request, one a line: `t`, `b` or `h` for the name, and the value. Besides that nothing panics, what
/// is read means the same once it was written and read again, and nobody is believed who is not trusted.
pub fn headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((kind, value)) = line.split_first() else {
            continue;
        };
        let name = match kind {
            b't' => TRACEPARENT,
            b'b' => BAGGAGE,
            _ => HOP,
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            let mut others = String::new();
            if let (BAGGAGE, Ok(text)) = (name, value.to_str()) {
                other_members(text, &mut others);
            }
            assert!(
                others.len() <= BAGGAGE_BYTES_MAX,
                "more than may be sent on"
            );
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let found = Incoming::find(&headers);
    if let Some(trace) = found.trace().parsed() {
        let again = TraceContext::parse(&trace.to_text());
        assert_eq!(
            again.map(TraceContext::to_text),
            Some(trace.to_text()),
            "another trace"
        );
    }
    assert!(
        found.believed(&Trust::None, Some(HERE)).is_none(),
        "believed"
    );
    assert!(found.believed(&Trust::Loopback, None).is_none(), "believed");
    let Some((hop, _origin)) = found
        .believed(&Trust::Loopback, Some(HERE))
        .and_then(|chain| chain.read())
    else {
        return;
    };
    let again = Hop::parse(&hop.format(&Trust::None), &Trust::Loopback, Some(HERE));
    assert_eq!(again.as_ref(), Some(&hop), "another hop");
    let key = Trust::parse(KEY).unwrap_or_default();
    let signed = hop.format(&key);
    assert_eq!(Hop::parse(&signed, &key, None).as_ref(), Some(&hop));
    // A code for another text.
    let forged = signed.replacen("1;", "1;x", 1);
    assert_eq!(Hop::parse(&forged, &key, None), None, "forged");
}

/// A text of statements; the first byte says whose SQL it is. Besides that nothing panics, what is found is bounded and
/// the same each time, and nothing that stands between single quotes alone becomes the name of an entity.
#[cfg(feature = "tokio-postgres-0_7")]
pub fn sql(bytes: &[u8]) {
    use crate::sql::{Dialect, SQL_ENTITIES_MAX, Statements, scan};

    let Some((how, bytes)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let dialect = match how & 3 {
        0 => Dialect::Sqlite,
        1 => Dialect::Postgres,
        2 => Dialect::MySql,
        _ => Dialect::Other,
    };
    let found = scan(text, dialect);
    assert!(found.entities.len() <= SQL_ENTITIES_MAX, "too many names");
    assert!(found.entities.is_sorted(), "a name twice or out of order");
    let statements = Statements::new(dialect);
    assert_eq!(*statements.get(text), found, "another answer");
    assert_eq!(*statements.get(text), found, "another answer when known");
    // A literal of ours at the end, as a value of a condition. What was lost before it stays lost.
    if matches!(dialect, Dialect::Postgres | Dialect::Other)
        && !text.contains(['\'', '"', '`', '$', '\\', '[', '/', '-', '#'])
    {
        let with_literal = format!("{text} = 'secretword'");
        let names = scan(&with_literal, dialect).entities;
        assert!(
            names
                .iter()
                .all(|(name, _)| !name.contains("secretword") || text.contains("secretword")),
            "a literal became a name: {names:?}"
        );
    }
}

/// What comes from or goes to a broker; the first byte says over which protocol. Lengths are those of the encoders.
#[cfg(all(
    feature = "lapin-4",
    feature = "rumqttc-0_25",
    feature = "async-nats-0_51"
))]
pub fn broker(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else {
        return;
    };
    match how & 3 {
        0 => crate::amqp::fuzz(bytes),
        1 => crate::mqtt::fuzz(bytes),
        _ => crate::nats::fuzz(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn every_seed(target: &str, door: fn(&[u8]), least: usize) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
        let mut count = 0;
        for seed in std::fs::read_dir(seeds.join(target)).unwrap() {
            door(&std::fs::read(seed.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= least, "{target}: {count} seeds");
    }

    #[test]
    fn every_seed_of_the_fuzz_target_is_read_without_a_panic() {
        every_seed("headers", super::headers, 6);
        #[cfg(feature = "tokio-postgres-0_7")]
        every_seed("sql", super::sql, 4);
        #[cfg(all(
            feature = "lapin-4",
            feature = "rumqttc-0_25",
            feature = "async-nats-0_51"
        ))]
        every_seed("broker", super::broker, 4);
    }
}
