//! Delivery inside the process.

use std::time::Duration;

/// Takes deltas inside the process instead of a collector behind HTTP: for the collector that weighs itself,
/// and for tests.
///
/// Called on the agent's own thread; what it does is booked to the agent. It should not block.
pub trait Sink: Send + Sync + 'static {
    /// Takes one delta, as [`weighbridge_wire::Delta::decode`] reads it. The same bytes come again until they
    /// are [`Delivery::Accepted`] or [`Delivery::Refused`]; a taker that must count once looks at epoch and
    /// sequence number.
    fn deliver(&self, delta: &[u8]) -> Delivery;
}

/// What became of a delta.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// It is safe: forget it.
    Accepted,
    /// Not now: send the same bytes again.
    Busy {
        /// Not before this time has passed, if the taker knows.
        retry_after: Option<Duration>,
        /// Why, for the log.
        reason: String,
    },
    /// Never: it is given up and counted as lost.
    Refused {
        /// Why, for the log.
        reason: String,
    },
}
