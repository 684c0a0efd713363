//! Orders over NATS: published by a job, consumed by a service that asks another one for prices. At the end the table
//! of costs is printed.
//!
//! ```text
//! nats-server -js &
//! cargo run -p weighbridge-agent --features async-nats-0_51 --example nats
//! ```

use std::time::Duration;

use async_nats::Error;
use async_nats::jetstream::{consumer::pull, stream};
use tokio::sync::mpsc;
use weighbridge_agent::messages::{Disposition, Topic};
use weighbridge_agent::{job, nats};

const ORDERS: usize = 100;

/// Does it all against the server at this address.
pub async fn run(server: &str) -> Result<(), Error> {
    let nats = nats::connect("broker", server).await?;

    // A service that answers.
    let quotes = nats.queue_subscribe("prices.quote", "prices").await?;
    tokio::spawn(quotes.consume(|message| async move {
        let _ = message.respond("42".into()).await;
    }));

    // One that consumes orders of a stream, ten at a time.
    let jetstream = nats.jetstream();
    let orders = stream::Config {
        name: "orders".into(),
        subjects: vec!["orders.>".into()],
        ..stream::Config::default()
    };
    let orders = jetstream.context().get_or_create_stream(orders).await?;
    let durable = pull::Config {
        durable_name: Some("accounting".into()),
        ..pull::Config::default()
    };
    let durable = orders.get_or_create_consumer("accounting", durable).await?;
    let (booked, mut done) = mpsc::channel(ORDERS);
    let accounting = jetstream.consumer("orders.>", durable).at_once(10);
    let asking = nats.clone();
    tokio::spawn(async move {
        let handler = |order: nats::StreamMessage| {
            let (nats, booked) = (asking.clone(), booked.clone());
            async move {
                match nats.request("prices.quote", order.payload.clone()).await {
                    Ok(_price) => {
                        let _ = booked.send(()).await;
                        Disposition::Accept
                    }
                    Err(_) => Disposition::Requeue,
                }
            }
        };
        accounting.consume(handler).await
    });

    // What causes it all.
    job("evening orders", async {
        for customer in 0..ORDERS {
            // The customer's number is in the subject, and in no label.
            let subject = Topic::of("orders.{customer}", format!("orders.{customer}"));
            jetstream.publish(subject, "one anvil".into()).await?;
        }
        Ok::<_, Error>(())
    })
    .await?;
    for _ in 0..ORDERS {
        tokio::time::timeout(Duration::from_secs(10), done.recv()).await?;
    }
    Ok(())
}

#[weighbridge_agent::main]
async fn main() -> Result<(), Error> {
    let _agent = weighbridge_agent::init();
    let server = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".into());
    run(&server).await
}
