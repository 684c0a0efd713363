//! The length of a PUBLISH packet, MQTT 5.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;

/// Most bytes of a packet that MQTT can tell the length of.
pub(super) const PACKET_BYTES_MAX: u64 = 1 + 4 + 268_435_455;

/// Bytes that a PUBLISH packet takes on the wire. `None` when it has properties other than ours, whose length
/// is not worth a second encoder.
pub(super) fn publish_bytes(
    topic: &[u8],
    qos: QoS,
    payload_bytes: usize,
    properties: Option<&PublishProperties>,
) -> Option<u64> {
    let user = properties.map_or(&[][..], |properties| &properties.user_properties);
    if let Some(properties) = properties {
        let only_user = PublishProperties {
            user_properties: user.to_vec(),
            ..PublishProperties::default()
        };
        if *properties != only_user {
            return None;
        }
    }
    let properties_bytes: usize = user.iter().map(|(k, v)| 5 + k.len() + v.len()).sum();
    let packet_id = if qos == QoS::AtMostOnce { 0 } else { 2 };
    let remaining = 2
        + topic.len()
        + packet_id
        + variable_integer_bytes(properties_bytes)
        + properties_bytes
        + payload_bytes;
    u64::try_from(1 + variable_integer_bytes(remaining) + remaining).ok()
}

fn variable_integer_bytes(n: usize) -> usize {
    match n {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use rumqttc::v5::mqttbytes::v5::Publish;

    use super::*;

    #[test]
    fn the_length_is_that_of_the_encoder() {
        for payload in [0, 1, 100, 127, 20_000, 3_000_000] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
                for pairs in [0, 1, 3, 40] {
                    let user = (0..pairs)
                        .map(|n| (format!("k{n}"), "v".repeat(n)))
                        .collect();
                    let properties = PublishProperties {
                        user_properties: user,
                        ..PublishProperties::default()
                    };
                    let mut publish =
                        Publish::new("a/b", qos, vec![0; payload], Some(properties.clone()));
                    publish.pkid = 1;
                    let mut wire = BytesMut::new();
                    publish.write(&mut wire).unwrap();
                    let found = publish_bytes(b"a/b", qos, payload, Some(&properties));
                    assert_eq!(found, Some(wire.len() as u64));
                }
            }
        }
    }

    #[test]
    fn other_properties_make_it_unknown() {
        let properties = PublishProperties {
            content_type: Some("text/plain".into()),
            ..PublishProperties::default()
        };
        assert_eq!(
            publish_bytes(b"a", QoS::AtMostOnce, 1, Some(&properties)),
            None
        );
    }
}
