//! `collect`.

use weighbridge_collector::{Collector, RunError};

use crate::args::CollectArgs;
use crate::commands::config;
use crate::exit::{Exit, Stop};
use crate::{logging, output, runtime};

/// Runs a collector until it is asked to end. Asked a second time it ends at once; nothing acknowledged is lost
/// by that.
pub(crate) fn run(args: &CollectArgs) -> Result<Exit, Stop> {
    let config = config::load(args)?;
    logging::start(config.log_format);
    let runtime = runtime::multi_thread()?;
    let outcome = runtime.block_on(async {
        // Before anything listens, so that no signal is missed.
        let mut end = runtime::end_of_process()?;
        let running = Collector::start(config).await.map_err(stop)?;
        output::data(&format!("listening on http://{}\n", running.http_addr))?;
        if let Some(https_addr) = running.https_addr {
            output::data(&format!("listening on https://{https_addr}\n"))?;
        }
        let signal = end.asked().await;
        output::note(&format!(
            "{signal}: stopping; what was acknowledged is on disk"
        ));
        tokio::select! {
            ended = running.shutdown() => ended.map_err(stop).map(|()| Exit::Ok),
            signal = end.asked() => Err(Stop {
                exit: Exit::Failure,
                message: format!(
                    "{signal} again: ended before everything was folded; the next start does that"
                ),
            }),
        }
    });
    // What still waits for the disk or a slow reader is not waited for.
    runtime.shutdown_background();
    outcome
}

fn stop(error: RunError) -> Stop {
    match error {
        RunError::Config(error) => Stop::usage(error.to_string()),
        other => anyhow::Error::new(other).into(),
    }
}
