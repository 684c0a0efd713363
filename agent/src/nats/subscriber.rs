//! The consuming half.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use async_nats::client::traits::Publisher as _;
use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, PublishError, Subject, UnsubscribeError};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::Client;
use super::headers::pairs;
use super::wire::publish_bytes;
use crate::bill::Bill;
use crate::messages::{Arrival, Consumption, Handlers};

/// Messages of one subject. Dropping it ends the subscription.
#[derive(Debug)]
#[must_use = "nothing is consumed unless messages are taken"]
pub struct Subscriber {
    client: Client,
    name: &'static str,
    inner: async_nats::Subscriber,
    at_once: usize,
}

impl Subscriber {
    pub(super) fn new(client: Client, name: &'static str, inner: async_nats::Subscriber) -> Self {
        Self {
            client,
            name,
            inner,
            at_once: 1,
        }
    }

    /// How many handlers may run at one time; one after the other unless this is called.
    pub fn at_once(mut self, handlers: usize) -> Self {
        self.at_once = handlers;
        self
    }

    /// Waits for the next message. `None` when the subscription or the connection has ended.
    pub async fn next(&mut self) -> Option<Delivery> {
        let message = self.inner.next().await?;
        Some(Delivery::open(&self.client, self.name, message))
    }

    /// Calls the handler for each message until the subscription or the connection ends, each on a task of its
    /// own, as the request `CONSUME <subject>`. A panic in it is an error of that request only.
    ///
    /// Must be polled inside a Tokio runtime. Dropping the future ends the handlers that run.
    pub async fn consume<H, F>(mut self, handler: H)
    where
        H: Fn(Message) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut handlers = Handlers::new(self.at_once);
        loop {
            handlers.room().await;
            let Some(delivery) = self.next().await else {
                break;
            };
            let Delivery {
                message,
                consumption,
            } = delivery;
            let future = consumption.enter(|| handler(message));
            handlers.start(consumption.run(future));
        }
        handlers.finish().await;
    }

    /// Ends the subscription once what has arrived is taken.
    ///
    /// # Errors
    /// Those of [`async_nats::Subscriber::drain`].
    pub async fn drain(&mut self) -> Result<(), UnsubscribeError> {
        self.inner.drain().await
    }

    /// Ends the subscription.
    ///
    /// # Errors
    /// Those of [`async_nats::Subscriber::unsubscribe`].
    pub async fn unsubscribe(&mut self) -> Result<(), UnsubscribeError> {
        self.inner.unsubscribe().await
    }
}

/// A message that has arrived, and its request. Dropped before its handler has ended, it is an error.
#[derive(Debug)]
#[must_use = "a delivery that is dropped without being run counts as failed"]
pub struct Delivery {
    message: Message,
    consumption: Consumption,
}

impl Delivery {
    fn open(client: &Client, name: &'static str, message: async_nats::Message) -> Self {
        let mut arrival = Arrival::of_bytes(message.payload.len() as u64);
        if let Some(headers) = &message.headers {
            arrival = arrival.with_headers(pairs(headers));
        }
        if message.reply.is_some() {
            arrival = arrival.answered();
        }
        let consumption = client.link().peer.consume(name, &arrival);
        let message = Message {
            inner: message,
            client: client.clone(),
            bill: consumption.bill().clone(),
        };
        Self {
            message,
            consumption,
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Runs the handler as this request.
    pub async fn run<F: Future>(self, handler: impl FnOnce(Message) -> F) -> F::Output {
        let future = self.consumption.enter(|| handler(self.message));
        self.consumption.run(future).await
    }

    /// As [`run`](Self::run); `Err` is an error of the request.
    ///
    /// # Errors
    /// Those of the handler, as they are.
    pub async fn try_run<T, E, F>(self, handler: impl FnOnce(Message) -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let future = self.consumption.enter(|| handler(self.message));
        self.consumption.try_run(future).await
    }
}

/// A message as the handler gets it.
#[derive(Clone, Debug)]
pub struct Message {
    inner: async_nats::Message,
    client: Client,
    bill: Arc<Bill>,
}

impl Message {
    /// Answers whoever sent it and waits. The answer counts as this request's response.
    ///
    /// # Errors
    /// Those of [`async_nats::Client::publish`]; an invalid subject when nobody waits for an answer.
    pub async fn respond(&self, payload: Bytes) -> Result<(), PublishError> {
        self.respond_with_headers(None, payload).await
    }

    /// [`respond`](Self::respond) with headers, to which nothing is added.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub async fn respond_with_headers(
        &self,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let subject = self.inner.reply.clone();
        let answer = OutboundMessage {
            subject: subject.unwrap_or(Subject::from_static("")),
            reply: None,
            payload,
            headers,
        };
        let body_bytes = answer.payload.len() as u64;
        let wire_bytes = publish_bytes(
            &answer.subject,
            None,
            answer.headers.as_ref(),
            answer.payload.len(),
        );
        self.client.inner().publish_message(answer).await?;
        self.bill.with_callee(|figures| {
            figures.response_wire_bytes =
                Some(figures.response_wire_bytes.unwrap_or(0) + wire_bytes);
        });
        crate::messages::replied(&self.bill, body_bytes);
        Ok(())
    }

    /// The client's own message.
    #[must_use]
    pub fn into_inner(self) -> async_nats::Message {
        self.inner
    }
}

impl Deref for Message {
    type Target = async_nats::Message;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}
