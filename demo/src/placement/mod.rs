//! Placement: which component runs in which process, and which transport each edge takes.
//!
//! One TOML file says it all, so that another topology is another file and not another program.

mod parse;
mod words;

pub use parse::PlacementError;
pub(crate) use words::{Component, DatabaseName, Edge, Front, Transport};

/// The placement that is weighed when no file is given.
pub const DEFAULT_TOML: &str = include_str!("../../placements/default.toml");
/// Store and warehouse merged.
pub const MERGED_STORE_WAREHOUSE_TOML: &str =
    include_str!("../../placements/merged-store-warehouse.toml");
/// The closing of months split out of accounting.
pub const SPLIT_CLOSING_TOML: &str = include_str!("../../placements/split-closing.toml");

/// Everything in one process.
pub const ALL_IN_ONE_TOML: &str = include_str!("../../placements/all-in-one.toml");
/// The search in two processes behind a balancer.
pub const REPLICATED_SEARCH_TOML: &str = include_str!("../../placements/replicated-search.toml");
/// The store in two processes, each with its part of the data, behind a router.
pub const SHARDED_STORE_TOML: &str = include_str!("../../placements/sharded-store.toml");

/// One process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) components: Vec<Component>,
    pub(crate) replicas: usize,
    /// What stands before the replicas; absent: callers take turns themselves.
    pub(crate) front: Option<Front>,
}

impl Process {
    /// True when each replica has its own part of the data.
    pub(crate) fn is_divided(&self) -> bool {
        self.front == Some(Front::Key)
    }

    /// Name of the process before its replicas.
    pub(crate) fn front_name(&self) -> Option<String> {
        let front = self.front?;
        Some(format!("{}-{}", self.name, front.role()))
    }
}

/// A checked placement: every component stands in exactly one process and every edge can be wired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    pub(crate) processes: Vec<Process>,
    pub(crate) edges: Vec<(Edge, Transport)>,
}

impl Placement {
    /// Reads and checks a placement file.
    ///
    /// # Errors
    /// [`PlacementError`] that names the place and what to write instead.
    pub fn parse(text: &str) -> Result<Self, PlacementError> {
        parse::parse(text)
    }

    /// The process that a component runs in.
    pub(crate) fn process_of(&self, component: Component) -> Option<&Process> {
        self.processes
            .iter()
            .find(|p| p.components.contains(&component))
    }

    /// The transport of an edge.
    pub(crate) fn transport(&self, edge: Edge) -> Option<Transport> {
        self.edges
            .iter()
            .find(|(e, _)| *e == edge)
            .map(|(_, transport)| *transport)
    }

    /// The edges into a component that go over a broker.
    pub(crate) fn consumes(&self, component: Component, from: Component) -> bool {
        self.transport(Edge {
            from,
            to: component,
        }) == Some(Transport::Mqtt)
    }

    /// True when any edge needs the broker.
    pub(crate) fn needs_broker(&self) -> bool {
        self.edges
            .iter()
            .any(|(_, transport)| *transport == Transport::Mqtt)
    }

    /// The processes in an order in which each starts after those that it calls over HTTP.
    pub(crate) fn start_order(&self) -> Vec<&Process> {
        let mut ordered: Vec<&Process> = Vec::new();
        let mut waiting: Vec<&Process> = self.processes.iter().collect();
        while !waiting.is_empty() {
            let (ready, rest): (Vec<_>, Vec<_>) = waiting.iter().partition(|process| {
                self.http_callees(process)
                    .iter()
                    .all(|callee| ordered.iter().any(|done| done.name == *callee))
            });
            if ready.is_empty() {
                // A ring of HTTP edges; the parser refuses those.
                ordered.extend(rest);
                break;
            }
            ordered.extend(ready);
            waiting = rest;
        }
        ordered
    }

    /// Names of the other processes that this one calls over HTTP.
    pub(crate) fn http_callees(&self, process: &Process) -> Vec<&str> {
        self.edges
            .iter()
            .filter(|(edge, transport)| {
                *transport == Transport::Http && process.components.contains(&edge.from)
            })
            .filter_map(|(edge, _)| self.process_of(edge.to))
            .map(|callee| callee.name.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_placement_parses_and_places_every_component() {
        for text in [
            DEFAULT_TOML,
            MERGED_STORE_WAREHOUSE_TOML,
            SPLIT_CLOSING_TOML,
            ALL_IN_ONE_TOML,
            REPLICATED_SEARCH_TOML,
            SHARDED_STORE_TOML,
        ] {
            let placement = Placement::parse(text).expect("parses");
            for component in Component::ALL {
                assert!(
                    placement.process_of(component).is_some(),
                    "{component:?} has no place"
                );
            }
            assert_eq!(placement.edges.len(), Edge::ALL.len());
            assert_eq!(placement.needs_broker(), text != ALL_IN_ONE_TOML);
        }
    }

    #[test]
    fn a_callee_starts_before_its_caller() {
        let placement = Placement::parse(DEFAULT_TOML).expect("parses");
        let order: Vec<&str> = placement
            .start_order()
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        let at = |name| order.iter().position(|n| *n == name);
        assert!(at("warehouse") < at("store"), "{order:?}");
        assert_eq!(order.len(), 3);
    }

    #[test]
    fn the_merged_placement_takes_the_direct_way() {
        let placement = Placement::parse(MERGED_STORE_WAREHOUSE_TOML).expect("parses");
        let edge = Edge {
            from: Component::Orders,
            to: Component::Stock,
        };
        assert_eq!(placement.transport(edge), Some(Transport::Direct));
        assert_eq!(placement.processes.len(), 2);
    }
}
