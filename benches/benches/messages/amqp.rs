//! AMQP: published with confirms, consumed with acknowledgements.

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, ConnectionProperties};
use tokio::runtime::Runtime;
use weighbridge_agent::amqp::{self, Channel};
use weighbridge_agent::job;
use weighbridge_benches::Report;
use weighbridge_benches::blocks::Extent;

use super::{BURST, Failure, MESSAGES, body, cost, missing, servers};

/// Publishes bursts, weighed or bare, and waits until the broker has each.
async fn publish(
    channel: &Channel,
    weighed: bool,
    queue: &'static str,
    body: &[u8],
) -> Result<(), Failure> {
    let options = BasicPublishOptions::default;
    let properties = BasicProperties::default;
    for _ in 0..MESSAGES / BURST {
        if weighed {
            let mut confirms = Vec::with_capacity(BURST);
            for _ in 0..BURST {
                let publishing = channel.basic_publish("", queue, options(), body, properties());
                confirms.push(publishing.await?);
            }
            for confirm in confirms {
                confirm.await?;
            }
        } else {
            let mut confirms = Vec::with_capacity(BURST);
            for _ in 0..BURST {
                let publishing = channel.inner().basic_publish(
                    "".into(),
                    queue.into(),
                    options(),
                    body,
                    properties(),
                );
                confirms.push(publishing.await?);
            }
            for confirm in confirms {
                confirm.await?;
            }
        }
    }
    Ok(())
}

pub(super) fn measure(
    runtime: &Runtime,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Failure> {
    const QUEUES: [&str; 3] = ["published", "bare", "weighed"];
    let server = servers::rabbitmq().ok_or_else(|| missing("rabbitmq-server"))?;
    let uri = format!("amqp://{}/%2f", server.server.address());
    let body = body();
    let (_connection, channel, mut bare, mut weighed) = runtime.block_on(async {
        let connection = amqp::connect("bench", &uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let inner = channel.inner();
        inner
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        for queue in QUEUES {
            let options = QueueDeclareOptions::default();
            inner
                .queue_declare(queue.into(), options, FieldTable::default())
                .await?;
        }
        let options = BasicConsumeOptions::default;
        let arguments = FieldTable::default;
        let bare = inner
            .basic_consume("bare".into(), "".into(), options(), arguments())
            .await?;
        let weighed = channel
            .basic_consume("weighed", "", options(), arguments())
            .await?;
        Ok::<_, Failure>((connection, channel, bare, weighed))
    })?;
    cost(
        ["AMQP, published and confirmed", ""],
        extent,
        report,
        |on| {
            runtime.block_on(job("publishes", publish(&channel, on, "published", &body)))?;
            let purged = channel
                .inner()
                .queue_purge("published".into(), QueuePurgeOptions::default());
            runtime.block_on(purged)?;
            Ok(())
        },
    )?;
    let gone = || Failure::from("the server is gone");
    cost(
        [
            "AMQP, consumed and acknowledged",
            "; bare publishing is in both",
        ],
        extent,
        report,
        |on| {
            runtime.block_on(async {
                let queue = if on { "weighed" } else { "bare" };
                publish(&channel, false, queue, &body).await?;
                for _ in 0..MESSAGES {
                    if on {
                        let delivery = weighed.next().await.ok_or_else(gone)??;
                        delivery
                            .handle(|message| async move { drop(message) })
                            .await?;
                    } else {
                        let delivery = bare.next().await.ok_or_else(gone)??;
                        delivery.ack(BasicAckOptions::default()).await?;
                    }
                }
                Ok::<_, Failure>(())
            })
        },
    )?;
    Ok(())
}
