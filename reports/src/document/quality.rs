//! How the figures came about, and their limits.

use serde::{Deserialize, Serialize};

use super::{Figure, QualityShare};

/// The quality of a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QualityReport {
    /// Shares of the booked CPU by how they came about (absolute amounts).
    pub cpu_shares: Vec<QualityShare>,
    /// Share of CPU over all services in `unattributed` and `runtime or unwrapped`.
    pub unexplained_share: Figure,
    /// Share of CPU over all services that the agents used themselves, on their own threads and inside requests.
    pub agent_share: Figure,
    /// How CPU time was read, by service.
    pub clocks: Vec<ClockNote>,
    /// Things lost, folded or refused, in total.
    pub lost: Figure,
    /// Row kinds that this version does not know; their rows are kept in the rollup, not shown.
    pub unknown_kinds: Vec<UnknownKind>,
    /// Seed of all random numbers, from the rollup's own hash, 16 hex digits.
    pub seed: String,
    /// How it was done, in sentences.
    pub method: Vec<String>,
    /// What the figures do not tell, in sentences.
    pub limits: Vec<String>,
    /// The formulas used.
    pub formulas: Vec<Formula>,
}

/// How a service's CPU time was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockNote {
    /// The service.
    pub service: String,
    /// The mode.
    pub mode: String,
    /// Readings taken.
    pub readings: Figure,
}

/// A row kind that this version does not know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnknownKind {
    /// Its number on the wire.
    pub kind: u32,
    /// How many rows.
    pub rows: u64,
}

/// A formula.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formula {
    /// What it gives.
    pub name: String,
    /// The formula.
    pub formula: String,
    /// Where it is from.
    pub source: String,
    /// Where it fails, and what is done there.
    pub limits: String,
}
