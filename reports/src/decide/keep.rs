//! Keep services apart that talk little, or whose memory a merge would multiply.

use super::context::{Against, Context, against, predict, predict_plain, threshold};
use super::memory::{PairMemory, heaviest, pair_memory};
use super::merge::Merge;
use super::{Finding, Rule, say};
use crate::build::optional;
use crate::document::{
    Evidence, FigureUnit, QualityWord, Recommendation, RecommendationKind, Verdict,
};
use crate::model::{Edge, Estimate};

/// Message overhead as a share of both services' cores below which they talk little.
pub(crate) const TALK_SHARE_MAX: f64 = 0.1;

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    /// [`TALK_SHARE_MAX`].
    pub(crate) talk_share_max: f64,
    /// Correlation of the two services' CPU over windows below which their loads do not go together.
    pub(crate) correlation_max: f64,
    /// Ratio of the largest request memory in the two services above which their memory differs.
    pub(crate) memory_ratio_min: f64,
    /// Ratio of cores above which their sizes differ.
    pub(crate) cores_ratio_min: f64,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            talk_share_max: TALK_SHARE_MAX,
            correlation_max: 0.5,
            memory_ratio_min: 4.0,
            cores_ratio_min: 2.0,
        }
    }
}

/// Two services that merging was thought about.
pub(crate) struct Apart<'a> {
    a: usize,
    b: usize,
    edges: Vec<&'a Edge>,
    overhead: Option<Estimate>,
    cores: Option<Estimate>,
    /// Overhead ÷ cores of both.
    talk: Option<Estimate>,
    memory: Option<PairMemory>,
    correlation: Option<f64>,
}

impl Rule for Keep {
    type Candidate = (usize, usize);

    fn candidates(&self, context: &Context<'_>) -> Vec<(usize, usize)> {
        let merge = Merge::default();
        context
            .pairs()
            .into_iter()
            // Where a merge is argued for or against, that says it all.
            .filter(|pair| merge.check(context, pair).is_none())
            .collect()
    }

    fn check(&self, context: &Context<'_>, &(a, b): &(usize, usize)) -> Option<Finding> {
        let pair = Apart::new(context, a, b);
        if let Err(missing) = context.sufficient(&context.deciding_operations(&pair.edges)) {
            return Some(context.cannot_say(missing));
        }
        if Merge::default().refused_for_memory(pair.memory.as_ref())
            && let Some(memory) = &pair.memory
        {
            return Some(context.finding(
                Verdict::Leave,
                format!(
                    "At {} times the load a merge would hold the memory of both in {} processes: {} in place of {}.",
                    say::factor(context.options.design_load()),
                    say::factor(memory.replicas_merged),
                    say::bytes(memory.after),
                    say::bytes(memory.before)
                ),
            ));
        }
        let Some(talk) = &pair.talk else {
            return Some(context.cannot_say(format!(
                "Message overhead or the services' CPU is not known. Missing: the agent with its accounts in {} and {}.",
                context.label(a),
                context.label(b)
            )));
        };
        match against(talk, self.talk_share_max, "the share of messages") {
            Against::Above => None,
            Against::Unclear(why) => Some(context.cannot_say(why)),
            Against::Below => {
                let differences = self.differences(context, &pair);
                let apart = if differences.is_empty() {
                    String::new()
                } else {
                    let said: Vec<String> = differences
                        .iter()
                        .map(|evidence| evidence.0.to_owned())
                        .collect();
                    format!(", and they scale apart ({})", say::list(&said))
                };
                Some(context.finding(
                    Verdict::Leave,
                    format!(
                        "They talk little: messages between them are {} of their CPU{apart}.",
                        say::with_interval(talk, say::share)
                    ),
                ))
            }
        }
    }

    fn explain(
        &self,
        context: &Context<'_>,
        &(a, b): &(usize, usize),
        finding: Finding,
    ) -> Recommendation {
        let pair = Apart::new(context, a, b);
        let (name_a, name_b) = (context.label(a), context.label(b));
        let after = pair
            .cores
            .as_ref()
            .zip(context.together(a, b))
            .map(|(cores, together)| {
                cores
                    .minus(&together.saved)
                    .of_quality(QualityWord::Estimated)
            });
        let mut evidence: Vec<Evidence> = pair.talk_evidence(context).into_iter().collect();
        evidence.extend(
            self.differences(context, &pair)
                .into_iter()
                .map(|(_, evidence)| evidence),
        );
        evidence.extend(pair.memory_evidence(context));
        let mut prediction = vec![predict(
            &format!("cores of {name_a} and {name_b}, were they merged"),
            FigureUnit::Cores,
            pair.cores.as_ref(),
            after.as_ref(),
        )];
        if let Some(memory) = &pair.memory {
            let factor = say::factor(context.options.design_load());
            prediction.push(predict_plain(
                &format!("memory of both at {factor} times the load, were they merged"),
                FigureUnit::Bytes,
                Some(memory.before),
                Some(memory.after),
                "from gauges and whole processes",
            ));
        }
        Recommendation {
            id: format!("rec:keep:{name_a}+{name_b}"),
            kind: RecommendationKind::Keep,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::CannotSay => {
                    format!("Whether {name_a} and {name_b} should stay apart cannot be judged yet.")
                }
                _ => format!("Keep {name_a} and {name_b} apart."),
            },
            subjects: vec![context.service_subject(a), context.service_subject(b)],
            gain: optional(None, FigureUnit::Cores, "nothing is changed"),
            evidence,
            prediction,
            downsides: vec![
                "Two deployments, two bases, and the messages between them stay.".to_owned(),
            ],
            falsify: vec![
                format!("If the messages between {name_a} and {name_b} rise above {} of their CPU, look again.", say::share(self.talk_share_max)),
                "If both always need the same number of processes at the same time, they do not scale apart.".to_owned(),
            ],
            first_step: "Nothing to do; weigh again when traffic between them has grown.".to_owned(),
            rule: "Keep services apart whose messages are a small part of their CPU, or whose memory a merge would hold in many more processes.".to_owned(),
            thresholds: vec![
                threshold(
                    "message overhead ÷ cores of both",
                    self.talk_share_max,
                    pair.talk.as_ref().map(|talk| talk.point),
                    FigureUnit::Ratio,
                ),
                threshold(
                    "memory after ÷ before, at the largest load planned for",
                    Merge::default().memory_growth_max,
                    pair.memory.as_ref().and_then(PairMemory::growth),
                    FigureUnit::Ratio,
                ),
                threshold(
                    "correlation of their CPU over windows",
                    self.correlation_max,
                    pair.correlation,
                    FigureUnit::Ratio,
                ),
            ],
            judgement: None,
        }
    }
}

impl Keep {
    /// In what they scale apart: a few words, and the evidence.
    fn differences(
        &self,
        context: &Context<'_>,
        pair: &Apart<'_>,
    ) -> Vec<(&'static str, Evidence)> {
        let (a, b) = (pair.a, pair.b);
        let (name_a, name_b) = (context.label(a), context.label(b));
        let rows = |prefix: &str| {
            [a, b]
                .map(|i| format!("{prefix}:{}", context.label(i)))
                .to_vec()
        };
        let mut found = Vec::new();
        if let Some(correlation) = pair.correlation.filter(|c| *c < self.correlation_max) {
            found.push((
                "their loads do not go together",
                Evidence {
                    sentence: format!(
                        "Over the windows the CPU of {name_a} and of {name_b} has a correlation of {}.",
                        say::number(correlation)
                    ),
                    rows: rows("service"),
                },
            ));
        }
        let cores = |i| {
            context
                .model
                .service_cores(context.service(i))
                .map(|c| c.point)
        };
        if let Some((x, y)) = cores(a).zip(cores(b))
            && x.min(y) > 0.0
            && x.max(y) / x.min(y) >= self.cores_ratio_min
        {
            let factor = context.options.design_load();
            let processes = pair_memory(context, a, b).map_or_else(String::new, |pair| {
                format!(
                    "; at {} times the load that is {} and {} processes",
                    say::factor(factor),
                    say::factor(pair.replicas.0),
                    say::factor(pair.replicas.1)
                )
            });
            found.push((
                "one needs many times the CPU of the other",
                Evidence {
                    sentence: format!(
                        "{name_a} uses {}, {name_b} {}{processes}.",
                        say::cores(x),
                        say::cores(y)
                    ),
                    rows: rows("capacity"),
                },
            ));
        }
        if let Some(((op_a, x), (op_b, y))) = heaviest(context, a).zip(heaviest(context, b))
            && x.min(y) > 0.0
            && x.max(y) / x.min(y) >= self.memory_ratio_min
        {
            found.push((
                "their requests differ in memory",
                Evidence {
                    sentence: format!(
                        "A request of {} of {name_a} holds up to {}, one of {} of {name_b} up to {}.",
                        op_a.shown(),
                        say::bytes(x),
                        op_b.shown(),
                        say::bytes(y)
                    ),
                    rows: vec![op_a.row(name_a), op_b.row(name_b)],
                },
            ));
        }
        found
    }
}

impl<'a> Apart<'a> {
    fn new(context: &Context<'a>, a: usize, b: usize) -> Self {
        let edges = context.edges_between(a, b);
        let overhead = edges
            .iter()
            .filter_map(|edge| edge.cost.overhead_cores.clone())
            .reduce(|x, y| x.plus(&y));
        let cores = context.pair_cores(a, b);
        let talk = overhead
            .as_ref()
            .zip(cores.as_ref())
            .and_then(|(o, cores)| o.over(cores));
        Self {
            a,
            b,
            overhead,
            talk,
            cores,
            memory: pair_memory(context, a, b),
            correlation: context
                .model
                .correlation(context.service(a), context.service(b)),
            edges,
        }
    }

    fn talk_evidence(&self, context: &Context<'_>) -> Option<Evidence> {
        let (overhead, cores) = self.overhead.as_ref().zip(self.cores.as_ref())?;
        let rate: f64 = self
            .edges
            .iter()
            .filter_map(|e| Some(e.cost.rate.as_ref()?.point))
            .sum();
        Some(Evidence {
            sentence: format!(
                "{} messages between {} and {}, over {} edges, cost {} of the {} that both use.",
                say::rate(rate),
                context.label(self.a),
                context.label(self.b),
                self.edges.len(),
                say::with_interval(overhead, say::cores),
                say::cores(cores.point)
            ),
            rows: self.edges.iter().map(|edge| edge.id.clone()).collect(),
        })
    }

    fn memory_evidence(&self, context: &Context<'_>) -> Option<Evidence> {
        let memory = self.memory.as_ref()?;
        let (name_a, name_b) = (context.label(self.a), context.label(self.b));
        Some(Evidence {
            sentence: format!(
                "At {} times the load: {} processes of {name_a} with {} each and {} of {name_b} with {} each, {} in all; merged, {} processes with {} in all.",
                say::factor(context.options.design_load()),
                say::factor(memory.replicas.0),
                say::bytes(memory.rss.0),
                say::factor(memory.replicas.1),
                say::bytes(memory.rss.1),
                say::bytes(memory.before),
                say::factor(memory.replicas_merged),
                say::bytes(memory.after)
            ),
            rows: [name_a, name_b]
                .map(|name| format!("capacity:{name}"))
                .into(),
        })
    }
}
