//! What changed since another report.

use serde::{Deserialize, Serialize};

use super::Figure;

/// The change from one document to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeReport {
    /// The document compared with.
    pub base: ChangeSide,
    /// The document compared.
    pub head: ChangeSide,
    /// By origin: the largest change of cores first.
    pub origins: Vec<CostChange>,
    /// By operation of a service: the largest change of cores first.
    pub operations: Vec<CostChange>,
    /// What a reader must know about the comparison, in sentences.
    pub notes: Vec<String>,
}

/// One of the two documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeSide {
    /// Begin of its range, RFC 3339.
    pub start: String,
    /// End of its range.
    pub end: String,
    /// Windows that hold data.
    pub windows: u64,
    /// Seed of its random numbers, from the hash of its rollup: tells two documents apart.
    pub seed: String,
}

/// How sure it is that a unit cost changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeVerdict {
    /// A request costs more: the whole interval lies above nothing.
    Dearer,
    /// A request costs less: the whole interval lies below nothing.
    Cheaper,
    /// The interval holds nothing.
    Same,
    /// One side has no figure, or no interval.
    CannotSay,
    /// Only the head has it.
    New,
    /// Only the base has it.
    Gone,
}

impl ChangeVerdict {
    /// The word used in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dearer => "dearer",
            Self::Cheaper => "cheaper",
            Self::Same => "same",
            Self::CannotSay => "cannot_say",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }
}

/// One row: rate × unit cost = cores, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostChange {
    /// Row id in both documents, `origin:…` or `operation:…`.
    pub id: String,
    /// The service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// Requests a second, before.
    pub rate_before: Figure,
    /// Requests a second, after.
    pub rate_after: Figure,
    /// CPU of a request, before, ns/request.
    pub unit_before: Figure,
    /// CPU of a request, after, ns/request.
    pub unit_after: Figure,
    /// Change of the unit cost as a share of what it was, with its 90 % interval.
    pub unit_change: Figure,
    /// Cores because of more (or fewer) calls: change of the rate × mean of both unit costs.
    pub more_calls: Figure,
    /// Cores because of dearer (or cheaper) calls: change of the unit cost × mean of both rates.
    pub dearer_calls: Figure,
    /// Change of cores: the sum of the two.
    pub cores_change: Figure,
    /// Is a request dearer?
    pub verdict: ChangeVerdict,
}
