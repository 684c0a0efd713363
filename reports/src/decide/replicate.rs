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
use crate::topology::{Change, Copied, TakenOut, Weights};

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
    /// What becomes of the service, by the topology engine.
    taken_out: TakenOut,
}

/// One entity that it reads.
struct Read {
    database: Name,
    entity: Name,
    statements: Option<Estimate>,
    size: Option<f64>,
    rows: Option<f64>,
    /// What a new copy of it costs.
    copy: Option<Copied>,
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
        if let Some(finding) = context.boundaries(1) {
            return Some(finding);
        }
        let Some(price) = &hot.price else {
            return Some(context.cannot_say(
                "What it costs to apply a change to a copy is not known: nothing in this system is copied by messages yet. Try one copy.",
            ));
        };
        let Some(ratio) = price.over(&hot.cores) else {
            return Some(
                context.cannot_say("The operation used no CPU. Weigh a range in which it works."),
            );
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
        vec![change(context, hot.service, &hot.id)]
    }

    fn stake(&self, context: &Context<'_>, hot: &Hot) -> Option<Stake> {
        // A replica has a base of its own beside what keeps its copy in step.
        let base = context.weighed.inputs().services[hot.service].base_bytes;
        let weights = Weights::of(context.options.prices.as_ref());
        let held = weights.byte * base.unwrap_or(0.0);
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
            cost: Some(Box::new(move |x| Some(-(weights.core * x.get(1)? + held)))),
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
        let taken = &hot.taken_out;
        let gain = taken.before.minus(&taken.left.plus(&taken.new));
        let gain = hot.price.as_ref().map(|_| gain);
        let ratio = hot.price.as_ref().and_then(|price| price.over(&hot.cores));
        let dear = ratio
            .as_ref()
            .is_some_and(|ratio| ratio.point > self.copy_price_max);
        Recommendation {
            id: format!("rec:replicate:{}", hot.id.row(label)),
            kind: RecommendationKind::Replicate,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::Do | Verdict::Try => format!(
                    "Replicate {name} of {label} as a component of its own, each replica with its own copy of {entities}."
                ),
                Verdict::Leave if dear => format!("Do not replicate {name} of {label}: {entities} changes too often."),
                Verdict::Leave => format!("Do not replicate {name} of {label}."),
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
                    ratio.map(|ratio| ratio.point),
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
        let taken_out = context.taken_out(index, id, &change(context, index, id))?;
        let reads: Vec<Read> = uses(access::READ)
            .map(|((database, name), entity)| {
                let mut copied = taken_out.copied.iter();
                let sum = |how: &str| {
                    entity
                        .uses
                        .iter()
                        .filter(|((user, a), _)| &**a == how && user == id)
                        .filter_map(|(_, sums)| model.column(sums, column::STATEMENTS))
                        .reduce(|a, b| a.plus(&b))
                };
                Read {
                    database: database.clone(),
                    entity: name.clone(),
                    statements: sum(access::READ),
                    size: entity.size.total(column::SIZE_BYTES).map(as_f64),
                    rows: entity.size.total(column::ROW_COUNT).map(as_f64),
                    copy: copied.find(|copy| *copy.entity == **name).cloned(),
                }
            })
            .collect();
        let price = taken_out.copies.clone();
        let price = price.map(|price| price.of_quality(QualityWord::Estimated));
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
            taken_out,
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
        match hot.taken_out.headroom.0 {
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
            let copy = read.copy.as_ref();
            let writes = copy.map_or_else(|| "unknown".to_owned(), |c| say::rate(c.changes.point));
            let apply = copy.and_then(|copy| {
                let how = if copy.seen {
                    "as in the copies there are"
                } else {
                    "a message as others here, plus a write as here"
                };
                let each = say::with_interval(copy.change_ns.as_ref()?, say::ns);
                Some(format!("a change costs a copy {each} ({how})"))
            });
            let apply =
                apply.unwrap_or_else(|| "what a change costs a copy is not known".to_owned());
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

fn change(context: &Context<'_>, service: usize, id: &OperationId) -> Change {
    Change::Replicate {
        service: context.label(service).to_owned(),
        operations: vec![id.shown()],
        replicas: 1,
    }
}

fn predictions(context: &Context<'_>, hot: &Hot) -> Vec<crate::document::Prediction> {
    let label = context.label(hot.service);
    let name = hot.id.shown();
    let taken = &hot.taken_out;
    let (cores, left) = (Some(&taken.before), Some(&taken.left));
    let with_copy = hot.price.as_ref().map(|_| taken.left.plus(&taken.new));
    let mut figures = vec![
        predict(
            &format!("cores of {label} without {name}"),
            FigureUnit::Cores,
            cores,
            left,
        ),
        predict(
            &format!("cores of {label} and one replica of {name} together"),
            FigureUnit::Cores,
            cores,
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
    let (before, after) = taken.headroom;
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
                .filter_map(|r| Some(r.copy.as_ref()?.changes.point))
                .reduce(|a, b| a + b),
            Some(break_even),
            "before is the rate seen, after the rate at break-even",
        ));
    }
    figures.extend(context.money((cores, with_copy.as_ref()), (Some(0.0), hot.storage)));
    figures
}

fn break_even(hot: &Hot) -> Option<f64> {
    let dearest = hot
        .reads
        .iter()
        .filter_map(|read| Some(read.copy.as_ref()?.change_ns.as_ref()?.point))
        .reduce(f64::max)
        .filter(|ns| *ns > 0.0)?;
    Some(hot.cores.point * 1e9 / dearest)
}
