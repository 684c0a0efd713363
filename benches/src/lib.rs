//! What the benches measure with. The benches themselves are in `benches/`; what they measured, where and
//! when, is in `RESULTS.md`.
//!
//! A bench with a figure to reach is a program of its own (`harness = false`): it measures by
//! [`blocks`] or [`interval`], pushes each [`Figure`] with its limit to a [`Report`], and ends with
//! [`Report::finish`], which prints the table and writes `target/bench/NAME.json`.
//! `cargo xtask evidence bench` runs them all and brings `RESULTS.md` up to date.

pub mod blocks;
pub mod child;
pub mod clock;
mod delta;
mod figure;
pub mod grpc;
pub mod interval;
pub mod load;
mod machine;
pub mod otlp;
pub mod pipes;
mod report;
pub mod results;
pub mod say;
pub mod server;
pub mod sink;

pub use delta::{delta, delta_of};
pub use figure::{Bar, Figure};
pub use interval::Interval;
pub use machine::Machine;
pub use report::{Document, Report};
