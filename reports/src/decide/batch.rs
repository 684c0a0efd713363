//! Make one call of many.

use super::context::{Against, Context, against, predict, threshold};
use super::judge::{Input, Stake};
use super::{Finding, Rule, say};
use crate::document::{
    Evidence, FigureUnit, ObserveWhat, Recommendation, RecommendationKind, Subject, SubjectKind,
    Verdict,
};
use crate::model::{Edge, Estimate};
use crate::topology::Change;

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Calls for each request of the caller above which an edge is chatty.
    pub(crate) calls_per_request_min: f64,
    /// Saved cores as a share of both services' cores above which the change is worth it.
    pub(crate) saving_share_min: f64,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            calls_per_request_min: 2.0,
            saving_share_min: 0.05,
        }
    }
}

impl Rule for Batch {
    /// Index of the edge.
    type Candidate = usize;

    fn candidates(&self, context: &Context<'_>) -> Vec<usize> {
        let chatty = |edge: &Edge| {
            edge.is_sync()
                && edge.between_services().is_some()
                && edge
                    .cost
                    .calls_per_request
                    .as_ref()
                    .is_some_and(|n| n.point > self.calls_per_request_min)
        };
        (0..context.model.edges.len())
            .filter(|at| chatty(&context.model.edges[*at]))
            .collect()
    }

    fn check(&self, context: &Context<'_>, at: &usize) -> Option<Finding> {
        let edge = &context.model.edges[*at];
        let calls = edge.cost.calls_per_request.as_ref()?;
        if let Err(missing) = context.sufficient(&context.deciding_operations(&[edge])) {
            return Some(context.cannot_say(missing));
        }
        match against(
            calls,
            self.calls_per_request_min,
            "the calls for each request",
        ) {
            Against::Above => {}
            Against::Below => return None,
            Against::Unclear(why) => return Some(context.cannot_say(why)),
        }
        let share = saved(context, edge).and_then(|(saved, _)| {
            let (a, b) = edge.between_services()?;
            saved.over(&context.pair_cores(a, b)?)
        });
        let Some(share) = share else {
            return Some(context.cannot_say(
                "What a message of this edge costs is not known. Missing: the agent with its accounts at both ends.",
            ));
        };
        Some(match against(&share, self.saving_share_min, "the saving") {
            Against::Above => context.finding(
                Verdict::Do,
                format!(
                    "{} calls are made for each request; one call in their place saves {} of both services' CPU.",
                    say::with_interval(calls, say::number),
                    say::with_interval(&share, say::share)
                ),
            ),
            Against::Below => context.finding(
                Verdict::Leave,
                format!(
                    "The edge is chatty, but its messages are cheap beside the work: one call in place of many would save {} of both services' CPU.",
                    say::with_interval(&share, say::share)
                ),
            ),
            Against::Unclear(why) => context.cannot_say(why),
        })
    }

    fn changes(&self, context: &Context<'_>, at: &usize) -> Vec<Change> {
        let edge = &context.model.edges[*at];
        vec![Change::Batch {
            edge: edge.id.clone(),
            calls: calls(edge),
        }]
    }

    fn stake(&self, context: &Context<'_>, at: &usize) -> Option<Stake> {
        let edge = &context.model.edges[*at];
        let kept = 1.0 - 1.0 / calls(edge)?;
        let each = saved(context, edge)?
            .0
            .over(edge.cost.rate.as_ref()?)?
            .scaled(1e9 / kept);
        Some(Stake {
            objective: "cores saved".to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![
                Input::weighed(
                    "calls over this edge",
                    FigureUnit::PerSecond,
                    edge.cost.rate.as_ref()?,
                ),
                Input::weighed(
                    "calls for each request",
                    FigureUnit::PerRequest,
                    edge.cost.calls_per_request.as_ref()?,
                ),
                Input::weighed(
                    "what a call costs whatever its size",
                    FigureUnit::NsPerCall,
                    &each,
                ),
            ],
            gain: Box::new(|x| {
                let kept = 1.0 - 1.0 / x.get(1)?.max(1.0);
                Some(x.first()? * kept * x.get(2)? * 1e-9)
            }),
            cost: None,
        })
    }

    fn explain(&self, context: &Context<'_>, at: &usize, finding: Finding) -> Recommendation {
        let edge = &context.model.edges[*at];
        let cost = &edge.cost;
        let saving = saved(context, edge);
        let pair = edge
            .between_services()
            .and_then(|(a, b)| context.pair_cores(a, b));
        let after = pair
            .as_ref()
            .zip(saving.as_ref())
            .map(|(cores, (saved, _))| cores.minus(saved));
        let after_rate = cost
            .rate
            .as_ref()
            .zip(cost.calls_per_request.as_ref())
            .and_then(|(rate, calls)| rate.over(calls));
        let target = &edge.joined.variant.target;
        let shown = edge.shown();
        let ends = [
            edge.joined.from.label.as_str(),
            edge.joined.to.label.as_str(),
        ];
        let mut subjects = Vec::new();
        for end in [&edge.joined.from, &edge.joined.to] {
            if let Some(service) = end.service {
                subjects.push(context.operation_subject(service, &end.operation));
            }
        }
        subjects.push(Subject {
            kind: SubjectKind::Edge,
            service: edge.joined.from.label.clone(),
            name: target.to_string(),
            row: edge.id.clone(),
        });
        let mut evidence = Vec::new();
        if let Some((calls, overhead)) = cost.calls_per_request.as_ref().zip(cost.overhead.as_ref())
        {
            evidence.push(Evidence {
                sentence: format!(
                    "{shown}: {} calls for each request, each with {} of messages.",
                    say::with_interval(calls, say::number),
                    say::with_interval(overhead, say::ns)
                ),
                rows: vec![edge.id.clone()],
            });
        }
        if let Some((_, note)) = &saving {
            evidence.push(Evidence {
                sentence: (*note).to_owned(),
                rows: vec![edge.id.clone()],
            });
        }
        Recommendation {
            id: format!("rec:batch:{}", edge.id),
            kind: RecommendationKind::Batch,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::Do | Verdict::Try => {
                    format!("Make one call of many: {shown}.")
                }
                Verdict::Leave => format!("Leave the many calls of {shown} as they are."),
                Verdict::CannotSay => format!("Batching {shown} cannot be judged yet."),
            },
            subjects,
            gain: crate::build::optional(
                saving.as_ref().map(|(saved, _)| saved),
                FigureUnit::Cores,
                "the saving is not known",
            ),
            evidence,
            prediction: vec![
                predict("calls over this edge", FigureUnit::PerSecond, cost.rate.as_ref(), after_rate.as_ref())
                    .observed_by(ObserveWhat::CallsOfOperation, &ends, &edge.joined.from.operation.operation, ""),
                predict(
                    &format!("cores of {} and {} together", edge.joined.from.label, edge.joined.to.label),
                    FigureUnit::Cores,
                    pair.as_ref(),
                    after.as_ref(),
                )
                .observed_by(ObserveWhat::Cores, &ends, "", ""),
            ],
            downsides: vec![
                "The interface changes: a call that takes a list, and answers for parts of it that fail.".to_owned(),
                "The first part waits for the last one.".to_owned(),
                "A merge of the two services would remove the same messages: the savings do not add up.".to_owned(),
            ],
            falsify: vec![
                "After the change, weigh again: the calls for each request must be near 1, and the cores of both services inside the interval.".to_owned(),
            ],
            first_step: format!(
                "Add a variant of {target} that takes a list, and send one tenth of the requests through it."
            ),
            rule: "Batch when an operation makes more than a few synchronous calls of one kind for each of its requests and the messages saved are worth the change of the interface.".to_owned(),
            thresholds: vec![
                threshold(
                    "calls for each request",
                    self.calls_per_request_min,
                    cost.calls_per_request.as_ref().map(|n| n.point),
                    FigureUnit::PerRequest,
                ),
                threshold(
                    "saved ÷ cores of both",
                    self.saving_share_min,
                    saving
                        .as_ref()
                        .zip(pair.as_ref())
                        .and_then(|((saved, _), cores)| saved.over(cores))
                        .map(|share| share.point),
                    FigureUnit::Ratio,
                ),
            ],
            judgement: None,
        }
    }
}

/// How many calls become one: all of a request. `None` where there is one at most.
fn calls(edge: &Edge) -> Option<f64> {
    let calls = edge.cost.calls_per_request.as_ref()?.point;
    (calls > 1.0).then_some(calls)
}

/// Cores saved when all calls of a request become one, by the topology engine: `rate · (1 − 1/k) · (what a message costs
/// whatever its size + the schedulers' part)`. The part that grows with bytes stays, where the size classes tell it
/// apart.
fn saved(context: &Context<'_>, edge: &Edge) -> Option<(Estimate, &'static str)> {
    edge.cost.overhead.as_ref()?;
    let saved = context.batched(edge, calls(edge)?)?;
    let told = context
        .weighed
        .inputs()
        .edges
        .iter()
        .any(|e| e.id == edge.id && e.by_bytes_known);
    Some((
        saved,
        if told {
            "The part of a message's cost that does not grow with its size is saved; the part that does stays."
        } else {
            "Message sizes vary too little to tell a price per byte: all of the overhead is taken to be per call, so the saving is an upper estimate."
        },
    ))
}
