//! Split a heavy, bursty operation from the short ones that wait behind it.

use std::collections::BTreeSet;

use weighbridge_wire::column;

use super::context::{Against, Context, against, predict, predict_plain, threshold};
use super::judge::{Input, Stake};
use super::{Finding, Rule, say};
use crate::build::{optional, replicas_for, whole_cores};
use crate::document::{
    Evidence, FigureUnit, ObserveWhat, Recommendation, RecommendationKind, Verdict,
};
use crate::model::{CPU_COLUMNS, Estimate, Model, OperationFacts, OperationId, as_f64};
use crate::queue::{ClassLoad, Mixture};
use crate::topology::Change;

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
        if heavy.saturated {
            return Some(context.finding(
                Verdict::Try,
                "At this load the service is saturated: no queue formula holds, but short requests wait without end.",
            ));
        }
        let Some(harm) = &heavy.harm else {
            return Some(context.cannot_say(
                "Histograms of request CPU or the cores of a process are missing, so the wait cannot be computed.",
            ));
        };
        let added = heavy
            .with
            .as_ref()
            .zip(heavy.without.as_ref())
            .map(|(w, wo)| w.minus(wo));
        let added = added.map_or_else(String::new, |added| say::with_interval(&added, say::ns));
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
        vec![Change::Split {
            service: context.label(heavy.service).to_owned(),
            operations: vec![heavy.id.shown()],
            name: None,
        }]
    }

    fn stake(&self, context: &Context<'_>, heavy: &Heavy) -> Option<Stake> {
        let queue = queue(context, heavy.service, &heavy.id)?;
        let inputs = queue
            .inputs
            .iter()
            .enumerate()
            .map(|(at, input)| {
                let name = &queue.names[at / 2];
                if at % 2 == 0 {
                    Input::weighed(format!("rate of {name}"), FigureUnit::PerSecond, input)
                } else {
                    // Seconds inside the formula, ns for who reads it.
                    let input = input.scaled(1e9);
                    Input::weighed(format!("CPU of {name}"), FigureUnit::NsPerRequest, &input)
                }
            })
            .collect();
        let shapes = queue.shapes;
        // One more process pays its base.
        let service = context.service(heavy.service);
        let base = context
            .model
            .base_cpu(service)
            .and_then(|cpu| context.model.cores(&cpu))
            .map_or(0.0, |cores| cores.point);
        let each = base / context.model.instances(service)?.max(1.0);
        Some(Stake {
            objective: "waiting for a core saved by a short request".to_owned(),
            unit: FigureUnit::Ns,
            inputs,
            gain: Box::new(move |draw| {
                let draw: Vec<f64> = draw
                    .iter()
                    .enumerate()
                    .map(|(at, input)| if at % 2 == 0 { *input } else { input / 1e9 })
                    .collect();
                Some(shapes.wait(&draw, true)? - shapes.wait(&draw, false)?)
            }),
            cost: Some(Box::new(move |_| Some(-each))),
        })
    }

    fn explain(&self, context: &Context<'_>, heavy: &Heavy, finding: Finding) -> Recommendation {
        let label = context.label(heavy.service);
        let name = heavy.id.shown();
        let model = context.model;
        let facts = &context.service(heavy.service).operations[&heavy.id];
        let cores = model.operation_cores(facts);
        let mut prediction = vec![
            predict(
                &format!("mean wait for a core of the short requests of {label}"),
                FigureUnit::Ns,
                heavy.with.as_ref(),
                heavy.without.as_ref(),
            ),
            predict(
                &format!("cores of {label}"),
                FigureUnit::Cores,
                model.service_cores(context.service(heavy.service)).as_ref(),
                model
                    .service_cores(context.service(heavy.service))
                    .zip(cores.clone())
                    .map(|(all, mine)| all.minus(&mine))
                    .as_ref(),
            )
            .observed_by(ObserveWhat::CoresOfService, &[label], "", ""),
        ];
        prediction.extend(self.processes(context, heavy, cores.as_ref()));
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
            downsides: vec![
                "One more process: its base memory and CPU, its deployment, its watch.".to_owned(),
                format!("What {name} reads and writes must be reachable from the new process; a shared database stays a shared bottleneck."),
                "On one machine the cores stay shared: the split helps where the new process gets its own share of them.".to_owned(),
            ],
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
        let waits = waits(context, index, id);
        let (with, without) = (
            waits.as_ref().and_then(|w| w.with.clone()),
            waits.as_ref().and_then(|w| w.without.clone()),
        );
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
            utilisation: waits.as_ref().map_or(0.0, |w| w.utilisation),
            saturated: waits.is_some_and(|w| w.utilisation >= 1.0),
            with,
            without,
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

    fn processes(
        &self,
        context: &Context<'_>,
        heavy: &Heavy,
        cores: Option<&Estimate>,
    ) -> Option<crate::document::Prediction> {
        let factor = context.options.design_load();
        let service = context.service(heavy.service);
        let limit = context.model.cores_limit(service)?;
        let load = context.load(heavy.service)?;
        let all = load.at(factor).point;
        let mine = cores?.point * factor;
        let before = replicas_for(all, limit, context.options)?;
        let after = replicas_for((all - mine).max(0.0), limit, context.options)?
            + replicas_for(mine, limit, context.options)?;
        Some(predict_plain(
            &format!("processes at {} times the load", say::factor(factor)),
            FigureUnit::Count,
            Some(before),
            Some(after),
            "from whole processes",
        ))
    }
}

struct Waits {
    with: Option<Estimate>,
    without: Option<Estimate>,
    utilisation: f64,
}

/// The queue of a process: rates and demands carry their spread; shapes (c_s², c_a²) are taken as they are.
struct Queue {
    names: Vec<String>,
    /// Rate and demand of each operation, in turn.
    inputs: Vec<Estimate>,
    shapes: Shapes,
}

/// What does not vary over the draws.
#[derive(Clone)]
struct Shapes {
    /// Whether it is the heavy one, `1 + c_s²`, c_a².
    each: Vec<(bool, f64, f64)>,
    servers: u32,
}

impl Shapes {
    fn loads(&self, draw: &[f64], keep_heavy: bool) -> Vec<ClassLoad> {
        draw.chunks_exact(2)
            .zip(&self.each)
            .filter(|(_, (is_heavy, ..))| keep_heavy || !is_heavy)
            .map(|(pair, (_, square, arrival_cs2))| ClassLoad {
                rate: pair[0],
                mean: pair[1],
                mean_square: square * pair[1] * pair[1],
                arrival_cs2: *arrival_cs2,
            })
            .collect()
    }

    /// Mean wait, ns.
    fn wait(&self, draw: &[f64], keep_heavy: bool) -> Option<f64> {
        Some(Mixture::of(&self.loads(draw, keep_heavy))?.wait(self.servers)? * 1e9)
    }
}

/// `None` when an operation has no histogram or the cores are not known.
fn queue(context: &Context<'_>, index: usize, heavy: &OperationId) -> Option<Queue> {
    let model = context.model;
    let service = context.service(index);
    let servers = whole_cores(model.cores_limit(service)?)?;
    let instances = model.instances(service)?.max(1.0);
    let mut queue = Queue {
        names: Vec::new(),
        inputs: Vec::new(),
        shapes: Shapes {
            each: Vec::new(),
            servers,
        },
    };
    for (id, facts) in &service.operations {
        let Some(load) = model.class_load(service, id, facts) else {
            continue;
        };
        queue
            .inputs
            .push(model.ended_rate(facts)?.scaled(1.0 / instances));
        queue
            .inputs
            .push(model.cpu_per_request(facts)?.scaled(1e-9));
        queue.names.push(id.shown());
        let square = load.mean_square / (load.mean * load.mean);
        queue
            .shapes
            .each
            .push((id == heavy, square, load.arrival_cs2));
    }
    let any = queue.shapes.each.iter().any(|(is_heavy, ..)| *is_heavy);
    any.then_some(queue)
}

/// Mean waits with and without one operation, ns.
fn waits(context: &Context<'_>, index: usize, heavy: &OperationId) -> Option<Waits> {
    let queue = queue(context, index, heavy)?;
    let refs: Vec<&Estimate> = queue.inputs.iter().collect();
    let points: Vec<f64> = queue.inputs.iter().map(|input| input.point).collect();
    let shapes = &queue.shapes;
    let utilisation = Mixture::of(&shapes.loads(&points, true))?.rho(shapes.servers)?;
    Some(Waits {
        with: Estimate::combine(&refs, |draw| shapes.wait(draw, true)),
        without: Estimate::combine(&refs, |draw| shapes.wait(draw, false)),
        utilisation,
    })
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
