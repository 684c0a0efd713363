//! The load in a process of its own, so that its CPU is nobody else's.

use std::collections::BTreeMap;

use super::control::{Control, say};
use super::protocol::{Command, LoadConfig, Reply};
use super::status;
use crate::load::{Driver, plan, plan_segment};

pub(super) async fn run(config: LoadConfig, mut control: Control) -> anyhow::Result<()> {
    let driver = Driver::new(config.targets);
    say(&Reply::Ready { address: None })?;
    while let Some(command) = control.recv().await {
        let planned = match command {
            Command::Status => {
                say(&Reply::Status(status(BTreeMap::new(), BTreeMap::new())))?;
                continue;
            }
            Command::Go => plan(config.seed, config.seconds),
            Command::Segment(segment) => plan_segment(&segment),
        };
        tokio::select! {
            results = driver.drive(planned) => say(&Reply::Results(results?))?,
            // Nothing is asked while the load runs, so this is the end of the supervisor.
            _ = control.recv() => break,
        }
    }
    Ok(())
}
