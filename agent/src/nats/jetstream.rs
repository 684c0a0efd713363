//! Publishing to streams.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;

use super::client::subject;
use super::wire::publish_bytes;
use super::{Client, Consumer};
use crate::ledger::loss;
use crate::messages::Topic;
use crate::sync::lock;

/// Most messages with an id that nobody acknowledged in time and that are remembered, to tell whether a stream
/// that has one of them has it from us.
pub const UNSURE_MAX: usize = 1_024;

/// Streams over a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JetStream {
    client: Client,
    context: Context,
    /// Ids of messages that may be in the stream though nobody said so, hashed.
    unsure: Arc<Mutex<HashSet<u64>>>,
}

impl JetStream {
    /// A context with options of one's own.
    #[must_use]
    pub fn of(client: &Client, context: Context) -> Self {
        Self {
            client: client.clone(),
            context,
            unsure: Arc::default(),
        }
    }

    /// The context itself, to make streams and consumers with.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Publishes a payload and waits until the stream has it.
    ///
    /// # Errors
    /// Those of [`Context::publish`] and of its acknowledgement.
    pub async fn publish(
        &self,
        topic: impl Into<Topic>,
        payload: Bytes,
    ) -> Result<PublishAck, PublishError> {
        let message = PublishMessage::build().payload(payload);
        self.send_publish(topic, message).await
    }

    /// [`publish`](Self::publish) of a message with headers, an id or expectations.
    ///
    /// # Errors
    /// Those of [`Context::send_publish`] and of its acknowledgement.
    pub async fn send_publish(
        &self,
        topic: impl Into<Topic>,
        message: PublishMessage,
    ) -> Result<PublishAck, PublishError> {
        let topic = topic.into();
        let link = self.client.link();
        link.look().await;
        let mut publication = link.peer.publish(topic.name());
        publication.encoded(topic.cost());
        let message = message.outbound_message(subject(topic));
        let (subject, payload) = (message.subject, message.payload);
        let headers = self
            .client
            .headers(message.headers, payload.len(), |present| {
                publication.headers_beside(present.iter().copied())
            });
        let body_bytes = payload.len();
        let wire_bytes = publish_bytes(&subject, link.inbox_bytes, headers.as_ref(), body_bytes);
        let id = headers
            .as_ref()
            .and_then(|headers| headers.get(NATS_MESSAGE_ID))
            .map(|id| hashed(id.as_str()));
        let mut message = PublishMessage::build().payload(payload);
        if let Some(headers) = headers {
            message = message.headers(headers);
        }
        let acknowledged = publication
            .wait(async { self.context.send_publish(subject, message).await?.await })
            .await;
        match &acknowledged {
            Ok(ack) => {
                publication.sent_wire(wire_bytes);
                if ack.duplicate && !self.was_unsure(id) {
                    publication.retried();
                } else {
                    publication.sent(body_bytes as u64);
                }
                publication.end();
            }
            Err(error) => {
                if let Some(id) = id
                    && may_be_there(error.kind())
                {
                    self.remember(id);
                }
            }
        }
        acknowledged
    }

    /// A consumer whose messages are booked under this name, such as what it filters by.
    #[must_use]
    pub fn consumer(&self, name: &'static str, consumer: PullConsumer) -> Consumer {
        Consumer::new(self.client.clone(), name, consumer)
    }

    fn remember(&self, id: u64) {
        let mut unsure = lock(&self.unsure);
        if unsure.len() < UNSURE_MAX {
            unsure.insert(id);
        } else {
            drop(unsure);
            loss("agent.nats.unsure", "table full", 1);
        }
    }

    fn was_unsure(&self, id: Option<u64>) -> bool {
        id.is_some_and(|id| lock(&self.unsure).remove(&id))
    }
}

/// The message was sent, and nobody knows what became of it.
fn may_be_there(kind: PublishErrorKind) -> bool {
    matches!(
        kind,
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe
    )
}

fn hashed(id: &str) -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    use std::sync::LazyLock;
    // Seeded, so that nobody can make ids that meet.
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SEED.hash_one(id)
}
