//! Messages of streams.

use std::future::Future;
use std::ops::Deref;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::message::Acker;
use async_nats::{Error, jetstream};
use futures_util::StreamExt as _;

use super::Client;
use super::headers::pairs;
use crate::messages::{Arrival, Batch, Consumption, Disposition, Handlers};

/// Takes messages of a stream, acknowledges them, and has the failed ones delivered again.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    name: &'static str,
    inner: PullConsumer,
    at_once: usize,
}

impl Consumer {
    pub(super) fn new(client: Client, name: &'static str, inner: PullConsumer) -> Self {
        Self {
            client,
            name,
            inner,
            at_once: 1,
        }
    }

    /// How many handlers may run at one time; one after the other unless this is called.
    #[must_use]
    pub fn at_once(mut self, handlers: usize) -> Self {
        self.at_once = handlers;
        self
    }

    /// The consumer itself.
    #[must_use]
    pub fn inner(&self) -> &PullConsumer {
        &self.inner
    }

    /// Calls the handler for each message, each on a task of its own, as the request `CONSUME <name>`, and tells
    /// the server what it returns: `ACK`, `NAK` or `TERM`. A handler that panics has its message delivered
    /// once more.
    ///
    /// Must be polled inside a Tokio runtime. Dropping the future ends the handlers that run; their messages
    /// come again.
    ///
    /// # Errors
    /// The client's own, when messages cannot be had any more. Call it again to go on.
    pub async fn consume<H, F, D>(&self, handler: H) -> Result<(), Error>
    where
        H: Fn(StreamMessage) -> F,
        F: Future<Output = D> + Send + 'static,
        D: Into<Disposition> + Send + 'static,
    {
        let mut messages = self.inner.messages().await?;
        let mut handlers = Handlers::new(self.at_once);
        let ended = loop {
            handlers.room().await;
            match messages.next().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(error.into()),
                Some(Ok(message)) => {
                    let Taken {
                        message,
                        consumption,
                        acker,
                    } = Taken::open(&self.client, self.name, message);
                    let redelivered = message.is_redelivered();
                    let future = consumption.enter(|| handler(message));
                    handlers.start(handle(redelivered, consumption, acker, future));
                }
            }
        };
        handlers.finish().await;
        ended
    }

    /// Takes up to so many messages at a time, or what has come after `wait`, and calls the handler for all of
    /// them. Each is a request `CONSUME <name>`; what the handler costs is shared out over them by the lengths of
    /// their bodies, as [`charge_split`](crate::charge_split) does, and what it returns is told for all.
    ///
    /// # Errors
    /// As [`consume`](Self::consume).
    pub async fn consume_batches<H, F, D>(
        &self,
        messages_max: usize,
        wait: Duration,
        handler: H,
    ) -> Result<(), Error>
    where
        H: Fn(Vec<StreamMessage>) -> F,
        F: Future<Output = D>,
        D: Into<Disposition>,
    {
        loop {
            let fetch = self.inner.batch().max_messages(messages_max).expires(wait);
            let mut arriving = fetch.messages().await?;
            let (mut batch, mut messages, mut ackers) = (Batch::default(), Vec::new(), Vec::new());
            while let Some(message) = arriving.next().await {
                let Taken {
                    message,
                    consumption,
                    acker,
                } = Taken::open(&self.client, self.name, message?);
                batch.push(consumption, message.payload.len(), message.is_redelivered());
                messages.push(message);
                ackers.push(acker);
            }
            if batch.is_empty() {
                continue;
            }
            let told = batch.settle(
                || handler(messages),
                async |disposition| {
                    for acker in &ackers {
                        tell(acker, disposition).await?;
                    }
                    Ok::<_, Error>(())
                },
            );
            told.await?;
        }
    }
}

/// A message of a stream, and its request.
pub(super) struct Taken {
    pub(super) message: StreamMessage,
    pub(super) consumption: Consumption,
    pub(super) acker: Acker,
}

impl Taken {
    pub(super) fn open(client: &Client, name: &'static str, message: jetstream::Message) -> Self {
        let (deliveries, sequence) = match message.info() {
            Ok(info) => (
                u64::try_from(info.delivered).unwrap_or(1),
                info.stream_sequence,
            ),
            Err(_) => (1, 0),
        };
        let mut arrival =
            Arrival::of_bytes(message.payload.len() as u64).redelivered(deliveries > 1);
        if let Some(headers) = &message.headers {
            arrival = arrival.with_headers(pairs(headers));
        }
        let consumption = client.link().peer.consume(name, &arrival);
        let (inner, acker) = message.split();
        Self {
            message: StreamMessage {
                inner,
                deliveries,
                sequence,
            },
            consumption,
            acker,
        }
    }
}

/// The task of a handler.
async fn handle<F, D>(redelivered: bool, consumption: Consumption, acker: Acker, handler: F)
where
    F: Future<Output = D>,
    D: Into<Disposition>,
{
    let told = consumption.settle(redelivered, handler, |disposition| {
        tell(&acker, disposition)
    });
    if let Err(error) = told.await {
        tracing::warn!(%error, "a message could not be acknowledged; it will come again");
    }
}

/// Tells the server what becomes of a message.
pub(super) async fn tell(acker: &Acker, disposition: Disposition) -> Result<(), Error> {
    let kind = match disposition {
        Disposition::Accept => AckKind::Ack,
        Disposition::Requeue => AckKind::Nak(None),
        Disposition::Reject => AckKind::Term,
    };
    acker.ack_with(kind).await
}

/// A message of a stream as the handler gets it.
#[derive(Clone, Debug)]
pub struct StreamMessage {
    inner: async_nats::Message,
    deliveries: u64,
    sequence: u64,
}

impl StreamMessage {
    /// How many times it was delivered, this one included.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// True when it was delivered before.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.deliveries > 1
    }

    /// Its number in the stream.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The client's own message.
    #[must_use]
    pub fn into_inner(self) -> async_nats::Message {
        self.inner
    }
}

impl Deref for StreamMessage {
    type Target = async_nats::Message;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}
