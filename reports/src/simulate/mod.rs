//! A discrete-event simulator of stations with several servers: what waiting is where no formula is accurate.
//!
//! Requests of several classes arrive by themselves (open) and go through activities: work at a station, after the
//! activities that they wait for. So serial, parallel and detached calls are shapes of one graph. Stations serve
//! first come first served. The same seed gives the same run, on every machine; variants of one network share the
//! random numbers of what they have in common.
//!
//! It is held to closed forms where these are exact (tests), and it is what says how far
//! [Allen and Cunneen](crate::queue::allen_cunneen_wait) are off elsewhere.

mod law;
mod run;

pub use law::{Arrivals, Times};
pub use run::{ClassResult, Refusal, Simulated, StationResult, simulate};

/// Requests of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestClass {
    /// When they arrive.
    pub arrivals: Arrivals,
    /// What each of them does. An activity may wait only for those before it in the list.
    pub activities: Vec<Activity>,
}

/// Work of a request at a station.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// Where.
    pub station: usize,
    /// How long, in seconds of one server.
    pub times: Times,
    /// Which activities of the same request have to end first; none: begins with the request.
    pub after: Vec<usize>,
    /// Whether the request ends without it.
    pub detached: bool,
}

/// A network and its load.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Number of servers of each station.
    pub servers: Vec<u32>,
    /// The load.
    pub classes: Vec<RequestClass>,
}

/// How long to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Requests that are counted, after a tenth as many that warm the network up.
    pub requests: u64,
    /// Chooses the random numbers.
    pub seed: u64,
}

/// Most requests in the network at one time; beyond it the run is given up as unstable.
pub const IN_FLIGHT_MAX: usize = 2_000_000;
/// Most activities of a class.
pub const ACTIVITIES_MAX: usize = 64;

#[cfg(test)]
mod tests;
