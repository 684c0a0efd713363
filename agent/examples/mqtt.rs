//! Orders over MQTT 5: published by a job, consumed by a service. At the end the table of costs is printed.
//!
//! ```text
//! mosquitto &
//! cargo run -p weighbridge-agent --features rumqttc-0_25 --example mqtt
//! ```

use std::error::Error;
use std::time::Duration;

use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use tokio::sync::mpsc;
use weighbridge_agent::messages::Topic;
use weighbridge_agent::{job, mqtt};

const ORDERS: usize = 100;

/// Does it all against the broker at this address.
pub async fn run(host: &str, port: u16) -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = MqttOptions::new("shop", host, port);
    let (client, consumer) = mqtt::connect("broker", options, 100);

    // A service that consumes, one message after the other.
    client.subscribe("orders/+", QoS::AtLeastOnce)?;
    let (booked, mut done) = mpsc::channel(ORDERS);
    tokio::spawn(consumer.run(move |_order| {
        let booked = booked.clone();
        async move {
            let _ = booked.send(()).await;
        }
    }));
    client.ready(Duration::from_secs(10)).await?;

    // What causes it all.
    job("evening orders", async {
        for customer in 0..ORDERS {
            // The customer's number is in the topic, and in no label.
            let topic = Topic::of("orders/{customer}", format!("orders/{customer}"));
            let order = client.publish(topic, QoS::AtLeastOnce, "one anvil".into());
            order.await?;
        }
        Ok::<_, mqtt::MqttError>(())
    })
    .await?;
    for _ in 0..ORDERS {
        tokio::time::timeout(Duration::from_secs(10), done.recv()).await?;
    }
    Ok(client.disconnect().await?)
}

#[weighbridge_agent::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let _agent = weighbridge_agent::init();
    run("127.0.0.1", 1883).await
}
