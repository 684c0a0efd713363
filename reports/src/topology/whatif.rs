//! "What if": a report on a change that somebody names, by the same model and in the same document.

use std::fmt::Write as _;

use weighbridge_wire::FoldedRange;

use super::compared::{Compared, TOO_FEW_WINDOWS, touched};
use super::rules::Rules;
use super::tails::Tails;
use super::{
    Change, ChangeError, DeployableFigures, Figures, Inputs, Load, Topology, Way, Weighed, Weights,
    apply_all, evaluate,
};
use crate::constraints::ConstraintError;
use crate::decide::{self, Input, Judged, SURE_MIN, Stake, judge, say};
use crate::document::{
    Document, Evidence, Figure, FigureUnit, Recommendation, RecommendationKind, Subject,
    SubjectKind, Threshold, Verdict,
};
use crate::model::{Estimate, Model};
use crate::{Options, formats, plan};

const FIRST_STEP: &str = "Make the change for one instance, behind a switch.";

/// Requests that are simulated for all deployables together, about.
const SIMULATED_MAX: u64 = 2_000_000;

/// Origins whose quantiles are worked out by the spread of the waits, those with most at stake; others follow the mean.
const SPREAD_MAX: usize = 64;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Changes, one after the other. None: only the load changes.
    pub changes: Vec<Change>,
    /// Multiple of the load seen, before and after.
    pub load: f64,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// A change that cannot be made.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Constraints that do not fit the system.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// A load that is none.
    #[error("the load is {0}; write a number above 0, like ×2")]
    Load(String),
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The report whose one recommendation is the change.
    pub document: Document,
    /// Constraints and limits that the change breaks.
    pub broken: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeFile {
    change: Vec<Change>,
}

/// Reads a change file (TOML): `[[change]]` tables, each with its `kind`.
///
/// # Errors
/// What the TOML reader says, with the place.
pub fn parse_changes(text: &str) -> Result<Vec<Change>, String> {
    toml::from_str::<ChangeFile>(text)
        .map(|file| file.change)
        .map_err(|error| error.to_string())
}

/// Answers: the figures of today's topology and of the changed one, at a load, with their intervals over the resampled
/// ranges. With a load of 1 the processes there are stand; else both are sized for it.
///
/// # Errors
/// [`QuestionError`].
pub fn what_if(
    range: &FoldedRange,
    options: &Options,
    question: &Question,
) -> Result<Answer, QuestionError> {
    if !(question.load.is_finite() && question.load > 0.0) {
        return Err(QuestionError::Load(question.load.to_string()));
    }
    let model = Model::new(range);
    let weighed = Weighed::of(&model, options);
    let inputs = weighed.inputs();
    let rules = Rules::of(inputs, &options.constraints)?;
    let before = weighed.as_it_is();
    let after = apply_all(&question.changes, inputs, &before)?;
    let load = if question.load == 1.0 {
        Load::seen(options)
    } else {
        Load::planned(options, question.load)
    };
    // The point is simulated where the formula is not accurate; the draws, which show the spread, use the formula.
    let each = SIMULATED_MAX / u64::try_from(inputs.services.len().max(1)).unwrap_or(u64::MAX);
    let exact = Load {
        simulate: each.clamp(2_000, 100_000),
        ..load
    };
    let point = (
        evaluate(inputs, &before, &exact),
        evaluate(inputs, &after, &exact),
    );
    let spread = |topology: &Topology| {
        let figures = evaluate(inputs, topology, &load);
        let was = evaluate(inputs, &before, &Load::seen(options));
        let mut origins = touched(&was, &figures, SPREAD_MAX);
        origins.extend(decide::with_limits(inputs, options));
        origins.sort_unstable();
        origins.dedup();
        Tails::of(inputs, topology, &load, &figures, origins)
    };
    let (tails_before, tails_after) = (spread(&before), spread(&after));
    let mut point = point;
    tails_before.apply(&mut point.0);
    tails_after.apply(&mut point.1);
    let mut local = Vec::new();
    let mut drawn = inputs.clone();
    let draws = (0..weighed.draws())
        .map(|draw| {
            weighed.redraw(&mut drawn, draw);
            local.push(made_local(&drawn, &before, &after) * load.factor);
            let mut pair = (
                evaluate(&drawn, &before, &load),
                evaluate(&drawn, &after, &load),
            );
            tails_before.apply(&mut pair.0);
            tails_after.apply(&mut pair.1);
            pair
        })
        .collect();
    let pair = Compared {
        point,
        draws,
        no_draws: TOO_FEW_WINDOWS,
    };
    let calls = made_local(inputs, &before, &after) * load.factor;
    let judged = judged(&model, options, &pair, &Estimate::of_draws(calls, local));
    let broken = broken(inputs, &rules, options, (&before, &after), &pair.point.1);
    // The load that was asked for is taken as it is; that of the tables and rules is the planned one.
    let mut options = plan::with_growth(&model, options);
    if !options.load_factors.contains(&question.load) {
        options.load_factors.push(question.load);
        options.load_factors.sort_by(f64::total_cmp);
    }
    // What the rules know of a pair holds for the load that the constraints and options name, not for the one asked.
    let mut against = None;
    let mut document = Document::of(&model, &options, |entities| {
        let context = decide::Context::new(&model, &options, entities, &weighed);
        against = decide::against::change(&context, &before, &after);
        Vec::new()
    });
    let asked = Asked {
        judged,
        kept: kept_share(&rules, options.constraints.slo_p95_ns.is_empty(), &pair),
        broken: broken.clone(),
        against,
        windows: model.rollup.windows,
        pair,
    };
    document.recommendations = vec![recommendation(inputs, &options, question, asked, &after)];
    Ok(Answer { document, broken })
}

/// What an answer is made of.
struct Asked {
    pair: Compared,
    judged: Option<Judged>,
    /// Constraints that the change breaks.
    broken: Vec<String>,
    /// What the rules say against it.
    against: Option<(Verdict, String)>,
    /// Share of the draws in which all limits of latency are kept, where there are limits.
    kept: Option<f64>,
    windows: u64,
}

fn kept_share(rules: &Rules, no_limits: bool, pair: &Compared) -> Option<f64> {
    if no_limits || pair.draws.is_empty() {
        return None;
    }
    let kept = pair
        .draws
        .iter()
        .filter(|(_, after)| rules.kept(after).is_ok());
    #[allow(clippy::cast_precision_loss)]
    Some(kept.count() as f64 / pair.draws.len() as f64)
}

/// Calls in a second that become local.
fn made_local(inputs: &Inputs, before: &Topology, after: &Topology) -> f64 {
    let ways = before.ways.iter().zip(&after.ways);
    ways.zip(&inputs.edges)
        .filter(|((was, is), edge)| **was == Way::Remote && **is != Way::Remote && !edge.local)
        .map(|(_, edge)| edge.rate)
        .sum()
}

/// How sure it is that cores and memory together cost less: over the draws, and over what a call inside a process may
/// cost, of which there is an assumption. One question, so nothing was picked.
fn judged(model: &Model, options: &Options, pair: &Compared, calls: &Estimate) -> Option<Judged> {
    if pair.draws.is_empty() {
        return None;
    }
    let weights = Weights::of(options.prices.as_ref());
    let local_ns = options.local_call_ns;
    let saved =
        pair.estimate(|(before, after)| Some(weights.cost(before) - weights.cost(after)))?;
    let beside = Estimate::combine(&[&saved, calls], |terms| {
        let [saved, calls] = terms else { return None };
        Some(saved + weights.core * calls * local_ns * 1e-9)
    })?;
    let (objective, unit) = match &options.prices {
        Some(prices) => (
            format!("{} saved in an hour", prices.currency),
            FigureUnit::MoneyPerHour,
        ),
        None => (
            "cores saved, a GiB of memory as an eighth of one".to_owned(),
            FigureUnit::Cores,
        ),
    };
    let stake = Stake {
        objective,
        unit,
        inputs: vec![
            Input::weighed("all but calls inside the process", unit, &beside),
            Input::weighed("calls that come inside", FigureUnit::PerSecond, calls),
            Input::local_call(options),
        ],
        gain: Box::new(move |x| Some(x.first()? - weights.core * x.get(1)? * x.get(2)? * 1e-9)),
        cost: None,
    };
    let ranges = model.sampler.draws();
    judge(&[&stake], 1, ranges, model.rollup.seed)
        .pop()
        .flatten()
}

/// Constraints that a topology does not satisfy, and limits of latency that it does not keep.
fn broken(
    inputs: &Inputs,
    rules: &Rules,
    options: &Options,
    (before, after): (&Topology, &Topology),
    figures: &Figures,
) -> Vec<String> {
    let constraints = &options.constraints;
    let mut broken = rules.broken(inputs, constraints, before, after);
    broken.extend(rules.too_large(figures));
    if let Err(why) = rules.kept(figures) {
        broken.push(why);
    }
    broken
}

fn verdict(asked: &Asked, options: &Options) -> (Verdict, String) {
    let needs = options.sufficiency.windows;
    if let Some(first) = asked.broken.first() {
        return (
            Verdict::Leave,
            format!("It breaks what must hold: {first}."),
        );
    }
    let blocked = |d: &DeployableFigures| d.section_utilisation.is_some_and(|busy| busy >= 1.0);
    let pair = &asked.pair;
    let overfull = |d: &&DeployableFigures| {
        let by_cores = d.utilisation.is_some_and(|used| used >= 1.0);
        // What is in the way with the change and without it says nothing against the change.
        let was = |b: &DeployableFigures| b.section == d.section && blocked(b);
        by_cores || blocked(d) && !pair.point.0.deployables.iter().any(was)
    };
    if let Some(at) = pair.point.1.deployables.iter().find(overfull) {
        return (
            Verdict::Leave,
            format!(
                "{} would be saturated: it gets more work than its processes can do.",
                at.name
            ),
        );
    }
    if asked.windows < needs {
        let seen = asked.windows;
        return (
            Verdict::CannotSay,
            format!(
                "{seen} windows were seen; {needs} are needed. Weigh for longer, or with shorter windows."
            ),
        );
    }
    let Some(judged) = &asked.judged else {
        if let Some((verdict, why)) = &asked.against {
            return (*verdict, why.clone());
        }
        return (
            Verdict::CannotSay,
            "Whether it costs less cannot be told: a figure has no interval. Weigh for longer."
                .to_owned(),
        );
    };
    let share = judged.improves();
    let cost = format!(
        "Cores and memory together cost less after it in {} of the draws.",
        say::share(share)
    );
    if share <= 1.0 - SURE_MIN {
        return (Verdict::Leave, cost);
    }
    // It may be cheaper and wrong all the same: what the report says of such a change holds here too.
    match &asked.against {
        Some((verdict @ (Verdict::Leave | Verdict::CannotSay), why)) => {
            return (*verdict, format!("{cost} But: {why}"));
        }
        _ if share < SURE_MIN => {
            let more = judged.missing();
            return (Verdict::CannotSay, format!("{cost}{more}"));
        }
        Some((_, why)) => return (Verdict::Try, format!("{cost} But: {why}")),
        None => {}
    }
    match asked.kept.filter(|kept| *kept < SURE_MIN) {
        Some(kept) => (
            if kept < 0.5 {
                Verdict::Leave
            } else {
                Verdict::Try
            },
            format!(
                "{cost} But the service-level objectives are kept in {} of them only.",
                say::share(kept)
            ),
        ),
        None => (Verdict::Do, cost),
    }
}

fn kind(changes: &[Change]) -> RecommendationKind {
    match changes.first() {
        None => RecommendationKind::Keep,
        Some(Change::Merge { .. } | Change::Transport { .. }) => RecommendationKind::Merge,
        Some(Change::Split { .. }) => RecommendationKind::Split,
        Some(Change::Move { .. }) => RecommendationKind::Move,
        Some(Change::Replicate { .. }) => RecommendationKind::Replicate,
        Some(Change::Shard { .. }) => RecommendationKind::Shard,
        Some(Change::PlaceEntity { .. }) => RecommendationKind::PlaceEntity,
        Some(Change::Batch { .. }) => RecommendationKind::Batch,
    }
}

fn recommendation(
    inputs: &Inputs,
    options: &Options,
    question: &Question,
    asked: Asked,
    after: &Topology,
) -> Recommendation {
    let (verdict, reason) = verdict(&asked, options);
    let Asked {
        pair,
        judged,
        broken,
        windows,
        ..
    } = asked;
    let said: Vec<String> = question.changes.iter().map(ToString::to_string).collect();
    let what = if said.is_empty() {
        "nothing is changed".to_owned()
    } else {
        said.join("; then ")
    };
    let gain = pair
        .estimate(|(before, after)| Some(before.cores - after.cores))
        .map_or_else(
            || Figure::unknown(FigureUnit::Cores, "not known"),
            |gain| gain.figure(FigureUnit::Cores),
        );
    let mut prediction = pair.predictions(options);
    if question.load != 1.0 {
        // A later report shows another load.
        for figure in &mut prediction {
            figure.observe = None;
        }
    }
    let touched: Vec<usize> = (0..inputs.services.len())
        .filter(|service| {
            let home = after.home(*service);
            home.is_none_or(|home| after.deployables[home].name != inputs.services[*service].label)
        })
        .collect();
    let subjects: Vec<Subject> = touched
        .iter()
        .map(|service| {
            let label = &inputs.services[*service].label;
            Subject {
                kind: SubjectKind::Service,
                service: label.clone(),
                name: String::new(),
                row: format!("service:{label}"),
            }
        })
        .collect();
    let mut downsides: Vec<String> = broken
        .iter()
        .map(|why| format!("It breaks what must hold: {why}."))
        .collect();
    downsides.extend(pair.point.1.notes.iter().cloned());
    if downsides.is_empty() {
        downsides.push(
            "Locks, caches and databases that give way only after the change are not seen."
                .to_owned(),
        );
    }
    Recommendation {
        id: "rec:what-if".to_owned(),
        kind: kind(&question.changes),
        verdict,
        verdict_reason: reason,
        title: format!("What if, at {} times the load: {what}.", say::factor(question.load)),
        evidence: vec![Evidence {
            sentence: format!("Priced on {windows} windows by the model of this report."),
            rows: subjects.iter().map(|s| s.row.clone()).collect(),
        }],
        subjects,
        gain,
        prediction,
        downsides,
        falsify: vec!["Make the change, weigh again at the same load, and compare: a figure outside its interval is a miss.".to_owned()],
        first_step: FIRST_STEP.to_owned(),
        rule: "A named change, priced by the topology engine: the figures of today's topology against those of the changed one, in the same resampled ranges.".to_owned(),
        thresholds: vec![Threshold {
            name: "share of draws in which it costs less".to_owned(),
            limit: SURE_MIN,
            found: judged.as_ref().map(Judged::improves),
            unit: FigureUnit::Ratio,
        }],
        judgement: judged.map(|judged| judged.for_verdict(verdict, FIRST_STEP)),
    }
}

/// The answer as Markdown: the change and its figures, without the rest of the report.
#[must_use]
pub fn answer_markdown(answer: &Answer) -> String {
    let mut text = String::new();
    for recommendation in &answer.document.recommendations {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# {}\n", formats::escape(&recommendation.title));
        let _ = writeln!(
            text,
            "{}: {}\n",
            recommendation.verdict.as_str(),
            formats::escape(&recommendation.verdict_reason)
        );
        let _ = writeln!(
            text,
            "| figure | before | after | 90 % interval |\n|---|---:|---:|---|"
        );
        for p in &recommendation.prediction {
            let _ = writeln!(text, "{}", formats::prediction_row(p));
        }
        let _ = writeln!(text, "\nWhat gets worse or is not known:\n");
        for downside in &recommendation.downsides {
            let _ = writeln!(text, "- {}", formats::escape(downside));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Prediction;
    use crate::testing::System;
    use crate::{Constraints, Prices};

    fn range(windows: u64) -> FoldedRange {
        let mut s = System::new(windows);
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
        s.range()
    }

    fn merge() -> Question {
        let changes =
            parse_changes("[[change]]\nkind = \"merge\"\nservices = [\"front\", \"back\"]")
                .unwrap();
        Question { changes, load: 1.0 }
    }

    fn figure<'a>(answer: &'a Answer, name: &str) -> &'a Prediction {
        let all = &answer.document.recommendations[0].prediction;
        all.iter()
            .find(|p| p.figure == name)
            .unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn a_merge_is_answered_with_figures_and_intervals() {
        let answer = what_if(&range(60), &Options::default(), &merge()).unwrap();
        assert!(answer.broken.is_empty());
        assert_eq!(answer.document.recommendations[0].verdict, Verdict::Do);
        let cores = figure(&answer, "cores of all services");
        let saved = cores.before.unwrap() - cores.after.unwrap();
        assert!((saved / (240.0 * 239e-6) - 1.0).abs() < 0.05, "{saved}");
        assert!(
            cores.low.unwrap() <= cores.after.unwrap()
                && cores.after.unwrap() <= cores.high.unwrap()
        );
        assert_eq!(
            figure(&answer, "messages between services").after,
            Some(0.0)
        );
        let p95 = figure(&answer, "95th percentile of latency of POST /a of front");
        assert!(p95.after < p95.before);
        let text = answer_markdown(&answer);
        assert!(
            text.starts_with("# What if, at 1 times the load: merge front and back."),
            "{text}"
        );
        assert!(text.contains("| cores of all services |"), "{text}");
    }

    #[test]
    fn more_load_needs_more_processes() {
        let question = Question {
            changes: Vec::new(),
            load: 20.0,
        };
        let answer = what_if(&range(60), &Options::default(), &question).unwrap();
        let processes = figure(&answer, "processes");
        assert!(processes.after.unwrap() > 2.0 && processes.before == processes.after);
    }

    #[test]
    fn what_must_hold_and_does_not_is_named() {
        let mut options = Options {
            constraints: Constraints {
                cannot_link: vec![("front".to_owned(), "back".to_owned())],
                ..Constraints::default()
            },
            prices: Some(Prices {
                core_hour: 0.04,
                gib_hour: 0.005,
                currency: "EUR".to_owned(),
            }),
            ..Options::default()
        };
        let answer = what_if(&range(60), &options, &merge()).unwrap();
        assert_eq!(answer.document.recommendations[0].verdict, Verdict::Leave);
        assert_eq!(
            answer.broken,
            ["back and front may not share a process (cannot_link)"]
        );
        assert!(
            figure(&answer, "cores and memory, EUR in an hour")
                .after
                .is_some()
        );
        options.constraints.cannot_link[0].1 = "bcak".to_owned();
        let error = what_if(&range(60), &options, &merge())
            .unwrap_err()
            .to_string();
        assert!(error.contains("did you mean `back`?"), "{error}");
    }

    #[test]
    fn thin_data_cannot_say_and_wrong_questions_are_refused() {
        let answer = what_if(&range(12), &Options::default(), &merge()).unwrap();
        assert_eq!(
            answer.document.recommendations[0].verdict,
            Verdict::CannotSay
        );
        let error = what_if(
            &range(12),
            &Options::default(),
            &Question {
                changes: Vec::new(),
                load: 0.0,
            },
        );
        assert!(error.unwrap_err().to_string().contains("above 0"));
        let error = parse_changes("[[change]]\nkind = \"mrege\"\nservices = []").unwrap_err();
        assert!(
            error.contains("mrege") && error.contains("merge"),
            "{error}"
        );
    }
}
