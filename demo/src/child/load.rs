//! The load in a process of its own, so that its CPU is nobody else's.

use super::control::{Control, say};
use super::protocol::{Command, LoadConfig, Reply, Status};
use crate::load::drive;

pub(super) async fn run(config: LoadConfig, mut control: Control) -> anyhow::Result<()> {
    say(&Reply::Ready { address: None })?;
    while let Some(command) = control.recv().await {
        match command {
            Command::Status => say(&Reply::Status(Status::default()))?,
            Command::Go => {
                let driven = drive(config.seed, config.seconds, &config.targets);
                tokio::select! {
                    results = driven => say(&Reply::Results(results?))?,
                    // Nothing is asked while the load runs, so this is the end of the supervisor.
                    _ = control.recv() => break,
                }
            }
        }
    }
    Ok(())
}
