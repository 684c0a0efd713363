//! Integration tests: what needs several parts at once. One binary, for the time that linking takes; the demo, which
//! needs both cores, has another.

mod advisories;
mod bad_input;
mod collector_kill;
mod full_disk;
mod harness;
mod operation;
mod otlp_conformance;
mod otlp_metrics;
mod otlp_sdks;
mod readme;
mod secrets;
mod soak;
mod weigh;
