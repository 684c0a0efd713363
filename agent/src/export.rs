//! The way of a window to the collector.
//!
//! The rules that make totals equal to the last integer: one delta is under way at a time; until it is
//! acknowledged it is sent again byte for byte; its number is given when it is first sent; what was never
//! sent may still be merged into longer windows, and is, before anything is dropped; what is dropped or
//! refused leaves a tombstone and a loss row in the next delta.
//!
//! Nothing here runs on a thread of the host: [`Exporter::pump`] is driven by the agent's own runtime, and
//! what it waits for is bounded in time and in size.

mod backoff;
mod exporter;
mod http;
mod sink;
mod spool;

#[cfg_attr(not(feature = "rumqttc-0_25"), allow(unused_imports))]
pub(crate) use backoff::Backoff;
pub(crate) use exporter::{ExportConfig, Exporter, Target};
pub(crate) use http::HttpTarget;
#[cfg(feature = "otlp-metrics")]
pub(crate) use http::one_connection;
pub use http::{CONNECT_TIMEOUT, REQUEST_TIMEOUT, RESPONSE_BYTES_MAX};
pub use sink::{Delivery, Sink};

/// Most windows that wait unsent before neighbours are merged. `WEIGHBRIDGE_SPOOL_WINDOWS_MAX`.
pub const SPOOL_WINDOWS_MAX: usize = 128;
/// Most bytes of memory that unacknowledged windows may take; they are kept as they travel, compressed if they travel
/// so. `WEIGHBRIDGE_SPOOL_BYTES_MAX`.
pub const SPOOL_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests;
