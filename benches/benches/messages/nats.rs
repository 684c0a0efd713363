//! NATS: published, consumed, asked.

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;
use weighbridge_agent::job;
use weighbridge_agent::nats::{self, Client};
use weighbridge_benches::Report;
use weighbridge_benches::blocks::Extent;

use super::{BURST, Failure, MESSAGES, body, cost, missing, servers};

/// Publishes bursts, weighed or bare.
async fn publish(client: &Client, weighed: bool, body: &Bytes) -> Result<(), Failure> {
    for _ in 0..MESSAGES / BURST {
        for _ in 0..BURST {
            if weighed {
                client.publish("bench.published", body.clone()).await?;
            } else {
                client
                    .inner()
                    .publish("bench.published", body.clone())
                    .await?;
            }
        }
        client.inner().flush().await?;
    }
    Ok(())
}

/// Publishes bursts of bare messages and consumes them, weighed or bare. What publishing costs is in both.
async fn consume(
    client: &Client,
    bare: &mut Subscriber,
    mut weighed: Option<&mut nats::Subscriber>,
    body: &Bytes,
) -> Result<(), Failure> {
    let gone = || Failure::from("the server is gone");
    let subject = match weighed {
        Some(_) => "bench.weighed",
        None => "bench.bare",
    };
    for _ in 0..MESSAGES / BURST {
        for _ in 0..BURST {
            client.inner().publish(subject, body.clone()).await?;
        }
        client.inner().flush().await?;
        for _ in 0..BURST {
            match &mut weighed {
                Some(weighed) => {
                    let delivery = weighed.next().await.ok_or_else(gone)?;
                    delivery.run(|message| async move { drop(message) }).await;
                }
                None => drop(bare.next().await.ok_or_else(gone)?),
            }
        }
    }
    Ok(())
}

/// Asks one after the other; the one who answers is bare.
async fn ask(client: &Client, weighed: bool, body: &Bytes) -> Result<(), Failure> {
    for _ in 0..MESSAGES {
        if weighed {
            client.request("bench.asked", body.clone()).await?;
        } else {
            client.inner().request("bench.asked", body.clone()).await?;
        }
    }
    Ok(())
}

pub(super) fn measure(
    runtime: &Runtime,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Failure> {
    let server = servers::nats().ok_or_else(|| missing("nats-server"))?;
    let address = server.address().to_string();
    let client = runtime.block_on(nats::connect("bench", address))?;
    let body = body();
    cost(["NATS, published", ""], extent, report, |on| {
        runtime.block_on(job("publishes", publish(&client, on, &body)))
    })?;
    let mut bare = runtime.block_on(client.inner().subscribe("bench.bare"))?;
    let mut weighed = runtime.block_on(client.subscribe("bench.weighed"))?;
    cost(
        ["NATS, consumed", "; bare publishing is in both"],
        extent,
        report,
        |on| {
            let weighed = on.then_some(&mut weighed);
            runtime.block_on(consume(&client, &mut bare, weighed, &body))
        },
    )?;
    let answering = client.inner().clone();
    let mut asked = runtime.block_on(answering.subscribe("bench.asked"))?;
    runtime.spawn(async move {
        while let Some(message) = asked.next().await {
            if let Some(to) = message.reply {
                drop(answering.publish(to, message.payload).await);
            }
        }
    });
    cost(["NATS, asked and answered", ""], extent, report, |on| {
        runtime.block_on(job("asks", ask(&client, on, &body)))
    })?;
    Ok(())
}
