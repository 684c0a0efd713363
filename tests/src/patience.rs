//! Waiting for a condition. Tests never sleep for a guessed time: they ask again until it holds, and only
//! a condition that does not come true costs the whole patience.

use std::time::Duration;

use crate::clock::Stopwatch;

/// How long a condition may take to become true; `WEIGHBRIDGE_TEST_PATIENCE`, in seconds, for slow machines.
#[must_use]
pub fn patience() -> Duration {
    let seconds = std::env::var("WEIGHBRIDGE_TEST_PATIENCE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(30);
    Duration::from_secs(seconds)
}

/// A wait in progress.
#[derive(Debug)]
pub struct Patience {
    watch: Stopwatch,
    limit: Duration,
}

impl Patience {
    /// Starts with the usual patience.
    #[must_use]
    pub fn new() -> Self {
        Self::of(patience())
    }

    /// Starts with a patience of its own.
    #[must_use]
    pub fn of(limit: Duration) -> Self {
        Self {
            watch: Stopwatch::start(),
            limit,
        }
    }

    /// Takes a short breath on this thread; false when patience is over.
    #[must_use]
    pub fn breathe(&self) -> bool {
        std::thread::sleep(Duration::from_millis(5));
        self.watch.elapsed() < self.limit
    }

    /// Takes a short breath in a task; false when patience is over.
    pub async fn breathe_async(&self) -> bool {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.watch.elapsed() < self.limit
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::new()
    }
}

/// Asserts that a condition becomes true. The expression may contain `.await` inside async tests when the
/// form `async` is used; the rest is the message.
#[macro_export]
macro_rules! assert_eventually {
    (async $condition:expr, $($message:tt)+) => {{
        let patience = $crate::Patience::new();
        loop {
            if $condition {
                break;
            }
            assert!(patience.breathe_async().await, $($message)+);
        }
    }};
    ($condition:expr, $($message:tt)+) => {{
        let patience = $crate::Patience::new();
        loop {
            if $condition {
                break;
            }
            assert!(patience.breathe(), $($message)+);
        }
    }};
}
