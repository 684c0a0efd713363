//! A topology.

use std::collections::{BTreeMap, BTreeSet};

use super::{End, Inputs};

/// How the calls of an edge travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Between processes, as messages.
    Remote,
    /// Inside a process. A synchronous call becomes a function call; an asynchronous one is handed to an executor of
    /// its own, so nobody waits for it.
    Local,
    /// An asynchronous consumer run inside the caller's request: its CPU and its time are the caller's.
    Inline,
}

/// Data divided by a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Shards {
    /// The entity whose key divides.
    pub entity: usize,
    /// Into how many parts.
    pub count: u32,
}

/// What is started and scaled as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployable {
    /// Its name.
    pub name: String,
    /// Processes that run at least: today's number, or what a change asks for.
    pub replicas: f64,
    /// Cores that one process may use.
    pub cores_limit: Option<f64>,
    /// Division by a key.
    pub shards: Option<Shards>,
    /// Services whose own process it was (their background work runs here).
    pub home_of: Vec<usize>,
}

/// Which operation stands where, how calls travel, and where data is.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// What is deployed. A slot without operations and without background work is gone.
    pub deployables: Vec<Deployable>,
    /// For each operation its deployable.
    pub place: Vec<usize>,
    /// For each edge its way.
    pub ways: Vec<Way>,
    /// Edges of which several calls are made one: calls per batch.
    pub batched: BTreeMap<usize, f64>,
    /// Copies taken away: (entity, service), read from the owner instead.
    pub read_remotely: Vec<(usize, usize)>,
    /// Copies made: (entity, deployable), one for each of its processes.
    pub copied: Vec<(usize, usize)>,
    /// Local calls that a request makes one after the other, where it made them side by side.
    pub serial: BTreeSet<usize>,
    /// What copies that were made replace: (entity, edge). Such calls stay inside the caller's process, wherever their
    /// callee is.
    pub read_here: Vec<(usize, usize)>,
}

impl Topology {
    /// What runs now: each service a deployable.
    #[must_use]
    pub fn as_it_is<N>(inputs: &Inputs<N>) -> Self {
        Self {
            deployables: inputs
                .services
                .iter()
                .enumerate()
                .map(|(index, service)| Deployable {
                    name: service.label.clone(),
                    replicas: service.instances,
                    cores_limit: service.cores_limit,
                    shards: None,
                    home_of: vec![index],
                })
                .collect(),
            place: inputs.operations.iter().map(|o| o.service).collect(),
            ways: inputs
                .edges
                .iter()
                .map(|edge| if edge.local { Way::Local } else { Way::Remote })
                .collect(),
            batched: BTreeMap::new(),
            read_remotely: Vec::new(),
            copied: Vec::new(),
            serial: BTreeSet::new(),
            read_here: Vec::new(),
        }
    }

    /// The deployable of an end of an edge; `None` outside.
    #[must_use]
    pub fn deployable_of(&self, end: End) -> Option<usize> {
        match end {
            End::Operation(operation) => self.place.get(operation).copied(),
            End::Service(service) => self.home(service),
            End::Outside => None,
        }
    }

    /// Where a service's background work runs.
    #[must_use]
    pub fn home(&self, service: usize) -> Option<usize> {
        self.deployables
            .iter()
            .position(|d| d.home_of.contains(&service))
    }

    /// Where the background work of each service runs.
    pub(super) fn homes(&self, services: usize) -> Vec<Option<usize>> {
        let mut homes = vec![None; services];
        for (at, deployable) in self.deployables.iter().enumerate().rev() {
            for service in &deployable.home_of {
                if let Some(home) = homes.get_mut(*service) {
                    *home = Some(at);
                }
            }
        }
        homes
    }

    /// The deployables that hold something, ascending.
    #[must_use]
    pub fn alive(&self) -> Vec<usize> {
        let mut alive: Vec<bool> = self
            .deployables
            .iter()
            .map(|d| !d.home_of.is_empty())
            .collect();
        for at in &self.place {
            if let Some(slot) = alive.get_mut(*at) {
                *slot = true;
            }
        }
        (0..alive.len()).filter(|at| alive[*at]).collect()
    }

    /// The deployable of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<usize> {
        self.alive()
            .into_iter()
            .find(|at| self.deployables[*at].name == name)
    }

    /// Lets every edge whose ends share a deployable take the local way (synchronous ones), and every edge whose ends
    /// do not be remote. Asynchronous edges keep the way they have: a consumer keeps its own executor and its broker.
    pub(crate) fn settle<N>(&mut self, inputs: &Inputs<N>) {
        // A caller that left the process with the copy asks the owner again.
        let mut read_here = std::mem::take(&mut self.read_here);
        read_here.retain(|(entity, at)| {
            let caller = inputs.edges.get(*at).map(|edge| edge.from);
            let place = caller.and_then(|caller| self.deployable_of(caller));
            place.is_some_and(|place| self.copied.contains(&(*entity, place)))
        });
        self.read_here = read_here;
        for (at, edge) in inputs.edges.iter().enumerate() {
            if self.read_here.iter().any(|(_, here)| *here == at) {
                continue;
            }
            let (from, to) = (self.deployable_of(edge.from), self.deployable_of(edge.to));
            if from.is_none() || to.is_none() {
                continue;
            }
            if from != to {
                self.ways[at] = Way::Remote;
            } else if edge.sync && (edge.local || differ(inputs, edge.from, edge.to)) {
                self.ways[at] = Way::Local;
            }
        }
    }
}

/// Were the ends in different services? A service that calls itself over a socket keeps doing so.
pub(super) fn differ<N>(inputs: &Inputs<N>, from: End, to: End) -> bool {
    let service = |end| match end {
        End::Operation(operation) => inputs.operations.get(operation).map(|o| o.service),
        End::Service(service) => Some(service),
        End::Outside => None,
    };
    service(from) != service(to)
}
