//! The publishing half.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicPublishOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};

use super::headers::with_ours;
use super::{Consumer, Delivery};
use crate::messages::{Peer, Publication, Topic};

/// A channel of a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: lapin::Channel,
    peer: Peer,
    /// What the broker and the client have agreed on.
    configuration: Arc<lapin::Configuration>,
}

impl Channel {
    pub(super) fn new(
        inner: lapin::Channel,
        peer: Peer,
        configuration: Arc<lapin::Configuration>,
    ) -> Self {
        Self {
            inner,
            peer,
            configuration,
        }
    }

    /// The channel itself, for what has no wrapper here. Messages that go through it are not counted.
    #[must_use]
    pub fn inner(&self) -> &lapin::Channel {
        &self.inner
    }

    /// Publishes a message. Exchange and routing key, or its template, are the name under which it is booked.
    ///
    /// # Errors
    /// Those of [`lapin::Channel::basic_publish`]; an invalid input for names that are longer than AMQP allows.
    pub async fn basic_publish(
        &self,
        exchange: &'static str,
        routing_key: impl Into<Topic>,
        options: BasicPublishOptions,
        payload: &[u8],
        properties: BasicProperties,
    ) -> lapin::Result<Confirm> {
        let routing_key = routing_key.into();
        let name = routing_key.name();
        let mut publication = match exchange {
            "" => self.peer.publish(name),
            _ => self.peer.publish_named(&format!("{exchange}/{name}")),
        };
        publication.encoded(routing_key.cost());
        let properties = with_ours(properties, self.configuration.frame_max(), |present| {
            publication.headers_beside(present.iter().copied())
        });
        let (exchange, routing_key) = (short(exchange)?, short(routing_key.as_str())?);
        let publishing =
            self.inner
                .basic_publish(exchange, routing_key, options, payload, properties);
        let inner = publication.wait(publishing).await?;
        Ok(Confirm {
            inner,
            publication: Some(publication),
            body_bytes: payload.len() as u64,
        })
    }

    /// Takes messages of a queue, whose name is the name under which they are booked.
    ///
    /// # Errors
    /// Those of [`lapin::Channel::basic_consume`].
    pub async fn basic_consume(
        &self,
        queue: impl Into<Topic>,
        consumer_tag: &str,
        options: BasicConsumeOptions,
        arguments: FieldTable,
    ) -> lapin::Result<Consumer> {
        let queue = queue.into();
        let (name, tag) = (short(queue.as_str())?, short(consumer_tag)?);
        let inner = self.inner.basic_consume(name, tag, options, arguments);
        let consumer = inner.await?;
        Ok(Consumer::new(
            consumer,
            self.peer.clone(),
            queue.name(),
            !options.no_ack,
        ))
    }

    /// Takes one message of a queue, if there is one.
    ///
    /// # Errors
    /// Those of [`lapin::Channel::basic_get`].
    pub async fn basic_get(
        &self,
        queue: impl Into<Topic>,
        options: BasicGetOptions,
    ) -> lapin::Result<Option<Delivery>> {
        let queue = queue.into();
        let found = self
            .inner
            .basic_get(short(queue.as_str())?, options)
            .await?;
        Ok(found.map(|message| {
            Delivery::open(&self.peer, queue.name(), message.delivery, !options.no_ack)
        }))
    }
}

/// A name as AMQP holds it.
fn short(name: &str) -> lapin::Result<ShortString> {
    ShortString::try_new(name)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error).into())
}

/// What the broker says of a message. Dropped without being awaited, the message counts as published.
#[derive(Debug)]
pub struct Confirm {
    inner: PublisherConfirm,
    publication: Option<Publication>,
    body_bytes: u64,
}

impl Confirm {
    fn sent(&mut self) {
        if let Some(mut publication) = self.publication.take() {
            publication.sent(self.body_bytes);
            publication.end();
        }
    }
}

impl Future for Confirm {
    type Output = lapin::Result<Confirmation>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let poll = match &mut this.publication {
            Some(publication) => publication.poll(|| Pin::new(&mut this.inner).poll(cx)),
            None => Pin::new(&mut this.inner).poll(cx),
        };
        match &poll {
            Poll::Ready(Ok(Confirmation::Ack(None) | Confirmation::NotRequested)) => this.sent(),
            // Refused, returned, or nobody knows.
            Poll::Ready(_) => drop(this.publication.take()),
            Poll::Pending => {}
        }
        poll
    }
}

impl Drop for Confirm {
    fn drop(&mut self) {
        self.sent();
    }
}
