//! Runtimes, and the wish of the outside that the process ends.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Stop;

/// A runtime on all cores, for what serves; the collector weighs itself on it.
pub(crate) fn multi_thread() -> Result<tokio::runtime::Runtime, Stop> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context(START)?)
}

/// A runtime on this thread, for what asks.
pub(crate) fn current_thread() -> Result<tokio::runtime::Runtime, Stop> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(START)?)
}

const START: &str = "the runtime cannot be started; see the limits of this user (ulimit -a)";

/// The signals that ask a process to end.
pub(crate) struct EndOfProcess {
    interrupt: Signal,
    terminate: Signal,
}

impl EndOfProcess {
    /// Completes with the signal's name when somebody asks the process to end.
    pub(crate) async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupt",
            _ = self.terminate.recv() => "terminate",
        }
    }
}

/// Listens for the signals that ask a process to end.
///
/// # Errors
/// When signals cannot be heard. Called inside a runtime.
pub(crate) fn end_of_process() -> Result<EndOfProcess, Stop> {
    let context = "signals cannot be heard; see the limits of this user (ulimit -a)";
    Ok(EndOfProcess {
        interrupt: signal(SignalKind::interrupt()).context(context)?,
        terminate: signal(SignalKind::terminate()).context(context)?,
    })
}
