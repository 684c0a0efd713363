//! What a topology is evaluated on: plain numbers, in one place.

use crate::queue::Section;

/// The numbers of a weighed system. `N` is `f64` for one draw (or the point), and an estimate with its spread inside
/// [`Weighed`](super::Weighed). Rates are per second, costs are ns of CPU per call or cores, as their names say.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs<N = f64> {
    /// Services as they run now; by label.
    pub services: Vec<Service<N>>,
    /// What can be placed: by service, then name.
    pub components: Vec<Component>,
    /// By service, then component, name and class.
    pub operations: Vec<Operation<N>>,
    /// Calls and messages between operations.
    pub edges: Vec<Edge<N>>,
    /// Where chains of requests begin.
    pub origins: Vec<Origin<N>>,
    /// Data nouns.
    pub entities: Vec<Entity<N>>,
    /// CPU of a call that stays inside a process, ns; an assumption.
    pub local_call_ns: f64,
    /// What a synchronous call between processes costs beside its messages and the schedulers, ns; see
    /// [`Options::crossing_ns`](crate::Options::crossing_ns).
    pub crossing_ns: f64,
    /// What a synchronous call between processes costs here, ns, where an edge has never been one; unknown when the
    /// system has none.
    pub remote_call_ns: Option<N>,
    /// What an asynchronous message costs in the system that this is a part of, ns; none where it is the whole, whose
    /// edges tell.
    pub message_ns: Option<N>,
}

/// A service: the deployable that runs today.
#[derive(Clone, Debug, PartialEq)]
pub struct Service<N = f64> {
    /// Its name in documents.
    pub label: String,
    /// Whether its processes carry the agent.
    pub has_agent: bool,
    /// Mean number of processes.
    pub instances: f64,
    /// Fewest processes that may run it; 0 when nobody asks for more than one.
    pub min_replicas: f64,
    /// Cores that one process may use.
    pub cores_limit: Option<f64>,
    /// CPU by the kernel, cores, over all processes.
    pub cores: N,
    /// Work that no request causes (owner `background`), cores, over all processes.
    pub background: N,
    /// The agent's own CPU, cores, over all processes: what each process pays.
    pub agent: N,
    /// Scheduler and unwrapped tasks for each message sent or received, ns.
    pub wake_ns: N,
    /// What is left of `cores`: pools without calls, unattributed. Signed.
    pub rest: N,
    /// Resident set at init, bytes.
    pub base_bytes: Option<f64>,
    /// Largest resident set, bytes.
    pub peak_bytes: Option<f64>,
}

/// The unit that can be placed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// Index of the service that it runs in now.
    pub service: usize,
    /// Its name; empty when the service declares none.
    pub name: String,
}

/// An operation with its load.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation<N = f64> {
    /// Index of its service.
    pub service: usize,
    /// Index of its component.
    pub component: usize,
    /// Name, the class included.
    pub name: String,
    /// Row id.
    pub row: String,
    /// Requests that ended, per second.
    pub rate: N,
    /// CPU in its rows, cores.
    pub cores: N,
    /// By origin.
    pub parts: Vec<Part<N>>,
    /// Mean requests in flight.
    pub in_flight: f64,
    /// Mean wall time, ns.
    pub wall_ns: Option<N>,
    /// Mean of the most that a request holds, bytes.
    pub held_bytes: f64,
    /// Most that one request held, bytes.
    pub held_max_bytes: f64,
    /// What it keeps alive beyond its requests in each process that runs it, bytes; unknown where nobody sampled.
    pub retained_bytes: Option<N>,
    /// Squared coefficient of variation of its CPU; 1 where no histogram tells.
    pub service_cs2: f64,
    /// Burstiness of its arrivals; 1 (Poisson) where no series tells.
    pub arrival_cs2: f64,
    /// Whether the variability was seen.
    pub spread_known: bool,
    /// How its calls ran; empty when no shape tells.
    pub shapes: Vec<Shape>,
    /// Time in which it waited for calls, ns per request; unknown when no row tells.
    pub wait_call_ns: Option<f64>,
    /// How long a request is in a section that one can be in at a time, ns; none where no such section is told. It is
    /// taken to be shared by all processes that run the operation.
    pub hold_ns: Option<N>,
}

/// The part of an operation that belongs to an origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<N = f64> {
    /// Index of the origin.
    pub origin: usize,
    /// Per second.
    pub rate: N,
    /// Cores.
    pub cores: N,
}

/// A call shape of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Share of the operation's requests.
    pub share: f64,
    /// What ran one after the other.
    pub steps: Vec<Step>,
}

/// What overlapped in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Side by side when there are several, or when one says so.
    pub branches: Vec<Branch>,
}

/// Calls of one kind in a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Index of the edge; none for statements and calls without an edge row.
    pub edge: Option<usize>,
    /// Calls per request of the shape.
    pub calls: f64,
    /// Mean wall time of a call, ns.
    pub wall_ns: f64,
    /// Whether several of them, or others, ran beside it.
    pub beside: bool,
    /// Whether nobody waited for it.
    pub detached: bool,
}

/// An end of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// An operation.
    Operation(usize),
    /// A service's background work, or an operation of it that has no row.
    Service(usize),
    /// Who has no ledger here.
    Outside,
}

/// Calls from one operation to another. Costs are ns per call.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge<N = f64> {
    /// Row id.
    pub id: String,
    /// `store POST /orders → warehouse POST /reservations`.
    pub shown: String,
    /// The caller.
    pub from: End,
    /// Who answers or consumes.
    pub to: End,
    /// Whether the caller waits.
    pub sync: bool,
    /// Whether it is a call inside one process already.
    pub local: bool,
    /// Service that carries the messages.
    pub broker: Option<usize>,
    /// Calls per second.
    pub rate: N,
    /// By origin.
    pub parts: Vec<EdgePart<N>>,
    /// Message CPU in the rows of the calling operation.
    pub caller_ns: N,
    /// Message CPU beside it: pool, driver.
    pub caller_pool_ns: N,
    /// Message CPU in the rows of the answering operation.
    pub callee_ns: N,
    /// Message CPU beside it: connections, the consumer's client.
    pub callee_pool_ns: N,
    /// The broker's.
    pub broker_ns: N,
    /// The part of it that is taking the publication in; the rest is sending it on.
    pub broker_publication_ns: N,
    /// The other edges that the same publication goes over: `caller_ns`, `caller_pool_ns` and `broker_publication_ns`
    /// are this edge's part of what is paid once.
    pub shares_with: Vec<usize>,
    /// The part of all of these that grows with bytes; 0 where sizes do not tell.
    pub by_bytes_ns: N,
    /// Whether sizes told it.
    pub by_bytes_known: bool,
    /// Body bytes of request and response, per call.
    pub bytes: f64,
    /// Mean wait of a synchronous caller, or age of a message when it was consumed, ns per call.
    pub wait_ns: Option<f64>,
    /// Of that wait, the share on the critical path of the caller's requests, 0 to 1; unknown when no row tells.
    pub critical_share: Option<f64>,
}

/// The part of an edge that belongs to an origin.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgePart<N = f64> {
    /// Index of the origin.
    pub origin: usize,
    /// Calls per second.
    pub rate: N,
}

/// Where chains of requests begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin<N = f64> {
    /// Label of its service.
    pub service: String,
    /// Its operation.
    pub operation: String,
    /// Chains that ended, per second; unknown when the root has no agent.
    pub rate: Option<N>,
    /// CPU of pools, drivers, connections and brokers for its calls, cores.
    pub carried: N,
    /// Index of the root operation (the one of its classes with most requests).
    pub root: Option<usize>,
    /// Wall times at the root: median, 95th and 99th percentile, mean; ns.
    pub wall_ns: Option<[f64; 4]>,
    /// Operations that an answer waits for: by synchronous edges, from the root.
    pub waits_for: Vec<usize>,
}

/// A data noun and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity<N = f64> {
    /// Its name.
    pub name: String,
    /// Index of the service that owns it; none when nothing shows an owner.
    pub owner: Option<usize>,
    /// Where it is.
    pub places: Vec<Place<N>>,
    /// Edges that keep copies in step.
    pub links: Vec<usize>,
    /// Share of touching requests that touch more than one key; unknown without keys.
    pub multi_key_share: Option<f64>,
    /// Share of touches that fall on the busiest key.
    pub top_key_share: Option<f64>,
}

/// An entity in one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Place<N = f64> {
    /// Index of the service.
    pub service: usize,
    /// Whether it is shown to be a copy.
    pub copy: bool,
    /// Bytes stored.
    pub bytes: Option<f64>,
    /// Operations that read it, with their statements per second; those that only apply changes left out.
    pub reads: Vec<(usize, N)>,
    /// Operations that write it, with their statements per second.
    pub writes: Vec<(usize, N)>,
    /// CPU of a write statement, ns.
    pub write_ns: Option<N>,
}

impl<N> Default for Inputs<N> {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            components: Vec::new(),
            operations: Vec::new(),
            edges: Vec::new(),
            origins: Vec::new(),
            entities: Vec::new(),
            local_call_ns: 0.0,
            crossing_ns: 0.0,
            remote_call_ns: None,
            message_ns: None,
        }
    }
}

/// Visits every number of inputs, always in one order.
macro_rules! each_number {
    ($inputs:expr, $visit:expr, $iter:ident $(, $mut:ident)?) => {{
        let (inputs, mut visit) = ($inputs, $visit);
        for s in inputs.services.$iter() {
            visit(&$($mut)? s.cores);
            visit(&$($mut)? s.background);
            visit(&$($mut)? s.agent);
            visit(&$($mut)? s.wake_ns);
            visit(&$($mut)? s.rest);
        }
        for o in inputs.operations.$iter() {
            visit(&$($mut)? o.rate);
            visit(&$($mut)? o.cores);
            for p in o.parts.$iter() {
                visit(&$($mut)? p.rate);
                visit(&$($mut)? p.cores);
            }
            o.wall_ns.$iter().for_each(&mut visit);
            o.hold_ns.$iter().for_each(&mut visit);
            o.retained_bytes.$iter().for_each(&mut visit);
        }
        for e in inputs.edges.$iter() {
            visit(&$($mut)? e.rate);
            for p in e.parts.$iter() {
                visit(&$($mut)? p.rate);
            }
            visit(&$($mut)? e.caller_ns);
            visit(&$($mut)? e.caller_pool_ns);
            visit(&$($mut)? e.callee_ns);
            visit(&$($mut)? e.callee_pool_ns);
            visit(&$($mut)? e.broker_ns);
            visit(&$($mut)? e.broker_publication_ns);
            visit(&$($mut)? e.by_bytes_ns);
        }
        for o in inputs.origins.$iter() {
            o.rate.$iter().for_each(&mut visit);
            visit(&$($mut)? o.carried);
        }
        for p in inputs.entities.$iter().flat_map(|e| e.places.$iter()) {
            p.reads.$iter().for_each(|(_, n)| visit(n));
            p.writes.$iter().for_each(|(_, n)| visit(n));
            p.write_ns.$iter().for_each(&mut visit);
        }
        inputs.remote_call_ns.$iter().for_each(&mut visit);
        inputs.message_ns.$iter().for_each(&mut visit);
    }};
}

impl<N> Inputs<N> {
    /// Takes the numbers of others that were made from the same by [`map`](Self::map): names and places stay, which are
    /// most of what there is.
    pub(super) fn renumber<M>(&mut self, from: &Inputs<M>, f: impl Fn(&M) -> N) {
        let mut numbers = Vec::new();
        each_number!(from, |n| numbers.push(f(n)), iter);
        let mut numbers = numbers.into_iter();
        let mut take = |n: &mut N| {
            if let Some(number) = numbers.next() {
                *n = number;
            }
        };
        each_number!(self, |n| take(n), iter_mut, mut);
    }

    /// The same, with every number turned into another.
    pub fn map<M>(&self, f: &impl Fn(&N) -> M) -> Inputs<M> {
        let all = |list: &[(usize, N)]| list.iter().map(|(i, n)| (*i, f(n))).collect();
        Inputs {
            services: self
                .services
                .iter()
                .map(|s| Service {
                    label: s.label.clone(),
                    has_agent: s.has_agent,
                    instances: s.instances,
                    min_replicas: s.min_replicas,
                    cores_limit: s.cores_limit,
                    cores: f(&s.cores),
                    background: f(&s.background),
                    agent: f(&s.agent),
                    wake_ns: f(&s.wake_ns),
                    rest: f(&s.rest),
                    base_bytes: s.base_bytes,
                    peak_bytes: s.peak_bytes,
                })
                .collect(),
            components: self.components.clone(),
            operations: self
                .operations
                .iter()
                .map(|o| Operation {
                    service: o.service,
                    component: o.component,
                    name: o.name.clone(),
                    row: o.row.clone(),
                    rate: f(&o.rate),
                    cores: f(&o.cores),
                    parts: o
                        .parts
                        .iter()
                        .map(|p| Part {
                            origin: p.origin,
                            rate: f(&p.rate),
                            cores: f(&p.cores),
                        })
                        .collect(),
                    in_flight: o.in_flight,
                    wall_ns: o.wall_ns.as_ref().map(f),
                    held_bytes: o.held_bytes,
                    held_max_bytes: o.held_max_bytes,
                    retained_bytes: o.retained_bytes.as_ref().map(f),
                    service_cs2: o.service_cs2,
                    arrival_cs2: o.arrival_cs2,
                    spread_known: o.spread_known,
                    shapes: o.shapes.clone(),
                    wait_call_ns: o.wait_call_ns,
                    hold_ns: o.hold_ns.as_ref().map(f),
                })
                .collect(),
            edges: self
                .edges
                .iter()
                .map(|e| Edge {
                    id: e.id.clone(),
                    shown: e.shown.clone(),
                    from: e.from,
                    to: e.to,
                    sync: e.sync,
                    local: e.local,
                    broker: e.broker,
                    rate: f(&e.rate),
                    parts: e
                        .parts
                        .iter()
                        .map(|p| EdgePart {
                            origin: p.origin,
                            rate: f(&p.rate),
                        })
                        .collect(),
                    caller_ns: f(&e.caller_ns),
                    caller_pool_ns: f(&e.caller_pool_ns),
                    callee_ns: f(&e.callee_ns),
                    callee_pool_ns: f(&e.callee_pool_ns),
                    broker_ns: f(&e.broker_ns),
                    broker_publication_ns: f(&e.broker_publication_ns),
                    shares_with: e.shares_with.clone(),
                    by_bytes_ns: f(&e.by_bytes_ns),
                    by_bytes_known: e.by_bytes_known,
                    bytes: e.bytes,
                    wait_ns: e.wait_ns,
                    critical_share: e.critical_share,
                })
                .collect(),
            origins: self
                .origins
                .iter()
                .map(|o| Origin {
                    service: o.service.clone(),
                    operation: o.operation.clone(),
                    rate: o.rate.as_ref().map(f),
                    carried: f(&o.carried),
                    root: o.root,
                    wall_ns: o.wall_ns,
                    waits_for: o.waits_for.clone(),
                })
                .collect(),
            entities: self
                .entities
                .iter()
                .map(|e| Entity {
                    name: e.name.clone(),
                    owner: e.owner,
                    places: e
                        .places
                        .iter()
                        .map(|p| Place {
                            service: p.service,
                            copy: p.copy,
                            bytes: p.bytes,
                            reads: all(&p.reads),
                            writes: all(&p.writes),
                            write_ns: p.write_ns.as_ref().map(f),
                        })
                        .collect(),
                    links: e.links.clone(),
                    multi_key_share: e.multi_key_share,
                    top_key_share: e.top_key_share,
                })
                .collect(),
            local_call_ns: self.local_call_ns,
            crossing_ns: self.crossing_ns,
            remote_call_ns: self.remote_call_ns.as_ref().map(f),
            message_ns: self.message_ns.as_ref().map(f),
        }
    }
}

impl Operation {
    /// The section that its requests pass one at a time. How long one is in it is taken to vary as their CPU does.
    pub(super) fn section(&self) -> Option<Section> {
        let hold = self.hold_ns.filter(|ns| *ns > 0.0)? * 1e-9;
        Some(Section {
            hold,
            hold_cs2: self.service_cs2,
            arrival_cs2: self.arrival_cs2,
        })
    }
}

impl Edge {
    /// What a call costs in messages on the caller's side, ns.
    #[must_use]
    pub fn caller_total_ns(&self) -> f64 {
        self.caller_ns + self.caller_pool_ns
    }

    /// What a message costs the broker to send on, ns.
    #[must_use]
    pub fn broker_delivery_ns(&self) -> f64 {
        self.broker_ns - self.broker_publication_ns
    }

    /// What a call costs in messages on the answering side, ns.
    #[must_use]
    pub fn callee_total_ns(&self) -> f64 {
        self.callee_ns + self.callee_pool_ns
    }
}

impl<N> Edge<N> {
    /// Messages of one call: one there, and one back when it is answered.
    #[must_use]
    pub fn messages(&self) -> f64 {
        if self.sync { 2.0 } else { 1.0 }
    }

    /// The same at the caller's end, where a publication is sent once for all who get it.
    #[must_use]
    pub fn messages_of_caller(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let receivers = (self.shares_with.len() + 1) as f64;
        self.messages() / receivers
    }
}

#[cfg(test)]
mod tests {
    use super::super::Weighed;
    use crate::Options;
    use crate::testing::System;

    #[test]
    fn numbers_of_a_draw_go_to_the_places_that_they_have_in_a_new_one() {
        let mut s = System::new(40);
        s.root("a", "GET /a", 20, [300_000; 6]);
        s.http(("a", "GET /a"), ("b", "GET /b"), 20, 2, 80_000, 50_000);
        s.message(("b", "GET /b"), ("c", "CONSUME x"), 40, "x", 60_000, 40_000);
        s.uses("b", "GET /b", "item", "write", 40);
        s.uses("c", "CONSUME x", "item", "write", 40);
        s.uses("c", "CONSUME x", "item", "read", 10);
        // In one window alone: many draws do not hold it, and have no price of its calls.
        s.root("a", "GET /rare", 1, [300_000; 6]);
        s.operation("a", "GET /rare").course = Some(|w| (i64::from(w == 7), 3_000_000));
        let call = s.http(("a", "GET /rare"), ("b", "GET /all"), 1, 1, 80_000, 50_000);
        call.course = Some(|w| i64::from(w == 7));
        s.operation("b", "GET /all").course = Some(|w| (i64::from(w == 7), 3_000_000));
        s.retains("b", "GET /b", 4 << 20, 1 << 20);
        let weighed = Weighed::read(&s.range(), &Options::default());
        let mut inputs = weighed.inputs().clone();
        for draw in (0..weighed.draws()).rev() {
            weighed.redraw(&mut inputs, draw);
            assert_eq!(inputs, weighed.draw(draw));
            assert!(!format!("{inputs:?}").contains("NaN"), "{draw}: {inputs:?}");
        }
        weighed.redraw(&mut inputs, 3);
        assert_ne!(inputs, *weighed.inputs());
    }
}
