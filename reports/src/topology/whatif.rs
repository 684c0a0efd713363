//! "What if": a report on a change that somebody names, by the same model and in the same document.

use std::fmt::Write as _;

use weighbridge_wire::FoldedRange;

use super::compared::{Compared, TOO_FEW_WINDOWS};
use super::rules::Rules;
use super::{
    Change, ChangeError, DeployableFigures, Figures, Inputs, Load, Topology, Weighed, apply_all,
    evaluate,
};
use crate::constraints::ConstraintError;
use crate::decide::say;
use crate::document::{
    Document, Evidence, Figure, FigureUnit, Recommendation, RecommendationKind, Subject,
    SubjectKind, Threshold, Verdict,
};
use crate::model::Model;
use crate::{Options, formats};

/// Share of draws in which the cost must fall for a `do`, and at most for a `leave`.
const SURE: f64 = 0.95;

/// Requests that are simulated for all deployables together, about.
const SIMULATED_MAX: u64 = 2_000_000;

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
    let draws = (0..weighed.draws())
        .map(|draw| {
            let inputs = weighed.draw(draw);
            (
                evaluate(&inputs, &before, &load),
                evaluate(&inputs, &after, &load),
            )
        })
        .collect();
    let pair = Compared {
        point,
        draws,
        no_draws: TOO_FEW_WINDOWS,
    };
    let broken = broken(inputs, &rules, options, &after, &pair.point.1);
    let mut options = options.clone();
    if !options.load_factors.contains(&question.load) {
        options.load_factors.push(question.load);
        options.load_factors.sort_by(f64::total_cmp);
    }
    let mut document = Document::of(&model, &options, |_| Vec::new());
    document.recommendations = vec![recommendation(
        inputs, &options, question, &document, &pair, &broken, &after,
    )];
    Ok(Answer { document, broken })
}

/// Constraints that a topology does not satisfy, and limits of latency that it does not keep.
fn broken(
    inputs: &Inputs,
    rules: &Rules,
    options: &Options,
    topology: &Topology,
    figures: &Figures,
) -> Vec<String> {
    let mut broken = rules.broken(inputs, &options.constraints, topology);
    broken.extend(rules.too_large(figures));
    if let Err(why) = rules.kept(figures) {
        broken.push(why);
    }
    broken
}

fn verdict(
    pair: &Compared,
    options: &Options,
    document: &Document,
    broken: &[String],
) -> (Verdict, String) {
    let needs = options.sufficiency.windows;
    if let Some(first) = broken.first() {
        return (
            Verdict::Leave,
            format!("It breaks what must hold: {first}."),
        );
    }
    let blocked = |d: &DeployableFigures| d.section_utilisation.is_some_and(|busy| busy >= 1.0);
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
    if document.window.windows < needs {
        let seen = document.window.windows;
        return (
            Verdict::CannotSay,
            format!(
                "{seen} windows were seen; {needs} are needed. Weigh for longer, or with shorter windows."
            ),
        );
    }
    let weights = super::Weights::of(options.prices.as_ref());
    let falls = |(before, after): &&(Figures, Figures)| weights.cost(after) < weights.cost(before);
    #[allow(clippy::cast_precision_loss)]
    let share = pair.draws.iter().filter(falls).count() as f64 / pair.draws.len().max(1) as f64;
    let cost = format!(
        "Cores and memory together cost less after it in {} of the resampled ranges.",
        say::share(share)
    );
    if share >= SURE {
        (Verdict::Do, cost)
    } else if share <= 1.0 - SURE {
        (Verdict::Leave, cost)
    } else {
        (Verdict::CannotSay, cost)
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
    document: &Document,
    pair: &Compared,
    broken: &[String],
    after: &Topology,
) -> Recommendation {
    let (verdict, reason) = verdict(pair, options, document, broken);
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
            sentence: format!("Priced on {} windows by the model of this report.", document.window.windows),
            rows: subjects.iter().map(|s| s.row.clone()).collect(),
        }],
        subjects,
        gain,
        prediction: pair.predictions(options),
        downsides,
        falsify: vec!["Make the change, weigh again at the same load, and compare: a figure outside its interval is a miss.".to_owned()],
        first_step: "Make the change for one instance, behind a switch.".to_owned(),
        rule: "A named change, priced by the topology engine: the figures of today's topology against those of the changed one, in the same resampled ranges.".to_owned(),
        judgement: None,
        thresholds: vec![Threshold {
            name: "share of resampled ranges in which it costs less".to_owned(),
            limit: SURE,
            found: None,
            unit: FigureUnit::Ratio,
        }],
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
