//! The consuming half.

use std::future::Future;
use std::ops::Deref;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};

use super::headers::{deaths, pairs};
use crate::messages::{Arrival, Batch, Consumption, Disposition, Handlers, Peer};

/// Messages of a queue.
#[derive(Debug)]
#[must_use = "nothing is consumed unless messages are taken"]
pub struct Consumer {
    inner: lapin::Consumer,
    peer: Peer,
    name: &'static str,
    acknowledges: bool,
    at_once: usize,
}

impl Consumer {
    pub(super) fn new(
        inner: lapin::Consumer,
        peer: Peer,
        name: &'static str,
        acknowledges: bool,
    ) -> Self {
        Self {
            inner,
            peer,
            name,
            acknowledges,
            at_once: 1,
        }
    }

    /// How many handlers may run at one time; one after the other unless this is called.
    pub fn at_once(mut self, handlers: usize) -> Self {
        self.at_once = handlers;
        self
    }

    /// Waits for the next message. `None` when the consumer was cancelled.
    ///
    /// # Errors
    /// The client's own.
    pub async fn next(&mut self) -> Option<lapin::Result<Delivery>> {
        let delivery = self.inner.next().await?;
        Some(delivery.map(|delivery| self.open(delivery)))
    }

    /// Calls the handler for each message, each on a task of its own, as the request `CONSUME <queue>`, and tells
    /// the broker what it returns: ack, nack to have it again, or reject, which makes it a dead letter where the
    /// queue has an exchange for them. A handler that panics has its message delivered once more.
    ///
    /// Ends when the consumer is cancelled. Must be polled inside a Tokio runtime. Dropping the future ends the
    /// handlers that run; their messages come again when the channel closes.
    ///
    /// # Errors
    /// The client's own, when messages cannot be had any more.
    pub async fn consume<H, F, D>(mut self, handler: H) -> lapin::Result<()>
    where
        H: Fn(Message) -> F,
        F: Future<Output = D> + Send + 'static,
        D: Into<Disposition> + Send + 'static,
    {
        let mut handlers = Handlers::new(self.at_once);
        let ended = loop {
            handlers.room().await;
            match self.next().await {
                None => break Ok(()),
                Some(Err(error)) => break Err(error),
                Some(Ok(delivery)) => {
                    let Delivery {
                        message,
                        consumption,
                        acker,
                    } = delivery;
                    let redelivered = message.redelivered;
                    let future = consumption.enter(|| handler(message));
                    handlers.start(handled(settle(redelivered, consumption, acker, future)));
                }
            }
        };
        handlers.finish().await;
        ended
    }

    /// Takes up to so many messages at a time, of those that have arrived (see `basic_qos`), and calls the handler
    /// for all of them. Each is a request `CONSUME <queue>`; what the handler costs is shared out over them by the
    /// lengths of their bodies, as [`charge_split`](crate::charge_split) does, and what it returns is told for all.
    ///
    /// # Errors
    /// As [`consume`](Self::consume).
    pub async fn consume_batches<H, F, D>(
        mut self,
        messages_max: usize,
        handler: H,
    ) -> lapin::Result<()>
    where
        H: Fn(Vec<Message>) -> F,
        F: Future<Output = D>,
        D: Into<Disposition>,
    {
        while let Some(first) = self.inner.next().await {
            let (mut batch, mut messages, mut told) = (Batch::default(), Vec::new(), Vec::new());
            let mut next = Some(Some(first));
            while let Some(Some(delivery)) = next {
                let delivery = self.open(delivery?);
                let redelivered = delivery.message.redelivered;
                batch.push(
                    delivery.consumption,
                    delivery.message.data.len(),
                    redelivered,
                );
                told.push(delivery.acker);
                messages.push(delivery.message);
                next = match messages.len() < messages_max {
                    true => self.inner.next().now_or_never(),
                    false => None,
                };
            }
            let settled = batch.settle(
                || handler(messages),
                async |disposition| {
                    for acker in told.iter().flatten() {
                        tell(acker, disposition).await?;
                    }
                    Ok::<_, lapin::Error>(())
                },
            );
            settled.await?;
        }
        Ok(())
    }

    fn open(&self, delivery: lapin::message::Delivery) -> Delivery {
        Delivery::open(&self.peer, self.name, delivery, self.acknowledges)
    }
}

/// A message that has arrived, and its request. Dropped before its handler has ended, it is an error, and the
/// message comes again when the channel closes.
#[derive(Debug)]
#[must_use = "a delivery that is dropped without being handled counts as failed"]
pub struct Delivery {
    message: Message,
    consumption: Consumption,
    /// None where the broker expects nothing.
    acker: Option<Acker>,
}

impl Delivery {
    pub(super) fn open(
        peer: &Peer,
        name: &'static str,
        delivery: lapin::message::Delivery,
        acknowledges: bool,
    ) -> Self {
        let deaths = deaths(&delivery.properties);
        let message = Message {
            inner: delivery,
            deaths,
        };
        let arrival = Arrival::of_bytes(message.data.len() as u64)
            .with_headers(pairs(&message.properties))
            .redelivered(message.redelivered || deaths > 0);
        Self {
            consumption: peer.consume(name, &arrival),
            acker: acknowledges.then(|| message.acker.clone()),
            message,
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Runs the handler as this request and tells the broker what it returns.
    ///
    /// # Errors
    /// Those of the acknowledgement.
    pub async fn handle<F, D>(self, handler: impl FnOnce(Message) -> F) -> lapin::Result<()>
    where
        F: Future<Output = D>,
        D: Into<Disposition>,
    {
        let redelivered = self.message.redelivered;
        let future = self.consumption.enter(|| handler(self.message));
        settle(redelivered, self.consumption, self.acker, future).await
    }
}

/// The task of a handler.
async fn handled(settled: impl Future<Output = lapin::Result<()>>) {
    if let Err(error) = settled.await {
        tracing::warn!(%error, "a message could not be acknowledged; it will come again");
    }
}

async fn settle<F, D>(
    redelivered: bool,
    consumption: Consumption,
    acker: Option<Acker>,
    handler: F,
) -> lapin::Result<()>
where
    F: Future<Output = D>,
    D: Into<Disposition>,
{
    let told = consumption.settle(redelivered, handler, async |disposition| match &acker {
        Some(acker) => tell(acker, disposition).await,
        None => Ok(()),
    });
    told.await
}

/// Tells the broker what becomes of a message, unless the handler did.
async fn tell(acker: &Acker, disposition: Disposition) -> lapin::Result<()> {
    match disposition {
        Disposition::Accept => acker.ack(BasicAckOptions::default()).await?,
        Disposition::Requeue => {
            let again = BasicNackOptions {
                requeue: true,
                ..BasicNackOptions::default()
            };
            acker.nack(again).await?
        }
        Disposition::Reject => acker.reject(BasicRejectOptions { requeue: false }).await?,
    };
    Ok(())
}

/// A message as the handler gets it.
#[derive(Debug)]
pub struct Message {
    inner: lapin::message::Delivery,
    deaths: u64,
}

impl Message {
    /// How many times it became a dead letter on its way here.
    #[must_use]
    pub fn deaths(&self) -> u64 {
        self.deaths
    }

    /// True when it was delivered before, here or as a message of the queue whose dead letter it is.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.inner.redelivered || self.deaths > 0
    }

    /// The client's own message.
    #[must_use]
    pub fn into_inner(self) -> lapin::message::Delivery {
        self.inner
    }
}

impl Deref for Message {
    type Target = lapin::message::Delivery;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}
