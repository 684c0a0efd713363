//! Publish and consume over AMQP 0.9.1, both halves weighed, over `lapin`.
//!
//! ```no_run
//! # use weighbridge_agent::{amqp, messages::Disposition};
//! # async fn run() -> lapin::Result<()> {
//! use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
//! use lapin::types::FieldTable;
//! use lapin::{BasicProperties, ConnectionProperties};
//!
//! let uri = "amqp://127.0.0.1:5672/%2f";
//! let connection = amqp::connect("broker", uri, ConnectionProperties::default()).await?;
//! let channel = connection.create_channel().await?;
//!
//! let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
//! let orders = channel.basic_consume("accounting", "", options, arguments).await?;
//! tokio::spawn(orders.consume(|message| async move {
//!     let _order = &message.data; // a request of its own: `CONSUME accounting`
//!     Disposition::Accept
//! }));
//!
//! let properties = BasicProperties::default();
//! channel
//!     .basic_publish("shop", "orders.created", BasicPublishOptions::default(), b"one anvil", properties)
//!     .await?
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! # What is booked where
//!
//! A message that is published belongs to the request that publishes it, under `exchange/routing key`; a routing
//! key made at run time needs a template ([`Topic`](crate::messages::Topic)). One that is consumed is a request
//! of its own, `CONSUME <queue>`, whose origin is that of the chain which published it. What the chain needs goes
//! along in the message's headers; its other properties are left alone. A message whose headers would exceed the
//! frame agreed on with the broker only because of ours goes without them (counted as lost at `agent.amqp.headers`).
//!
//! The client reads and writes its socket on a thread of its own, `lapin-io-loop`, whose CPU is the owner
//! `driver`, `amqp PEER` (`amqp` when there are several peers). Edge rows hold what the calls themselves cost in class
//! `protocol`, and beside it, apportioned by bytes each window, what the thread of the only peer did, its io included;
//! the length of frames is not known, so wire bytes are absent.
//!
//! # When a message is counted
//!
//! With publisher confirms (`confirm_select`), when its [`Confirm`] says that the broker has it; one that the
//! broker refused or returned is an error and no message. Without confirms, or when the [`Confirm`] is dropped, as
//! soon as the client has taken it. A consumed message counts each time that it arrives, and as redelivered when
//! the broker says so or when it comes as a dead letter of another queue. (RabbitMQ says so of everything that it
//! recovers after a crash, which shows as a difference between both ends.)

mod channel;
mod connection;
mod consumer;
mod headers;

pub use channel::{Channel, Confirm};
pub(crate) use connection::driver_name;
pub use connection::{Connection, connect};
pub use consumer::{Consumer, Delivery, Message};

/// The word for AMQP in edges.
const TRANSPORT: &str = "amqp";

/// Properties as a broker sends them: what is read of them stays the same once ours were put among them and taken out.
#[cfg(all(
    any(test, feature = "fuzz"),
    feature = "rumqttc-0_25",
    feature = "async-nats-0_51"
))]
pub(crate) fn fuzz(bytes: &[u8]) {
    // Tables in tables: how deep they may be is the client's to say.
    let bytes = bytes.get(..1_024).unwrap_or(bytes);
    let Ok((_, properties)) = lapin::protocol::basic::parse_properties(bytes) else {
        return;
    };
    let others = |properties: &lapin::BasicProperties| -> Vec<(String, String)> {
        headers::pairs(properties)
            .filter(|(name, _)| !crate::propagation::is_header(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let (before, deaths) = (others(&properties), headers::deaths(&properties));
    let ours = |_: &[(&str, &str)]| vec![("weighbridge-hop", "1;x".to_owned())];
    let merged = headers::with_ours(properties, 4_096, ours);
    assert_eq!(others(&merged), before, "headers of others");
    assert_eq!(headers::deaths(&merged), deaths, "deaths");
}
