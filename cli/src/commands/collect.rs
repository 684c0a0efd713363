//! `collect`.

use weighbridge_collector::{Collector, RunError};

use crate::args::CollectArgs;
use crate::commands::config;
use crate::exit::{Exit, Stop};
use crate::{logging, output, runtime};

/// Runs a collector until it is asked to end.
pub(crate) fn run(args: &CollectArgs) -> Result<Exit, Stop> {
    let config = config::load(args)?;
    logging::start();
    runtime::multi_thread()?.block_on(async {
        // Before anything listens, so that no signal is missed.
        let end = runtime::end_of_process()?;
        let running = Collector::start(config).await.map_err(stop)?;
        output::data(&format!("listening on http://{}\n", running.http_addr))?;
        let signal = end.await;
        output::note(&format!(
            "{signal}: stopping; what was acknowledged is on disk"
        ));
        running.shutdown().await.map_err(stop)?;
        Ok(Exit::Ok)
    })
}

fn stop(error: RunError) -> Stop {
    match error {
        RunError::Config(error) => Stop::usage(error.to_string()),
        other => anyhow::Error::new(other).into(),
    }
}
