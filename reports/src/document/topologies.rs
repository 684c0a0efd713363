//! Topologies worth a look: those that no other beats in cost, latency and blast radius.

use serde::{Deserialize, Serialize};

use super::Figure;

/// What a search over topologies found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopologiesReport {
    /// Multiple of the load seen for which all are sized.
    pub load_factor: f64,
    /// What `cost` counts.
    pub cost_is: String,
    /// Whether every partition of the components was looked at.
    pub exact: bool,
    /// Partitions, or changes of partitions, that were priced.
    pub examined: u64,
    /// Cost of today's topology.
    pub today: Figure,
    /// Cost of the cheapest topology found, its copies of entities kept or taken away by rule.
    pub best: Figure,
    /// What no partition costs less than, whichever copies are taken away.
    pub bound: Figure,
    /// `(best − bound) ÷ best`: by how much the best found can be off at most.
    pub gap: Figure,
    /// Topologies in the Pareto set before it was thinned.
    pub pareto_size: u64,
    /// Why there is none, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infeasible: Option<String>,
    /// Constraints that the data implies, in words.
    pub implied: Vec<String>,
    /// By cost; today's among them.
    pub proposals: Vec<TopologyProposal>,
}

/// One topology.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopologyProposal {
    /// Row id: `topology:` and the steps, or `topology:as it is`.
    pub id: String,
    /// What leads there, one step after the other; empty for today's.
    pub steps: Vec<String>,
    /// The step that saves most by itself and can be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_step: Option<String>,
    /// Cost after the first step.
    pub first_step_cost: Figure,
    /// Whether another one is better and in nothing worse: today's, which stands here for comparison.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beaten: bool,
    /// Recommendations that say otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objections: Vec<CutObjection>,
    /// Merges and splits between today's topology and this one.
    pub boundaries: u64,
    /// Cost.
    pub cost: Figure,
    /// Worst ratio of an origin's 95th percentile to that of today's topology at the same load.
    pub latency: Figure,
    /// The origin that this is of: its operation and its service. Absent where today's stands for comparison, and where
    /// no response grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_of: Option<String>,
    /// Largest share of requests that fail when one deployable does.
    pub blast_radius: Figure,
    /// Cores of all.
    pub cores: Figure,
    /// Memory of all.
    pub memory: Figure,
    /// Processes of all.
    pub replicas: Figure,
    /// Its deployables.
    pub deployables: Vec<DeployableReport>,
    /// What it leaves out or assumes.
    pub notes: Vec<String>,
}

/// A recommendation that advises against a part of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutObjection {
    /// Its row id.
    pub recommendation: String,
    /// What it says.
    pub sentence: String,
}

/// A deployable of a topology.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeployableReport {
    /// Row id: `deployable:`, the steps of its cut, a slash and its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its cores.
    pub cores: Figure,
    /// Its processes.
    pub replicas: Figure,
    /// Its memory.
    pub memory: Figure,
    /// Share of its processes' cores that is used.
    pub utilisation: Figure,
}
