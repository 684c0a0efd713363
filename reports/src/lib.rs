//! From a rollup to predictions, verdicts and documents.
//!
//! Pure by rule: a [`FoldedRange`](weighbridge_wire::FoldedRange) goes in, a [`Document`] comes out, and the
//! same input gives the same bytes. No network, no clock, no runtime; random numbers are seeded from the
//! rollup's own hash.

mod after;
pub mod baseline;
mod build;
pub mod chart;
pub mod compare;
mod constraints;
mod decide;
pub mod document;
pub mod formats;
pub mod html;
mod model;
mod options;
mod plan;
pub mod queue;
mod redact;
mod rng;
pub mod simulate;
#[cfg(test)]
mod testing;
pub mod topology;

pub use constraints::{ConstraintError, ConstraintFile};
pub use document::Document;
pub use options::{Constraints, Ignore, Node, Options, Prices, Sufficiency};
pub use redact::redact;
