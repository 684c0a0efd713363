//! Publish, request and consume over NATS and JetStream, both halves weighed, over `async_nats`.
//!
//! ```no_run
//! # use weighbridge_agent::{messages::{Disposition, Topic}, nats};
//! # async fn run() -> Result<(), async_nats::Error> {
//! let nats = nats::connect("broker", "nats://127.0.0.1:4222").await?;
//!
//! let orders = nats.queue_subscribe("orders.*", "accounting").await?;
//! tokio::spawn(orders.consume(|message| async move {
//!     let _order = &message.payload; // a request of its own: `CONSUME orders.*`
//! }));
//!
//! let jetstream = nats.jetstream();
//! let stream = jetstream.context().get_stream("invoices").await?;
//! let invoices = jetstream.consumer("invoices.>", stream.get_consumer("accounting").await?);
//! tokio::spawn(async move {
//!     invoices.consume(|_invoice| async { Disposition::Accept }).await
//! });
//! jetstream.publish("invoices.due", "for one anvil".into()).await?;
//!
//! nats.publish("orders.created", "one anvil".into()).await?;
//! let customer = 4711;
//! let subject = Topic::of("orders.{customer}", format!("orders.{customer}"));
//! nats.publish(subject, "one anvil".into()).await?;
//! let _price = nats.request("prices.quote", "anvil".into()).await?;
//! # Ok(()) }
//! ```
//!
//! # What is booked where
//!
//! A message that is published belongs to the request that publishes it, one that is consumed is a request of
//! its own, whose origin is that of the chain which published it. Names are text of the code: the subject of
//! [`publish`](Client::publish), the template of a [`Topic`](crate::messages::Topic), the filter of a
//! subscription. Subjects made at run time and those for answers reach no label.
//!
//! The client reads and writes its socket in a task of its own. With the poll hooks its CPU is the owner
//! `driver`, `nats PEER`; on stable Tokio it is part of `runtime or unwrapped`, unless the client was made on a
//! runtime with an account of its own ([`Client::of`] takes it from there). Edge rows hold what the calls
//! themselves cost in class `protocol` (queues between the caller and that task), and no io.
//!
//! # When a message is counted
//!
//! NATS acknowledges nothing: a message counts when the client has taken it, and may be lost with the
//! connection. JetStream acknowledges, and there a message counts when it is acknowledged; one that the stream
//! already had (by `Nats-Msg-Id`) counts as a retry and not as a message. A request counts when it was sent,
//! also when no answer came in time. A consumed message counts each time that it arrives, and as redelivered
//! when JetStream says so.
//!
//! `body_bytes` are the payload. `wire_bytes` are the frame that was sent, headers of ours included: they make
//! `PUB` an `HPUB`. What arrives has a number in its frame that the client does not tell, so its wire bytes are
//! absent. Nothing of ours goes along where a server of the pool is not trusted, where the server takes no
//! headers, or where the message would become too large for the server.

mod client;
mod consumer;
mod headers;
mod jetstream;
mod link;
mod subscriber;
mod wire;

pub use client::Client;
pub use consumer::{Consumer, StreamMessage};
pub use jetstream::{JetStream, UNSURE_MAX};
pub use link::LOOK_UP_PATIENCE;
pub use subscriber::{Delivery, Message, Subscriber};

use async_nats::{ConnectError, ConnectOptions, ToServerAddrs};
use weighbridge_wire::{Class, OwnerKind};

use crate::account::{self, Account, InAccount};

/// Connects. `peer` is the name under which the broker's hop is shown.
///
/// # Errors
/// Those of [`async_nats::connect`].
pub async fn connect(peer: &str, servers: impl ToServerAddrs) -> Result<Client, ConnectError> {
    connect_with(peer, ConnectOptions::new(), servers).await
}

/// Connects with options.
///
/// # Errors
/// Those of [`async_nats::connect_with_options`].
pub async fn connect_with(
    peer: &str,
    options: ConnectOptions,
    servers: impl ToServerAddrs,
) -> Result<Client, ConnectError> {
    // With the poll hooks the tasks that the client spawns are of the same owner.
    let owner = account::owner(OwnerKind::Driver, &format!("{} {peer}", link::TRANSPORT));
    let account = Account::new(owner, Class::Protocol);
    let connecting = async_nats::connect_with_options(servers, options);
    let client = InAccount::new(account, connecting).await?;
    Ok(Client::of(peer, client).await)
}

/// Headers of any names and values, each in a line: those of others stay, and the length is that of the lines.
#[cfg(all(
    any(test, feature = "fuzz"),
    feature = "rumqttc-0_25",
    feature = "lapin-4"
))]
pub(crate) fn fuzz(bytes: &[u8]) {
    use async_nats::{HeaderMap, HeaderName, HeaderValue};

    let text = String::from_utf8_lossy(bytes);
    let mut given = HeaderMap::new();
    for (name, value) in text.split('\n').filter_map(|line| line.split_once(':')) {
        let parsed = (name.parse::<HeaderName>(), value.parse::<HeaderValue>());
        if let (Ok(name), Ok(value)) = parsed {
            given.append(name, value);
        }
    }
    let others = |headers: &HeaderMap| -> Vec<(String, String)> {
        let mut others: Vec<_> = headers::pairs(headers)
            .filter(|(name, _)| !crate::propagation::is_header(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        others.sort_unstable();
        others
    };
    let before = others(&given);
    let ours = |_: &[(&str, &str)]| vec![("weighbridge-hop", "1;x".to_owned())];
    let merged = headers::with_ours(Some(given), bytes.len(), 4_096, ours).unwrap_or_default();
    assert_eq!(others(&merged), before, "headers of others");
    let lines: usize = headers::pairs(&merged)
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    assert_eq!(wire::header_bytes(&merged), 12 + lines, "another length");
}
