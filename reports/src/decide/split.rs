//! Split a heavy, bursty operation from the short ones that wait behind it.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::column;

use super::context::{Against, Context, against, predict, predict_plain, threshold};
use super::judge::{Input, Stake};
use super::{Finding, Rule, say};
use crate::build::optional;
use crate::document::{
    Evidence, FigureUnit, ObserveWhat, Prediction, Recommendation, RecommendationKind, Verdict,
};
use crate::model::{CPU_COLUMNS, Estimate, Model, OperationFacts, OperationId, as_f64};
use crate::queue::ClassLoad;
use crate::topology::{Change, CoreQueue, DeployableFigures, TakenOut, Weights};

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    /// CPU of a heavy request ÷ mean CPU of the others above which it is heavy.
    pub(crate) size_ratio_min: f64,
    /// Share of the operations' CPU that the heavy one takes.
    pub(crate) cpu_share_min: f64,
    /// Wait that the heavy one adds to the short ones ÷ their own CPU, above which it harms.
    pub(crate) harm_min: f64,
    /// Utilisation above which the queue formula is accurate enough to decide alone.
    pub(crate) utilisation_exact: f64,
    /// Short requests' other waiting in windows with the heavy one ÷ without it, above which the harm is seen.
    pub(crate) seen_ratio_min: f64,
}

impl Default for Split {
    fn default() -> Self {
        Self {
            size_ratio_min: 10.0,
            cpu_share_min: 0.1,
            harm_min: 0.1,
            utilisation_exact: 0.7,
            seen_ratio_min: 1.5,
        }
    }
}

/// One heavy operation beside short ones.
pub(crate) struct Heavy {
    service: usize,
    id: OperationId,
    /// CPU of a heavy request ÷ mean of the others.
    size_ratio: f64,
    cpu_share: f64,
    /// Mean waits of a short request with and without the heavy one, ns.
    with: Option<Estimate>,
    without: Option<Estimate>,
    /// What becomes of the service, by the topology engine.
    taken_out: Option<TakenOut>,
    /// Added wait ÷ CPU of a short request.
    harm: Option<Estimate>,
    utilisation: f64,
    saturated: bool,
    seen: Option<Seen>,
    /// Short operations with enough requests to be shown by name.
    short: Vec<OperationId>,
}

/// What short requests waited, beside calls and stores, in windows with much and with little heavy work.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    with_ns: f64,
    without_ns: f64,
}

impl Seen {
    fn ratio(self) -> Option<f64> {
        (self.without_ns > 0.0).then(|| self.with_ns / self.without_ns)
    }
}

impl Rule for Split {
    type Candidate = Heavy;

    fn candidates(&self, context: &Context<'_>) -> Vec<Heavy> {
        let mut found = Vec::new();
        for (index, service) in context.model.services().iter().enumerate() {
            for id in service.operations.keys() {
                if let Some(heavy) = self.heavy(context, index, id) {
                    found.push(heavy);
                }
            }
        }
        found
    }

    fn check(&self, context: &Context<'_>, heavy: &Heavy) -> Option<Finding> {
        let mut involved: BTreeSet<(usize, String)> =
            [(heavy.service, heavy.id.operation.to_string())].into();
        involved.extend(
            heavy
                .short
                .iter()
                .take(1)
                .map(|id| (heavy.service, id.operation.to_string())),
        );
        if let Err(missing) = context.sufficient(&involved) {
            return Some(context.cannot_say(missing));
        }
        if let Some(finding) = context.boundaries(1) {
            return Some(finding);
        }
        if heavy.saturated {
            return Some(context.finding(
                Verdict::Try,
                "At this load the service is saturated: no queue formula holds, but short requests wait without end.",
            ));
        }
        let Some(harm) = &heavy.harm else {
            return Some(context.cannot_say(
                "The wait cannot be computed. Missing: histograms of request CPU, or the cores of a process.",
            ));
        };
        let added = heavy
            .with
            .as_ref()
            .zip(heavy.without.as_ref())
            .map(|(w, wo)| w.minus(wo));
        let added = added.map_or_else(String::new, |added| say::with_interval(&added, say::ns));
        let written = context.written_with_others(heavy.service, &heavy.id);
        if !written.is_empty()
            && against(harm, self.harm_min, "the harm to short requests") == Against::Above
        {
            return Some(context.finding(
                Verdict::Try,
                format!(
                    "Short requests wait {added} longer for it, but it writes {}, which operations that would stay write too: whether in the same transactions is not seen, and apart they could not be.",
                    say::list(&written)
                ),
            ));
        }
        Some(match against(harm, self.harm_min, "the harm to short requests") {
            Against::Unclear(why) => context.cannot_say(why),
            Against::Below => context.finding(
                Verdict::Leave,
                format!(
                    "It adds {added} of waiting to a short request, {} of the CPU that one needs itself.",
                    say::share(harm.point)
                ),
            ),
            Against::Above => {
                let seen = heavy.seen.and_then(Seen::ratio);
                let confirmed = seen.is_some_and(|ratio| ratio > self.seen_ratio_min);
                if confirmed || heavy.utilisation >= self.utilisation_exact {
                    let seen = if confirmed { ", and the windows show it" } else { "" };
                    context.finding(
                        Verdict::Do,
                        format!("Short requests wait {added} longer for it, {} times their own CPU{seen}.", say::number(harm.point)),
                    )
                } else {
                    context.finding(
                        Verdict::Try,
                        format!(
                            "By the queue model short requests wait {added} longer for it, {} times their own CPU; at a utilisation of {} the formula gives the order of magnitude, and the windows do not confirm it yet.",
                            say::number(harm.point),
                            say::share(heavy.utilisation)
                        ),
                    )
                }
            }
        })
    }

    fn changes(&self, context: &Context<'_>, heavy: &Heavy) -> Vec<Change> {
        vec![change(context, heavy.service, &heavy.id)]
    }

    fn stake(&self, context: &Context<'_>, heavy: &Heavy) -> Option<Stake> {
        let taken = heavy.taken_out.as_ref()?;
        let (with, without) = taken.queues.clone()?;
        let model = context.model;
        let service = context.service(heavy.service);
        let instances = model.instances(service)?.max(1.0);
        // Rate and CPU of each operation, in turn: the queue is that of the topology engine, moved by them.
        let mut inputs = Vec::new();
        let mut places = BTreeMap::new();
        let mut points = Vec::new();
        for (id, facts) in &service.operations {
            let Some(at) = context.operation_at(heavy.service, id) else {
                continue;
            };
            let rate = model.ended_rate(facts)?.scaled(1.0 / instances);
            let cpu = model.cpu_per_request(facts)?;
            if !(rate.point > 0.0 && cpu.point > 0.0) {
                continue;
            }
            let name = id.shown();
            places.insert(at, points.len());
            points.extend([rate.point, cpu.point]);
            inputs.push(Input::weighed(
                format!("rate of {name}"),
                FigureUnit::PerSecond,
                &rate,
            ));
            inputs.push(Input::weighed(
                format!("CPU of {name}"),
                FigureUnit::NsPerRequest,
                &cpu,
            ));
        }
        let wait = move |queue: &CoreQueue, draw: &[f64]| {
            let moved = queue.with(|at, load| {
                let factor = |of: usize| {
                    let at = places.get(&at).map(|first| first + of);
                    let at = at.and_then(|at| Some((*draw.get(at)?, *points.get(at)?)));
                    at.map_or(1.0, |(drawn, point)| drawn / point)
                };
                let (rate, cpu) = (factor(0), factor(1));
                ClassLoad {
                    rate: load.rate * rate,
                    mean: load.mean * cpu,
                    mean_square: load.mean_square * cpu * cpu,
                    ..load
                }
            });
            Some(moved.wait()? * 1e9)
        };
        // One more process pays for itself.
        let each = taken.left.plus(&taken.new).minus(&taken.before).point;
        let base = context.weighed.inputs().services[heavy.service].base_bytes;
        let weights = Weights::of(context.options.prices.as_ref());
        let dearer = weights.core * each + weights.byte * base.unwrap_or(0.0);
        Some(Stake {
            objective: "waiting for a core saved by a short request".to_owned(),
            unit: FigureUnit::Ns,
            inputs,
            gain: Box::new(move |draw| Some(wait(&with, draw)? - wait(&without, draw)?)),
            cost: Some(Box::new(move |_| Some(-dearer))),
        })
    }

    fn explain(&self, context: &Context<'_>, heavy: &Heavy, finding: Finding) -> Recommendation {
        let label = context.label(heavy.service);
        let name = heavy.id.shown();
        let facts = &context.service(heavy.service).operations[&heavy.id];
        let mut prediction = vec![predict(
            &format!("mean wait for a core of the short requests of {label}"),
            FigureUnit::Ns,
            heavy.with.as_ref(),
            heavy.without.as_ref(),
        )];
        if let Some(taken) = &heavy.taken_out {
            prediction.push(
                predict(
                    &format!("cores of {label}"),
                    FigureUnit::Cores,
                    Some(&taken.before),
                    Some(&taken.left),
                )
                .observed_by(ObserveWhat::CoresOfService, &[label], "", ""),
            );
            prediction.push(predict(
                &format!("cores of {label} and the new process together"),
                FigureUnit::Cores,
                Some(&taken.before),
                Some(&taken.left.plus(&taken.new)),
            ));
            prediction.push(processes(context, taken, label));
        }
        let lock = one_at_a_time(context, heavy);
        prediction.extend(lock.as_ref().map(|most| {
            predict(
                &format!("requests of {name} in a second, at most: they pass one at a time"),
                FigureUnit::PerSecond,
                Some(most),
                Some(most),
            )
        }));
        let mut downsides = vec![
            "One more process: its base memory and CPU, its deployment, its watch.".to_owned(),
            format!("What {name} reads and writes must be reachable from the new process; a shared database stays a shared bottleneck."),
            "On one machine the cores stay shared: the split helps where the new process gets its own share of them.".to_owned(),
        ];
        downsides.extend(lock.map(|most| {
            format!(
                "Requests of {name} run one at a time, {} at most, and take no more cores than that: what they queue for comes along, and neither the split nor more processes lift it.",
                say::rate(most.point)
            )
        }));
        let short: Vec<String> = heavy.short.iter().take(3).map(OperationId::shown).collect();
        Recommendation {
            id: format!("rec:split:{}", heavy.id.row(label)),
            kind: RecommendationKind::Split,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::Do | Verdict::Try => {
                    format!("Split {name} out of {label}: short requests wait behind it.")
                }
                Verdict::Leave => format!("Leave {name} in {label}: the short requests hardly feel it."),
                Verdict::CannotSay => format!("Splitting {name} out of {label} cannot be judged yet."),
            },
            subjects: vec![
                context.operation_subject(heavy.service, &heavy.id),
                context.service_subject(heavy.service),
            ],
            gain: optional(None, FigureUnit::Cores, "the gain is latency, not CPU"),
            evidence: self.evidence(context, heavy, facts),
            prediction,
            downsides,
            falsify: vec![
                format!(
                    "After the split, weigh again: the waiting of {} beside calls and stores must fall; if it does not, it was not {name} that they waited for.",
                    say::list(&short)
                ),
                format!("Before it, leave {name} out of the load for a minute and compare the same waits."),
            ],
            first_step: format!(
                "Run a second instance of {label} that receives only {name} (by routing), and compare the waits of the short requests for an hour."
            ),
            rule: "Split an operation whose requests need many times the CPU of the others beside it, when the queue model of the mixture shows that the short ones wait for it.".to_owned(),
            thresholds: vec![
                threshold("CPU of a heavy request ÷ mean of the others", self.size_ratio_min, Some(heavy.size_ratio), FigureUnit::Ratio),
                threshold("share of the operations' CPU", self.cpu_share_min, Some(heavy.cpu_share), FigureUnit::Ratio),
                threshold("added wait ÷ CPU of a short request", self.harm_min, heavy.harm.as_ref().map(|h| h.point), FigureUnit::Ratio),
                threshold("waiting in windows with it ÷ without it", self.seen_ratio_min, heavy.seen.and_then(Seen::ratio), FigureUnit::Ratio),
            ],
            judgement: None,
        }
    }
}

impl Split {
    fn heavy(&self, context: &Context<'_>, index: usize, id: &OperationId) -> Option<Heavy> {
        let model = context.model;
        let service = context.service(index);
        let facts = service.operations.get(id)?;
        let mine = model.cpu_per_request(facts)?;
        let others: Vec<(&OperationId, &OperationFacts)> = service
            .operations
            .iter()
            .filter(|(other, _)| *other != id)
            .collect();
        let sum = |f: &dyn Fn(&OperationFacts) -> Option<Estimate>| {
            others
                .iter()
                .filter_map(|(_, facts)| f(facts))
                .reduce(|a, b| a.plus(&b))
        };
        let rest_cpu = sum(&|facts| model.columns(&facts.all, &CPU_COLUMNS))?;
        let rest_ended = sum(&|facts| model.column(&facts.all, column::ENDED))?;
        let rest_mean = rest_cpu.over(&rest_ended).filter(|mean| mean.point > 0.0)?;
        let size_ratio = mine.point / rest_mean.point;
        let my_cpu = model.columns(&facts.all, &CPU_COLUMNS)?.point;
        let cpu_share = my_cpu / (my_cpu + rest_cpu.point);
        let many = rest_ended.point > model.column(&facts.all, column::ENDED)?.point;
        if !(size_ratio >= self.size_ratio_min && cpu_share >= self.cpu_share_min && many) {
            return None;
        }
        // Other heavy operations are no victims.
        let mut short: Vec<&OperationId> = others
            .iter()
            .filter(|(_, facts)| {
                model
                    .cpu_per_request(facts)
                    .is_some_and(|cpu| cpu.point * self.size_ratio_min <= mine.point)
            })
            .map(|(id, _)| *id)
            .collect();
        short.sort_by_key(|id| {
            let ended = service
                .operations
                .get(*id)
                .and_then(|f| f.all.total(column::ENDED));
            (std::cmp::Reverse(ended.unwrap_or(0)), *id)
        });
        // Where no histogram tells how requests differ, no wait is computed.
        let taken_out = context.taken_out(index, id, &change(context, index, id));
        let spread = context
            .operation_at(index, id)
            .is_some_and(|at| context.weighed.inputs().operations[at].spread_known);
        let waits = taken_out.as_ref().filter(|_| spread);
        let (with, without) = (
            waits.and_then(|w| w.wait.clone()),
            waits.and_then(|w| w.wait_left.clone()),
        );
        let utilisation = waits.and_then(|w| w.utilisation);
        let harm = with
            .as_ref()
            .zip(without.as_ref())
            .and_then(|(with, without)| with.minus(without).over(&rest_mean));
        Some(Heavy {
            service: index,
            seen: seen(context, index, facts, &short),
            id: id.clone(),
            size_ratio,
            cpu_share,
            utilisation: utilisation.unwrap_or(0.0),
            saturated: utilisation.is_some_and(|used| used >= 1.0),
            with,
            without,
            taken_out,
            harm,
            short: short.into_iter().cloned().collect(),
        })
    }

    fn evidence(
        &self,
        context: &Context<'_>,
        heavy: &Heavy,
        facts: &OperationFacts,
    ) -> Vec<Evidence> {
        let label = context.label(heavy.service);
        let model: &Model = context.model;
        let row = heavy.id.row(label);
        let mut evidence = Vec::new();
        if let Some((cpu, rate)) = model.cpu_per_request(facts).zip(model.ended_rate(facts)) {
            evidence.push(Evidence {
                sentence: format!(
                    "A request of {} needs {} of CPU, {} times as much as the mean of the others in {label}, at {}; that is {} of the CPU of its operations.",
                    heavy.id.shown(),
                    say::with_interval(&cpu, say::ns),
                    say::number(heavy.size_ratio),
                    say::rate(rate.point),
                    say::share(heavy.cpu_share)
                ),
                rows: vec![row.clone()],
            });
        }
        if let Some((with, without)) = heavy.with.as_ref().zip(heavy.without.as_ref()) {
            evidence.push(Evidence {
                sentence: format!(
                    "By the queue model of the mixture, at a utilisation of {}, a short request waits {} for a core with it and {} without it.",
                    say::share(heavy.utilisation),
                    say::with_interval(with, say::ns),
                    say::with_interval(without, say::ns)
                ),
                rows: vec![format!("capacity:{label}")],
            });
        }
        if let Some(dispersion) = model.dispersion(context.service(heavy.service), &heavy.id) {
            evidence.push(Evidence {
                sentence: format!(
                    "Its arrivals have an index of dispersion of {} (1 is Poisson, more comes in bursts).",
                    say::number(dispersion)
                ),
                rows: vec![row.clone()],
            });
        }
        if let Some(seen) = heavy.seen {
            let mut rows = vec![row];
            rows.extend(heavy.short.iter().take(3).map(|id| id.row(label)));
            evidence.push(Evidence {
                sentence: format!(
                    "Beside calls and stores, a short request waited {} in the third of the windows with most of its CPU, and {} in the third with least.",
                    say::ns(seen.with_ns),
                    say::ns(seen.without_ns)
                ),
                rows,
            });
        }
        evidence
    }
}

fn change(context: &Context<'_>, service: usize, id: &OperationId) -> Change {
    Change::Split {
        service: context.label(service).to_owned(),
        operations: vec![id.shown()],
        name: None,
    }
}

/// Requests in a second that pass the serial section of the heavy operation, where it has one.
fn one_at_a_time(context: &Context<'_>, heavy: &Heavy) -> Option<Estimate> {
    let serial = context.model.serial(context.service(heavy.service)).ok()?;
    (serial.operation == heavy.id).then_some(serial.most)
}

fn processes(context: &Context<'_>, taken: &TakenOut, label: &str) -> Prediction {
    let factor = context.options.design_load();
    let (before, after) = taken.processes(label);
    let blocked = |d: &DeployableFigures| d.section_utilisation.is_some_and(|busy| busy >= 1.0);
    let reason = if taken.planned.1.deployables.iter().any(blocked) {
        "no number of processes carries that: what runs one at a time lets no more through"
    } else {
        "from whole processes"
    };
    predict_plain(
        &format!("processes at {} times the load", say::factor(factor)),
        FigureUnit::Count,
        before,
        after,
        reason,
    )
}

/// Compares the waiting of short requests (wall − CPU − waits for calls and stores) in the third of the slots
/// with most CPU of the heavy operation with the third that has least. `None` below 9 slots.
fn seen(
    context: &Context<'_>,
    index: usize,
    heavy: &OperationFacts,
    short: &[&OperationId],
) -> Option<Seen> {
    let slots = context.model.rollup.slots as usize;
    if slots < 9 {
        return None;
    }
    let service = context.service(index);
    let mut cpu = vec![0.0; slots];
    let heavy_cpu = heavy.all.sum_of(&CPU_COLUMNS)?;
    spread(&mut cpu, heavy_cpu.slots(), 1.0);
    let mut wait = vec![0.0; slots];
    let mut ended = vec![0.0; slots];
    for id in short {
        let sums = &service.operations.get(*id)?.all;
        let (Some(wall), Some(mine)) = (sums.get(column::WALL_NS), sums.sum_of(&CPU_COLUMNS))
        else {
            continue;
        };
        spread(&mut wait, wall.slots(), 1.0);
        spread(&mut wait, mine.slots(), -1.0);
        for known in [column::WAIT_CALL_NS, column::WAIT_STORE_NS] {
            if let Some(known) = sums.get(known) {
                spread(&mut wait, known.slots(), -1.0);
            }
        }
        spread(&mut ended, sums.get(column::ENDED)?.slots(), 1.0);
    }
    let mut order: Vec<usize> = (0..slots).filter(|slot| ended[*slot] > 0.0).collect();
    order.sort_by(|a, b| cpu[*a].total_cmp(&cpu[*b]).then(a.cmp(b)));
    let third = order.len() / 3;
    let mean = |slots: &[usize]| {
        let n: f64 = slots.iter().map(|slot| ended[*slot]).sum();
        let ns: f64 = slots.iter().map(|slot| wait[*slot]).sum();
        (n > 0.0).then(|| (ns / n).max(0.0))
    };
    Some(Seen {
        with_ns: mean(order.get(order.len() - third..)?)?,
        without_ns: mean(order.get(..third)?)?,
    })
}

fn spread(into: &mut [f64], slots: &[(u32, i64)], sign: f64) {
    for (slot, value) in slots {
        if let Some(sum) = into.get_mut(*slot as usize) {
            *sum += sign * as_f64(*value);
        }
    }
}
