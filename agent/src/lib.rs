//! Weighs every request inside a service: CPU by class, memory, messages, entities.
//!
//! ```
//! # #[cfg(feature = "axum-0_8")] mod service {
//! use axum::{Router, routing::get};
//!
//! #[global_allocator]
//! static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system(); // inert until `init`
//!
//! #[weighbridge_agent::main] // or `runtime()`: a Tokio builder whose scheduler has an account
//! async fn main() -> std::io::Result<()> {
//!     let _agent = weighbridge_agent::init(); // set by the environment; flushes when dropped
//!     let app = Router::new()
//!         .route("/orders/{id}", get(|| async { "one order" }))
//!         .layer(weighbridge_agent::layer()); // after the routes
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     weighbridge_agent::serve(listener, app) // axum::serve plus the cost of the connection
//!         .with_graceful_shutdown(weighbridge_agent::shutdown_signal())
//!         .await
//! }
//! # }
//! ```
//!
//! Each line but `init` is optional. Without a collector (`WEIGHBRIDGE_ENDPOINT`) the table of costs is
//! printed at the end and on SIGUSR1.
//!
//! **Guarantees.** The rows of a window add up to the CPU time that the kernel reports for the process, to
//! the nanosecond; what nothing explains is a row. The agent never panics, blocks, grows without bound or
//! fails in the host's code; what it drops or folds is counted ([`limits`]). `WEIGHBRIDGE_ENABLED=false` or
//! `OTEL_SDK_DISABLED=true` stop all measuring, and headers are still passed on.
//!
//! What each figure means, and what is not seen, stands in `docs/accounting.md`.

// Each integration uses its part of what the others share.
#![cfg_attr(
    not(all(
        feature = "async-nats-0_51",
        feature = "axum-0_8",
        feature = "hyper-util-0_1",
        feature = "lapin-4",
        feature = "redis-1",
        feature = "rumqttc-0_25",
        feature = "rusqlite-0_42",
        feature = "sqlx-0_9",
        feature = "tokio-postgres-0_7",
        feature = "tonic-0_14",
        feature = "tracing-opentelemetry-0_34"
    )),
    allow(dead_code, unused_imports)
)]

mod account;
mod agent;
mod alloc;
#[cfg(feature = "lapin-4")]
pub mod amqp;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod bill;
mod client_layer;
mod clock;
mod codec;
mod config;
mod entities;
mod export;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod hooks;
#[cfg(feature = "hyper-util-0_1")]
pub mod http_client;
mod identity;
mod layer;
mod ledger;
pub mod limits;
pub mod messages;
#[cfg(feature = "rumqttc-0_25")]
pub mod mqtt;
#[cfg(feature = "async-nats-0_51")]
pub mod nats;
#[cfg(feature = "otlp-metrics")]
mod otlp;
#[cfg(feature = "tokio-postgres-0_7")]
pub mod postgres;
mod propagation;
#[cfg(feature = "redis-1")]
pub mod redis;
mod regions;
#[cfg(feature = "reqwest-0_13")]
mod reqwest_client;
mod runtime;
mod serve;
mod shape;
#[cfg(any(
    feature = "rusqlite-0_42",
    feature = "tokio-postgres-0_7",
    feature = "sqlx-0_9"
))]
mod sql;
#[cfg(feature = "rusqlite-0_42")]
pub mod sqlite;
#[cfg(feature = "sqlx-0_9")]
pub mod sqlx;
mod state;
#[cfg(any(
    feature = "rusqlite-0_42",
    feature = "tokio-postgres-0_7",
    feature = "sqlx-0_9",
    feature = "redis-1"
))]
mod store;
mod sync;
mod tasks;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[allow(unreachable_pub)] // what is public with the feature
mod tls;
mod trust;

pub use agent::{Agent, Builder, InitError, builder, flush_on_panic, init, try_init};
pub use alloc::Alloc;
pub use bill::class;
#[doc(hidden)]
pub use client_layer::{AsIs, Carry};
pub use client_layer::{
    Attempt, CallFuture, CallHandle, CallRequestBody, CallResponseBody, Calls, ClientLayer,
    Encoded, Target, client_layer,
};
#[cfg(feature = "axum-0_8")]
pub use codec::Json;
#[cfg(feature = "tonic-0_14")]
pub use codec::tonic as grpc;
pub use codec::{decode, encode};
pub use config::{ConfigProblem, VARIABLES};
#[doc(hidden)]
pub use entities::touch_entity;
pub use export::{Delivery, Sink};
pub use layer::{Layer, RequestBody, ResponseBody, ResponseFuture, RouteTemplate, Weigh, layer};
pub use propagation::{BAGGAGE, BAGGAGE_ORIGIN, HOP, TRACEPARENT};
#[cfg(feature = "tracing-subscriber-0_3")]
pub use regions::{Regions, regions};
#[cfg(feature = "reqwest-0_13")]
pub use reqwest_client::{
    ReqwestCalls, WeighedRequest, WeighedResponse, reqwest, reqwest_redirects,
};
#[doc(hidden)]
pub use runtime::macro_support;
pub use runtime::{block_on, runtime, runtime_current_thread};
pub use serve::{Listener, Serve, serve, shutdown_signal};
pub use state::is_enabled;
pub use tasks::{
    Context, Driven, DriverError, DriverThread, InScope, JoinSet, Scope, Stamped, Within,
    background, charge_split, connection, driver, driver_thread, job, local_call, pool, spawn,
    spawn_blocking, spawn_blocking_on, spawn_local, spawn_on,
};
pub use trust::{Network, Trust, TrustError, TrustKey};
pub use weighbridge_agent_macros::main;
pub use weighbridge_wire as wire;

/// Records how large an entity is: how many rows it has and how many bytes it occupies, indexes included.
/// `None` means unknown.
pub fn entity_size(database: &str, entity: &str, rows: Option<u64>, bytes: Option<u64>) {
    ledger::record_entity_size(database, entity, rows, bytes);
}
