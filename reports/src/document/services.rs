//! Services, their processes, owners and operations.

use serde::{Deserialize, Serialize};

use super::{
    CallShapeReport, ClassFigures, Figure, FigureUnit, LoadReport, MemoryReport, Obstacle,
    Quantiles, SerialReport,
};

/// One service: all its instances together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Row id, `service:…`.
    pub id: String,
    /// `service.name`.
    pub service: String,
    /// `service.namespace`; empty when not set.
    pub namespace: String,
    /// `deployment.environment.name`; empty when not set.
    pub environment: String,
    /// Versions seen in the range.
    pub versions: Vec<String>,
    /// Its processes.
    pub instances: Vec<InstanceReport>,
    /// Mean number of processes running at once.
    pub instance_count: Figure,
    /// Windows in which the service reported.
    pub windows: u64,
    /// CPU time of its processes by the kernel, ns.
    pub cpu_process: Figure,
    /// The same as cores: CPU seconds in a second.
    pub cpu_cores: Figure,
    /// Booked CPU by class, ns, over operations and owners.
    pub cpu_by_class: ClassFigures,
    /// CPU of all operations together, ns.
    pub cpu_operations: Figure,
    /// CPU per owner; largest first. With the operations these are all accounts.
    pub owners: Vec<OwnerReport>,
    /// What the agent itself costs here.
    pub agent: AgentCost,
    /// What a process costs without any request.
    pub base: BaseCost,
    /// Mean resident set of one process, bytes.
    pub rss: Figure,
    /// Largest resident set of one process, bytes.
    pub rss_peak: Figure,
    /// Resident set of one process at init, bytes.
    pub rss_init: Figure,
    /// Most threads in one process.
    pub threads: Figure,
    /// Cores that one process may use.
    pub cores_limit: Figure,
    /// CPU of the process that used most, as a multiple of the mean of all: 1 is even.
    #[serde(default = "absent_ratio")]
    pub imbalance: Figure,
    /// Share of the process CPU that carried messages (encode, decode, protocol, io of all accounts).
    pub message_share: Figure,
    /// Operations; largest total CPU first.
    pub operations: Vec<OperationReport>,
    /// Its CPU over the windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadReport>,
    /// What the memory of one process is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryReport>,
    /// What only one request can have at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<SerialReport>,
    /// What stands in the way of running it several times or dividing it by a key; by kind, then name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<Obstacle>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// Row id, `instance:…`.
    pub id: String,
    /// `service.instance.id`.
    pub instance: String,
    /// `host.name`.
    pub host: String,
    /// Which start of the process, 32 hex digits.
    pub epoch: String,
    /// Versions of the service that it reported; one, unless a start changed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// How CPU time was read: `rseq`, `scaled`, `thread`, …
    pub clock_mode: String,
    /// Version of the agent.
    pub agent_version: String,
    /// CPU time by the kernel in the range, ns.
    pub cpu_process: Figure,
    /// Mean resident set, bytes.
    pub rss: Figure,
    /// Peak resident set by the kernel, bytes.
    pub rss_peak: Figure,
    /// Most threads.
    pub threads: Figure,
    /// Cores that the process may use.
    pub cores_limit: Figure,
    /// Its share of the CPU of the service.
    #[serde(default = "absent_ratio")]
    pub share: Figure,
    /// Windows in which it reported.
    pub windows: u64,
}

/// How far the mean number of processes may be from a whole number that is meant.
const PROCESS_LATE: f64 = 0.08;

/// A number of processes, which is a mean over time: one that began a little late counts as one.
pub(crate) fn processes_meant(mean: f64) -> f64 {
    let whole = libm::round(mean);
    if whole >= 1.0 && libm::fabs(mean - whole) <= PROCESS_LATE * whole {
        whole
    } else {
        mean
    }
}

impl InstanceReport {
    /// Which process of its service it is: one whose clock or agent changed has several rows.
    pub(crate) fn process(&self) -> (&str, &str) {
        (&self.instance, &self.epoch)
    }
}

/// CPU that no request caused, or that cannot be told apart by request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnerReport {
    /// Row id, `owner:…`.
    pub id: String,
    /// `connection`, `pool`, `driver`, `background`, `runtime`, `agent`, `unattributed`.
    pub owner_kind: String,
    /// Which one.
    pub name: String,
    /// CPU by class over the range, ns. May be negative.
    pub cpu: ClassFigures,
    /// Share of the process CPU.
    pub share: Figure,
}

/// What the agent itself costs in a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentCost {
    /// CPU of the agent's own thread over the range, ns.
    pub cpu: Figure,
    /// CPU of what it does inside requests over the range, ns, estimated; part of their CPU.
    #[serde(default = "absent_ns")]
    pub hooks: Figure,
    /// Share of both in the process CPU.
    pub share: Figure,
    /// Clock readings taken in the range.
    pub clock_readings: Figure,
    /// What is not in these figures, in one sentence.
    pub note: String,
}

/// What one process of a service costs without any request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseCost {
    /// CPU of one process that no request causes (background, agent), cores.
    pub cpu: Figure,
    /// Resident set of one process at init, bytes.
    pub rss: Figure,
    /// How both were found.
    pub method: String,
}

/// Who calls an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallerShare {
    /// The calling service; empty at an origin, or when the caller has no agent.
    pub service: String,
    /// The calling operation.
    pub operation: String,
    /// Share of the ended requests.
    pub share: Figure,
}

/// One operation of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationReport {
    /// Row id, `operation:…`.
    pub id: String,
    /// Declared component; empty when the service is one component.
    pub component: String,
    /// The operation, e.g. `GET /orders/{id}`.
    pub operation: String,
    /// Its declared class; empty when none.
    pub class: String,
    /// Requests that ended in a second.
    pub rate: Figure,
    /// Requests that began.
    pub started: Figure,
    /// Requests that ended.
    pub ended: Figure,
    /// Of these, errors.
    pub errors: Figure,
    /// Of these, answered 4xx, counted apart from errors.
    pub client_errors: Figure,
    /// CPU per ended request by class, ns/request.
    pub cpu_per_request: ClassFigures,
    /// CPU of all its requests as cores.
    pub cpu_cores: Figure,
    /// Share of the process CPU of the service.
    pub cpu_share: Figure,
    /// Requests in flight at the ends of the range as a share of those ended: the error that the ends
    /// of the range may bring to unit costs (mean in flight ÷ ended).
    pub edge_error: Figure,
    /// Wall time, ns.
    pub wall: Quantiles,
    /// CPU of the request's own polls, ns.
    pub request_cpu: Quantiles,
    /// Wall time spent waiting for calls, ns/request.
    pub wait_call: Figure,
    /// Wall time spent waiting for stores, ns/request.
    pub wait_store: Figure,
    /// Other waiting: wall time less CPU less the two above, ns/request.
    pub wait_other: Figure,
    /// Mean number in flight.
    pub in_flight: Figure,
    /// Most in flight at one instant.
    pub in_flight_max: Figure,
    /// Bytes allocated, bytes/request.
    pub alloc_bytes: Figure,
    /// Allocations, 1/request.
    pub alloc_count: Figure,
    /// Largest number of bytes that one request held at once.
    pub peak_live_max: Figure,
    /// Mean over requests of the bytes each held at its peak.
    pub peak_live_mean: Figure,
    /// Bytes that the operation keeps alive beyond its requests, by sampling, on average over the windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retained: Option<Figure>,
    /// CPU of one request by regression on the CPU of the process, ns/request: only where its own was not weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_by_regression: Option<Figure>,
    /// Squared coefficient of variation of the CPU of a request (`c_s²`): 0 constant, 1 exponential.
    pub service_time_cs2: Figure,
    /// Index of dispersion of arrivals in slots of 100 ms (variance ÷ mean): 1 Poisson, more is burstier.
    pub arrival_dispersion: Figure,
    /// Who calls it; largest share first.
    pub callers: Vec<CallerShare>,
    /// Named pieces of code inside it; dearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionReport>,
    /// How its calls ran; those seen most often first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shapes: Vec<CallShapeReport>,
}

/// A named piece of code inside an operation. Its figures are "of which": they stand in the operation too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionReport {
    /// Row id, `region:…`.
    pub id: String,
    /// Names from the outermost region to this one.
    pub path: Vec<String>,
    /// Times it ran, for each ended request.
    pub runs: Figure,
    /// CPU without the regions inside it, ns/request.
    pub cpu: Figure,
    /// CPU with them, ns/request.
    pub cpu_inclusive: Figure,
    /// Bytes allocated without the regions inside it, bytes/request.
    pub alloc_bytes: Figure,
}

/// What a document of before these figures says of them.
fn absent_ratio() -> Figure {
    Figure::unknown(FigureUnit::Ratio, BEFORE)
}

fn absent_ns() -> Figure {
    Figure::unknown(FigureUnit::Ns, BEFORE)
}

const BEFORE: &str = "the document is from before this figure";
