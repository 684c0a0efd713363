//! How long to wait before the next attempt.

use std::time::Duration;

use crate::identity::random_u64;

/// First wait.
const DELAY_MIN: Duration = Duration::from_millis(200);
/// Longest wait.
const DELAY_MAX: Duration = Duration::from_secs(30);
/// Longest wait that a collector can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Longest wait while somebody waits for a flush.
const HURRY_MAX: Duration = Duration::from_millis(100);

/// Exponential, with jitter, so that a thousand services do not come back at one instant.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// After a failure. What the collector asked for is kept, within bounds, even in a hurry.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>, hurry: bool) -> Duration {
        let whole = DELAY_MIN
            .saturating_mul(1 << self.failures.min(16))
            .min(DELAY_MAX);
        self.failures = self.failures.saturating_add(1);
        let half_us = u64::try_from(whole.as_micros() / 2)
            .unwrap_or(u64::MAX)
            .max(1);
        let jittered = Duration::from_micros(half_us + random_u64() % half_us);
        match retry_after {
            Some(asked) => asked.clamp(jittered.min(RETRY_AFTER_MAX), RETRY_AFTER_MAX),
            None if hurry => jittered.min(HURRY_MAX),
            None => jittered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let first = backoff.next(None, false);
        assert!(first >= DELAY_MIN / 2 && first <= DELAY_MIN, "{first:?}");
        let last = (0..200).map(|_| backoff.next(None, false)).last().unwrap();
        assert!(last >= DELAY_MAX / 2 && last <= DELAY_MAX, "{last:?}");
        assert!(backoff.next(None, true) <= HURRY_MAX);
        let forever = backoff.next(Some(Duration::from_secs(u64::MAX)), true);
        assert_eq!(forever, RETRY_AFTER_MAX);
        backoff.reset();
        assert!(backoff.next(None, false) <= DELAY_MIN);
    }
}
