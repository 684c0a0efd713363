//! The only place in the demo that reads the time, so that everything else can be tested without it.

use std::time::Instant;

/// A monotonic instant.
#[allow(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
