//! The only place that reads time, so that tests can say what time it is.
#![allow(clippy::disallowed_methods)] // this is the clock module

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What time it is.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    fixed: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The clock of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still until it is [set](Self::set), for tests.
    #[must_use]
    pub fn fixed(now_unix_ns: u64) -> Self {
        Self {
            fixed: Some(Arc::new(AtomicU64::new(now_unix_ns))),
        }
    }

    /// Moves a fixed clock; the system's clock stays as it is.
    pub fn set(&self, now_unix_ns: u64) {
        if let Some(fixed) = &self.fixed {
            fixed.store(now_unix_ns, Ordering::Relaxed);
        }
    }

    /// Nanoseconds since the Unix epoch; 0 when the machine's clock stands before it.
    #[must_use]
    pub fn now_unix_ns(&self) -> u64 {
        match &self.fixed {
            Some(fixed) => fixed.load(Ordering::Relaxed),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| {
                    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
                }),
        }
    }
}

/// Time since the first call in this process; never goes back.
pub(crate) fn monotonic() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
