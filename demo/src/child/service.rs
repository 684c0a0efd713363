//! One process of the ERP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::control::{Control, say};
use super::protocol::{Command, Reply, ServiceConfig};
use super::status;
use super::wiring::{self, Wired};
use crate::adapters::MessageTally;
use crate::placement::Placement;

/// How long connecting to the broker and subscribing may take.
const BROKER_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(config: ServiceConfig, mut control: Control) -> anyhow::Result<()> {
    let placement = Placement::parse(&config.placement)?;
    let process = placement
        .processes
        .iter()
        .find(|p| p.name == config.process)
        .with_context(|| format!("process `{}` is not in the placement", config.process))?;
    let tally = Arc::new(MessageTally::default());
    let stop = CancellationToken::new();
    let Wired {
        router,
        background,
        broker,
    } = wiring::wire(&config, &placement, process, tally.clone())?;
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("no free port on 127.0.0.1")?;
    let address = listener
        .local_addr()
        .context("asking for the own port")?
        .to_string();
    let app = router.layer(weighbridge_agent::layer());
    let served = weighbridge_agent::serve(listener, app)
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let server = tokio::spawn(async move { served.await });
    let running: Vec<_> = background
        .into_iter()
        .map(|task| tokio::spawn(stop.clone().run_until_cancelled_owned(task)))
        .collect();
    if let Some(broker) = broker {
        broker
            .ready(BROKER_PATIENCE)
            .await
            .context("subscribing at the broker")?;
    }
    say(&Reply::Ready {
        address: Some(address),
    })?;
    while let Some(Command::Status) = control.recv().await {
        let messages = tally.messages();
        say(&Reply::Status(status(
            messages.published,
            messages.consumed,
        )))?;
    }
    stop.cancel();
    for task in running {
        task.await.context("a background task broke off")?;
    }
    server
        .await
        .context("the server broke off")?
        .map_err(|e| anyhow!("serving HTTP: {e}"))?;
    Ok(())
}
