//! The publishing half.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use rumqttc::v5::mqttbytes::{QoS, valid_topic};
use serde::Serialize;
use tokio::time::timeout;

use super::link::{Link, Status};
use super::packet::{PACKET_BYTES_MAX, publish_bytes};
use super::publishing::Publishing;
use super::{ACKNOWLEDGE_TIMEOUT, CONNECTION_PATIENCE, MqttError};
use crate::Encoded;
use crate::ledger::loss;
use crate::messages::{Publication, Topic};

/// Publishes over a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    link: Arc<Link>,
}

impl Client {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }

    /// Publishes a payload and waits until the broker has it. The topic, or its template, is the name under
    /// which the call is booked: what is made from data, an id, needs [`Topic::of`].
    ///
    /// # Errors
    /// [`MqttError`] when the broker is not there, does not acknowledge, or refuses.
    pub async fn publish(
        &self,
        topic: impl Into<Topic>,
        qos: QoS,
        payload: Bytes,
    ) -> Result<(), MqttError> {
        self.send(topic.into(), qos, payload).await
    }

    /// Publishes a value as JSON, at least once; its CPU is booked as `encode`.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`MqttError::Json`] when the value cannot be serialised.
    pub async fn publish_json<T: Serialize + ?Sized>(
        &self,
        topic: impl Into<Topic>,
        value: &T,
    ) -> Result<(), MqttError> {
        let topic = topic.into();
        let (written, encoded) = Encoded::run(|| serde_json::to_vec(value));
        let payload = written.map_err(|source| MqttError::Json {
            topic: topic.name().to_owned(),
            source,
        })?;
        let topic = topic.encoded(encoded);
        self.send(topic, QoS::AtLeastOnce, payload.into()).await
    }

    /// Subscribes to a topic, on this connection and on those to come. A filter with wildcards is the name
    /// under which its messages are booked.
    ///
    /// # Errors
    /// [`MqttError`] when the filter is malformed or there are too many.
    pub fn subscribe(&self, topic: &str, qos: QoS) -> Result<(), MqttError> {
        self.link.subscribe(topic, qos)
    }

    /// Waits until there is a connection on which the broker has confirmed every subscription.
    ///
    /// # Errors
    /// [`MqttError::NotConnected`] when that takes longer than `patience`.
    pub async fn ready(&self, patience: Duration) -> Result<(), MqttError> {
        let ready = self.wait_for(patience, |status| status.subscribed).await;
        ready.map(|_| ())
    }

    /// Closes the connection. [`Consumer::run`](super::Consumer::run) ends when the messages that have
    /// arrived are handled.
    ///
    /// # Errors
    /// [`MqttError::Full`] when the event loop does not take the request; try again.
    pub async fn disconnect(&self) -> Result<(), MqttError> {
        self.link.close();
        let sent = timeout(CONNECTION_PATIENCE, self.link.requests.disconnect()).await;
        sent.is_ok_and(|sent| sent.is_ok())
            .then_some(())
            .ok_or_else(|| self.full())
    }

    #[cfg(test)]
    pub(super) fn link_for_tests(&self) -> Arc<Link> {
        self.link.clone()
    }

    async fn send(&self, topic: Topic, qos: QoS, payload: Bytes) -> Result<(), MqttError> {
        let name = topic.name();
        if !valid_topic(topic.as_str()) {
            return Err(MqttError::Topic {
                topic: name.to_owned(),
            });
        }
        let room = timeout(CONNECTION_PATIENCE, self.link.room.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = room else {
            return Err(self.full());
        };
        let mut publication = self.link.peer.publish(name);
        publication.encoded(topic.cost());
        // Until the broker has it.
        publication.is_waited_for();
        let connected = self
            .wait_for(CONNECTION_PATIENCE, |status| status.connected)
            .await;
        let body_bytes = payload.len() as u64;
        let packet = connected.and_then(|status| {
            let bytes = |properties: Option<&PublishProperties>| {
                publish_bytes(topic.as_str().as_bytes(), qos, payload.len(), properties)
            };
            let bytes_max = status
                .packet_bytes_max
                .map_or(PACKET_BYTES_MAX, |max| PACKET_BYTES_MAX.min(u64::from(max)));
            let packet = within(bytes_max, properties(&publication), bytes);
            packet.map_err(|bytes| MqttError::TooLarge {
                peer: self.link.peer_name(),
                topic: name.to_owned(),
                bytes,
                bytes_max,
            })
        });
        let (properties, wire_bytes, refused) = match packet {
            Ok((properties, wire_bytes)) => (properties, wire_bytes, None),
            Err(error) => (None, None, Some(error)),
        };
        let (publishing, outcome) =
            Publishing::begin(publication, name, body_bytes, wire_bytes, permit);
        if let Some(error) = refused {
            publishing.settle(Err(error));
        } else {
            let topic = topic.into_made().unwrap_or_else(str::to_owned);
            self.link
                .hand_over(publishing, |requests| match properties {
                    Some(properties) => requests
                        .try_publish_with_properties(topic, qos, false, payload, properties)
                        .is_ok(),
                    None => requests.try_publish(topic, qos, false, payload).is_ok(),
                });
        }
        match timeout(ACKNOWLEDGE_TIMEOUT, outcome).await {
            Ok(Ok(outcome)) => outcome,
            // The event loop was dropped with everything in it.
            Ok(Err(_)) => Err(MqttError::Broken {
                peer: self.link.peer_name(),
                topic: name.to_owned(),
            }),
            Err(_) => Err(MqttError::Timeout {
                peer: self.link.peer_name(),
                topic: name.to_owned(),
                after: ACKNOWLEDGE_TIMEOUT,
            }),
        }
    }

    async fn wait_for(
        &self,
        patience: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Result<Status, MqttError> {
        let mut status = self.link.status();
        match timeout(patience, status.wait_for(wanted)).await {
            Ok(Ok(status)) => Ok(*status),
            _ => Err(MqttError::NotConnected {
                peer: self.link.peer_name(),
            }),
        }
    }

    fn full(&self) -> MqttError {
        MqttError::Full {
            peer: self.link.peer_name(),
        }
    }
}

/// What goes along with a message: the chain, if the broker is trusted.
fn properties(publication: &Publication) -> Option<PublishProperties> {
    let pairs = publication.headers();
    (!pairs.is_empty()).then(|| PublishProperties {
        user_properties: pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        ..PublishProperties::default()
    })
}

/// What goes along with a message and the length of its packet. Ours stay away where the packet would be too large
/// only because of them: the event loop gives up its connection, and everything under way, over such a packet.
///
/// # Errors
/// The length of a packet that is too large anyway.
fn within(
    bytes_max: u64,
    properties: Option<PublishProperties>,
    bytes: impl Fn(Option<&PublishProperties>) -> Option<u64>,
) -> Result<(Option<PublishProperties>, Option<u64>), u64> {
    let fits = |length: &Option<u64>| length.is_none_or(|bytes| bytes <= bytes_max);
    let length = bytes(properties.as_ref());
    if fits(&length) {
        return Ok((properties, length));
    }
    let alone = bytes(None);
    if !fits(&alone) {
        return Err(alone.unwrap_or(u64::MAX));
    }
    loss("agent.mqtt.headers", "message too large", 1);
    Ok((None, alone))
}
