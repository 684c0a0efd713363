//! The collector: takes ledgers in, folds them, keeps them, and answers for ranges of them.
//!
//! The path of a delta is [`Engine::ingest`]; where ledgers live is a [`store::Store`]; the HTTP interface
//! and the order of starting and stopping belong to [`Collector`].

mod auth;
mod clock;
pub mod config;
mod document;
mod estimate;
mod fold;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod hash;
mod http;
mod ingest;
mod join;
mod metrics;
mod otlp;
mod read;
mod run;
mod span;
pub mod store;
#[cfg(test)]
mod testing;
mod weigh_self;

pub use auth::{Scope, Token};
pub use clock::Clock;
pub use config::{Config, ConfigError, Flags, LogFormat, TlsFiles};
pub use ingest::{Engine, Limits, Refusal, View};
pub use metrics::Metrics;
pub use read::{
    Access, FetchError, fetch_range, fetch_snapshot, read_range, restore_dir, send_restore,
    snapshot_dir,
};
pub use run::{Collector, RunError, Running, run};
pub use span::Span;
pub use store::Tier;
pub use weigh_self::SERVICE;

/// Name of the thread that changes the store.
pub const STORE_THREAD: &str = "weighbridge-store";
