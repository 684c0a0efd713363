//! Drives the event loop: tells publishers what became of their messages, hands on what arrives, reconnects.

use std::net::IpAddr;
use std::sync::Arc;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Packet, PubAckReason, PubRecReason, Publish, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::{ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{Outgoing, Transport};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::link::Link;
use crate::export::Backoff;
use crate::ledger::loss;

/// A message with the connection that it came over.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) publish: Publish,
    pub(super) generation: u64,
    /// It came before.
    pub(super) redelivered: bool,
}

/// Runs until the connection is closed on purpose, or nobody takes messages any more.
pub(super) async fn drive(
    link: Arc<Link>,
    mut event_loop: EventLoop,
    arrived: mpsc::Sender<Arrived>,
) {
    let _down = Down(link.clone());
    let mut backoff = Backoff::default();
    let mut failing = false;
    loop {
        match event_loop.poll().await {
            Ok(Event::Outgoing(Outgoing::Publish(packet_id))) => link.written(packet_id),
            Ok(Event::Outgoing(_)) => {}
            Ok(Event::Incoming(packet)) => {
                if let Packet::ConnAck(ack) = &packet {
                    let packet_bytes_max = ack.properties.as_ref().and_then(|p| p.max_packet_size);
                    let options = event_loop.options.clone();
                    link.connected(addresses(options).await, packet_bytes_max);
                    backoff.reset();
                    if std::mem::take(&mut failing) {
                        tracing::info!(peer = link.peer.name(), "connected to the broker again");
                    }
                }
                if !incoming(&link, &arrived, packet).await {
                    return;
                }
            }
            Err(error) => {
                let closing = link.disconnected(|| {
                    event_loop.clean();
                    event_loop.pending.clear();
                });
                if closing || arrived.is_closed() {
                    return;
                }
                if !std::mem::replace(&mut failing, true) {
                    told(&link, &error);
                }
                tokio::time::sleep(backoff.next(None, false)).await;
            }
        }
    }
}

/// Tells publishers that nobody drives the connection any more, also when the consumer was dropped: the link
/// outlives the driver with its clients.
struct Down(Arc<Link>);

impl Drop for Down {
    fn drop(&mut self) {
        self.0.disconnected(|| {});
    }
}

fn told(link: &Link, error: &ConnectionError) {
    tracing::warn!(
        peer = link.peer.name(),
        error = %error,
        "no connection to the broker; publishing fails and nothing is consumed until it is back (told once)"
    );
}

/// Handles a packet from the broker. False when nobody takes messages any more.
async fn incoming(link: &Link, arrived: &mpsc::Sender<Arrived>, packet: Packet) -> bool {
    match packet {
        Packet::PubAck(ack) => {
            let taken = matches!(
                ack.reason,
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers
            );
            link.acknowledged(ack.pkid, (!taken).then(|| format!("{:?}", ack.reason)));
        }
        Packet::PubRec(rec) => {
            let taken = matches!(
                rec.reason,
                PubRecReason::Success | PubRecReason::NoMatchingSubscribers
            );
            link.acknowledged(rec.pkid, (!taken).then(|| format!("{:?}", rec.reason)));
        }
        Packet::SubAck(ack) => {
            tell_refused(link, &ack);
            link.subscribed();
        }
        Packet::Publish(publish) => {
            let message = Arrived {
                redelivered: link.came_before(&publish),
                publish,
                generation: link.generation(),
            };
            return hand_on(arrived, message).await;
        }
        _ => {}
    }
    true
}

async fn hand_on(arrived: &mpsc::Sender<Arrived>, message: Arrived) -> bool {
    match arrived.try_send(message) {
        Ok(()) => true,
        Err(TrySendError::Closed(_)) => false,
        Err(TrySendError::Full(message)) if message.publish.qos == QoS::AtMostOnce => {
            loss("agent.mqtt.messages", "queue full", 1);
            true
        }
        // A broker that ignores how much it may send is held back by not reading on.
        Err(TrySendError::Full(message)) => arrived.send(message).await.is_ok(),
    }
}

fn tell_refused(link: &Link, ack: &SubAck) {
    let refused = ack
        .return_codes
        .iter()
        .find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
    if let Some(reason) = refused {
        tracing::warn!(
            peer = link.peer.name(),
            ?reason,
            "the broker refused a subscription"
        );
    }
}

/// All addresses of the broker, to decide whether it is trusted.
async fn addresses(options: MqttOptions) -> Vec<IpAddr> {
    if matches!(options.transport(), Transport::Unix) {
        return vec![IpAddr::from([127, 0, 0, 1])];
    }
    let (host, port) = options.broker_address();
    crate::messages::look_up(&host, port).await
}
