//! MQTT 5: published and acknowledged, consumed and acknowledged (at least once), by rumqttc.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use weighbridge_agent::{job, mqtt};
use weighbridge_benches::Report;
use weighbridge_benches::blocks::Extent;

use super::{BURST, Failure, MESSAGES, body, cost, missing, servers};

const PATIENCE: Duration = Duration::from_secs(10);

/// A bare client with a task that drives it, acknowledges what arrives, and counts.
struct Bare {
    client: AsyncClient,
    acknowledged: Arc<Semaphore>,
    arrived: Arc<Semaphore>,
}

impl Bare {
    fn connect(runtime: &Runtime, mut options: MqttOptions) -> Self {
        options.set_manual_acks(true);
        let (client, mut events) = AsyncClient::new(options, 2 * BURST + 16);
        let (acknowledged, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let bare = Self {
            client: client.clone(),
            acknowledged: acknowledged.clone(),
            arrived: arrived.clone(),
        };
        runtime.spawn(async move {
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::PubAck(_) | Packet::SubAck(_)) => {
                        acknowledged.add_permits(1);
                    }
                    Event::Incoming(Packet::Publish(publish)) => {
                        drop(client.ack(&publish).await);
                        arrived.add_permits(1);
                    }
                    _ => {}
                }
            }
        });
        bare
    }

    /// Publishes a burst, and waits until the broker has it.
    async fn burst(&self, topic: &str, body: &Bytes) -> Result<(), Failure> {
        for _ in 0..BURST {
            self.client
                .publish(topic, QoS::AtLeastOnce, false, body.clone())
                .await?;
        }
        take(&self.acknowledged).await
    }
}

/// Waits for a burst.
async fn take(counted: &Semaphore) -> Result<(), Failure> {
    let all = u32::try_from(BURST)?;
    tokio::time::timeout(PATIENCE, counted.acquire_many(all))
        .await??
        .forget();
    Ok(())
}

pub(super) fn measure(
    runtime: &Runtime,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Failure> {
    let server = servers::mosquitto().ok_or_else(|| missing("mosquitto"))?;
    let options = |id: &str| MqttOptions::new(id, "127.0.0.1", server.port);
    let body = body();
    let bare = Bare::connect(runtime, options("bare"));
    let arrived = Arc::new(Semaphore::new(0));
    let (client, consumer) = mqtt::connect("bench", options("weighed"), BURST);
    let counted = arrived.clone();
    runtime.spawn(consumer.run(move |message| {
        let counted = counted.clone();
        async move {
            drop(message);
            counted.add_permits(1);
        }
    }));
    runtime.block_on(async {
        client.subscribe("bench/weighed", QoS::AtLeastOnce)?;
        client.ready(PATIENCE).await?;
        bare.client
            .subscribe("bench/bare", QoS::AtLeastOnce)
            .await?;
        tokio::time::timeout(PATIENCE, bare.acknowledged.acquire())
            .await??
            .forget();
        Ok::<_, Failure>(())
    })?;
    cost(
        [
            "MQTT, published and acknowledged",
            "; it counts acknowledgements and tells each to nobody",
        ],
        extent,
        report,
        |on| {
            runtime.block_on(job("publishes", async {
                for _ in 0..MESSAGES / BURST {
                    if on {
                        let publish =
                            |_| client.publish("bench/published", QoS::AtLeastOnce, body.clone());
                        for outcome in join_all((0..BURST).map(publish)).await {
                            outcome?;
                        }
                    } else {
                        bare.burst("bench/published", &body).await?;
                    }
                }
                Ok::<_, Failure>(())
            }))
        },
    )?;
    cost(
        [
            "MQTT, consumed and acknowledged",
            "; bare publishing is in both",
        ],
        extent,
        report,
        |on| {
            runtime.block_on(async {
                let (topic, counted) = match on {
                    true => ("bench/weighed", &arrived),
                    false => ("bench/bare", &bare.arrived),
                };
                for _ in 0..MESSAGES / BURST {
                    bare.burst(topic, &body).await?;
                    take(counted).await?;
                }
                Ok::<_, Failure>(())
            })
        },
    )?;
    Ok(())
}
