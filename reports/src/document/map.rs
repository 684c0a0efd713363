//! The service map: what stands on it, and what its arrows say.

use serde::{Deserialize, Serialize};

use super::Figure;

/// The map as it is drawn: the services with the dearest edges.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MapReport {
    /// What stands on it, in the order in which it was met.
    pub places: Vec<MapPlace>,
    /// Its arrows, by their ends.
    pub arrows: Vec<MapArrow>,
    /// Edges that found no place.
    pub edges_left_out: u64,
}

/// What kind of thing stands on the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapPlaceKind {
    /// Whoever sends requests and is no service.
    Outside,
    /// A service.
    Service,
    /// A service that carries messages of others.
    Broker,
}

/// A thing on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapPlace {
    /// The service; `outside` for the outside.
    pub name: String,
    /// What it is.
    pub kind: MapPlaceKind,
}

/// All calls from one place to another, together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapArrow {
    /// Row id, `map:…`.
    pub id: String,
    /// Index of the place that calls.
    pub from: usize,
    /// Index of the place that is called.
    pub to: usize,
    /// Row ids of the edges in it, dearest first; none from outside, where they stand as origins.
    pub edges: Vec<String>,
    /// True when one of them is not waited for.
    pub detached: bool,
    /// True when a request of a caller makes several of the calls.
    pub chatty: bool,
    /// Calls or messages in a second.
    pub rate: Figure,
    /// Bodies of both directions, bytes in a second.
    pub body_bytes: Figure,
    /// Message overhead, cores: of messages over a broker each leg shows that of the whole way.
    pub overhead_cores: Figure,
    /// Overhead ÷ (overhead + work that the calls cause).
    pub overhead_share: Figure,
    /// Time that a call is waited for, or from publishing to consuming, ns, mean over the calls.
    pub wait: Figure,
}
