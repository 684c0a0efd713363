//! Publish and consume over MQTT 5, both halves weighed, over `rumqttc::v5`.
//!
//! ```no_run
//! # use weighbridge_agent::mqtt::{self, MqttError};
//! # async fn run() -> Result<(), MqttError> {
//! use rumqttc::v5::{MqttOptions, mqttbytes::QoS};
//!
//! let options = MqttOptions::new("store-1", "127.0.0.1", 1883);
//! let (client, consumer) = mqtt::connect("broker", options, 64);
//! client.subscribe("product.changed", QoS::AtLeastOnce)?;
//! tokio::spawn(consumer.run(|message| async move {
//!     let _name: Result<String, _> = message.json();
//! }));
//! client.publish_json("product.changed", &"anvil").await
//! # }
//! ```
//!
//! # What is booked where
//!
//! Encoding belongs to the request that publishes; a consumed message is a request of its own, `CONSUME
//! <topic>`, whose origin is that of the chain which published it. The event loop's task belongs to the owner
//! `driver`, `mqtt <peer>`: rumqttc owns the socket, so its protocol and io CPU cannot be told apart. All of it is
//! protocol, and each window it is shared out over the edges of the peer, by the bytes of their messages.
//!
//! # When a message is counted
//!
//! A publish counts when the broker has acknowledged it (at most once: when it was written), which is when
//! [`Client::publish`] returns; a failed one counts as an error. Whatever was under way when the connection
//! broke is reported to its publisher as [`MqttError::Broken`] and not sent again behind its back; the broker
//! may have it all the same. A consumed message counts each time it arrives, and as redelivered when the
//! broker says that it sent it before and this process had it, or has just begun; what was lost on its way is not. It
//! is acknowledged after its handler has ended. `body_bytes` are the payload alone; the
//! three properties that carry the chain stand in `wire_bytes`, which is the length of the PUBLISH packet. Where they
//! would make a packet larger than the broker takes, they stay away (counted as lost at `agent.mqtt.headers`), and a
//! packet that is larger without them is refused before it costs the connection. A subscriber's own limit is between
//! the broker and it: leave room for 300 bytes.
//!
//! For at-least-once across reconnects set `clean_start(false)` and a session expiry in the options.

mod client;
mod consumer;
mod driver;
mod error;
mod had;
mod link;
mod message;
mod packet;
mod publishing;

use std::time::Duration;

pub use client::Client;
pub use consumer::Consumer;
pub use error::MqttError;
pub use message::Message;

use rumqttc::v5::{AsyncClient, EventLoop, MqttOptions};

use link::Link;

/// How long a publish waits for a connection and for room.
pub const CONNECTION_PATIENCE: Duration = Duration::from_secs(2);
/// How long a publish waits for the broker's acknowledgement.
pub const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a packet that are taken from the broker, unless the options say otherwise.
pub const PACKET_BYTES_MAX: u32 = 1 << 20;
/// Most messages that wait for the handler: as many as MQTT can number. The broker is asked to hold back
/// after `capacity` unacknowledged ones.
pub const WAITING_MESSAGES_MAX: usize = 65_535;
/// Most topics subscribed to by one client.
pub const SUBSCRIPTIONS_MAX: usize = 256;

/// A client and a consumer over one connection.
///
/// `peer` is the broker's service name, under which its hop is shown. At most `capacity` publishes are under
/// way at one time, and the broker is asked to send at most as many unacknowledged messages. Nothing happens
/// until [`Consumer::run`] drives the connection.
pub fn connect(peer: &str, mut options: MqttOptions, capacity: usize) -> (Client, Consumer) {
    let capacity = capacity.clamp(1, usize::from(u16::MAX));
    options.set_manual_acks(true);
    if options.max_packet_size().is_none() {
        options.set_max_packet_size(Some(PACKET_BYTES_MAX));
    }
    if options.receive_maximum().is_none() {
        options.set_receive_maximum(u16::try_from(capacity).ok());
    }
    // Publishes hold a permit each; acknowledgements and subscriptions need room of their own.
    let requests_max = 2 * capacity + SUBSCRIPTIONS_MAX;
    let (requests, event_loop): (AsyncClient, EventLoop) = AsyncClient::new(options, requests_max);
    let link = Link::new(peer, requests, capacity);
    (Client::new(link.clone()), Consumer::new(link, event_loop))
}

/// A publication of any topic, payload and properties is as long as it is said to be: names and values are lines.
#[cfg(all(
    any(test, feature = "fuzz"),
    feature = "lapin-4",
    feature = "async-nats-0_51"
))]
pub(crate) fn fuzz(bytes: &[u8]) {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};

    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let topic = lines.next().unwrap_or_default();
    let payload = lines.next().unwrap_or_default().repeat(50);
    let user: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let qos = if user.len() % 2 == 0 {
        QoS::AtMostOnce
    } else {
        QoS::AtLeastOnce
    };
    let properties = PublishProperties {
        user_properties: user,
        ..PublishProperties::default()
    };
    let said = packet::publish_bytes(topic.as_bytes(), qos, payload.len(), Some(&properties));
    let mut publish = Publish::new(topic, qos, payload, Some(properties));
    publish.pkid = 1;
    let mut wire = bytes::BytesMut::new();
    if publish.write(&mut wire).is_ok() {
        assert_eq!(said, Some(wire.len() as u64), "another length");
    }
}

#[cfg(test)]
mod tests;
