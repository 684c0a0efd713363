//! The consuming half.

use std::future::Future;
use std::sync::Arc;

use rumqttc::v5::EventLoop;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weighbridge_wire::Class;

use super::driver::{Arrived, drive};
use super::link::Link;
use super::packet::publish_bytes;
use super::{Message, WAITING_MESSAGES_MAX};
use crate::account::{Account, InAccount};
use crate::ledger::loss;
use crate::messages::{Arrival, Consumption};

/// Drives a connection and handles what arrives over it.
#[derive(Debug)]
#[must_use = "nothing is published or consumed until the consumer runs"]
pub struct Consumer {
    link: Arc<Link>,
    event_loop: Box<Loop>,
}

/// The event loop has no `Debug`.
struct Loop(EventLoop);

impl std::fmt::Debug for Loop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventLoop")
    }
}

impl Consumer {
    pub(super) fn new(link: Arc<Link>, event_loop: EventLoop) -> Self {
        Self {
            link,
            event_loop: Box::new(Loop(event_loop)),
        }
    }

    /// Drives the connection until [`Client::disconnect`](super::Client::disconnect): reconnects, subscribes
    /// again, and calls the handler for one message after the other. Each call is a request `CONSUME <topic>`,
    /// on a task of its own; a panic in it is an error of that request. The message is acknowledged when the
    /// handler has ended, however it ended: one that cannot be handled would otherwise come for ever.
    ///
    /// Must be polled inside a Tokio runtime. Dropping the future ends the connection.
    pub async fn run<H, F>(self, handler: H)
    where
        H: Fn(Message) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let account = Account::new(self.link.owner.clone(), Class::Protocol);
        InAccount::new(account.clone(), async move {
            let (sender, mut arrived) = mpsc::channel(WAITING_MESSAGES_MAX);
            let driver = drive(self.link.clone(), self.event_loop.0, sender);
            let _driver = AbortOnDrop(tokio::spawn(InAccount::new(account, driver)));
            while let Some(message) = arrived.recv().await {
                consume(&self.link, message, &handler).await;
            }
        })
        .await;
    }
}

async fn consume<H, F>(link: &Arc<Link>, arrived: Arrived, handler: &H)
where
    H: Fn(Message) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let Arrived {
        publish,
        generation,
        redelivered,
    } = arrived;
    match str::from_utf8(&publish.topic) {
        Ok(topic) => {
            let message = Message {
                topic: topic.to_owned(),
                payload: publish.payload.clone(),
                redelivered,
            };
            let consumption = open(link, topic, &publish, redelivered);
            let future = consumption.enter(|| handler(message));
            let mut task = AbortOnDrop(tokio::spawn(consumption.run(future)));
            if (&mut task.0).await.is_err() {
                // Neither the topic itself nor what a panic says: both may be made of a user's data.
                let topic = link.topic_name(topic);
                tracing::error!(topic, "the handler of a message did not come to its end");
            }
        }
        Err(_) => loss("agent.mqtt.messages", "topic is not UTF-8", 1),
    }
    // On another connection the id means another message.
    if link.generation() == generation {
        let _ = link.requests.ack(&publish).await;
    }
}

/// Opens the request of a message, with the callee's half of its edge.
fn open(link: &Link, topic: &str, publish: &Publish, redelivered: bool) -> Consumption {
    let user = publish
        .properties
        .as_ref()
        .map_or(&[][..], |found| &found.user_properties);
    let pairs = user
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut arrival = Arrival::of_bytes(publish.payload.len() as u64)
        .with_headers(pairs)
        .redelivered(redelivered);
    let properties = publish.properties.as_ref();
    let payload_bytes = publish.payload.len();
    if let Some(bytes) = publish_bytes(&publish.topic, publish.qos, payload_bytes, properties) {
        arrival = arrival.with_wire_bytes(bytes);
    }
    link.peer.consume_named(&link.topic_name(topic), &arrival)
}

/// Ends a task with the future that waits for it.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
