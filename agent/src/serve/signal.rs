//! When a service should stop.

use std::future::pending;

/// Resolves at SIGINT (Ctrl-C) or SIGTERM: what to hand to
/// [`with_graceful_shutdown`](crate::Serve::with_graceful_shutdown), so that `main` returns and the
/// [`Agent`](crate::Agent) guard sends or prints the last window. Without it these signals end the process at
/// once, and that window is lost.
///
/// Must be polled inside a Tokio runtime with its io driver. Where a signal cannot be listened to, it never
/// resolves for that signal.
pub async fn shutdown_signal() {
    tokio::select! {
        () = interrupt() => {}
        () = terminate() => {}
    }
}

async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    pending().await
}
