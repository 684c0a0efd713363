//! Orders over RabbitMQ: published with confirms by a job, consumed in batches whose cost is shared out. At the end the
//! table of costs is printed.
//!
//! ```text
//! rabbitmq-server &
//! cargo run -p weighbridge-agent --features lapin-4 --example amqp
//! ```

use std::error::Error;
use std::time::Duration;

use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, ConnectionProperties};
use tokio::sync::mpsc;
use weighbridge_agent::{amqp, job};

const ORDERS: usize = 100;

/// Does it all against the broker at this address.
pub async fn run(broker: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let connection = amqp::connect("broker", broker, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let confirms = ConfirmSelectOptions::default();
    channel.inner().confirm_select(confirms).await?;
    let qos = BasicQosOptions::default();
    channel.inner().basic_qos(20, qos).await?;
    let queue = QueueDeclareOptions::default();
    let declared =
        channel
            .inner()
            .queue_declare("example orders".into(), queue, FieldTable::default());
    declared.await?;

    // Up to ten at a time; each is a request of its own, charged by the length of its body.
    let options = BasicConsumeOptions::default();
    let orders = channel
        .basic_consume("example orders", "", options, FieldTable::default())
        .await?;
    let (booked, mut done) = mpsc::channel(ORDERS);
    tokio::spawn(orders.consume_batches(10, move |orders| {
        let booked = booked.clone();
        async move {
            for _order in orders {
                let _ = booked.send(()).await;
            }
        }
    }));

    // What causes it all.
    job("evening orders", async {
        for _ in 0..ORDERS {
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default().with_content_type("text/plain".into());
            let order = channel.basic_publish("", "example orders", options, b"anvil", properties);
            order.await?.await?;
        }
        Ok::<_, lapin::Error>(())
    })
    .await?;
    for _ in 0..ORDERS {
        tokio::time::timeout(Duration::from_secs(10), done.recv()).await?;
    }
    Ok(())
}

#[weighbridge_agent::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let _agent = weighbridge_agent::init();
    let broker = std::env::var("AMQP_URL");
    run(&broker.unwrap_or_else(|_| "amqp://127.0.0.1:5672/%2f".into())).await
}
