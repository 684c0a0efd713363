//! The document: what `report.json` holds and what every other format is a view of.
//!
//! Rules that all parts keep:
//! - A figure that is not known is absent, with the reason; it is never zero.
//! - Every row has an `id` that is unique in the document and stable between runs; evidence refers to it.
//! - Lists are sorted, so that the same rollup gives the same bytes.

mod absence;
mod after;
mod capacity;
mod change;
mod conservation;
mod edges;
mod entities;
mod figure;
mod inputs;
mod judgement;
mod map;
mod origins;
mod quality;
mod recommendations;
mod services;
mod shapes;
mod topologies;
mod window;

use serde::{Deserialize, Serialize};

pub(crate) use absence::Absence;
pub use after::{
    AfterReport, Observe, ObserveWhat, Outcome, OutcomeFigure, SCORE_ERRORS_MAX, Score,
};
pub use capacity::{
    CapacityPoint, CapacityReport, GrowthPoint, GrowthReport, LatencyPoint, OriginLatency,
    PlanReport, PriceSheet, SerialCapacity, ServiceCapacity,
};
pub use change::{ChangeReport, ChangeSide, ChangeVerdict, CostChange};
pub use conservation::{
    AccountRow, ConservationReport, EdgeConservation, LossRow, ProcessConservation,
    ServiceConservation,
};
pub use edges::{EdgeEnd, EdgeEnds, EdgeReport, EdgeSideCpu, EdgeTraffic, MessagePrice};
pub use entities::{CopyCost, CopyEvidence, CopyFinding, EntityPlace, EntityReport, EntityUse};
pub use figure::{ClassFigures, Figure, FigureUnit, QualityShare, QualityWord, Quantiles};
pub use inputs::{LoadCorrelation, LoadReport, MemoryReport, Obstacle, ObstacleKind, SerialReport};
pub use judgement::{Judgement, Turn};
pub use map::{MapArrow, MapPlace, MapPlaceKind, MapReport};
pub use origins::{MessageOverhead, OriginOperation, OriginPath, OriginReport, OriginService};
pub use quality::{ClockNote, Formula, QualityReport, UnknownKind};
pub use recommendations::{
    Evidence, Prediction, Recommendation, RecommendationKind, Subject, SubjectKind, Suppressed,
    Threshold, Verdict,
};
pub(crate) use services::processes_meant;
pub use services::{
    AgentCost, BaseCost, CallerShare, InstanceReport, OperationReport, OwnerReport, RegionReport,
    ServiceReport,
};
pub use shapes::{CallShapeReport, CallStepReport, EdgeShape};
pub use topologies::{CutObjection, DeployableReport, TopologiesReport, TopologyProposal};
pub use window::{Coverage, WindowReport};

/// The version of the document's layout. It rises when a reader of the one before could misread.
pub const SCHEMA_VERSION: u32 = 1;

/// A report on one range of windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The range and how well it is covered.
    pub window: WindowReport,
    /// What each service and each of its operations costs; sorted by process CPU, largest first.
    pub services: Vec<ServiceReport>,
    /// What a request costs over all services, by the operation at which it entered; dearest first.
    pub origins: Vec<OriginReport>,
    /// Who calls whom, and what the messages cost; largest overhead first.
    pub edges: Vec<EdgeReport>,
    /// Which data stands where; by name.
    pub entities: Vec<EntityReport>,
    /// Does everything add up.
    pub conservation: ConservationReport,
    /// Cores needed at today's load and beyond.
    pub capacity: CapacityReport,
    /// What to change and what to leave; what is worth doing first, then by gain.
    pub recommendations: Vec<Recommendation>,
    /// Recommendations that an ignore file took from the list, with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppressed>,
    /// What changed since a baseline; absent when none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeReport>,
    /// Other cuts of the system that no other beats in everything; absent where none were searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topologies: Option<TopologiesReport>,
    /// The service map as it is drawn; absent in documents of before it stood here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<MapReport>,
    /// How the figures came about, and their limits.
    pub quality: QualityReport,
    /// How the advice of an earlier report held; absent when none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AfterReport>,
}
