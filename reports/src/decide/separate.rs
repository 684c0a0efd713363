//! Services whose operations have no CPU of their own: can their demands be told apart at all?

use std::collections::BTreeSet;

use super::context::{Context, threshold};
use super::{Finding, Rule, say};
use crate::build::optional;
use crate::document::{Evidence, FigureUnit, Recommendation, RecommendationKind, Verdict};
use crate::model::{CONDITION_MAX, OperationId, Separation};

/// No threshold of its own: [`CONDITION_MAX`] decides whether loads are collinear.
pub(crate) struct Separate;

/// A service that nobody weighed from inside.
pub(crate) struct Unweighed {
    service: usize,
    first: OperationId,
    second: Option<OperationId>,
    condition: f64,
}

impl Rule for Separate {
    type Candidate = Unweighed;

    fn candidates(&self, context: &Context<'_>) -> Vec<Unweighed> {
        (0..context.model.services().len())
            .filter_map(|service| match context.model.separation(service)? {
                Separation::Collinear {
                    first,
                    second,
                    condition,
                } => Some(Unweighed {
                    service,
                    first: first.clone(),
                    second: second.clone(),
                    condition: *condition,
                }),
                Separation::Told(_) | Separation::NotKnown(_) => None,
            })
            .collect()
    }

    fn check(&self, context: &Context<'_>, found: &Unweighed) -> Option<Finding> {
        let operations: BTreeSet<(usize, String)> = std::iter::once(&found.first)
            .chain(&found.second)
            .map(|id| (found.service, id.operation.to_string()))
            .collect();
        Some(context.cannot_say(match context.sufficient(&operations) {
            Err(missing) => missing,
            Ok(()) => format!(
                "The CPU of its operations was not weighed, and {} rise and fall together (condition number {}, above {}): what one of them costs cannot be told from what another does. Missing: the agent in {}, or a minute with one of them left out.",
                found.names(),
                if found.condition.is_finite() {
                    say::number(found.condition)
                } else {
                    "without bound".to_owned()
                },
                say::number(CONDITION_MAX),
                context.label(found.service)
            ),
        }))
    }

    fn explain(
        &self,
        context: &Context<'_>,
        found: &Unweighed,
        finding: Finding,
    ) -> Recommendation {
        let label = context.label(found.service);
        let ids = std::iter::once(&found.first).chain(&found.second);
        let mut subjects = vec![context.service_subject(found.service)];
        subjects.extend(
            ids.clone()
                .map(|id| context.operation_subject(found.service, id)),
        );
        Recommendation {
            id: format!("rec:split:service:{label}"),
            kind: RecommendationKind::Split,
            verdict: Verdict::CannotSay,
            verdict_reason: finding.reason,
            title: format!("Whether an operation of {label} should run apart cannot be judged: their loads go together."),
            subjects,
            gain: optional(None, FigureUnit::Cores, "the demands are not known"),
            evidence: vec![Evidence {
                sentence: format!(
                    "Only the CPU of the whole process of {label} is known; over the windows the loads of {} vary together.",
                    found.names()
                ),
                rows: ids.map(|id| id.row(label)).collect(),
            }],
            prediction: vec![super::context::predict_plain(
                &format!("cores of {label}"),
                FigureUnit::Cores,
                context
                    .model
                    .service_cores(context.service(found.service))
                    .map(|cores| cores.point),
                None,
                "the demands of its operations are not known",
            )],
            downsides: vec!["Nothing is changed.".to_owned()],
            falsify: vec![format!(
                "Leave {} out of the load for a minute: if the regression then still has no answer, this is wrong.",
                found.first.shown()
            )],
            first_step: format!("Put the agent into one instance of {label}."),
            rule: "Demands of operations that nobody weighed are told from the process's CPU by regression, and only where their loads vary apart.".to_owned(),
            thresholds: vec![threshold(
                "condition number of the loads",
                CONDITION_MAX,
                Some(found.condition).filter(|x| x.is_finite()),
                FigureUnit::Ratio,
            )],
            judgement: None,
        }
    }
}

impl Unweighed {
    fn names(&self) -> String {
        let all: Vec<String> = std::iter::once(&self.first)
            .chain(&self.second)
            .map(OperationId::shown)
            .collect();
        if self.second.is_some() {
            say::list(&all)
        } else {
            format!("{} and what runs without requests", self.first.shown())
        }
    }
}
