//! Topologies: what a system would cost if it were cut differently.
//!
//! [`Weighed`] reads what was weighed into plain numbers ([`Inputs`]), once, with their spread. A [`Topology`] says
//! which operations stand in which deployable, how calls travel and where copies of data are; [`Change`]s make one
//! from another. [`evaluate`] prices a topology: CPU, memory, processes, messages, copies, latency, blast radius.
//! Everything that recommends or asks "what if" takes its figures from here, so there is one model.
//!
//! Formulas, sources, and where they fail: `docs/decisions.md`.

mod change;
mod copies;
mod deployable;
mod evaluate;
mod figures;
mod inputs;
mod latency;
mod read;
#[cfg(test)]
mod tests;
mod value;
mod weighed;

pub use change::{Access, Change, ChangeError, WayWord, apply_all};
pub use evaluate::{Load, evaluate};
pub use figures::{DeployableFigures, Figures, OriginFigures};
pub use inputs::{
    Branch, Component, Edge, EdgePart, End, Entity, Inputs, Operation, Origin, Part, Place,
    Service, Shape, Step,
};
pub use value::{Deployable, Shards, Topology, Way};
pub use weighed::Weighed;
