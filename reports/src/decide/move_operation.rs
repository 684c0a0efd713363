//! Move an operation to the service that nearly all of its requests come from.

use std::collections::BTreeSet;

use super::context::{Against, Context, against, predict, threshold};
use super::judge::{Input, Stake};
use super::{Finding, Rule, say};
use crate::document::{Evidence, FigureUnit, Recommendation, RecommendationKind, Verdict};
use crate::model::Estimate;
use crate::topology::{Change, Edge, End, saved_together};

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    /// Share of its requests that come from one other service.
    pub(crate) caller_share_min: f64,
    /// Share of its service's other CPU: below it the operation is the service, and that is a merge.
    pub(crate) rest_share_min: f64,
    /// Saved cores as a share of both services' cores above which the change is worth it.
    pub(crate) saving_share_min: f64,
}

impl Default for Move {
    fn default() -> Self {
        Self {
            caller_share_min: 0.9,
            rest_share_min: 0.3,
            saving_share_min: 0.05,
        }
    }
}

/// An operation, where it is and where it would go.
pub(crate) struct Candidate {
    operation: usize,
    to: usize,
    caller_share: f64,
    rest_share: f64,
    /// Cores of both services, and what moving saves.
    before: Option<Estimate>,
    after: Option<Estimate>,
    /// Entities that it shares with operations that stay.
    shared: Vec<String>,
}

impl Rule for Move {
    type Candidate = Candidate;

    fn candidates(&self, context: &Context<'_>) -> Vec<Candidate> {
        let inputs = context.weighed.inputs();
        let mut cores = vec![0.0; inputs.services.len()];
        let mut asked =
            vec![std::collections::BTreeMap::<usize, f64>::new(); inputs.operations.len()];
        for operation in &inputs.operations {
            cores[operation.service] += operation.cores;
        }
        for edge in inputs.edges.iter().filter(|edge| edge.sync) {
            if let (End::Operation(from), End::Operation(to)) = (edge.from, edge.to) {
                *asked[to]
                    .entry(inputs.operations[from].service)
                    .or_insert(0.0) += edge.rate;
            }
        }
        let mut found = Vec::new();
        for (at, operation) in inputs.operations.iter().enumerate() {
            let most = asked[at]
                .iter()
                .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(a.0)));
            let Some((to, rate)) = most.filter(|(to, _)| **to != operation.service) else {
                continue;
            };
            if operation.rate <= 0.0 || cores[operation.service] <= 0.0 {
                continue;
            }
            let caller_share = rate / operation.rate;
            let rest_share = 1.0 - operation.cores / cores[operation.service];
            if caller_share >= self.caller_share_min && rest_share >= self.rest_share_min {
                found.push(candidate(context, at, *to, caller_share, rest_share));
            }
        }
        if !found.is_empty() {
            price(context, &mut found);
        }
        found
    }

    fn check(&self, context: &Context<'_>, candidate: &Candidate) -> Option<Finding> {
        let inputs = context.weighed.inputs();
        let operation = &inputs.operations[candidate.operation];
        let (before, after) = candidate.before.as_ref().zip(candidate.after.as_ref())?;
        let share = before.minus(after).over(before)?;
        // A glance: what saves little by its middle needs no word.
        if share.point <= self.saving_share_min {
            return None;
        }
        let name = operation
            .name
            .split(" (")
            .next()
            .unwrap_or_default()
            .to_owned();
        if let Err(missing) = context.sufficient(&BTreeSet::from([(operation.service, name)])) {
            return Some(context.cannot_say(missing));
        }
        // Out of one service and into another.
        if let Some(finding) = context.boundaries(2) {
            return Some(finding);
        }
        let labels = (
            &inputs.services[operation.service].label,
            &inputs.services[candidate.to].label,
        );
        if context
            .options
            .constraints
            .apart(labels.0, labels.1)
            .is_some()
        {
            return Some(context.finding(
                Verdict::Leave,
                "A constraint says that these two may not share a process.",
            ));
        }
        if !candidate.shared.is_empty() {
            return Some(context.finding(
                Verdict::Leave,
                format!(
                    "It shares {} with operations that would stay: moved, it would read and write them from another service.",
                    say::list(&candidate.shared)
                ),
            ));
        }
        Some(match against(&share, self.saving_share_min, "the saving") {
            Against::Above => context.finding(
                Verdict::Do,
                format!(
                    "{} of its requests come from {}, and moving it there saves {} of both services' CPU; it shares no data with what stays.",
                    say::share(candidate.caller_share),
                    labels.1,
                    say::with_interval(&share, say::share)
                ),
            ),
            Against::Below => return None,
            Against::Unclear(why) => context.cannot_say(why),
        })
    }

    fn stake(&self, context: &Context<'_>, candidate: &Candidate) -> Option<Stake> {
        let inputs = context.weighed.inputs();
        let from = inputs.operations[candidate.operation].service;
        let saved = candidate.before.as_ref()?.minus(candidate.after.as_ref()?);
        let calls = context
            .edges_between(from, candidate.to)
            .into_iter()
            .filter(|edge| edge.is_sync() && edge.joined.to.service == Some(from))
            .filter(|edge| {
                let name = edge.joined.to.operation.shown();
                name == inputs.operations[candidate.operation].name
            })
            .filter_map(|edge| edge.cost.rate.clone())
            .reduce(|a, b| a.plus(&b))?;
        let assumed = context.options.local_call_ns;
        Some(Stake {
            objective: "cores saved".to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![
                Input::weighed("what moving saves", FigureUnit::Cores, &saved),
                Input::weighed("calls that come inside", FigureUnit::PerSecond, &calls),
                Input::local_call(context.options),
            ],
            gain: Box::new(move |x| Some(*x.first()? + x.get(1)? * (assumed - x.get(2)?) * 1e-9)),
            cost: None,
        })
    }

    fn changes(&self, context: &Context<'_>, candidate: &Candidate) -> Vec<Change> {
        let inputs = context.weighed.inputs();
        let operation = &inputs.operations[candidate.operation];
        vec![Change::Move {
            service: context.label(operation.service).to_owned(),
            operations: vec![operation.name.clone()],
            to: context.label(candidate.to).to_owned(),
        }]
    }

    fn explain(
        &self,
        context: &Context<'_>,
        candidate: &Candidate,
        finding: Finding,
    ) -> Recommendation {
        let inputs = context.weighed.inputs();
        let operation = &inputs.operations[candidate.operation];
        let (from, to) = (
            &inputs.services[operation.service].label,
            &inputs.services[candidate.to].label,
        );
        let name = &operation.name;
        let gain = candidate
            .before
            .as_ref()
            .zip(candidate.after.as_ref())
            .map(|(before, after)| before.minus(after));
        let share = gain
            .as_ref()
            .zip(candidate.before.as_ref())
            .and_then(|(gain, before)| gain.over(before));
        Recommendation {
            id: format!("rec:move:{}", operation.row),
            kind: RecommendationKind::Move,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::Do | Verdict::Try => format!("Move {name} from {from} to {to}, which asks for it."),
                Verdict::Leave => format!("Leave {name} in {from}, although {to} asks for it."),
                Verdict::CannotSay => format!("Moving {name} from {from} to {to} cannot be judged yet."),
            },
            subjects: vec![
                crate::document::Subject {
                    kind: crate::document::SubjectKind::Operation,
                    service: from.clone(),
                    name: name.clone(),
                    row: operation.row.clone(),
                },
                context.service_subject(operation.service),
                context.service_subject(candidate.to),
            ],
            gain: crate::build::optional(gain.as_ref(), FigureUnit::Cores, "the saving is not known"),
            evidence: vec![Evidence {
                sentence: format!(
                    "{} of the requests of {name} come from {to}; the other operations of {from} take {} of its CPU.",
                    say::share(candidate.caller_share),
                    say::share(candidate.rest_share)
                ),
                rows: vec![operation.row.clone()],
            }],
            prediction: vec![predict(
                &format!("cores of {from} and {to} together"),
                FigureUnit::Cores,
                candidate.before.as_ref(),
                candidate.after.as_ref(),
            )],
            downsides: vec![
                format!("{to} scales and fails with what it had asked for."),
                format!("Who else calls {name} has to find it at {to}."),
            ],
            falsify: vec![format!(
                "After the change, weigh again: the calls from {to} to {name} must be gone, and the cores of both services inside the interval."
            )],
            first_step: format!("Link the code of {name} into {to} behind a switch, and take one tenth of the calls there."),
            rule: "Move an operation to the service that nearly all of its requests come from, when it shares no data with what stays and the messages saved are worth it. Where it is nearly all of its service, that is a merge.".to_owned(),
            judgement: None,
            thresholds: vec![
                threshold("share of its requests from one service", self.caller_share_min, Some(candidate.caller_share), FigureUnit::Ratio),
                threshold("share of its service's CPU that stays", self.rest_share_min, Some(candidate.rest_share), FigureUnit::Ratio),
                threshold("saved ÷ cores of both", self.saving_share_min, share.map(|s| s.point), FigureUnit::Ratio),
            ],
        }
    }
}

fn candidate(
    context: &Context<'_>,
    at: usize,
    to: usize,
    caller_share: f64,
    rest_share: f64,
) -> Candidate {
    let inputs = context.weighed.inputs();
    let operation = &inputs.operations[at];
    let uses = |place: &crate::topology::Place, mine: bool| {
        place
            .reads
            .iter()
            .chain(&place.writes)
            .any(|(user, _)| (*user == at) == mine)
    };
    let shared = inputs
        .entities
        .iter()
        .filter(|entity| {
            entity.places.iter().any(|place| {
                place.service == operation.service && uses(place, true) && uses(place, false)
            })
        })
        .map(|entity| entity.name.clone())
        .collect();
    Candidate {
        operation: at,
        to,
        caller_share,
        rest_share,
        before: None,
        after: None,
        shared,
    }
}

/// Cores of both services before and after, in every draw: what the calls between the operation and the service that
/// it moves to cost as messages, by the topology engine.
fn price(context: &Context<'_>, found: &mut [Candidate]) {
    let inputs = context.weighed.inputs();
    let service = |end| match end {
        End::Operation(operation) => Some(inputs.operations[operation].service),
        End::Service(service) => Some(service),
        End::Outside => None,
    };
    let edges: Vec<Vec<usize>> = found
        .iter()
        .map(|candidate| {
            let (me, to) = (End::Operation(candidate.operation), Some(candidate.to));
            let between = |edge: &Edge| {
                (edge.to == me && service(edge.from) == to)
                    || (edge.from == me && service(edge.to) == to)
            };
            (0..inputs.edges.len())
                .filter(|at| between(&inputs.edges[*at]))
                .collect()
        })
        .collect();
    let places: Vec<(usize, usize)> = found
        .iter()
        .map(|candidate| (inputs.operations[candidate.operation].service, candidate.to))
        .collect();
    let spread = context.weighed.spread(|inputs| {
        places
            .iter()
            .zip(&edges)
            .flat_map(|((from, to), edges)| {
                let before = inputs.services[*from].cores + inputs.services[*to].cores;
                let saved: f64 = edges
                    .iter()
                    .map(|at| saved_together(inputs, *at, 1.0))
                    .sum();
                [before, before - saved]
            })
            .collect()
    });
    let mut spread = spread.into_iter();
    for candidate in found {
        candidate.before = spread.next();
        candidate.after = spread.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::System;
    use crate::{Document, Options};

    /// `front` asks `back` twelve times for each of its requests; `back` has other work too.
    fn asked_by_one() -> System {
        let mut s = System::new(60);
        s.root(
            "front",
            "POST /a",
            20,
            [400_000, 600_000, 600_000, 50_000, 50_000, 300_000],
        );
        s.http(
            ("front", "POST /a"),
            ("back", "POST /b"),
            20,
            12,
            240_000,
            60_000,
        );
        s.root(
            "back",
            "GET /other",
            100,
            [600_000, 10_000, 0, 10_000, 10_000, 0],
        );
        s
    }

    fn found(system: &System) -> Option<Recommendation> {
        Document::build(&system.range(), &Options::default())
            .recommendations
            .into_iter()
            .find(|r| r.kind == RecommendationKind::Move)
    }

    #[test]
    fn an_operation_goes_to_who_alone_asks_for_it() {
        let moved = found(&asked_by_one()).unwrap();
        assert_eq!(moved.verdict, Verdict::Do, "{}", moved.verdict_reason);
        assert!(
            moved.title.contains("Move POST /b from back to front"),
            "{}",
            moved.title
        );
        // 240 calls of 240 µs less 1 µs each.
        let gain = moved.gain.value.unwrap();
        assert!((gain / (240.0 * 239e-6) - 1.0).abs() < 0.05, "{gain}");
    }

    #[test]
    fn data_that_it_shares_keeps_it_where_it_is() {
        let mut s = asked_by_one();
        s.uses("back", "POST /b", "stock", "write", 240);
        s.uses("back", "GET /other", "stock", "read", 100);
        let left = found(&s).unwrap();
        assert_eq!(left.verdict, Verdict::Leave, "{}", left.verdict_reason);
        assert!(
            left.verdict_reason.contains("stock"),
            "{}",
            left.verdict_reason
        );
    }

    #[test]
    fn an_operation_that_others_ask_for_too_stays() {
        let mut s = asked_by_one();
        s.root("third", "GET /c", 200, [100_000; 6]);
        s.http(
            ("third", "GET /c"),
            ("back", "POST /b"),
            200,
            1,
            240_000,
            60_000,
        );
        assert_eq!(found(&s), None);
    }
}
