//! The collector in a process of its own.

use std::collections::BTreeMap;

use anyhow::Context as _;
use weighbridge_collector::{Collector, Config};

use super::control::{Control, say};
use super::protocol::{CollectorConfig, Command, Reply};
use super::status;

pub(super) async fn run(config: CollectorConfig, mut control: Control) -> anyhow::Result<()> {
    let listen = config.listen.parse().context("the collector's address")?;
    let config = Config {
        data_dir: config.data,
        listen_http: listen,
        ..Config::default()
    };
    let running = Collector::start(config)
        .await
        .context("starting the collector")?;
    say(&Reply::Ready {
        address: Some(running.http_addr.to_string()),
    })?;
    while let Some(Command::Status) = control.recv().await {
        say(&Reply::Status(status(BTreeMap::new(), BTreeMap::new())))?;
    }
    running.shutdown().await.context("stopping the collector")?;
    Ok(())
}
