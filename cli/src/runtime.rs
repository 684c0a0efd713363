//! Runtimes, and the wish of the outside that the process ends.

use std::future::Future;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

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

/// Completes with the signal's name when somebody asks the process to end.
///
/// # Errors
/// When signals cannot be heard. Called inside a runtime.
pub(crate) fn end_of_process() -> Result<impl Future<Output = &'static str>, Stop> {
    let context = "signals cannot be heard; see the limits of this user (ulimit -a)";
    let mut interrupt = signal(SignalKind::interrupt()).context(context)?;
    let mut terminate = signal(SignalKind::terminate()).context(context)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "interrupt",
            _ = terminate.recv() => "terminate",
        }
    })
}
