//! The publishing half, and requests.

use std::sync::Arc;

use async_nats::client::traits::Publisher as _;
use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, PublishError, Request, RequestError, Subject, SubscribeError};
use bytes::Bytes;

use super::headers::with_ours;
use super::link::{Link, was_sent};
use super::wire::publish_bytes;
use super::{JetStream, Subscriber};
use crate::messages::Topic;

/// Publishes, requests and subscribes over a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: async_nats::Client,
    link: Arc<Link>,
}

impl Client {
    /// A connection that is there already, such as one made on a thread of its own.
    pub async fn of(peer: &str, client: async_nats::Client) -> Self {
        let link = Link::new(peer, client.clone());
        link.look().await;
        Self {
            inner: client,
            link,
        }
    }

    /// The client itself, for what has no wrapper here. Messages that go through it are not counted.
    #[must_use]
    pub fn inner(&self) -> &async_nats::Client {
        &self.inner
    }

    /// Publishes a payload. The message counts when the client has taken it: NATS itself acknowledges nothing.
    ///
    /// # Errors
    /// Those of [`async_nats::Client::publish`].
    pub async fn publish(
        &self,
        topic: impl Into<Topic>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.send(topic.into(), None, None, payload).await
    }

    /// [`publish`](Self::publish) with headers.
    ///
    /// # Errors
    /// Those of [`async_nats::Client::publish_with_headers`].
    pub async fn publish_with_headers(
        &self,
        topic: impl Into<Topic>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.send(topic.into(), None, Some(headers), payload).await
    }

    /// Publishes with a subject for answers, which is in no label.
    ///
    /// # Errors
    /// Those of [`async_nats::Client::publish_with_reply_and_headers`].
    pub async fn publish_with_reply(
        &self,
        topic: impl Into<Topic>,
        reply: impl Into<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.send(topic.into(), Some(reply.into()), headers, payload)
            .await
    }

    async fn send(
        &self,
        topic: Topic,
        reply: Option<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        self.link.look().await;
        let mut publication = self.link.peer.publish(topic.name());
        publication.encoded(topic.cost());
        let headers = self.headers(headers, payload.len(), |present| {
            publication.headers_beside(present.iter().copied())
        });
        let message = OutboundMessage {
            subject: subject(topic),
            reply,
            payload,
            headers,
        };
        let reply_bytes = message.reply.as_ref().map(|reply| reply.len());
        let body_bytes = message.payload.len();
        let headers = message.headers.as_ref();
        let wire_bytes = publish_bytes(&message.subject, reply_bytes, headers, body_bytes);
        let sent = publication.wait(self.inner.publish_message(message)).await;
        if sent.is_ok() {
            publication.sent(body_bytes as u64);
            publication.sent_wire(wire_bytes);
            publication.end();
        }
        sent
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// Those of [`async_nats::Client::request`].
    pub async fn request(
        &self,
        topic: impl Into<Topic>,
        payload: Bytes,
    ) -> Result<async_nats::Message, RequestError> {
        let request = Request::new().payload(payload);
        self.send_request(topic, request).await
    }

    /// [`request`](Self::request) with headers, a timeout or an inbox of one's own.
    ///
    /// # Errors
    /// Those of [`async_nats::Client::send_request`].
    pub async fn send_request(
        &self,
        topic: impl Into<Topic>,
        mut request: Request,
    ) -> Result<async_nats::Message, RequestError> {
        let topic = topic.into();
        self.link.look().await;
        let mut call = self.link.peer.call(topic.name());
        call.encoded(topic.cost());
        let body_bytes = request.payload.as_ref().map_or(0, Bytes::len);
        request.headers = self.headers(request.headers, body_bytes, |present| {
            call.headers_beside(present.iter().copied())
        });
        let subject = subject(topic);
        let reply_bytes = match &request.inbox {
            Some(inbox) => Some(inbox.len()),
            None => self.link.inbox_bytes,
        };
        let headers = request.headers.as_ref();
        let wire_bytes = publish_bytes(&subject, reply_bytes, headers, body_bytes);
        let answer = call.wait(self.inner.send_request(subject, request)).await;
        let sent = match &answer {
            Ok(_) => true,
            Err(error) => was_sent(error.kind()),
        };
        if sent {
            call.sent(body_bytes as u64);
            call.sent_wire(wire_bytes);
        }
        if let Ok(message) = &answer {
            call.received(message.payload.len() as u64);
            call.end();
        }
        answer
    }

    /// Subscribes to a subject, whose wildcards stand in the name under which its messages are booked.
    ///
    /// # Errors
    /// Those of [`async_nats::Client::subscribe`].
    pub async fn subscribe(&self, topic: impl Into<Topic>) -> Result<Subscriber, SubscribeError> {
        let topic = topic.into();
        let name = topic.name();
        let inner = self.inner.subscribe(subject(topic)).await?;
        Ok(Subscriber::new(self.clone(), name, inner))
    }

    /// Subscribes as one of a group, each of whose messages goes to one of its members.
    ///
    /// # Errors
    /// Those of [`async_nats::Client::queue_subscribe`].
    pub async fn queue_subscribe(
        &self,
        topic: impl Into<Topic>,
        group: impl Into<String>,
    ) -> Result<Subscriber, SubscribeError> {
        let topic = topic.into();
        let name = topic.name();
        let subject = subject(topic);
        let inner = self.inner.queue_subscribe(subject, group.into()).await?;
        Ok(Subscriber::new(self.clone(), name, inner))
    }

    /// JetStream over this connection.
    #[must_use]
    pub fn jetstream(&self) -> JetStream {
        JetStream::of(self, async_nats::jetstream::new(self.inner.clone()))
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The headers of a message with ours among them, where the server takes any.
    pub(super) fn headers(
        &self,
        headers: Option<HeaderMap>,
        payload_bytes: usize,
        merge: impl FnOnce(&[(&str, &str)]) -> Vec<(&'static str, String)>,
    ) -> Option<HeaderMap> {
        if !self.link.takes_headers() {
            return headers;
        }
        with_ours(headers, payload_bytes, self.inner.max_payload(), merge)
    }
}

/// The subject of a topic; one that is text of the code is not copied.
pub(super) fn subject(topic: Topic) -> Subject {
    match topic.into_made() {
        Ok(made) => made.into(),
        Err(text) => Subject::from_static(text),
    }
}
