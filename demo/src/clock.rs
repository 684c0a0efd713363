//! The only place in the demo that reads the time, so that everything else can be tested without it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic instant.
#[allow(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970, for saying which of the ledger's windows lie within a stretch of time; 0 before that.
#[allow(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}
