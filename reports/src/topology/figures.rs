//! What a topology costs.

use serde::{Deserialize, Serialize};

/// The figures of a topology at a load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// CPU of all deployables, cores.
    pub cores: f64,
    /// Memory of all processes, bytes; unknown when one deployable's is.
    pub memory_bytes: Option<f64>,
    /// Processes.
    pub replicas: f64,
    /// Messages between deployables, per second.
    pub messages: f64,
    /// Their body bytes, per second.
    pub message_bytes: f64,
    /// Copies of entities beside their owners: one for each place, or for each process that keeps its own.
    pub copies: f64,
    /// Bytes that they store; unknown when one reports no size.
    pub copy_bytes: Option<f64>,
    /// Largest mean age of a change when a copy applies it, ns. Zero without copies; unknown when nobody tells.
    pub staleness_ns: Option<f64>,
    /// Largest share of the requests from outside that fail when one deployable does.
    pub blast_radius: Option<f64>,
    /// By deployable, those that hold something; in the order of the topology.
    pub deployables: Vec<DeployableFigures>,
    /// By origin, in the order of the inputs.
    pub origins: Vec<OriginFigures>,
    /// What the figures leave out or assume here.
    pub notes: Vec<String>,
}

impl Figures {
    /// What is said of the deployable of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&DeployableFigures> {
        self.deployables.iter().find(|d| d.name == name)
    }
}

/// One deployable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeployableFigures {
    /// Its name.
    pub name: String,
    /// CPU of all its processes, cores.
    pub cores: f64,
    /// Processes.
    pub replicas: f64,
    /// Processes that the planned utilisation needs; unknown without the cores of a process, and where no number of
    /// them suffices.
    pub replicas_needed: Option<f64>,
    /// Share of the cores of its processes that is used (of the hottest shard's, when it is divided).
    pub utilisation: Option<f64>,
    /// The same with one process lost; unknown with a single one.
    pub utilisation_one_lost: Option<f64>,
    /// Mean wait for a core, ns; unknown when saturated or without cores.
    pub wait_ns: Option<f64>,
    /// Whether it gets more work than it can do.
    pub saturated: bool,
    /// The operation with the busiest section that one request at a time can be in; none where no such section is told.
    pub section: Option<String>,
    /// Share of time in which that section is taken; from 1 on no number of processes carries the load.
    pub section_utilisation: Option<f64>,
    /// Memory of one process, bytes.
    pub process_bytes: Option<f64>,
    /// Memory of all, bytes.
    pub memory_bytes: Option<f64>,
    /// Share of the requests from outside that wait for it.
    pub blast: Option<f64>,
}

/// One origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginFigures {
    /// Label of the service.
    pub service: String,
    /// Operation.
    pub operation: String,
    /// Requests per second.
    pub rate: Option<f64>,
    /// CPU of a request over all services, as attributed: what the report calls the origin's unit cost, ns.
    pub cpu_ns: Option<f64>,
    /// The same with its share of scheduler and unattributed CPU: what the kernel's clock shows, ns.
    pub kernel_cpu_ns: Option<f64>,
    /// Mean latency, ns.
    pub mean_ns: Option<f64>,
    /// Median, ns.
    pub p50_ns: Option<f64>,
    /// 95th percentile, ns.
    pub p95_ns: Option<f64>,
    /// 99th percentile, ns.
    pub p99_ns: Option<f64>,
    /// Why latency is not known.
    pub latency_absent_reason: Option<String>,
}
