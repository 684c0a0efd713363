//! Recommendations: each one a prediction that can be proved wrong.

use serde::{Deserialize, Serialize};

use super::{Figure, FigureUnit, Judgement, Observe};

/// What kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecommendationKind {
    /// Put services into one process.
    Merge,
    /// Put operations into a process of their own.
    Split,
    /// Move operations or components from one service to another.
    Move,
    /// Run more copies of a part, with its own copy of the data it reads.
    Replicate,
    /// Divide by a key.
    Shard,
    /// Decide where data lives: owner, copies, remote reads.
    PlaceEntity,
    /// Make one call of many.
    Batch,
    /// Leave things as they are.
    Keep,
}

impl RecommendationKind {
    /// The word used in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Move => "move",
            Self::Replicate => "replicate",
            Self::Shard => "shard",
            Self::PlaceEntity => "place_entity",
            Self::Batch => "batch",
            Self::Keep => "keep",
        }
    }
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The gain is clear and its price is known.
    Do,
    /// The gain is likely; `first_step` names the cheapest experiment that would settle it.
    Try,
    /// Changing would cost more than it brings.
    Leave,
    /// The data does not suffice; the reason names what is missing.
    CannotSay,
}

impl Verdict {
    /// The word used in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Try => "try",
            Self::Leave => "leave",
            Self::CannotSay => "cannot_say",
        }
    }
}

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// A service.
    Service,
    /// A component of a service.
    Component,
    /// An operation of a service.
    Operation,
    /// An edge between two services.
    Edge,
    /// An entity.
    Entity,
}

/// What a recommendation is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// The service; empty for an entity.
    pub service: String,
    /// The component, operation, call target or entity; empty for a service.
    pub name: String,
    /// Row id.
    pub row: String,
}

/// A sentence with figures, and the rows that hold them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The sentence.
    pub sentence: String,
    /// Ids of the rows it was read from.
    pub rows: Vec<String>,
}

/// One figure before and after the change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// What is predicted, e.g. `cores of store and warehouse together`.
    pub figure: String,
    /// The unit of all four.
    pub unit: FigureUnit,
    /// As it is; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// As it is predicted to be; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<f64>,
    /// Lower end of the 90 % interval of `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Why there is no interval, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_absent_reason: Option<String>,
    /// How a later report shows what came of it; absent where no row of a report does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<Observe>,
}

/// A threshold that a rule used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// What is compared.
    pub name: String,
    /// The limit.
    pub limit: f64,
    /// What was found; absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<f64>,
    /// The unit of both.
    pub unit: FigureUnit,
}

/// One recommendation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Stable id, also its row id: `rec:…`.
    pub id: String,
    /// What kind of change.
    pub kind: RecommendationKind,
    /// What to do about it.
    pub verdict: Verdict,
    /// Why this verdict, in one sentence.
    pub verdict_reason: String,
    /// The recommendation in one sentence.
    pub title: String,
    /// What it is about.
    pub subjects: Vec<Subject>,
    /// Cores saved at the load seen (negative: what it costs); what the list is sorted by. Absent value: the gain
    /// is not one of CPU.
    pub gain: Figure,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// What is predicted.
    pub prediction: Vec<Prediction>,
    /// What gets worse.
    pub downsides: Vec<String>,
    /// How to prove it wrong after the change.
    pub falsify: Vec<String>,
    /// The smallest step that can be taken back.
    pub first_step: String,
    /// The rule in words.
    pub rule: String,
    /// The thresholds that decided.
    pub thresholds: Vec<Threshold>,
    /// How sure the gain is; absent where nothing is gained, where a figure has no spread, and beyond the shortlist
    /// of the twenty largest gains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
}

/// A recommendation that somebody decided to leave, for a reason and until a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suppressed {
    /// Its id.
    pub id: String,
    /// The recommendation in one sentence.
    pub title: String,
    /// What it would have said.
    pub verdict: Verdict,
    /// Why it is left, as the ignore file says.
    pub reason: String,
    /// The last day of it, `2027-01-31`; empty for no end.
    pub until: String,
}
