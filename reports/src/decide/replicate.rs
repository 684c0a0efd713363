//! Replicate a hot operation that only reads, with its own copy of what it reads.

use std::collections::BTreeSet;

use weighbridge_wire::{access, column, side};

use super::context::{Against, Context, against, predict, predict_plain, threshold};
use super::judge::{Input, Stake};
use super::{Finding, Rule, say};
use crate::build::{optional, place_row};
use crate::document::{
    Evidence, FigureUnit, QualityWord, Recommendation, RecommendationKind, Subject, SubjectKind,
    Verdict,
};
use crate::model::{Estimate, Name, OperationId, as_f64};
use crate::topology::Change;

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Replicate {
    /// Share of the service's CPU above which an operation is hot.
    pub(crate) cpu_share_min: f64,
    /// CPU that keeps one copy in step ÷ CPU of the operation, above which a copy is too dear.
    pub(crate) copy_price_max: f64,
}

impl Default for Replicate {
    fn default() -> Self {
        Self {
            cpu_share_min: 0.25,
            copy_price_max: 0.25,
        }
    }
}

/// A hot operation that only reads.
pub(crate) struct Hot {
    service: usize,
    id: OperationId,
    share: Estimate,
    cores: Estimate,
    reads: Vec<Read>,
    /// CPU that keeps one copy of everything it reads in step, cores; `None` when it is not known.
    price: Option<Estimate>,
    storage: Option<f64>,
}

/// One entity that it reads.
struct Read {
    database: Name,
    entity: Name,
    statements: Option<Estimate>,
    size: Option<f64>,
    rows: Option<f64>,
    /// Changes of the entity in a second.
    writes: Option<Estimate>,
    /// CPU of carrying and applying one change, ns, and how it is known.
    apply: Option<(Estimate, &'static str)>,
}

impl Rule for Replicate {
    type Candidate = Hot;

    fn candidates(&self, context: &Context<'_>) -> Vec<Hot> {
        let mut found = Vec::new();
        for index in 0..context.model.services().len() {
            for id in context.service(index).operations.keys() {
                if let Some(hot) = self.hot(context, index, id) {
                    found.push(hot);
                }
            }
        }
        found
    }

    fn check(&self, context: &Context<'_>, hot: &Hot) -> Option<Finding> {
        let involved: BTreeSet<(usize, String)> =
            [(hot.service, hot.id.operation.to_string())].into();
        if let Err(missing) = context.sufficient(&involved) {
            return Some(context.cannot_say(missing));
        }
        match against(&hot.share, self.cpu_share_min, "the share of CPU") {
            Against::Above => {}
            Against::Below => return None,
            Against::Unclear(why) => return Some(context.cannot_say(why)),
        }
        let Some(price) = &hot.price else {
            return Some(context.cannot_say(
                "What it costs to apply a change to a copy is not known: nothing in this system is copied by messages yet. Try one copy.",
            ));
        };
        let Some(ratio) = price.over(&hot.cores) else {
            return Some(context.cannot_say("The operation used no CPU."));
        };
        Some(match against(&ratio, self.copy_price_max, "the price of a copy") {
            Against::Unclear(why) => context.cannot_say(why),
            Against::Below => self.when(context, hot, &ratio),
            Against::Above => context.finding(
                Verdict::Leave,
                format!(
                    "What it reads changes too often: keeping one copy in step costs {} of what the operation itself costs.",
                    say::with_interval(&ratio, say::share)
                ),
            ),
        })
    }

    fn changes(&self, context: &Context<'_>, hot: &Hot) -> Vec<Change> {
        vec![Change::Replicate {
            service: context.label(hot.service).to_owned(),
            operations: vec![hot.id.shown()],
            replicas: 1,
        }]
    }

    fn stake(&self, _: &Context<'_>, hot: &Hot) -> Option<Stake> {
        Some(Stake {
            objective: "cores that a replica can carry, less what keeps its copy in step"
                .to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![
                Input::weighed("cores of the operation", FigureUnit::Cores, &hot.cores),
                Input::weighed(
                    "cores that keep one copy in step",
                    FigureUnit::Cores,
                    hot.price.as_ref()?,
                ),
            ],
            gain: Box::new(|x| Some(*x.first()? - *x.get(1)?)),
            cost: Some(Box::new(|x| x.get(1).map(|price| -price))),
        })
    }

    fn explain(&self, context: &Context<'_>, hot: &Hot, finding: Finding) -> Recommendation {
        let label = context.label(hot.service);
        let name = hot.id.shown();
        let mut subjects = vec![
            context.operation_subject(hot.service, &hot.id),
            context.service_subject(hot.service),
        ];
        subjects.extend(hot.reads.iter().map(|read| Subject {
            kind: SubjectKind::Entity,
            service: String::new(),
            name: read.entity.to_string(),
            row: format!("entity:{}", read.entity),
        }));
        let entities: Vec<String> = hot
            .reads
            .iter()
            .map(|read| read.entity.to_string())
            .collect();
        let entities = say::list(&entities);
        let gain = hot.price.as_ref().map(|price| price.scaled(-1.0));
        Recommendation {
            id: format!("rec:replicate:{}", hot.id.row(label)),
            kind: RecommendationKind::Replicate,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::Do | Verdict::Try => format!(
                    "Replicate {name} of {label} as a component of its own, each replica with its own copy of {entities}."
                ),
                Verdict::Leave => format!("Do not replicate {name} of {label}: {entities} changes too often."),
                Verdict::CannotSay => format!("Replicating {name} of {label} cannot be judged yet."),
            },
            subjects,
            gain: optional(gain.as_ref(), FigureUnit::Cores, "the price of a copy is not known"),
            evidence: self.evidence(context, hot),
            prediction: predictions(context, hot),
            downsides: vec![
                format!("Each replica stores {entities} again and applies every change to it."),
                "Answers may be older than the owner's data by the time a change needs to arrive.".to_owned(),
                "A new replica must be filled before it can answer.".to_owned(),
            ],
            falsify: vec![
                format!("After the change, weigh again: the cores of {label} must fall by those of {name}, and each replica must spend no more on changes than predicted."),
                format!("Watch the writes to {entities}: at the break-even rate a copy costs as much as it carries."),
            ],
            first_step: format!(
                "Start one replica that follows the changes of {entities} and send it one tenth of {name}."
            ),
            rule: "Replicate an operation that takes a large part of its service's CPU, only reads, and calls nobody, when keeping a copy of what it reads in step costs little beside it.".to_owned(),
            thresholds: vec![
                threshold("share of the service's CPU", self.cpu_share_min, Some(hot.share.point), FigureUnit::Ratio),
                threshold(
                    "CPU of one copy ÷ CPU of the operation",
                    self.copy_price_max,
                    hot.price.as_ref().and_then(|p| p.over(&hot.cores)).map(|r| r.point),
                    FigureUnit::Ratio,
                ),
            ],
            judgement: None,
        }
    }
}

impl Replicate {
    fn hot(&self, context: &Context<'_>, index: usize, id: &OperationId) -> Option<Hot> {
        let model = context.model;
        let service = context.service(index);
        let facts = service.operations.get(id)?;
        let uses = |how: &'static str| {
            service.entities.iter().filter(move |(_, entity)| {
                entity
                    .uses
                    .keys()
                    .any(|(user, a)| user == id && &**a == how)
            })
        };
        if uses(access::WRITE).next().is_some() || uses(access::READ).next().is_none() {
            return None;
        }
        let calls_out = service.edges.iter().any(|(edge, facts)| {
            &*edge.side == side::CALLER
                && edge.operation == id.operation
                && facts.all.total(column::REQUEST_MESSAGES).unwrap_or(0) > 0
        });
        if calls_out {
            return None;
        }
        let cores = model.operation_cores(facts)?;
        let share = cores.over(&model.service_cores(service)?)?;
        // A glance: whoever is far from hot needs no word.
        if share.point < self.cpu_share_min / 2.0 {
            return None;
        }
        let reads: Vec<Read> = uses(access::READ)
            .map(|((database, name), entity)| {
                let sum = |how: &str, only: Option<&OperationId>| {
                    entity
                        .uses
                        .iter()
                        .filter(|((user, a), _)| {
                            &**a == how && only.is_none_or(|only| user == only)
                        })
                        .filter_map(|(_, sums)| model.column(sums, column::STATEMENTS))
                        .reduce(|a, b| a.plus(&b))
                };
                Read {
                    database: database.clone(),
                    entity: name.clone(),
                    statements: sum(access::READ, Some(id)),
                    size: entity.size.total(column::SIZE_BYTES).map(as_f64),
                    rows: entity.size.total(column::ROW_COUNT).map(as_f64),
                    // Nobody was seen to write it here: it did not change.
                    writes: model.rate(&sum(access::WRITE, None).unwrap_or_else(Estimate::zero)),
                    apply: apply_cost(context, index, name),
                }
            })
            .collect();
        let price = reads
            .iter()
            .map(|read| {
                let writes = read.writes.as_ref()?;
                if writes.point <= 0.0 {
                    return Some(Estimate::zero());
                }
                let (apply, _) = read.apply.as_ref()?;
                Some(
                    writes
                        .times(apply)
                        .scaled(1e-9)
                        .of_quality(QualityWord::Estimated),
                )
            })
            .collect::<Option<Vec<Estimate>>>()
            .and_then(|prices| prices.into_iter().reduce(|a, b| a.plus(&b)));
        let storage = reads
            .iter()
            .map(|read| read.size)
            .collect::<Option<Vec<f64>>>();
        Some(Hot {
            service: index,
            id: id.clone(),
            share,
            cores,
            reads,
            price,
            storage: storage.map(|sizes| sizes.iter().sum()),
        })
    }

    /// Now, or when the load has grown?
    fn when(&self, context: &Context<'_>, hot: &Hot, ratio: &Estimate) -> Finding {
        let cheap = format!(
            "It takes {} of the CPU of {}, only reads, and a copy costs {} of what it does.",
            say::with_interval(&hot.share, say::share),
            context.label(hot.service),
            say::share(ratio.point)
        );
        match headroom(context, hot.service) {
            Some(factor) if factor <= context.options.design_load() => context.finding(
                Verdict::Do,
                format!(
                    "{cheap} At {} times the load {} passes the planned utilisation with the processes it has.",
                    say::number(factor),
                    context.label(hot.service)
                ),
            ),
            Some(factor) => context.finding(
                Verdict::Try,
                format!("{cheap} There is room until {} times the load; till then it is an option.", say::number(factor)),
            ),
            None => context.finding(
                Verdict::Try,
                format!("{cheap} When it will be needed is not known: the cores of the processes are not."),
            ),
        }
    }

    fn evidence(&self, context: &Context<'_>, hot: &Hot) -> Vec<Evidence> {
        let label = context.label(hot.service);
        let row = hot.id.row(label);
        let mut evidence = vec![Evidence {
            sentence: format!(
                "{} uses {}, {} of the CPU of {label}; it writes nothing and calls nobody.",
                hot.id.shown(),
                say::with_interval(&hot.cores, say::cores),
                say::with_interval(&hot.share, say::share)
            ),
            rows: vec![row.clone(), format!("service:{label}")],
        }];
        for read in &hot.reads {
            let reads = read
                .statements
                .as_ref()
                .and_then(|n| context.model.rate(n))
                .map_or_else(
                    || "reads".to_owned(),
                    |rate| format!("{} reads", say::rate(rate.point)),
                );
            let size = match (read.rows, read.size) {
                (Some(rows), Some(size)) => {
                    format!("{} rows in {}", say::number(rows), say::bytes(size))
                }
                (None, Some(size)) => say::bytes(size),
                (Some(rows), None) => format!("{} rows, size not known", say::number(rows)),
                (None, None) => "size not known".to_owned(),
            };
            let writes = read
                .writes
                .as_ref()
                .map_or_else(|| "unknown".to_owned(), |w| say::rate(w.point));
            let apply = read.apply.as_ref().map_or_else(
                || "what a change costs a copy is not known".to_owned(),
                |(apply, how)| {
                    format!(
                        "a change costs a copy {} ({how})",
                        say::with_interval(apply, say::ns)
                    )
                },
            );
            evidence.push(Evidence {
                sentence: format!(
                    "{}: {reads} by it, {size}, {writes} changes; {apply}.",
                    read.entity
                ),
                rows: vec![row.clone(), place_row(label, &read.database, &read.entity)],
            });
        }
        evidence
    }
}

/// What a change of an entity costs a copy. Best: what existing copies of it cost. Next: what an asynchronous
/// message costs in this system, plus what a write costs here.
fn apply_cost(
    context: &Context<'_>,
    service: usize,
    entity: &str,
) -> Option<(Estimate, &'static str)> {
    let links = crate::build::copy_links(context.model, entity);
    let seen = mean_per_message(links.iter().map(|link| link.edge), true);
    if let Some(seen) = seen {
        return Some((seen, "as in the copies there are"));
    }
    let carry = mean_per_message(
        context
            .model
            .edges
            .iter()
            .filter(|edge| !edge.is_sync() && edge.between_services().is_some()),
        false,
    )?;
    let writes: Vec<_> = context
        .service(service)
        .entities
        .iter()
        .filter(|((_, name), _)| &**name == entity)
        .flat_map(|(_, facts)| facts.uses.iter())
        .filter(|((_, how), _)| &**how == access::WRITE)
        .map(|(_, sums)| sums)
        .collect();
    let add = |column| {
        writes
            .iter()
            .filter_map(|sums| context.model.column(sums, column))
            .reduce(|a, b| a.plus(&b))
    };
    let write = add(column::CPU_STORE_NS)?.over(&add(column::STATEMENTS)?)?;
    Some((
        carry.plus(&write),
        "a message as others here, plus a write as here",
    ))
}

/// Mean cost per message over edges: carrying it, and its work when asked for.
fn mean_per_message<'a>(
    edges: impl Iterator<Item = &'a crate::model::Edge>,
    with_work: bool,
) -> Option<Estimate> {
    let mut cores: Option<Estimate> = None;
    let mut rate: Option<Estimate> = None;
    for edge in edges {
        let cost = &edge.cost;
        let Some(mut mine) = cost.overhead_cores.clone() else {
            continue;
        };
        if with_work && let Some(work) = &cost.work_cores {
            mine = mine.plus(work);
        }
        let Some(messages) = &cost.rate else { continue };
        cores = Some(cores.map_or_else(|| mine.clone(), |sum| sum.plus(&mine)));
        rate = Some(rate.map_or_else(|| messages.clone(), |sum| sum.plus(messages)));
    }
    Some(cores?.over(&rate?)?.scaled(1e9))
}

/// The load factor at which the service passes the target utilisation with today's processes.
fn headroom(context: &Context<'_>, index: usize) -> Option<f64> {
    let service = context.service(index);
    let have = context.model.cores_limit(service)? * context.model.instances(service)?.max(1.0);
    let load = context.load(index)?;
    if load.variable.point <= 0.0 {
        return None;
    }
    let factor = (have * context.options.target() - load.base.point) / load.variable.point;
    factor.is_finite().then_some(factor.max(0.0))
}

fn predictions(context: &Context<'_>, hot: &Hot) -> Vec<crate::document::Prediction> {
    let label = context.label(hot.service);
    let name = hot.id.shown();
    let model = context.model;
    let service = context.service(hot.service);
    let cores = model.service_cores(service);
    let left = cores
        .as_ref()
        .map(|all| all.minus(&hot.cores).map(|c| c.max(0.0)));
    let with_copy = cores
        .as_ref()
        .zip(hot.price.as_ref())
        .map(|(all, price)| all.plus(price));
    let mut figures = vec![
        predict(
            &format!("cores of {label} without {name}"),
            FigureUnit::Cores,
            cores.as_ref(),
            left.as_ref(),
        ),
        predict(
            &format!("cores of {label} and one replica of {name} together"),
            FigureUnit::Cores,
            cores.as_ref(),
            with_copy.as_ref(),
        ),
        predict_plain(
            "bytes stored in each replica",
            FigureUnit::Bytes,
            Some(0.0),
            hot.storage,
            "from gauges of table sizes",
        ),
    ];
    let before = headroom(context, hot.service);
    let after = context
        .model
        .cores_limit(service)
        .zip(context.load(hot.service))
        .and_then(|(limit, load)| {
            let have = limit * model.instances(service)?.max(1.0) * context.options.target();
            let rest = load.variable.point - hot.cores.point;
            (rest > 0.0).then(|| (have - load.base.point) / rest)
        });
    figures.push(predict_plain(
        &format!("load, as a multiple of today's, that the processes of {label} carry at the planned utilisation"),
        FigureUnit::Count,
        before,
        after,
        "from point figures",
    ));
    if let Some(break_even) = break_even(hot) {
        figures.push(predict_plain(
            "changes of what it reads, at which one copy costs as much as the operation",
            FigureUnit::PerSecond,
            hot.reads
                .iter()
                .filter_map(|r| Some(r.writes.as_ref()?.point))
                .reduce(|a, b| a + b),
            Some(break_even),
            "before is the rate seen, after the rate at break-even",
        ));
    }
    figures.extend(context.money(
        (cores.as_ref(), with_copy.as_ref()),
        (Some(0.0), hot.storage),
    ));
    figures
}

fn break_even(hot: &Hot) -> Option<f64> {
    let dearest = hot
        .reads
        .iter()
        .filter_map(|read| read.apply.as_ref().map(|(apply, _)| apply.point))
        .reduce(f64::max)
        .filter(|ns| *ns > 0.0)?;
    Some(hot.cores.point * 1e9 / dearest)
}
