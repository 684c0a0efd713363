//! Stands for a library that spawns tasks of its own.

use tokio::task::JoinHandle;

/// Spawns here, not where it is called.
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future)
}
