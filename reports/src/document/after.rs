//! After a change: what was predicted against what came.

use serde::{Deserialize, Serialize};

use super::FigureUnit;

/// Errors that a running score keeps; beyond it the oldest are dropped, and counted.
pub const SCORE_ERRORS_MAX: usize = 10_000;

/// How to find a predicted figure in a later report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observe {
    /// What is looked up.
    pub what: ObserveWhat,
    /// The services it is about; after a change, whichever hold their operations.
    pub services: Vec<String>,
    /// The operation; empty where it is about services or an entity.
    pub operation: String,
    /// The entity; empty where it is about none.
    pub entity: String,
}

/// What is looked up in a later report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObserveWhat {
    /// Cores of the services together.
    Cores,
    /// Cores of the service of this name.
    CoresOfService,
    /// Synchronous calls between processes that hold the operations of the first and of the second service.
    Calls,
    /// Calls of the operation to the second service.
    CallsOfOperation,
    /// Mean wall time of the operation.
    Wall,
    /// CPU of a request of the origin, over all services.
    OriginCpu,
    /// Median of the wall times at the root of the origin.
    WallP50,
    /// Their 95th percentile.
    WallP95,
    /// Their 99th percentile.
    WallP99,
    /// Messages between services, of the whole system.
    Messages,
    /// Their body bytes.
    MessageBytes,
    /// Copies of entities, of the whole system.
    Copies,
    /// Largest resident set of a process times the processes, over all services.
    Memory,
    /// Processes of all services.
    Processes,
    /// Bytes of the copies of the entity.
    CopyBytes,
    /// Messages that keep its copies in step.
    CopyMessages,
}

/// A report that follows an earlier one: how its predictions held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AfterReport {
    /// Beginning of the earlier range, RFC 3339.
    pub earlier_start: String,
    /// End of it.
    pub earlier_end: String,
    /// Requests from outside now ÷ then, over the operations that both reports have; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_factor: Option<f64>,
    /// What must be known to read the figures: a changed mix, operations that are gone.
    pub notes: Vec<String>,
    /// The earlier report's advice, in its order.
    pub outcomes: Vec<Outcome>,
    /// Of this report alone.
    pub score: Score,
    /// With those of the reports before it.
    pub running: Score,
}

/// What became of one recommendation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its id in the earlier report.
    pub id: String,
    /// Its title there.
    pub title: String,
    /// Whether the change is seen in this report.
    pub applied: bool,
    /// How that was told.
    pub seen: String,
    /// Its predictions; empty when it was not applied.
    pub figures: Vec<OutcomeFigure>,
}

/// One prediction and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeFigure {
    /// What was predicted.
    pub figure: String,
    /// Unit of all that follow.
    pub unit: FigureUnit,
    /// The prediction, brought to the load seen now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<f64>,
    /// Lower end of its 90 % interval, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// What this report shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    /// Observed ÷ predicted − 1; absent where nothing was predicted to be left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// Whether the interval holds what was observed; absent without an interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<bool>,
    /// Why it is not scored, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_scored_reason: Option<String>,
}

/// How often predictions held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Figures that were compared.
    pub figures: u64,
    /// Of these, with an interval.
    pub with_interval: u64,
    /// Of these, observed inside it. Nine of ten should be.
    pub inside: u64,
    /// Errors without their sign, as shares of the prediction; oldest first.
    pub errors: Vec<f64>,
    /// Errors that were dropped because there were too many.
    pub errors_dropped: u64,
    /// Middle of the errors; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_median: Option<f64>,
    /// Largest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_max: Option<f64>,
}
