//! What decisions about a service reckon with beside its CPU: its load over time, its memory, what it has only one of.

use serde::{Deserialize, Serialize};

use super::Figure;

/// The CPU of a service over the windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Half of the windows need less, cores.
    pub p50: Figure,
    /// One window in twenty needs more, cores.
    pub p95: Figure,
    /// The window that needs most, cores. Ranges of more than 96 windows are looked at in 96 parts.
    pub max: Figure,
    /// Growth in a day as a share of the mean, what weekdays do taken out; unknown below 14 whole days.
    pub growth: Figure,
    /// Services whose CPU rises and falls with this one's, or against it; strongest first, at most five.
    pub correlations: Vec<LoadCorrelation>,
}

/// How the CPU of another service goes with this one's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadCorrelation {
    /// The other service.
    pub service: String,
    /// Correlation over the windows, −1 to 1.
    pub correlation: f64,
}

/// What the memory of one process is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// Resident set at init, bytes.
    pub base: Figure,
    /// Requests in flight, each at its peak, on average, bytes.
    pub in_flight: Figure,
    /// What operations keep alive beyond their requests, by sampling, bytes.
    pub retained: Figure,
    /// Mean resident set less the three above, bytes: allocator, caches, what was not sampled. Signed.
    pub unexplained: Figure,
    /// Copies of entities of others that the service stores, bytes; in its database, not in its process.
    pub copies: Figure,
    /// How what its processes keep is divided where operations move, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// What only one request can have at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SerialReport {
    /// Row id of the operation whose requests queue for it; empty when none is told.
    pub operation: String,
    /// Serial share `α` of the universal scalability law, over the windows.
    pub serial_share: Figure,
    /// Coherency cost `β` of it.
    pub coherency: Figure,
    /// Requests in a second that no number of cores exceeds.
    pub throughput_max: Figure,
    /// How it was found, or why none is told.
    pub note: String,
}

/// What kind of thing stands in the way of running a service several times, or of dividing it by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObstacleKind {
    /// An entity that it uses is written by another service.
    WrittenByOthers,
    /// It asks other services for data, or reads what they own.
    ForeignReads,
    /// Requests touch several keys of an entity: several shards would have to answer.
    MultiKey,
    /// One key takes much of the load: its shard would.
    Skew,
    /// A lock, sequence or other thing of which there is only one.
    SerialSection,
    /// A job that must run once, and would run in every process.
    CronSingleton,
    /// What it keeps in memory differs from process to process.
    StateInMemory,
}

impl ObstacleKind {
    /// The word used in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrittenByOthers => "written_by_others",
            Self::ForeignReads => "foreign_reads",
            Self::MultiKey => "multi_key",
            Self::Skew => "skew",
            Self::SerialSection => "serial_section",
            Self::CronSingleton => "cron_singleton",
            Self::StateInMemory => "state_in_memory",
        }
    }
}

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Obstacle {
    /// What kind.
    pub kind: ObstacleKind,
    /// Which one: the entity, the operation, the service.
    pub name: String,
    /// How much of it.
    pub figure: Figure,
    /// The obstacle in one sentence.
    pub sentence: String,
    /// Ids of the rows it was read from.
    pub rows: Vec<String>,
}
