//! Cores and processes needed at today's load and beyond.

use serde::{Deserialize, Serialize};

use super::{Figure, FigureUnit};

/// Capacity of all services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityReport {
    /// Utilisation up to which a process is planned to be used, 0 to 1.
    pub target_utilisation: f64,
    /// Fewest processes of a service, for availability.
    #[serde(default = "one")]
    pub least_processes: u32,
    /// Load factors computed; 1 is the load seen. With a day to plan for (`growth.plan`) those beyond hold its growth.
    pub load_factors: Vec<f64>,
    /// Per service; largest need first.
    pub services: Vec<ServiceCapacity>,
    /// Cores of all services together, one figure per load factor.
    pub total_cores: Vec<Figure>,
    /// What is needed on later days; absent in documents of before it was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<GrowthReport>,
    /// Mean response of each origin against load; dearest origin first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<OriginLatency>,
    /// The price sheet; absent when none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<PriceSheet>,
    /// How the figures were made, and what they leave out.
    pub notes: Vec<String>,
}

/// What cores and memory cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceSheet {
    /// Price of a core for an hour.
    pub core_hour: f64,
    /// Price of a GiB of memory for an hour.
    pub gib_hour: f64,
    /// Name of the currency.
    pub currency: String,
}

/// What is needed on later days if the load goes on growing as it did in the range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrowthReport {
    /// Growth of the CPU of all services in a day, as a share of its mean, what weekdays do taken out; unknown below 14
    /// whole days.
    pub per_day: Figure,
    /// The line, from the end of the range on; empty where the growth is not known.
    pub points: Vec<GrowthPoint>,
    /// The day that is planned for; absent where no growth was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanReport>,
    /// In a sentence: whether growth is in the loads that are planned for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// The growth of load up to the day that is planned for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanReport {
    /// Days from the end of the range.
    pub days: f64,
    /// The load then, as a multiple of the load seen; unknown where the growth is.
    pub load_factor: Figure,
    /// What the load factors were multiplied by: that figure, a hundredth rounded up, and 1 at least; 1 where it is not
    /// known.
    pub in_loads: f64,
}

/// All services on one day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GrowthPoint {
    /// Days from the end of the range.
    pub days: f64,
    /// The load then, as a multiple of the load seen.
    pub load_factor: Figure,
    /// Cores needed.
    pub cores: Figure,
    /// Processes needed at the target utilisation.
    pub replicas: Figure,
    /// Their memory, bytes: each as large as the largest seen.
    pub memory: Figure,
}

/// How long requests of an origin take at other loads, with today's processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OriginLatency {
    /// Row id, `latency:…`.
    pub id: String,
    /// Row id of the origin.
    pub origin: String,
    /// The service at which the chain begins.
    pub service: String,
    /// The operation at which it begins.
    pub operation: String,
    /// One point per load factor, ascending.
    pub points: Vec<LatencyPoint>,
}

/// One origin at one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyPoint {
    /// Load as a multiple of the load seen.
    pub load_factor: f64,
    /// Mean wall time at the root, ns; unknown where a service on the way is saturated.
    pub response: Figure,
}

/// Capacity of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceCapacity {
    /// Row id, `capacity:…`.
    pub id: String,
    /// The service.
    pub service: String,
    /// Processes running, mean.
    pub instances: Figure,
    /// Cores that one process may use.
    pub cores_limit: Figure,
    /// CPU that grows with load, cores at the load seen.
    pub cores_variable: Figure,
    /// CPU that does not grow with load, cores.
    pub cores_base: Figure,
    /// Load, as a multiple of the load seen, at which today's processes reach the target utilisation.
    #[serde(default = "absent_load")]
    pub target_load: Figure,
    /// Load at which a request waits for a core as long as it computes, or for its turn in a serial section as long as it
    /// is in it: from there waits grow fast.
    #[serde(default = "absent_load")]
    pub knee_load: Figure,
    /// Load at which today's processes are fully used, or a serial section is.
    #[serde(default = "absent_load")]
    pub saturation_load: Figure,
    /// Utilisation at the load seen with one process less.
    #[serde(default = "absent_load")]
    pub utilisation_one_less: Figure,
    /// Load at which one process less is fully used.
    #[serde(default = "absent_load")]
    pub saturation_load_one_less: Figure,
    /// The section that one request at a time can be in; absent where the windows tell none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<SerialCapacity>,
    /// One point per load factor.
    pub points: Vec<CapacityPoint>,
}

/// How far a serial section lets a service grow. More processes do not lift it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SerialCapacity {
    /// Row id of the operation whose requests pass it.
    pub operation: String,
    /// Its name.
    pub name: String,
    /// Requests in a second that pass at most.
    pub throughput_max: Figure,
    /// Share of time in which it is taken, at the load seen.
    pub utilisation: Figure,
    /// Load, as a multiple of the load seen, at which it is always taken.
    pub full_load: Figure,
}

/// One service at one load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityPoint {
    /// Load as a multiple of the load seen.
    pub load_factor: f64,
    /// Cores needed.
    pub cores: Figure,
    /// Utilisation of today's processes at this load; above 1 they cannot carry it.
    pub utilisation: Figure,
    /// Processes needed at the target utilisation; unknown where no number of them lets more through a serial section.
    pub replicas: Figure,
    /// Mean wait for a core with today's processes, ns; unknown at saturation or where the formula is weak.
    pub wait: Figure,
    /// Mean wait for a turn in the serial section, ns; unknown where more arrive than pass, absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_wait: Option<Figure>,
    /// Memory of the processes needed, bytes: each as large as the largest seen.
    #[serde(default = "absent_memory")]
    pub memory: Figure,
    /// What the processes needed cost in an hour (their cores and memory), where there is a price sheet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Figure>,
    /// True when the load was not seen: the figures assume that unit costs stay as they are.
    pub extrapolated: bool,
    /// True when today's processes cannot carry this load.
    pub saturated: bool,
}

/// What a document of before this figure says of it.
fn absent_load() -> Figure {
    Figure::unknown(FigureUnit::Ratio, BEFORE)
}

fn absent_memory() -> Figure {
    Figure::unknown(FigureUnit::Bytes, BEFORE)
}

const BEFORE: &str = "the document is from before this figure";

fn one() -> u32 {
    1
}
