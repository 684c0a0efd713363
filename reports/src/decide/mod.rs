//! Decisions: one file per rule. A rule finds candidates, checks each, and explains what it found.

pub(crate) mod against;
mod batch;
mod changed;
mod context;
mod couple;
mod judge;
mod keep;
mod memory;
mod merge;
mod move_operation;
mod place_entity;
mod pool;
mod replicate;
pub(crate) mod say;
mod separate;
mod shard;
mod split;
#[cfg(test)]
mod tests;

use crate::document::{Recommendation, RecommendationKind, Verdict};
use crate::topology::Change;
pub(crate) use changed::with_limits;
pub(crate) use context::{Context, before_and_after};
pub(crate) use judge::{Input, Judged, SURE_MIN, Stake, judge};

use judge::SHORTLIST_MAX;

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

    /// The change in the words of the topology engine, which tells what it does to latency and messages; empty where it
    /// has none.
    fn changes(&self, _: &Context<'_>, _: &Self::Candidate) -> Vec<Change> {
        Vec::new()
    }

    /// What its gain is made of, for the judge. `None` where nothing is gained or a figure is missing.
    fn stake(&self, _: &Context<'_>, _: &Self::Candidate) -> Option<Stake> {
        None
    }
}

/// A recommendation before it is judged.
struct Found {
    recommendation: Recommendation,
    stake: Option<Stake>,
    changes: Vec<Change>,
}

fn run<R: Rule>(rule: &R, context: &Context<'_>) -> Vec<Found> {
    rule.candidates(context)
        .iter()
        .filter_map(|candidate| {
            let finding = rule.check(context, candidate)?;
            let told = finding.verdict != Verdict::CannotSay;
            let stake = told.then(|| rule.stake(context, candidate)).flatten();
            let changes = if told {
                rule.changes(context, candidate)
            } else {
                Vec::new()
            };
            Some(Found {
                recommendation: rule.explain(context, candidate, finding),
                stake,
                changes,
            })
        })
        .collect()
}

/// Judges the candidates with the largest gains, and takes back a `do` that luck may explain.
fn judged(context: &Context<'_>, mut found: Vec<Found>) -> Vec<Recommendation> {
    let staked = found.iter().filter(|one| one.stake.is_some()).count();
    let rank = |one: &Found| {
        let gain = one.recommendation.gain.value.unwrap_or(0.0);
        (
            one.stake.is_none(),
            order(one.recommendation.verdict),
            -gain,
        )
    };
    found.sort_by(|a, b| {
        let ((a_none, a_order, a_gain), (b_none, b_order, b_gain)) = (rank(a), rank(b));
        (a_none, a_order)
            .cmp(&(b_none, b_order))
            .then_with(|| a_gain.total_cmp(&b_gain))
            .then_with(|| a.recommendation.id.cmp(&b.recommendation.id))
    });
    let shortlist: Vec<&Stake> = found
        .iter()
        .filter_map(|one| one.stake.as_ref())
        .take(SHORTLIST_MAX)
        .collect();
    let model = context.model;
    let judgements = judge(&shortlist, staked, model.sampler.draws(), model.rollup.seed);
    let slos = show_changes(context, &mut found);
    let options = context.options;
    let is_asked = !options.constraints.slo_p95_ns.is_empty();
    for ((one, judgement), slo) in found.iter_mut().zip(judgements).zip(slos) {
        let (Some(mut judgement), Some(_)) = (judgement, &one.stake) else {
            continue;
        };
        if is_asked {
            judgement = judgement.with_slo(slo);
        }
        let r = &mut one.recommendation;
        if r.verdict == Verdict::Do && judgement.improves() < SURE_MIN {
            r.verdict = Verdict::Try;
            r.verdict_reason = format!(
                "{} Corrected for being picked among {} candidates it improves in {} of the draws only.",
                r.verdict_reason,
                judgement.candidates(),
                say::share(judgement.improves())
            );
        }
        // A split may cost what it is worth; a merge or a move that makes memory dearer than the cores it
        // saves is none to make.
        if r.verdict == Verdict::Do
            && matches!(r.kind, RecommendationKind::Merge | RecommendationKind::Move)
            && judgement.cost_falls() < SURE_MIN
        {
            r.verdict = Verdict::Try;
            r.verdict_reason = format!(
                "{} But cores and memory together cost less in {} of the draws only.",
                r.verdict_reason,
                say::share(judgement.cost_falls())
            );
        }
        if let Some(kept) = judgement.slo_kept().filter(|kept| *kept < SURE_MIN)
            && matches!(r.verdict, Verdict::Do | Verdict::Try)
        {
            r.verdict = if kept < 0.5 {
                Verdict::Leave
            } else {
                Verdict::Try
            };
            r.verdict_reason = format!(
                "{} But the service-level objectives are kept in {} of the draws only.",
                r.verdict_reason,
                say::share(kept)
            );
        }
        r.judgement = Some(judgement.for_verdict(r.verdict, &r.first_step));
    }
    for (at, one) in found.iter_mut().enumerate() {
        let r = &mut one.recommendation;
        if r.verdict == Verdict::Do && r.judgement.is_none() {
            // Nobody asked how sure it is.
            let why = if at < SHORTLIST_MAX {
                "How sure the gain is cannot be told: a figure that it hangs on has no interval."
                    .to_owned()
            } else {
                format!(
                    "It is not on the shortlist: {SHORTLIST_MAX} candidates with larger gains were judged, this one was not."
                )
            };
            r.verdict = Verdict::Try;
            r.verdict_reason = format!("{} {why}", r.verdict_reason);
        }
    }
    found.into_iter().map(|one| one.recommendation).collect()
}

/// Adds what the topology engine says of the shortlist's changes to their predictions, and tells whether objectives are
/// kept. One answer for each of the first [`SHORTLIST_MAX`].
fn show_changes(context: &Context<'_>, found: &mut [Found]) -> Vec<Result<f64, String>> {
    let shortlist: Vec<usize> = (0..found.len().min(SHORTLIST_MAX)).collect();
    let known: Vec<usize> = shortlist
        .iter()
        .copied()
        .filter(|at| !found[*at].changes.is_empty())
        .collect();
    let changes: Vec<&[Change]> = known.iter().map(|at| &found[*at].changes[..]).collect();
    let evaluated = changed::evaluated(context.weighed, &changes, context.options);
    let mut slos: Vec<Result<f64, String>> = shortlist
        .iter()
        .map(|_| Err("the topology model does not know this change".to_owned()))
        .collect();
    for (at, changed) in known.into_iter().zip(evaluated) {
        slos[at] = match changed {
            Ok(changed) => {
                let more = changed.compared.changed();
                found[at].recommendation.prediction.extend(more);
                // To keep what is there changes nothing: its figures are of what is not advised.
                if found[at].recommendation.kind != RecommendationKind::Keep {
                    let worse = changed.compared.worse();
                    found[at].recommendation.downsides.extend(worse);
                }
                changed.slo_kept
            }
            Err(why) => Err(why),
        };
    }
    slos
}

fn order(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Do => 0,
        Verdict::Try => 1,
        Verdict::Leave => 2,
        Verdict::CannotSay => 3,
    }
}

/// All recommendations: what to do first, then by gain.
pub(crate) fn recommendations(context: &Context<'_>) -> Vec<Recommendation> {
    let mut found = run(&merge::Merge::default(), context);
    found.extend(run(&batch::Batch::default(), context));
    found.extend(run(&split::Split::default(), context));
    found.extend(run(&separate::Separate, context));
    found.extend(run(&replicate::Replicate::default(), context));
    found.extend(run(&move_operation::Move::default(), context));
    found.extend(run(&shard::Shard::default(), context));
    found.extend(run(&keep::Keep::default(), context));
    found.extend(run(&pool::Pool::default(), context));
    found.extend(run(&place_entity::PlaceEntity::default(), context));
    let mut all = judged(context, found);
    all.sort_by(|a, b| {
        let gain = |r: &Recommendation| r.gain.value.unwrap_or(0.0);
        order(a.verdict)
            .cmp(&order(b.verdict))
            .then_with(|| gain(b).total_cmp(&gain(a)))
            .then_with(|| a.id.cmp(&b.id))
    });
    all
}
