//! What every rule needs: data, settings, sufficiency, and shapes of answers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use weighbridge_wire::column;

use super::couple::Side;
use super::memory::PairMemory;
use super::{Finding, say};
use crate::Options;
use crate::document::{
    EntityReport, Figure, FigureUnit, Observe, ObserveWhat, Prediction, Subject, SubjectKind,
    Threshold, Verdict,
};
use crate::model::{DAY_NS, Edge, Estimate, Model, OperationId, ServiceFacts};
use crate::topology::{
    Change, EdgesOf, Figures, Load, Moved, Rules, Sharded, TakenOut, Together, Weighed,
    apart_and_together,
};

/// By the pair of services, the lower index first.
type Pairs = BTreeMap<(usize, usize), Option<Rc<Together>>>;

/// Data and settings.
pub(crate) struct Context<'a> {
    pub(crate) model: &'a Model,
    pub(crate) options: &'a Options,
    pub(crate) entities: &'a [EntityReport],
    /// Edges by the pair of services that they join, the lower index first.
    between: BTreeMap<(usize, usize), Vec<&'a Edge>>,
    /// The same by the service that is called.
    into_service: BTreeMap<usize, Vec<&'a Edge>>,
    /// The same model, ready for topologies.
    pub(crate) weighed: &'a Weighed,
    edges_of: EdgesOf,
    /// Constraints and what the data implies; none when the constraints do not fit the system, and then nothing is
    /// searched either.
    rules: Option<Rules>,
    /// What pairs save in one process, as far as somebody asked.
    together: RefCell<Pairs>,
    /// Their memory, likewise: several rules ask for the same pair.
    memory: RefCell<BTreeMap<(usize, usize), Option<PairMemory>>>,
    /// Services as queues for their cores, and what is said of their serial sections, likewise.
    sides: RefCell<BTreeMap<usize, Option<Rc<Side>>>>,
    locks: RefCell<BTreeMap<usize, Option<String>>>,
}

/// Where a figure lies against a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// The whole interval is above.
    Above,
    /// The whole interval is at or below.
    Below,
    /// The interval crosses the threshold, or there is none; why.
    Unclear(String),
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        model: &'a Model,
        options: &'a Options,
        entities: &'a [EntityReport],
        weighed: &'a Weighed,
    ) -> Self {
        let mut between: BTreeMap<(usize, usize), Vec<&'a Edge>> = BTreeMap::new();
        let mut into_service: BTreeMap<usize, Vec<&'a Edge>> = BTreeMap::new();
        for edge in &model.edges {
            if let Some((a, b)) = edge.between_services() {
                between.entry((a.min(b), a.max(b))).or_default().push(edge);
                into_service.entry(b).or_default().push(edge);
            }
        }
        Self {
            model,
            options,
            entities,
            between,
            into_service,
            weighed,
            edges_of: EdgesOf::new(weighed.inputs()),
            rules: Rules::of(weighed.inputs(), &options.constraints).ok(),
            together: RefCell::default(),
            memory: RefCell::default(),
            sides: RefCell::default(),
            locks: RefCell::default(),
        }
    }

    /// What two services save in one process, by the topology engine: what `simulate` says of the same merge.
    pub(crate) fn together(&self, a: usize, b: usize) -> Option<Rc<Together>> {
        let key = (a.min(b), a.max(b));
        self.together
            .borrow_mut()
            .entry(key)
            .or_insert_with(|| {
                self.weighed
                    .together(&self.edges_of, [key.0, key.1])
                    .map(Rc::new)
            })
            .clone()
    }

    /// Cores that an edge between two services saves when so many of its calls become one, by the topology engine.
    pub(crate) fn batched(&self, edge: &Edge, calls: f64) -> Option<Estimate> {
        let (a, b) = edge.between_services()?;
        self.weighed
            .batched(&self.edges_of, [a, b], &edge.id, calls)
    }

    /// Why one process of both services fits on no node, where it does not: at the largest load planned for.
    pub(crate) fn no_node_holds(&self, a: usize, b: usize) -> Option<String> {
        let node = self.options.constraints.node;
        let (cores, bytes) = (node.cores, node.memory_bytes);
        let limit = [a, b]
            .into_iter()
            .filter_map(|at| self.model.cores_limit(self.service(at)))
            .reduce(f64::max);
        if let Some((limit, node)) = limit.zip(cores).filter(|(limit, node)| limit > node) {
            return Some(format!(
                "One process of both needs {}, a node has {}.",
                say::cores(limit),
                say::cores(node)
            ));
        }
        let node = bytes?;
        let load = Load::planned(self.options, self.options.design_load());
        let (_, together) = self.apart_and_together((a, b), &load)?;
        let held = together.deployables.first()?.process_bytes?;
        (held > node).then(|| {
            format!(
                "One process of both holds {}, a node has {}.",
                say::bytes(held),
                say::bytes(node)
            )
        })
    }

    /// The place of an operation in the topology engine's numbers.
    pub(crate) fn operation_at(&self, service: usize, id: &OperationId) -> Option<usize> {
        let inputs = self.weighed.inputs();
        let row = id.row(self.label(service));
        let of = |o: &crate::topology::Operation| o.service == service && o.row == row;
        inputs.operations.iter().position(of)
    }

    /// The load that was seen, and the largest one planned for.
    fn loads(&self) -> (Load, Load) {
        (
            Load::seen(self.options),
            Load::planned(self.options, self.options.design_load()),
        )
    }

    /// An operation taken out of its service by a change, by the topology engine.
    pub(crate) fn taken_out(
        &self,
        service: usize,
        id: &OperationId,
        change: &Change,
    ) -> Option<TakenOut> {
        let (seen, planned) = self.loads();
        let at = self.operation_at(service, id)?;
        self.weighed
            .taken_out(&self.edges_of, at, change, (&seen, &planned))
    }

    /// An operation moved to another service by a change, by the topology engine; `None` where that saves no more than
    /// this share of both services' cores.
    pub(crate) fn moved(
        &self,
        operation: usize,
        to: usize,
        change: &Change,
        share_min: f64,
    ) -> Option<Moved> {
        let (seen, planned) = self.loads();
        let loads = (&seen, &planned);
        self.weighed
            .moved(&self.edges_of, (operation, to), change, loads, share_min)
    }

    /// A service divided by the key of an entity, by the topology engine; `None` where it needs no more processes than it
    /// has at the largest load planned for.
    pub(crate) fn sharded(&self, service: usize, entity: usize) -> Option<Sharded> {
        let (seen, planned) = self.loads();
        self.weighed
            .sharded(&self.edges_of, (service, entity), (&seen, &planned))
    }

    /// The memory of a pair, worked out when somebody asks first.
    pub(crate) fn memory_once(
        &self,
        pair: (usize, usize),
        work_out: impl FnOnce() -> Option<PairMemory>,
    ) -> Option<PairMemory> {
        let mut known = self.memory.borrow_mut();
        known.entry(pair).or_insert_with(work_out).clone()
    }

    pub(super) fn side_once(
        &self,
        service: usize,
        work_out: impl FnOnce() -> Option<Side>,
    ) -> Option<Rc<Side>> {
        let mut known = self.sides.borrow_mut();
        let side = known.entry(service);
        side.or_insert_with(|| work_out().map(Rc::new)).clone()
    }

    pub(super) fn lock_once(
        &self,
        service: usize,
        work_out: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        let mut known = self.locks.borrow_mut();
        known.entry(service).or_insert_with(work_out).clone()
    }

    /// Calls in a second that other services make of an operation and wait for, by service.
    pub(super) fn callers(&self, service: usize, id: &OperationId) -> Vec<(usize, f64)> {
        let edges = self.into_service.get(&service).into_iter().flatten();
        edges
            .filter(|edge| edge.is_sync() && edge.joined.to.operation == *id)
            .filter_map(|edge| Some((edge.between_services()?.0, edge.cost.rate.as_ref()?.point)))
            .collect()
    }

    /// The figures of two services apart and in one process.
    pub(crate) fn apart_and_together(
        &self,
        (a, b): (usize, usize),
        load: &Load,
    ) -> Option<(Figures, Figures)> {
        apart_and_together(self.weighed.inputs(), &self.edges_of, [a, b], load)
    }

    pub(crate) fn service(&self, index: usize) -> &'a ServiceFacts {
        &self.model.services()[index]
    }

    pub(crate) fn label(&self, index: usize) -> &'a str {
        &self.service(index).label
    }

    /// Are there enough windows, and enough ended requests of each of these operations? Else what is missing.
    pub(crate) fn sufficient(&self, operations: &BTreeSet<(usize, String)>) -> Result<(), String> {
        let needs = self.options.sufficiency;
        let windows = self.model.rollup.windows;
        if windows < needs.windows {
            return Err(format!(
                "{windows} windows were seen; {} are needed. Weigh for longer, or with shorter windows.",
                needs.windows
            ));
        }
        for (service, operation) in operations {
            let ended: i64 = self
                .service(*service)
                .operations
                .iter()
                .filter(|(id, _)| *id.operation == **operation)
                .filter_map(|(_, facts)| facts.all.total(column::ENDED))
                .sum();
            if ended < needs.ended {
                return Err(format!(
                    "{ended} requests of {operation} of {} ended; {} are needed. Weigh for longer.",
                    self.label(*service),
                    needs.ended
                ));
            }
        }
        Ok(())
    }

    /// The operations at both ends of the edges that make up nearly all of a sum: an edge below 5 % of it
    /// decides nothing.
    pub(crate) fn deciding_operations(&self, edges: &[&Edge]) -> BTreeSet<(usize, String)> {
        let cores = |edge: &Edge| {
            edge.cost
                .overhead_cores
                .as_ref()
                .map_or(0.0, |cores| cores.point)
        };
        let total: f64 = edges.iter().map(|edge| cores(edge)).sum();
        edges
            .iter()
            .filter(|edge| cores(edge) * 20.0 >= total)
            .flat_map(|edge| [&edge.joined.from, &edge.joined.to])
            .filter_map(|end| Some((end.service?, end.operation.operation.to_string())))
            // Background work has no requests to count.
            .filter(|(_, operation)| !operation.is_empty())
            .collect()
    }

    /// An operation of the engine, as [`Self::sufficient`] counts its requests.
    pub(crate) fn counted(&self, at: usize) -> (usize, String) {
        let operation = &self.weighed.inputs().operations[at];
        let mut ids = self.service(operation.service).operations.keys();
        let id = ids.find(|id| id.shown() == operation.name);
        let name = id.map_or_else(|| operation.name.clone(), |id| id.operation.to_string());
        (operation.service, name)
    }

    /// Entities that an operation writes and others of its service write too, by name: they may share transactions.
    pub(crate) fn written_with_others(&self, service: usize, id: &OperationId) -> Vec<String> {
        let inputs = self.weighed.inputs();
        let is_it = |at: usize| inputs.operations[at].name == id.shown();
        inputs
            .entities
            .iter()
            .filter(|entity| {
                let here = entity.places.iter().filter(|p| p.service == service);
                let writers: Vec<usize> = here.flat_map(|p| &p.writes).map(|(at, _)| *at).collect();
                writers.iter().any(|at| is_it(*at)) && writers.iter().any(|at| !is_it(*at))
            })
            .map(|entity| entity.name.clone())
            .collect()
    }

    /// The operations that take 5 % or more of the CPU of their service's operations, for each of these services.
    pub(crate) fn busy(&self, services: &[usize]) -> BTreeSet<(usize, String)> {
        let operations = &self.weighed.inputs().operations;
        let mut all: BTreeMap<usize, f64> = services.iter().map(|s| (*s, 0.0)).collect();
        for operation in operations {
            if let Some(sum) = all.get_mut(&operation.service) {
                *sum += operation.cores;
            }
        }
        let busy = |at: &usize| {
            let of = &operations[*at];
            let sum = all.get(&of.service).copied();
            sum.is_some_and(|sum| of.cores > 0.0 && of.cores * 20.0 >= sum)
        };
        let busy = (0..operations.len()).filter(busy);
        busy.map(|at| self.counted(at)).collect()
    }

    /// The operations of a service that make 5 % or more of its statements on an entity.
    pub(crate) fn users(&self, entity: usize, service: usize) -> BTreeSet<(usize, String)> {
        let places = &self.weighed.inputs().entities[entity].places;
        let mut rates: BTreeMap<usize, f64> = BTreeMap::new();
        for place in places.iter().filter(|place| place.service == service) {
            for (at, rate) in place.reads.iter().chain(&place.writes) {
                *rates.entry(*at).or_insert(0.0) += rate;
            }
        }
        let all: f64 = rates.values().sum();
        rates
            .iter()
            .filter(|(_, rate)| **rate * 20.0 >= all)
            .map(|(at, _)| self.counted(*at))
            .collect()
    }

    /// Adds what holds for every verdict of a short range.
    pub(crate) fn finding(&self, verdict: Verdict, reason: impl Into<String>) -> Finding {
        let mut reason = reason.into();
        // A range shorter than a day need not hold a daily peak.
        if self.model.rollup.seen.len_ns() < DAY_NS && verdict != Verdict::CannotSay {
            reason
                .push_str(" This holds at the load seen: the range is too short for daily peaks.");
        }
        Finding::new(verdict, reason)
    }

    /// `leave`, where two services may not share a process, as `simulate` and the search have it.
    pub(crate) fn kept_apart(&self, a: usize, b: usize) -> Option<Finding> {
        let constraints = &self.options.constraints;
        if let Some(why) = constraints.apart(self.label(a), self.label(b)) {
            return Some(self.finding(
                Verdict::Leave,
                format!("A constraint says that these two may not share a process ({why})."),
            ));
        }
        let why = self
            .rules
            .as_ref()?
            .apart_why(self.weighed.inputs(), constraints, a, b)?;
        Some(self.finding(
            Verdict::Leave,
            format!(
                "As far as the data tells these two cannot share a process: {why}. Who knows that they can says so with must_link."
            ),
        ))
    }

    /// `leave`, where a change moves more boundaries than may be moved.
    pub(crate) fn boundaries(&self, moved: u32) -> Option<Finding> {
        let most = self.options.constraints.boundaries_max?;
        (moved > most).then(|| {
            self.finding(
                Verdict::Leave,
                format!(
                    "At most {most} boundaries may be moved (boundaries_max), and this moves {moved}."
                ),
            )
        })
    }

    pub(crate) fn cannot_say(&self, reason: impl Into<String>) -> Finding {
        Finding::new(Verdict::CannotSay, reason)
    }

    /// Cores of two services together.
    pub(crate) fn pair_cores(&self, a: usize, b: usize) -> Option<Estimate> {
        let a = self.model.service_cores(self.service(a))?;
        let b = self.model.service_cores(self.service(b))?;
        Some(a.plus(&b))
    }

    /// All edges between two services, in either direction.
    pub(crate) fn edges_between(&self, a: usize, b: usize) -> Vec<&'a Edge> {
        self.between
            .get(&(a.min(b), a.max(b)))
            .cloned()
            .unwrap_or_default()
    }

    /// Pairs of services that are joined by edges, each once, the lower index first.
    pub(crate) fn pairs(&self) -> BTreeSet<(usize, usize)> {
        self.between.keys().copied().collect()
    }

    pub(crate) fn service_subject(&self, index: usize) -> Subject {
        Subject {
            kind: SubjectKind::Service,
            service: self.label(index).to_owned(),
            name: String::new(),
            row: format!("service:{}", self.label(index)),
        }
    }

    pub(crate) fn operation_subject(&self, index: usize, id: &OperationId) -> Subject {
        Subject {
            kind: SubjectKind::Operation,
            service: self.label(index).to_owned(),
            name: id.shown(),
            row: id.row(self.label(index)),
        }
    }

    /// CPU and memory as money in an hour, when there are prices.
    pub(crate) fn money(
        &self,
        cores: (Option<&Estimate>, Option<&Estimate>),
        bytes: (Option<f64>, Option<f64>),
    ) -> Option<Prediction> {
        let prices = self.options.prices.as_ref()?;
        let price = |cores: &Estimate, bytes: f64| {
            let gib = bytes / (1024.0 * 1024.0 * 1024.0);
            cores
                .clone()
                .map(|c| c * prices.core_hour + gib * prices.gib_hour)
        };
        let before = price(cores.0?, bytes.0?);
        let after = price(cores.1?, bytes.1?);
        let what = format!("cores and memory used, {} in an hour", prices.currency);
        Some(predict(
            &what,
            FigureUnit::MoneyPerHour,
            Some(&before),
            Some(&after),
        ))
    }
}

/// Compares a figure with a threshold.
pub(crate) fn against(estimate: &Estimate, limit: f64, what: &str) -> Against {
    match (estimate.low(), estimate.high()) {
        (Some(low), _) if low > limit => Against::Above,
        (_, Some(high)) if high <= limit => Against::Below,
        (Some(low), Some(high)) => Against::Unclear(format!(
            "The interval of {what} ({} to {}) crosses the threshold of {}: weigh for longer.",
            say::number(low),
            say::number(high),
            say::number(limit)
        )),
        _ => {
            let reason = match estimate.interval() {
                Err(Some(reason)) => reason,
                _ => "no interval".to_owned(),
            };
            Against::Unclear(format!(
                "{what} has no interval: {reason}. Weigh for longer."
            ))
        }
    }
}

/// One figure before and after; the interval is that of `after`.
pub(crate) fn predict(
    figure: &str,
    unit: FigureUnit,
    before: Option<&Estimate>,
    after: Option<&Estimate>,
) -> Prediction {
    let before = before.and_then(|before| before.figure(unit).value);
    before_and_after(figure.to_owned(), unit, before, after)
}

/// As [`predict`], where what is there now is a number.
pub(crate) fn before_and_after(
    figure: String,
    unit: FigureUnit,
    before: Option<f64>,
    after: Option<&Estimate>,
) -> Prediction {
    let after = after.map(|after| after.figure(unit));
    let known = |f: fn(&Figure) -> Option<f64>| after.as_ref().and_then(f);
    Prediction {
        figure,
        unit,
        before,
        after: known(|f| f.value),
        low: known(|f| f.low),
        high: known(|f| f.high),
        interval_absent_reason: match &after {
            None => Some("the figure after the change is not known".to_owned()),
            Some(f) if f.low.is_none() => Some(
                f.interval_absent_reason
                    .clone()
                    .unwrap_or_else(|| "computed from constants".to_owned()),
            ),
            Some(_) => None,
        },
        observe: None,
    }
}

impl Prediction {
    /// The same, with how a later report shows it.
    pub(crate) fn observed_by(
        mut self,
        what: ObserveWhat,
        services: &[&str],
        operation: &str,
        entity: &str,
    ) -> Self {
        self.observe = Some(Observe {
            what,
            services: services.iter().map(|s| (*s).to_owned()).collect(),
            operation: operation.to_owned(),
            entity: entity.to_owned(),
        });
        self
    }
}

/// As [`predict`], for plain numbers.
pub(crate) fn predict_plain(
    figure: &str,
    unit: FigureUnit,
    before: Option<f64>,
    after: Option<f64>,
    reason: &str,
) -> Prediction {
    let finite = |x: Option<f64>| x.filter(|x| x.is_finite());
    Prediction {
        figure: figure.to_owned(),
        unit,
        before: finite(before),
        after: finite(after),
        low: None,
        high: None,
        interval_absent_reason: Some(reason.to_owned()),
        observe: None,
    }
}

/// A threshold and what was found.
pub(crate) fn threshold(name: &str, limit: f64, found: Option<f64>, unit: FigureUnit) -> Threshold {
    Threshold {
        name: name.to_owned(),
        limit,
        found: found.filter(|x| x.is_finite()),
        unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::QualityWord;

    #[test]
    fn a_threshold_is_not_passed_by_its_middle_alone() {
        let exact = |x| Estimate::exact(x, QualityWord::Measured);
        assert_eq!(against(&exact(0.6), 0.5, "share"), Against::Above);
        assert_eq!(against(&exact(0.5), 0.5, "share"), Against::Below);
        let wide = {
            use crate::model::{Resampler, Sums};
            let mut sums = Sums::default();
            for slot in 0..40 {
                let ended = if slot < 20 { 0 } else { 200 };
                let row = weighbridge_wire::RowValue::new().with(column::ENDED, ended);
                sums.add(slot, weighbridge_wire::Quality::Measured, &row);
            }
            Resampler::new(40, 7).estimate(sums.get(column::ENDED).unwrap())
        };
        let (low, high) = wide.interval().unwrap();
        assert!(low < wide.point - 1.0 && wide.point + 1.0 < high);
        assert_eq!(against(&wide, low - 1.0, "share"), Against::Above);
        assert_eq!(against(&wide, high, "share"), Against::Below);
        for limit in [wide.point - 1.0, wide.point + 1.0] {
            assert!(
                matches!(against(&wide, limit, "share"), Against::Unclear(why) if why.contains("crosses"))
            );
        }
        let vague = Estimate::without_interval(0.9, QualityWord::Measured, "3 windows");
        assert!(
            matches!(against(&vague, 0.5, "share"), Against::Unclear(why) if why.contains("3 windows"))
        );
    }
}
