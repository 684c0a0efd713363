//! Move an operation to the service that nearly all of its requests come from.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Against, Context, against, predict, predict_plain, threshold};
use super::judge::{Function, Input, Stake};
use super::memory::held;
use super::{Finding, Rule, say};
use crate::document::{
    Evidence, FigureUnit, ObserveWhat, Prediction, Recommendation, RecommendationKind, Verdict,
};
use crate::model::Estimate;
use crate::topology::{Change, End, Moved, Weights, saved_together, service_of};

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
    /// What it does to both services, by the topology engine.
    moved: Moved,
    /// Entities that it shares with operations that stay.
    shared: Vec<String>,
}

impl Rule for Move {
    type Candidate = Candidate;

    fn candidates(&self, context: &Context<'_>) -> Vec<Candidate> {
        let inputs = context.weighed.inputs();
        let mut cores = vec![0.0; inputs.services.len()];
        let mut asked = vec![BTreeMap::<usize, f64>::new(); inputs.operations.len()];
        for operation in &inputs.operations {
            cores[operation.service] += operation.cores;
        }
        let mut most_saved = BTreeMap::new();
        for (edge, at) in inputs.edges.iter().zip(0..).filter(|(edge, _)| edge.sync) {
            if let (End::Operation(from), End::Operation(to)) = (edge.from, edge.to) {
                *asked[to]
                    .entry(inputs.operations[from].service)
                    .or_insert(0.0) += edge.rate;
            }
            let saved = saved_together(inputs, at, 1.0);
            for (end, other) in [(edge.from, edge.to), (edge.to, edge.from)] {
                if let (End::Operation(end), Some(other)) = (end, service_of(inputs, other)) {
                    *most_saved.entry((end, other)).or_insert(0.0) += saved;
                }
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
            // A glance: what its messages with that service cost, whatever else becomes of it, is all that it can save.
            let both = inputs.services[operation.service].cores + inputs.services[*to].cores;
            let saved = most_saved.get(&(at, *to)).copied().unwrap_or(0.0);
            if saved > self.saving_share_min * both
                && caller_share >= self.caller_share_min
                && rest_share >= self.rest_share_min
            {
                found.extend(self.candidate(context, (at, *to), caller_share, rest_share));
            }
        }
        found
    }

    fn check(&self, context: &Context<'_>, candidate: &Candidate) -> Option<Finding> {
        let inputs = context.weighed.inputs();
        let operation = &inputs.operations[candidate.operation];
        let share = candidate.saved().over(&candidate.moved.before)?;
        let counted = BTreeSet::from([context.counted(candidate.operation)]);
        if let Err(missing) = context.sufficient(&counted) {
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
        if let Some(finding) = context.kept_apart(operation.service, candidate.to) {
            return Some(finding);
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
        let (moved, assumed) = (&candidate.moved, context.options.local_call_ns);
        // What is saved holds with a call inside a process at its assumed cost.
        let saved = move |x: &[f64]| {
            let calls = x.get(1)? - x.get(2)?;
            Some(x.first()? + calls * (assumed - x.get(3)?) * 1e-9)
        };
        let weights = Weights::of(context.options.prices.as_ref());
        let cost = candidate.memory().map(|((_, before), (_, after))| {
            let bytes = weights.byte * (before - after);
            let cost = move |x: &[f64]| Some(weights.core * saved(x)? + bytes);
            Box::new(cost) as Function
        });
        Some(Stake {
            objective: "cores saved".to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![
                Input::weighed("what moving saves", FigureUnit::Cores, &candidate.saved()),
                Input::weighed(
                    "calls that come inside",
                    FigureUnit::PerSecond,
                    &moved.inside,
                ),
                Input::weighed(
                    "calls inside that become messages",
                    FigureUnit::PerSecond,
                    &moved.outside,
                ),
                Input::local_call(context.options),
            ],
            gain: Box::new(saved),
            cost,
        })
    }

    fn changes(&self, context: &Context<'_>, candidate: &Candidate) -> Vec<Change> {
        vec![change(context, candidate.operation, candidate.to)]
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
        let gain = candidate.saved();
        let share = gain.over(&candidate.moved.before);
        let torn = candidate.moved.outside.point > 0.0;
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
            gain: crate::build::optional(Some(&gain), FigureUnit::Cores, "the saving is not known"),
            evidence: vec![Evidence {
                sentence: format!(
                    "{} of the requests of {name} come from {to}; the other operations of {from} take {} of its CPU.",
                    say::share(candidate.caller_share),
                    say::share(candidate.rest_share)
                ),
                rows: vec![operation.row.clone()],
            }]
            .into_iter()
            .chain(torn.then(|| candidate.torn(context)))
            .collect(),
            prediction: candidate.predictions(context),
            downsides: [
                format!("{to} scales and fails with what it had asked for."),
                format!("Who else calls {name} has to find it at {to}."),
            ]
            .into_iter()
            .chain(torn.then(|| format!("Its calls to and from what stays in {from} become messages; their cost is in the figures.")))
            .collect(),
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

/// The change in the words of the topology engine.
fn change(context: &Context<'_>, operation: usize, to: usize) -> Change {
    let operation = &context.weighed.inputs().operations[operation];
    Change::Move {
        service: context.label(operation.service).to_owned(),
        operations: vec![operation.name.clone()],
        to: context.label(to).to_owned(),
    }
}

impl Move {
    fn candidate(
        &self,
        context: &Context<'_>,
        (at, to): (usize, usize),
        caller_share: f64,
        rest_share: f64,
    ) -> Option<Candidate> {
        let change = change(context, at, to);
        let moved = context.moved(at, to, &change, self.saving_share_min)?;
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
        Some(Candidate {
            operation: at,
            to,
            caller_share,
            rest_share,
            moved,
            shared,
        })
    }
}

impl Candidate {
    /// Cores of both services.
    fn saved(&self) -> Estimate {
        self.moved.before.minus(&self.moved.after)
    }

    /// Processes and memory of both services at the largest load planned for, as they are and after.
    fn memory(&self) -> Option<((f64, f64), (f64, f64))> {
        held(&self.moved.planned.0).zip(held(&self.moved.planned.1))
    }

    /// The calls that moving makes messages.
    fn torn(&self, context: &Context<'_>) -> Evidence {
        let inputs = context.weighed.inputs();
        let me = End::Operation(self.operation);
        let edges = inputs.edges.iter().filter(|e| e.local);
        let operation = &inputs.operations[self.operation];
        Evidence {
            sentence: format!(
                "{} and what stays in {} call each other {} inside the process: apart these calls are messages.",
                operation.name,
                context.label(operation.service),
                say::rate(self.moved.outside.point)
            ),
            rows: edges
                .filter(|e| e.from == me || e.to == me)
                .map(|e| e.id.clone())
                .collect(),
        }
    }

    fn predictions(&self, context: &Context<'_>) -> Vec<Prediction> {
        let from = context.weighed.inputs().operations[self.operation].service;
        let (from, to) = (context.label(from), context.label(self.to));
        let mut all = vec![
            predict(
                &format!("cores of {from} and {to} together"),
                FigureUnit::Cores,
                Some(&self.moved.before),
                Some(&self.moved.after),
            )
            .observed_by(ObserveWhat::Cores, &[from, to], "", ""),
        ];
        let factor = say::factor(context.options.design_load());
        if let Some((before, after)) = self.memory() {
            let figure = |what: &str, unit, before, after| {
                let name = format!("{what} of both at {factor} times the load");
                let reason = "from gauges and whole processes";
                predict_plain(&name, unit, Some(before), Some(after), reason)
            };
            all.push(figure("processes", FigureUnit::Count, before.0, after.0));
            all.push(figure("memory", FigureUnit::Bytes, before.1, after.1));
        }
        all
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

    /// One call in its process for each of its requests would be one message more for each that is gone.
    #[test]
    fn what_it_calls_in_its_own_process_keeps_it_there() {
        let mut s = asked_by_one();
        let (from, to) = (("back", "POST /b"), ("back", "GET /rules"));
        s.http(from, to, 240, 1, 0, 50_000).transport = "local";
        assert_eq!(found(&s), None);
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
