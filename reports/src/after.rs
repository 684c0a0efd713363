//! Compares a report with the advice of an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::say;
use crate::document::{
    AfterReport, CopyFinding, Document, EdgeEnd, EdgeReport, Observe, ObserveWhat, OperationReport,
    OriginReport, Outcome, OutcomeFigure, Prediction, Recommendation, RecommendationKind as Kind,
    SCORE_ERRORS_MAX, Score, ServiceReport, Verdict,
};

/// Calls that are left ÷ calls there were (at the same load), up to which they count as batched.
const BATCHED_MAX: f64 = 0.5;
/// Largest ÷ smallest growth of an origin, above which the mix of requests has changed.
const MIX_MAX: f64 = 1.25;
/// Origins below this share of the requests do not decide whether the mix has changed.
const MIX_SHARE_MIN: f64 = 0.05;

impl Document {
    /// Scores the advice of an earlier report by what this one shows, and carries its running score on. A
    /// recommendation counts as applied when its change is seen in this report; nobody has to say so.
    pub fn compare_with_earlier(&mut self, earlier: &Self) {
        let view = View::new(earlier, self);
        let outcomes: Vec<Outcome> = earlier
            .recommendations
            .iter()
            .filter(|r| matches!(r.verdict, Verdict::Do | Verdict::Try))
            .map(|r| view.outcome(r))
            .collect();
        let mut score = Score::default();
        for figure in outcomes.iter().flat_map(|outcome| &outcome.figures) {
            score.add(figure);
        }
        let before = earlier.after.as_ref().map(|after| &after.running);
        let running = before.map_or_else(|| score.clone(), |before| before.plus(&score));
        self.after = Some(AfterReport {
            earlier_start: earlier.window.start.clone(),
            earlier_end: earlier.window.end.clone(),
            load_factor: view.load,
            notes: view.notes.clone(),
            outcomes,
            score: score.summed(),
            running: running.summed(),
        });
    }
}

/// Both reports, and how the load changed between them.
struct View<'a> {
    then: &'a Document,
    now: &'a Document,
    load: Option<f64>,
    mix_changed: bool,
    notes: Vec<String>,
}

/// An operation keeps its name wherever it runs.
type OperationName<'a> = (&'a str, &'a str);

fn name(operation: &OperationReport) -> OperationName<'_> {
    (&operation.operation, &operation.class)
}

fn service<'a>(document: &'a Document, name: &str) -> Option<&'a ServiceReport> {
    document.services.iter().find(|s| s.service == name)
}

impl<'a> View<'a> {
    fn new(then: &'a Document, now: &'a Document) -> Self {
        let (before, after) = (from_outside(then), from_outside(now));
        let all: f64 = before.values().sum();
        let mut notes = Vec::new();
        let (mut was, mut is) = (0.0, 0.0);
        let (mut least, mut most) = (f64::INFINITY, 0.0f64);
        for (operation, rate) in &before {
            let Some(rate_now) = after.get(operation) else {
                if *rate >= MIX_SHARE_MIN * all {
                    notes.push(format!("{} is not seen any more.", operation.0));
                    most = f64::INFINITY;
                }
                continue;
            };
            was += rate;
            is += rate_now;
            if *rate >= MIX_SHARE_MIN * all && *rate > 0.0 {
                least = least.min(rate_now / rate);
                most = most.max(rate_now / rate);
            }
        }
        let load = (was > 0.0).then(|| is / was);
        let mix_changed = load.is_none() || most > MIX_MAX * least;
        if load.is_none() {
            notes.push("No operation that is called from outside is in both reports: nothing can be brought to the same load.".to_owned());
        } else if mix_changed {
            notes.push("The mix of requests has changed by more than a quarter: figures that depend on it are shown and not scored.".to_owned());
        }
        Self {
            then,
            now,
            load,
            mix_changed,
            notes,
        }
    }

    fn outcome(&self, r: &Recommendation) -> Outcome {
        let (applied, seen) = self.applied(r);
        let figures = if applied {
            r.prediction.iter().map(|p| self.figure(p)).collect()
        } else {
            Vec::new()
        };
        Outcome {
            id: r.id.clone(),
            title: r.title.clone(),
            applied,
            seen,
            figures,
        }
    }

    /// Is the change of a recommendation seen in the later report?
    fn applied(&self, r: &Recommendation) -> (bool, String) {
        let services: Vec<&str> = r
            .subjects
            .iter()
            .filter(|s| s.kind == crate::document::SubjectKind::Service)
            .map(|s| s.service.as_str())
            .collect();
        let operation = r
            .subjects
            .iter()
            .find(|s| s.kind == crate::document::SubjectKind::Operation);
        match r.kind {
            Kind::Merge => match services[..] {
                [a, b] => {
                    let (left, right) = (self.holders(a), self.holders(b));
                    let both = left.intersection(&right).count() > 0;
                    (
                        both,
                        if both {
                            format!("one service answers operations of {a} and of {b}")
                        } else {
                            format!("no service answers operations of {a} and of {b}")
                        },
                    )
                }
                _ => (false, "it names no two services".to_owned()),
            },
            Kind::Batch => {
                let observe = r.prediction.iter().find_map(|p| p.observe.as_ref());
                let figures = observe.and_then(|observe| {
                    Some((
                        self.calls_of(self.then, observe)?,
                        self.calls_of(self.now, observe)?,
                    ))
                });
                match (figures, self.load) {
                    (Some((before, after)), Some(load)) if before > 0.0 => {
                        let left = after / (before * load);
                        (
                            left <= BATCHED_MAX,
                            format!("{} of the calls are left", say::share(left)),
                        )
                    }
                    _ => (false, "its calls are not in both reports".to_owned()),
                }
            }
            Kind::Split | Kind::Replicate | Kind::Move => {
                let Some(subject) = operation else {
                    return (false, "it names no operation".to_owned());
                };
                let homes: Vec<&str> = self
                    .now
                    .services
                    .iter()
                    .filter(|s| s.operations.iter().any(|o| o.row_name() == subject.name))
                    .map(|s| s.service.as_str())
                    .collect();
                let elsewhere = homes.iter().any(|home| *home != subject.service);
                (
                    elsewhere,
                    format!("{} is answered by {}", subject.name, list(&homes)),
                )
            }
            Kind::PlaceEntity => {
                let entity = r
                    .subjects
                    .iter()
                    .find(|s| s.kind == crate::document::SubjectKind::Entity)
                    .map_or("", |s| s.name.as_str());
                let of = self.now.entities.iter().filter(|e| e.entity == entity);
                let held = of
                    .filter(|e| e.finding == CopyFinding::Copies)
                    .flat_map(|e| &e.places)
                    .filter(|place| place.copy && services.contains(&place.service.as_str()));
                let held: BTreeSet<&str> = held.map(|place| place.service.as_str()).collect();
                let held: Vec<&str> = held.into_iter().collect();
                if held.is_empty() {
                    (
                        true,
                        format!("{entity} has no copies in {}", list(&services)),
                    )
                } else {
                    (
                        false,
                        format!("{entity} still has copies in {}", list(&held)),
                    )
                }
            }
            Kind::Shard => {
                let [divided] = services[..] else {
                    return (false, "it names no one service".to_owned());
                };
                let count = |of: &Document, names: &BTreeSet<&str>| -> Option<f64> {
                    let names = names.iter();
                    names.map(|s| service(of, s)?.instance_count.value).sum()
                };
                let before = count(self.then, &BTreeSet::from([divided]));
                match before.zip(count(self.now, &self.holders(divided))) {
                    Some((before, after)) => (
                        libm::round(after) > libm::round(before),
                        format!(
                            "{divided} ran in {} processes, its operations run in {}",
                            say::factor(libm::round(before)),
                            say::factor(libm::round(after))
                        ),
                    ),
                    None => (
                        false,
                        format!("how many processes answer for {divided} is not in both reports"),
                    ),
                }
            }
            Kind::Keep => (false, "nothing was to be changed".to_owned()),
        }
    }

    /// Services that now hold operations which an earlier one answered.
    fn holders(&self, earlier: &str) -> BTreeSet<&'a str> {
        let Some(held) = service(self.then, earlier) else {
            return BTreeSet::new();
        };
        let names: BTreeSet<OperationName<'_>> = held.operations.iter().map(name).collect();
        self.now
            .services
            .iter()
            .filter(|s| s.operations.iter().any(|o| names.contains(&name(o))))
            .map(|s| s.service.as_str())
            .collect()
    }

    fn figure(&self, p: &Prediction) -> OutcomeFigure {
        let mut outcome = OutcomeFigure {
            figure: p.figure.clone(),
            unit: p.unit,
            predicted: p.after,
            low: p.low,
            high: p.high,
            observed: None,
            error: None,
            inside: None,
            not_scored_reason: None,
        };
        let Some(observe) = &p.observe else {
            outcome.not_scored_reason = Some(
                "no row of a report shows it: it is about another load, or is computed by a model"
                    .to_owned(),
            );
            return outcome;
        };
        let Some(load) = self.load else {
            outcome.not_scored_reason = Some("the load is not comparable".to_owned());
            return outcome;
        };
        // What does not grow with load, cores.
        let cores = [ObserveWhat::Cores, ObserveWhat::CoresOfService];
        let fixed = if cores.contains(&observe.what) {
            observe
                .services
                .iter()
                .filter_map(|s| base_cores(service(self.then, s)?))
                .sum()
        } else {
            0.0
        };
        let scales = observe.what.grows_with_load();
        let to_now = |x: f64| {
            if scales {
                (fixed + load * (x - fixed)).max(0.0)
            } else {
                x
            }
        };
        outcome.predicted = p.after.map(to_now);
        outcome.low = p.low.map(to_now);
        outcome.high = p.high.map(to_now);
        outcome.observed = self.observed(observe);
        if self.mix_changed {
            outcome.not_scored_reason = Some("the mix of requests has changed".to_owned());
            return outcome;
        }
        let (Some(predicted), Some(observed)) = (outcome.predicted, outcome.observed) else {
            outcome.not_scored_reason =
                Some("it was not predicted, or the later report does not show it".to_owned());
            return outcome;
        };
        outcome.error = (predicted.abs() > 0.0).then(|| observed / predicted - 1.0);
        outcome.inside = outcome
            .low
            .zip(outcome.high)
            .map(|(low, high)| low <= observed && observed <= high);
        if outcome.error.is_none() && observed == 0.0 {
            // Predicted to be gone, and gone.
            outcome.error = Some(0.0);
        }
        if outcome.error.is_none() && outcome.inside.is_none() {
            outcome.not_scored_reason = Some(
                "nothing was predicted to be left, and something is: a share of nothing has no size"
                    .to_owned(),
            );
        }
        outcome
    }

    fn observed(&self, observe: &Observe) -> Option<f64> {
        match observe.what {
            ObserveWhat::Cores => {
                let mut holders: BTreeSet<&str> = BTreeSet::new();
                for earlier in &observe.services {
                    let held = self.holders(earlier);
                    if held.is_empty() {
                        return None;
                    }
                    holders.extend(held);
                }
                holders
                    .into_iter()
                    .map(|s| service(self.now, s)?.cpu_cores.value)
                    .sum()
            }
            ObserveWhat::CoresOfService => {
                service(self.now, observe.services.first()?)?
                    .cpu_cores
                    .value
            }
            ObserveWhat::Calls => {
                let [a, b] = &observe.services[..] else {
                    return None;
                };
                let (left, right) = (self.holders(a), self.holders(b));
                let joins = |e: &&EdgeReport| {
                    let (from, to) = (e.from.service.as_str(), e.to.service.as_str());
                    from != to
                        && e.mode == "sync"
                        && ((left.contains(from) && right.contains(to))
                            || (right.contains(from) && left.contains(to)))
                };
                Some(rate(self.now.edges.iter().filter(joins)))
            }
            ObserveWhat::CallsOfOperation => self.calls_of(self.now, observe),
            ObserveWhat::Wall => {
                self.now
                    .services
                    .iter()
                    .flat_map(|s| &s.operations)
                    .filter(|o| o.row_name() == observe.operation)
                    .max_by(|a, b| {
                        let rate = |o: &OperationReport| o.rate.value.unwrap_or(0.0);
                        rate(a).total_cmp(&rate(b))
                    })?
                    .wall
                    .mean
                    .value
            }
            ObserveWhat::OriginCpu => self.origin(observe)?.unit_cost.total.value,
            ObserveWhat::WallP50 => self.origin(observe)?.wall.p50.value,
            ObserveWhat::WallP95 => self.origin(observe)?.wall.p95.value,
            ObserveWhat::WallP99 => self.origin(observe)?.wall.p99.value,
            ObserveWhat::Messages => Some(self.messages(|_| Some(1.0))),
            ObserveWhat::MessageBytes => Some(self.messages(bytes_of_message)),
            ObserveWhat::Copies => {
                let places = self.now.entities.iter().flat_map(|e| &e.places);
                #[allow(clippy::cast_precision_loss)]
                Some(places.filter(|place| place.copy).count() as f64)
            }
            ObserveWhat::Memory => {
                let bytes = |s: &ServiceReport| Some(s.rss_peak.value? * s.instance_count.value?);
                self.now.services.iter().map(bytes).sum()
            }
            ObserveWhat::Processes => {
                let services = self.now.services.iter();
                services.map(|s| s.instance_count.value).sum()
            }
            ObserveWhat::CopyBytes | ObserveWhat::CopyMessages => {
                let entity = self
                    .now
                    .entities
                    .iter()
                    .find(|e| e.entity == observe.entity);
                let Some(cost) = entity.and_then(|e| e.cost.as_ref()) else {
                    return Some(0.0);
                };
                match observe.what {
                    ObserveWhat::CopyBytes => cost.storage.value,
                    _ => cost.messages.value,
                }
            }
        }
    }

    /// The origin of this name where it begins now.
    fn origin(&self, observe: &Observe) -> Option<&'a OriginReport> {
        let earlier = observe.services.first()?;
        let held = self.holders(earlier);
        let rate = |o: &&OriginReport| o.rate.value.unwrap_or(0.0);
        let origins = self.now.origins.iter();
        origins
            .filter(|o| o.operation == observe.operation)
            .filter(|o| o.service == *earlier || held.contains(o.service.as_str()))
            .max_by(|a, b| rate(a).total_cmp(&rate(b)))
    }

    /// Messages between services in a second, each times what it is asked for: a call is a request and an answer. What an
    /// edge does not tell counts as nothing, as in the prediction.
    fn messages(&self, each: fn(&EdgeReport) -> Option<f64>) -> f64 {
        let known = |end: &EdgeEnd| service(self.now, &end.service).is_some();
        let between = |e: &&EdgeReport| e.transport != "local" && known(&e.from) && known(&e.to);
        let edges = self.now.edges.iter().filter(between);
        edges
            .filter_map(|e| Some(e.rate.value? * messages_of_call(e) * each(e)?))
            .fold(0.0, |sum, x| sum + x)
    }

    /// Calls of an operation to the services that hold what the second one answered, in a second.
    fn calls_of(&self, document: &Document, observe: &Observe) -> Option<f64> {
        let callee = observe.services.last()?;
        let held = self.holders(callee);
        let is_callee = |to: &str| to == callee || held.contains(to);
        let mut edges = document
            .edges
            .iter()
            .filter(|e| e.from.operation == observe.operation && is_callee(&e.to.service))
            .peekable();
        edges.peek()?;
        Some(rate(edges))
    }
}

impl OperationReport {
    /// The name as recommendations write it: with its class.
    fn row_name(&self) -> String {
        if self.class.is_empty() {
            self.operation.clone()
        } else {
            format!("{} ({})", self.operation, self.class)
        }
    }
}

impl ObserveWhat {
    /// Is it a figure of a second, and not of a request, a process or a table?
    fn grows_with_load(self) -> bool {
        match self {
            Self::Cores
            | Self::CoresOfService
            | Self::Calls
            | Self::CallsOfOperation
            | Self::Messages
            | Self::MessageBytes
            | Self::CopyMessages => true,
            Self::Wall
            | Self::OriginCpu
            | Self::WallP50
            | Self::WallP95
            | Self::WallP99
            | Self::Copies
            | Self::Memory
            | Self::Processes
            | Self::CopyBytes => false,
        }
    }
}

/// A request and an answer, or one message.
fn messages_of_call(edge: &EdgeReport) -> f64 {
    if edge.mode == "sync" { 2.0 } else { 1.0 }
}

/// Body bytes of a message of an edge, by the side that answers where it has an agent.
fn bytes_of_message(edge: &EdgeReport) -> Option<f64> {
    let traffic = &edge.traffic;
    let (calls, asked, answered) = if edge.to.instrumented {
        (
            &traffic.request_messages_received,
            &traffic.request_body_bytes_received,
            &traffic.response_body_bytes_sent,
        )
    } else {
        (
            &traffic.request_messages_sent,
            &traffic.request_body_bytes_sent,
            &traffic.response_body_bytes_received,
        )
    };
    let bytes = [asked, answered]
        .iter()
        .filter_map(|f| f.value)
        .sum::<f64>();
    Some(bytes / (calls.value.filter(|n| *n > 0.0)? * messages_of_call(edge)))
}

fn rate<'a>(edges: impl Iterator<Item = &'a EdgeReport>) -> f64 {
    // The sum of nothing is −0.
    edges
        .filter_map(|e| e.rate.value)
        .fold(0.0, |sum, x| sum + x)
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        say::list(&names)
    }
}

fn base_cores(service: &ServiceReport) -> Option<f64> {
    Some(service.base.cpu.value? * service.instance_count.value?)
}

/// Requests from outside by operation, in a second: those of origins.
fn from_outside(document: &Document) -> BTreeMap<OperationName<'_>, f64> {
    let mut rates = BTreeMap::new();
    for operation in document.services.iter().flat_map(|s| &s.operations) {
        let outside: f64 = operation
            .callers
            .iter()
            .filter(|caller| caller.service.is_empty())
            .filter_map(|caller| caller.share.value)
            .sum();
        if let Some(rate) = operation.rate.value.filter(|_| outside > 0.0) {
            *rates.entry(name(operation)).or_insert(0.0) += rate * outside;
        }
    }
    rates
}

impl Score {
    fn add(&mut self, figure: &OutcomeFigure) {
        if figure.not_scored_reason.is_some() {
            return;
        }
        self.figures += 1;
        if let Some(inside) = figure.inside {
            self.with_interval += 1;
            self.inside += u64::from(inside);
        }
        self.errors.extend(figure.error.map(f64::abs));
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            figures: self.figures + other.figures,
            with_interval: self.with_interval + other.with_interval,
            inside: self.inside + other.inside,
            errors: self.errors.iter().chain(&other.errors).copied().collect(),
            errors_dropped: self.errors_dropped + other.errors_dropped,
            error_median: None,
            error_max: None,
        }
    }

    fn summed(mut self) -> Self {
        let over = self.errors.len().saturating_sub(SCORE_ERRORS_MAX);
        self.errors.drain(..over);
        self.errors_dropped += u64::try_from(over).unwrap_or(u64::MAX);
        let mut sorted = self.errors.clone();
        sorted.sort_by(f64::total_cmp);
        self.error_median = crate::model::quantile(&sorted, 0.5);
        self.error_max = sorted.last().copied();
        self
    }
}

#[cfg(test)]
mod tests;
