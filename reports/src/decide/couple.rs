//! What stands against putting two services into one process, beside memory: short requests behind long ones, a
//! lock, a store that limits both.

use std::rc::Rc;

use weighbridge_wire::column;

use super::context::Context;
use super::say;
use crate::document::Verdict;
use crate::model::{Edge, OperationId, ServiceFacts, as_f64};
use crate::queue::{ClassLoad, Mixture};

/// Thresholds of the objections.
#[derive(Clone, Debug)]
pub(crate) struct Couple {
    /// CPU of a heavy request ÷ mean CPU of the other service's, above which it is heavy.
    pub(crate) size_ratio_min: f64,
    /// Share of the CPU of both services' operations that the heavy one takes.
    pub(crate) cpu_share_min: f64,
    /// Wait that a merge adds to a request from outside ÷ its wall time, above which it is refused.
    pub(crate) added_wait_max: f64,
    /// Share of the called operations' wall time that is spent waiting for stores, above which the store limits them.
    pub(crate) store_share_max: f64,
}

impl Default for Couple {
    fn default() -> Self {
        Self {
            size_ratio_min: 10.0,
            cpu_share_min: 0.1,
            added_wait_max: 0.5,
            store_share_max: 0.5,
        }
    }
}

/// An operation as load, and who feels it.
struct Member {
    id: OperationId,
    load: ClassLoad,
    /// Requests of the system's users in a second.
    from_outside: f64,
    /// Calls of other services in a second, for whose answer they wait, by service.
    from_services: Vec<(usize, f64)>,
    wall_ns: f64,
}

impl Member {
    /// Requests in a second that somebody waits for who would not share the process: those of `partner` become calls
    /// inside it.
    fn felt(&self, partner: usize) -> f64 {
        let others = self.from_services.iter();
        let others = others.filter(|(service, _)| *service != partner);
        self.from_outside + others.map(|(_, rate)| rate).sum::<f64>()
    }
}

/// A service as a queue for its cores.
pub(super) struct Side {
    members: Vec<Member>,
    /// Requests in a second, and seconds of CPU in one.
    rate: f64,
    cpu: f64,
    /// Mean CPU of the heaviest kind of request, seconds.
    longest: f64,
    /// Cores of a process.
    limit: f64,
    instances: f64,
    /// Mean wait for a core, seconds. `None` at saturation.
    wait: Option<f64>,
}

impl Couple {
    /// Why these two should not share a process, with the figures.
    pub(crate) fn stands(
        &self,
        context: &Context<'_>,
        (a, b): (usize, usize),
        edges: &[&Edge],
    ) -> Option<String> {
        self.waits(context, a, b)
            .or_else(|| self.waits(context, b, a))
            .or_else(|| context.lock_once(a, || lock(context, a)))
            .or_else(|| context.lock_once(b, || lock(context, b)))
            .or_else(|| self.store(context, edges))
    }

    /// As [`stands`](Self::stands), or why that cannot be told.
    pub(crate) fn objection(
        &self,
        context: &Context<'_>,
        (a, b): (usize, usize),
        edges: &[&Edge],
    ) -> Option<(Verdict, String)> {
        match self.stands(context, (a, b), edges) {
            Some(why) => Some((Verdict::Leave, why)),
            None => Some((Verdict::Try, waits_unknown(context, a, b)?)),
        }
    }

    /// Requests to `short` that others wait for, behind heavy ones of `long`. The merged process is given the cores of
    /// both, which is the best that can be done for it.
    fn waits(&self, context: &Context<'_>, short: usize, long: usize) -> Option<String> {
        let (apart, other) = (side(context, short)?, side(context, long)?);
        let mean = apart.cpu / apart.rate;
        // Asked of every pair of a large system: most have nothing heavy.
        if other.longest < self.size_ratio_min * mean {
            return None;
        }
        let both = apart.cpu + other.cpu;
        let heavy = other
            .members
            .iter()
            .filter(|m| m.load.mean >= self.size_ratio_min * mean)
            .filter(|m| m.load.rate * m.load.mean >= self.cpu_share_min * both)
            .max_by(|x, y| (x.load.mean).total_cmp(&y.load.mean))?;
        let felt: f64 = apart.members.iter().map(|m| m.felt(long)).sum();
        if felt <= 0.0 {
            return None;
        }
        let wall = apart
            .members
            .iter()
            .map(|m| m.felt(long) * m.wall_ns)
            .sum::<f64>()
            / felt;
        let (name_short, name_long) = (context.label(short), context.label(long));
        let before = apart.wait?;
        let limit = apart.limit + other.limit;
        let processes = apart.instances.max(other.instances);
        let Some(after) = wait(&[&apart, &other], limit, processes) else {
            return Some(format!(
                "In one process they would be saturated: {} of {name_long} takes what the requests of {name_short} need.",
                heavy.id.shown()
            ));
        };
        let added = (after - before) * 1e9;
        (added > self.added_wait_max * wall).then(|| {
            format!(
                "Requests of {name_short} would wait behind {} of {name_long}, which needs {} of CPU at a time: {} longer by the queue model, where one takes {} now.",
                heavy.id.shown(),
                say::ns(heavy.load.mean * 1e9),
                say::ns(added),
                say::ns(wall)
            )
        })
    }

    /// Where the called operations mostly wait for their store, messages are not what limits them.
    fn store(&self, context: &Context<'_>, edges: &[&Edge]) -> Option<String> {
        let (mut wall, mut store) = (0.0, 0.0);
        for edge in edges {
            let service = context.service(edge.joined.to.service?);
            let facts = service.operations.get(&edge.joined.to.operation)?;
            wall += as_f64(facts.all.total(column::WALL_NS)?);
            store += as_f64(facts.all.total(column::WAIT_STORE_NS)?);
        }
        let share = store / wall;
        (wall > 0.0 && share > self.store_share_max).then(|| {
            format!(
                "Their store is what limits them: the called operations spend {} of their time waiting for it, and a merge changes nothing about that.",
                say::share(share)
            )
        })
    }
}

/// Why nothing can be said about the waits in a common process; `None` when it can.
fn waits_unknown(context: &Context<'_>, a: usize, b: usize) -> Option<String> {
    for index in [a, b] {
        let label = context.label(index);
        let Some(side) = side(context, index) else {
            return Some(format!(
                "What one process would do to the waits cannot be computed: the cores of {label} or how its requests vary are not known."
            ));
        };
        if side.wait.is_none() {
            return Some(format!(
                "What one process would do to the waits cannot be computed: {label} is saturated at the load seen."
            ));
        }
    }
    None
}

/// A serial section in one of them would hold up the other's requests too, and their replicas would become fewer.
fn lock(context: &Context<'_>, index: usize) -> Option<String> {
    let serial = context.model.serial(context.service(index)).ok()?;
    Some(format!(
        "Requests of {} of {} queue for something inside it that only one can have at a time (serial share {}, {} at most; its cores are {} busy): in one process more would stand in that queue.",
        serial.operation.shown(),
        context.label(index),
        say::share(serial.fit.law.alpha.min(1.0)),
        say::rate(serial.most.point),
        say::share(serial.utilisation)
    ))
}

fn side(context: &Context<'_>, index: usize) -> Option<Rc<Side>> {
    context.side_once(index, || read_side(context, index))
}

fn read_side(context: &Context<'_>, index: usize) -> Option<Side> {
    let service: &ServiceFacts = context.service(index);
    let members: Vec<Member> = service
        .operations
        .iter()
        .filter_map(|(id, facts)| {
            let load = context.model.class_load(service, id, facts)?;
            let ended = facts.all.total(column::ENDED).map(as_f64)?;
            let outside = facts.root.total(column::ENDED).map_or(0.0, as_f64);
            Some(Member {
                id: id.clone(),
                load,
                from_outside: load.rate * outside / ended,
                from_services: context.callers(index, id),
                wall_ns: facts.all.total(column::WALL_NS).map(as_f64)? / ended,
            })
        })
        .collect();
    if members.is_empty() {
        return None;
    }
    let mut side = Side {
        rate: members.iter().map(|m| m.load.rate).sum(),
        cpu: members.iter().map(|m| m.load.rate * m.load.mean).sum(),
        longest: members.iter().map(|m| m.load.mean).fold(0.0, f64::max),
        members,
        limit: (context.model.cores_limit(service)).filter(|limit| *limit > 0.0)?,
        instances: context.model.instances(service)?.max(1.0),
        wait: None,
    };
    side.wait = wait(&[&side], side.limit, side.instances);
    Some(side)
}

/// Mean wait in one of so many processes that hold these, seconds.
fn wait(sides: &[&Side], limit: f64, processes: f64) -> Option<f64> {
    let loads: Vec<ClassLoad> = sides
        .iter()
        .flat_map(|side| &side.members)
        .map(|member| ClassLoad {
            rate: member.load.rate / processes,
            ..member.load
        })
        .collect();
    Mixture::of(&loads)?.wait_on(limit)
}
