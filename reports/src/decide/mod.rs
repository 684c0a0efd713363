//! Decisions: one file per rule. A rule finds candidates, checks each, and explains what it found.

mod batch;
mod context;
mod keep;
mod memory;
mod merge;
mod place_entity;
mod replicate;
pub(crate) mod say;
mod split;
#[cfg(test)]
mod tests;

use crate::Options;
use crate::document::{EntityReport, Recommendation, Verdict};
use crate::model::Model;

use context::Context;

/// What checking a candidate led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    verdict: Verdict,
    reason: String,
}

impl Finding {
    fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self {
            verdict,
            reason: reason.into(),
        }
    }
}

/// A rule. Its thresholds are its fields.
trait Rule {
    /// Something that may be changed, with the figures that decide.
    type Candidate;

    /// What could be changed at all.
    fn candidates(&self, context: &Context<'_>) -> Vec<Self::Candidate>;

    /// Is it worth it? `None` when it is not worth a word.
    fn check(&self, context: &Context<'_>, candidate: &Self::Candidate) -> Option<Finding>;

    /// The recommendation in full.
    fn explain(
        &self,
        context: &Context<'_>,
        candidate: &Self::Candidate,
        finding: Finding,
    ) -> Recommendation;
}

fn run<R: Rule>(rule: &R, context: &Context<'_>) -> Vec<Recommendation> {
    rule.candidates(context)
        .iter()
        .filter_map(|candidate| {
            let finding = rule.check(context, candidate)?;
            Some(rule.explain(context, candidate, finding))
        })
        .collect()
}

/// All recommendations: what to do first, then by gain.
pub(crate) fn recommendations(
    model: &Model,
    options: &Options,
    entities: &[EntityReport],
) -> Vec<Recommendation> {
    let context = Context::new(model, options, entities);
    let mut all = run(&merge::Merge::default(), &context);
    all.extend(run(&batch::Batch::default(), &context));
    all.extend(run(&split::Split::default(), &context));
    all.extend(run(&replicate::Replicate::default(), &context));
    all.extend(run(&keep::Keep::default(), &context));
    all.extend(run(&place_entity::PlaceEntity::default(), &context));
    let rank = |verdict: Verdict| match verdict {
        Verdict::Do => 0,
        Verdict::Try => 1,
        Verdict::Leave => 2,
        Verdict::CannotSay => 3,
    };
    all.sort_by(|a, b| {
        let gain = |r: &Recommendation| r.gain.value.unwrap_or(0.0);
        rank(a.verdict)
            .cmp(&rank(b.verdict))
            .then_with(|| gain(b).total_cmp(&gain(a)))
            .then_with(|| a.id.cmp(&b.id))
    });
    all
}
