//! The ledger as OTLP metrics, for whoever else is to see it (feature `otlp-metrics`).
//!
//! Off unless `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` is set. Protobuf over HTTP,
//! after each window. Integers arrive as they stand in the ledger; docs/integrations.md has the names.
//!
//! It is a view beside the ledger: rows of all callers and origins are added up, and what a receiver does not
//! take is dropped and counted (`agent.otlp`) where the ledger's own way would keep it. The token of the
//! collector is never sent here, and these headers never there.

mod config;
mod export;
mod message;
mod metrics;
#[cfg(test)]
mod tests;

pub(crate) use config::OtlpSettings;
pub(crate) use export::OtlpExporter;

/// Most rows that the export holds: those of a window, or all since the start where sums are cumulative.
pub const OTLP_ROWS_MAX: usize = 2_048;
