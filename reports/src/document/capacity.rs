//! Cores and processes needed at today's load and beyond.

use serde::{Deserialize, Serialize};

use super::Figure;

/// Capacity of all services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapacityReport {
    /// Utilisation up to which a process is planned to be used, 0 to 1.
    pub target_utilisation: f64,
    /// Load factors computed; 1 is the load seen.
    pub load_factors: Vec<f64>,
    /// Per service; largest need first.
    pub services: Vec<ServiceCapacity>,
    /// Cores of all services together, one figure per load factor.
    pub total_cores: Vec<Figure>,
    /// How the figures were made, and what they leave out.
    pub notes: Vec<String>,
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
    /// One point per load factor.
    pub points: Vec<CapacityPoint>,
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
    /// Processes needed at the target utilisation.
    pub replicas: Figure,
    /// Mean wait for a core with today's processes, ns; unknown at saturation or where the formula is weak.
    pub wait: Figure,
    /// True when the load was not seen: the figures assume that unit costs stay as they are.
    pub extrapolated: bool,
    /// True when today's processes cannot carry this load.
    pub saturated: bool,
}
