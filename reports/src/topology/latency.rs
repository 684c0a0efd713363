//! Latency of a changed topology: what was measured, less what leaves the critical path, plus what joins it.
//!
//! Means follow the call shapes: steps run one after the other, calls inside a step side by side, so a step lasts as
//! long as its longest branch. A call that becomes local lasts as long as its callee works: the task keeps the core that
//! it has. Waits for cores change by the difference of the queue model. Quantiles are those measured at the root, scaled by the change of the mean: never
//! sums of quantiles.

use std::collections::BTreeMap;

use super::direct::callees_first;
use super::evaluate::Priced;
use super::{Branch, End, Inputs, Operation, Origin, Topology, Way, copies};

/// Mean latency of each operation's requests that come from elsewhere, before and after.
pub(super) struct Latency {
    before: Vec<Option<f64>>,
    after: Vec<Option<f64>>,
    /// What gets more than it can do, in words.
    saturated: Option<String>,
}

/// Mean time of an operation's request, ns.
#[derive(Clone, Copy)]
struct Time {
    /// Of one that comes from elsewhere and waits for a core.
    queued: f64,
    /// Of one that a task of the same process calls, on the core that it has.
    direct: f64,
}

impl Time {
    /// When one that waits so long for a core, by the model, takes `queued`; none is shorter than `least`.
    fn of(queued: f64, wait: f64, least: f64) -> Self {
        let queued = queued.max(least);
        Self {
            queued,
            direct: (queued - wait).max(least),
        }
    }
}

/// Mean waits of an operation's requests by the model, ns.
#[derive(Clone, Copy)]
struct Wait {
    /// For a core: before, after. Both nothing where either is not known.
    core: (f64, f64),
    /// Change of the wait for a turn.
    turn: f64,
}

struct Walk<'a> {
    inputs: &'a Inputs,
    topology: &'a Topology,
    was: &'a Priced,
    is: &'a Priced,
    /// By operation; none where the new place is saturated.
    waits: Vec<Option<Wait>>,
    remote: BTreeMap<usize, f64>,
    /// What a call that becomes remote takes beyond its callee, ns.
    travel: f64,
    out: Vec<Vec<usize>>,
    done: Vec<Option<Option<Time>>>,
    walking: Vec<bool>,
    depth: usize,
}

/// Calls below each other that are followed inside a ring.
const DEPTH_MAX: usize = 64;

impl Latency {
    pub(super) fn of(
        inputs: &Inputs,
        topology: &Topology,
        after: &Priced,
        before: &Priced,
    ) -> Self {
        let mut saturated = None;
        let waits: Vec<Option<Wait>> = inputs
            .operations
            .iter()
            .enumerate()
            .map(|(at, operation)| {
                // Before, each service is its own deployable.
                let was = before.wait[operation.service];
                let place = topology.place[at];
                let is = after.wait[place];
                let name = &topology.deployables[place].name;
                let core = match (was, is) {
                    (Some(was), Some(is)) => Some((was * 1e9, is * 1e9)),
                    // No cores known: nobody can tell a wait, before or after.
                    _ if topology.deployables[place].cores_limit.is_none() => Some((0.0, 0.0)),
                    // Saturated before: what was measured holds no wait that an open queue explains.
                    (None, _) => Some((0.0, 0.0)),
                    (Some(_), None) => {
                        saturated = Some(name.clone());
                        None
                    }
                };
                let turn = match (before.turn[at], after.turn[at]) {
                    (Some(was), Some(is)) => Some((is - was) * 1e9),
                    (None, _) => Some(0.0),
                    (Some(_), None) => {
                        saturated = Some(format!("the serial section of {}", operation.name));
                        None
                    }
                };
                Some(Wait {
                    core: core?,
                    turn: turn?,
                })
            })
            .collect();
        let mut out = vec![Vec::new(); inputs.operations.len()];
        for (at, edge) in inputs.edges.iter().enumerate() {
            if let End::Operation(from) = edge.from {
                out[from].push(at);
            }
        }
        let travel = copies::travel_ns(inputs).unwrap_or(0.0);
        let mut remote = BTreeMap::new();
        for (operation, rate, _) in copies::remote_reads(inputs, topology) {
            let requests = inputs.operations[operation].rate;
            if requests > 0.0 {
                *remote.entry(operation).or_insert(0.0) += rate / requests * travel;
            }
        }
        let mut walk = Walk {
            inputs,
            topology,
            was: before,
            is: after,
            waits,
            remote,
            travel,
            out,
            done: vec![None; inputs.operations.len()],
            walking: vec![false; inputs.operations.len()],
            depth: 0,
        };
        // Callees first, so that a chain of any length is no recursion; then what calls in rings.
        let count = inputs.operations.len();
        let calls = inputs
            .edges
            .iter()
            .filter_map(|edge| match (edge.from, edge.to) {
                (End::Operation(from), End::Operation(to)) => Some((from, to)),
                _ => None,
            });
        for at in callees_first(count, calls) {
            walk.operation(at);
        }
        let after = (0..count)
            .map(|at| Some(walk.operation(at)?.queued))
            .collect();
        let before = (0..count).map(|at| Some(walk.before(at)?.queued)).collect();
        Self {
            before,
            after,
            saturated,
        }
    }

    /// Median, 95th, 99th percentile and mean of an origin; or why they are not known.
    pub(super) fn origin(&self, origin: &Origin) -> (Option<[f64; 4]>, Option<String>) {
        let Some((root, wall)) = origin.root.zip(origin.wall_ns) else {
            return (
                None,
                Some("no wall times of the root were recorded".to_owned()),
            );
        };
        match (self.before[root], self.after[root]) {
            (Some(before), Some(after)) if before > 0.0 => {
                (Some(wall.map(|ns| ns * after / before)), None)
            }
            (_, None) if self.saturated.is_some() => {
                let name = self.saturated.as_deref().unwrap_or_default();
                (
                    None,
                    Some(format!("{name} is saturated: its queue grows without end")),
                )
            }
            _ => (
                None,
                Some("the wall time of the root is not known".to_owned()),
            ),
        }
    }
}

impl Walk<'_> {
    /// Mean time of an operation's request as it was measured. Those that a task of the same process called did not
    /// wait for a core.
    fn before(&self, at: usize) -> Option<Time> {
        let wall = self.inputs.operations[at].wall_ns?;
        let wait = self.waits[at].map_or(0.0, |wait| wait.core.0);
        let queued = wall + self.was.direct.share(at) * wait;
        Some(Time::of(queued, wait, self.was.request_ns[at].min(wall)))
    }

    /// Mean time of an operation's request in the new topology; unknown below a saturated one.
    fn operation(&mut self, at: usize) -> Option<Time> {
        if let Some(done) = self.done[at] {
            return done;
        }
        let operation = &self.inputs.operations[at];
        // A ring of calls: what was measured stands for the inner round.
        if self.walking[at] || self.depth >= DEPTH_MAX {
            return self.before(at);
        }
        self.walking[at] = true;
        self.depth += 1;
        let time = self.time(at, operation);
        self.depth -= 1;
        self.walking[at] = false;
        self.done[at] = Some(time);
        time
    }

    fn time(&mut self, at: usize, operation: &Operation) -> Option<Time> {
        let wall = operation.wall_ns?;
        let change = if operation.shapes.is_empty() {
            self.without_shapes(at, operation)?
        } else {
            self.with_shapes(operation)?
        };
        let inline = self.inline(at, operation)?;
        let own = self.own(at, operation);
        let remote = self.remote.get(&at).copied().unwrap_or(0.0);
        let wait = self.waits[at]?;
        let (was, is) = wait.core;
        let queued =
            self.before(at)?.queued + change + inline + own + remote + is - was + wait.turn;
        // Work side by side may use more CPU than time passes.
        Some(Time::of(queued, is, self.is.request_ns[at].min(wall)))
    }

    /// Encoding and decoding that the operation itself no longer does, per request.
    fn own(&self, at: usize, operation: &Operation) -> f64 {
        if operation.rate <= 0.0 {
            return 0.0;
        }
        self.out[at]
            .iter()
            .map(|e| (*e, &self.inputs.edges[*e]))
            .filter(|(e, edge)| {
                let way = self.topology.ways[*e];
                !edge.local && (way == Way::Inline || edge.sync && way == Way::Local)
            })
            .map(|(_, edge)| {
                -(edge.caller_ns - self.inputs.local_call_ns) * edge.rate / operation.rate
            })
            .sum()
    }

    /// Asynchronous consumers that now run inside the request.
    fn inline(&mut self, at: usize, operation: &Operation) -> Option<f64> {
        let mut sum = 0.0;
        for e in self.out[at].clone() {
            let edge = &self.inputs.edges[e];
            if let (Way::Inline, End::Operation(to)) = (self.topology.ways[e], edge.to)
                && operation.rate > 0.0
            {
                let calls = edge.rate / operation.rate;
                let decoding = edge.callee_ns;
                let time = (self.operation(to)?.direct - decoding).max(0.0);
                sum += calls * (time + self.inputs.local_call_ns);
            }
        }
        Some(sum)
    }

    /// Time of one call in the new topology, when it took `wall` before. `None` below a saturated callee.
    fn call(&mut self, at: usize, wall: f64) -> Option<f64> {
        let edge = &self.inputs.edges[at];
        let End::Operation(to) = edge.to else {
            return Some(wall);
        };
        if copies::link_is_gone(self.inputs, self.topology, at) {
            return Some(0.0);
        }
        let (callee_ns, local_call_ns, was_local) =
            (edge.callee_ns, self.inputs.local_call_ns, edge.local);
        let before = self.before(to);
        let (before, after) = match (before, self.operation(to)) {
            (Some(before), Some(after)) => (before, after),
            (Some(_), None) => return None,
            (None, _) => return Some(wall),
        };
        let as_called = |priced: &Priced, time: Time| {
            if priced.direct.is(at) {
                time.direct
            } else {
                time.queued
            }
        };
        let (before, after) = (as_called(self.was, before), as_called(self.is, after));
        Some(match self.topology.ways[at] {
            Way::Local | Way::Inline if !was_local => {
                // At most as long as it took: a local call never waits for a network.
                (after - callee_ns)
                    .max(0.0)
                    .min((wall + after - before).max(0.0))
                    + local_call_ns
            }
            Way::Remote if was_local => wall + (after - before) + self.travel,
            _ => (wall + after - before).max(0.0),
        })
    }

    /// Time of one call that carries what several did, when one took `wall` before: the callee works on one after the
    /// other, the rest of the call is waited for once.
    fn batch(&mut self, at: usize, wall: f64) -> Option<f64> {
        let one = self.call(at, wall)?;
        let calls = self.topology.batched.get(&at).copied().unwrap_or(1.0);
        let edge = &self.inputs.edges[at];
        let (End::Operation(to), true) = (edge.to, calls > 1.0) else {
            return Some(one);
        };
        let callee_ns = edge.callee_ns;
        // They wait for a core once.
        let callee = self.operation(to).map_or(0.0, |time| time.direct);
        Some(one + (calls - 1.0) * (callee - callee_ns).clamp(0.0, one))
    }

    fn with_shapes(&mut self, operation: &Operation) -> Option<f64> {
        let mut change = 0.0;
        for shape in operation.shapes.clone() {
            for step in &shape.steps {
                let waited: Vec<&Branch> = step.branches.iter().filter(|b| !b.detached).collect();
                if waited.iter().all(|branch| branch.edge.is_none()) {
                    continue;
                }
                let beside = waited.len() > 1 || waited.iter().any(|b| b.beside);
                let (mut before, mut after, mut serial) = (0.0_f64, 0.0_f64, 0.0_f64);
                for branch in waited {
                    let batch = branch
                        .edge
                        .and_then(|e| self.topology.batched.get(&e))
                        .copied();
                    let now = match branch.edge {
                        Some(edge) => self.batch(edge, branch.wall_ns)?,
                        None => branch.wall_ns,
                    };
                    if beside {
                        // Side by side a step lasts as long as its longest branch, if it is taken at all.
                        let taken = branch.calls.min(1.0);
                        before = before.max(taken * branch.wall_ns);
                        if branch.edge.is_some_and(|edge| self.is_serial(edge)) {
                            serial += branch.calls / batch.unwrap_or(1.0).max(1.0) * now;
                        } else {
                            after = after.max(taken * now);
                        }
                    } else {
                        before += branch.calls * branch.wall_ns;
                        after += branch.calls / batch.unwrap_or(1.0).max(1.0) * now;
                    }
                }
                change += shape.share * (after.max(serial) - before);
            }
        }
        Some(change)
    }

    /// Are the calls of this edge made one after the other now, whatever they were?
    fn is_serial(&self, edge: usize) -> bool {
        self.topology.serial.contains(&edge) && self.topology.ways[edge] == Way::Local
    }

    /// Without shapes: what of the calls is on the critical path; where no row tells, one after the other, as far as
    /// the time that the operation waited for calls allows.
    fn without_shapes(&mut self, at: usize, operation: &Operation) -> Option<f64> {
        if operation.rate <= 0.0 {
            return Some(0.0);
        }
        let mut before = 0.0;
        let (mut after, mut serial) = (0.0, 0.0);
        for e in self.out[at].clone() {
            let edge = &self.inputs.edges[e];
            let Some(wall) = edge.wait_ns.filter(|_| edge.sync) else {
                continue;
            };
            // Of a call that runs beside others only what is critical counts.
            let all = edge.rate / operation.rate;
            let calls = all * edge.critical_share.unwrap_or(1.0);
            let batch = self
                .topology
                .batched
                .get(&e)
                .copied()
                .unwrap_or(1.0)
                .max(1.0);
            before += calls * wall;
            if self.is_serial(e) {
                serial += all / batch * self.batch(e, wall)?;
            } else {
                after += calls / batch * self.batch(e, wall)?;
            }
        }
        // They waited for more than there was time: the calls ran side by side.
        let room = operation
            .wait_call_ns
            .or(operation.wall_ns)
            .unwrap_or(before)
            .max(0.0);
        let fits = if before > room && before > 0.0 {
            room / before
        } else {
            1.0
        };
        Some((after - before) * fits + serial)
    }
}
