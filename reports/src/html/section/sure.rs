//! How sure a recommendation is, in a paragraph: how likely, what it rests on, what would flip it. And which of them
//! exclude each other.

use std::collections::BTreeSet;

use crate::document::{
    Document, FigureUnit, Judgement, Recommendation, RecommendationKind, Threshold, Turn, Verdict,
};
use crate::html::figure::{self, As};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::text::{self, escape_text};

/// Inputs that are named.
const INPUTS_SAID: usize = 2;

/// The paragraph.
pub(super) fn paragraph(document: &Document, recommendation: &Recommendation) -> Markup {
    let mut said = Vec::new();
    match &recommendation.judgement {
        Some(judged) => {
            said.push(likely(judged, recommendation.verdict));
            said.push(rests_on(judged, &seen(document)));
            said.push(flips(judged));
        }
        None => {
            said.push(match recommendation.verdict {
                Verdict::CannotSay => {
                    "Not sure at all: the data of this range does not decide it.".to_owned()
                }
                Verdict::Leave => {
                    "No gain was found that could be doubted: the verdict rests on its thresholds.".to_owned()
                }
                Verdict::Do | Verdict::Try => {
                    "How likely the gain is was not drawn: it is none of CPU alone, or one of its figures has no spread."
                        .to_owned()
                }
            });
            said.push(format!("It rests on {}.", seen(document)));
        }
    }
    if recommendation.verdict != Verdict::CannotSay {
        said.extend(nearest(&recommendation.thresholds));
    }
    if document.window.at_the_load_seen {
        said.push(
            "It holds for the load of this range only: daily peaks and growth are not in it."
                .to_owned(),
        );
    }
    said.retain(|sentence| !sentence.is_empty());
    Markup::composed(said.join(" "))
}

/// How much was looked at.
fn seen(document: &Document) -> String {
    let length = figure::said_in(document.window.duration_ns as f64, FigureUnit::Ns);
    format!(
        "{} over {length}",
        super::header::windows(document.window.windows)
    )
}

fn likely(judged: &Judgement, verdict: Verdict) -> String {
    if verdict == Verdict::Leave && judged.improves <= 0.5 {
        return advised_against(judged);
    }
    let word = match judged.improves {
        share if share >= 0.95 => "Very likely",
        share if share >= 0.8 => "Likely",
        share if share > 0.5 => "More likely than not",
        share if share > 0.2 => "Open",
        _ => "Unlikely",
    };
    let gain = figure::said_in(
        judged.gain.value.unwrap_or(judged.gain_found),
        judged.gain.unit,
    );
    let range = match (judged.gain.low, judged.gain.high) {
        (Some(low), Some(high)) if low != high => {
            format!(
                ", {} in 90 of 100",
                figure::said_range(low, high, judged.gain.unit, As::Itself)
            )
        }
        _ => String::new(),
    };
    let slo = match judged.slo_kept {
        Some(share) => format!(
            "; objectives are kept in {}",
            figure::said_in(share, FigureUnit::Ratio)
        ),
        None => String::new(),
    };
    let price = if judged.cost_falls < 0.5 {
        format!(
            "; it has its price: cores and memory together cost more in {}",
            figure::said_as(judged.cost_falls, FigureUnit::Ratio, As::Rest)
        )
    } else {
        format!(
            ", and cost falls in {}",
            figure::said_in(judged.cost_falls, FigureUnit::Ratio)
        )
    };
    format!(
        "{word}: in {} of {} resamplings of the windows there is a gain, of {gain} ({}{range}) when what the best of the {} \
         changes that were looked at shows by luck alone is taken off{price}{slo}.",
        figure::said_in(judged.improves, FigureUnit::Ratio),
        count(judged.draws),
        escape_text(&text::sentence(&judged.objective)),
        count(judged.candidates),
    )
}

fn count(value: u32) -> String {
    figure::said(f64::from(value), &format::integer(i64::from(value)))
}

/// The same of a change that loses: how sure the advice is, not the change.
fn advised_against(judged: &Judgement) -> String {
    let loses = 1.0 - judged.improves;
    let word = match loses {
        share if share >= 0.95 => "Very likely right to leave it",
        share if share >= 0.8 => "Likely right to leave it",
        _ => "More likely right to leave it than not",
    };
    let unit = judged.gain.unit;
    let gain = judged.gain.value.unwrap_or(judged.gain_found);
    let range = match (judged.gain.low, judged.gain.high) {
        (Some(low), Some(high)) if low != high => {
            format!(
                ", {} in 90 of 100",
                figure::said_range(low, high, unit, As::Minus)
            )
        }
        _ => String::new(),
    };
    format!(
        "{word}: in {} of {} resamplings of the windows the change gains nothing; it loses {} ({} turned round{range}).",
        figure::said_as(judged.improves, FigureUnit::Ratio, As::Rest),
        count(judged.draws),
        figure::said_as(gain, unit, As::Minus),
        escape_text(&text::sentence(&judged.objective)),
    )
}

fn rests_on(judged: &Judgement, seen: &str) -> String {
    let inputs: Vec<String> = judged
        .turns
        .iter()
        .take(INPUTS_SAID)
        .map(|turn| {
            format!(
                "{} ({})",
                escape_text(&text::sentence(&turn.input)),
                figure::said_in(turn.point, turn.unit)
            )
        })
        .collect();
    if inputs.is_empty() {
        format!("It rests on {seen}.")
    } else {
        format!("It rests on {seen}, and most on {}.", inputs.join(" and "))
    }
}

/// The input that would flip it with the least change.
fn flips(judged: &Judgement) -> String {
    let far = |turn: &&Turn| {
        let at = turn.turns_at?;
        (at > 0.0 && turn.point > 0.0).then(|| libm::fabs(libm::log(at / turn.point)))
    };
    let nearest = judged
        .turns
        .iter()
        .filter_map(|turn| Some((far(&turn)?, turn)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, turn)) => {
            let at = turn.turns_at.unwrap_or(turn.point);
            let side = if at < turn.point { "below" } else { "above" };
            format!(
                "It would flip with {} {side} {} (found or assumed: {}).",
                escape_text(&text::sentence(&turn.input)),
                figure::said_in(at, turn.unit),
                figure::said_in(turn.point, turn.unit),
            )
        }
        None if judged.turns.is_empty() => String::new(),
        None => "No single input flips it, were it a thousand times smaller or larger.".to_owned(),
    }
}

/// The threshold that was met or missed most narrowly.
fn nearest(thresholds: &[Threshold]) -> Option<String> {
    let far = |t: &&Threshold| {
        let found = t.found.filter(|found| *found > 0.0 && t.limit > 0.0)?;
        Some(libm::fabs(libm::log(found / t.limit)))
    };
    let (_, t) = thresholds
        .iter()
        .filter_map(|t| Some((far(&t)?, t)))
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(format!(
        "Of the rule’s thresholds the nearest is {}: {} found, the limit is {}.",
        escape_text(&text::sentence(&t.name)),
        figure::said_in(t.found?, t.unit),
        figure::said_in(t.limit, t.unit),
    ))
}

/// Changes of which only one makes sense: a merge takes the very calls away that a batch would make fewer of, and is
/// priced with all of them.
pub(super) fn instead_of<'a>(
    document: &'a Document,
    recommendation: &Recommendation,
) -> Vec<&'a Recommendation> {
    let worth = |r: &Recommendation| matches!(r.verdict, Verdict::Do | Verdict::Try);
    if !worth(recommendation) {
        return Vec::new();
    }
    document
        .recommendations
        .iter()
        .filter(|other| other.id != recommendation.id && worth(other))
        .filter(|other| excludes(recommendation, other) || excludes(other, recommendation))
        .collect()
}

/// Does this merge take away what the other one is about?
fn excludes(merge: &Recommendation, other: &Recommendation) -> bool {
    if merge.kind != RecommendationKind::Merge || other.kind != RecommendationKind::Batch {
        return false;
    }
    let services = |r: &Recommendation| -> BTreeSet<String> {
        r.subjects
            .iter()
            .map(|subject| subject.service.clone())
            .filter(|service| !service.is_empty())
            .collect()
    };
    let (merged, about) = (services(merge), services(other));
    about.len() > 1 && about.is_subset(&merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Figure, QualityWord};

    fn judged(improves: f64, turns_at: Option<f64>) -> Judgement {
        Judgement {
            objective: "cores saved".to_owned(),
            draws: 1_000,
            candidates: 4,
            gain_found: 0.2,
            gain: Figure {
                low: Some(0.1),
                high: Some(0.2),
                ..Figure::exact(0.15, FigureUnit::Cores, QualityWord::Estimated)
            },
            improves,
            cost_falls: improves,
            slo_kept: None,
            slo_kept_absent_reason: None,
            regret: Figure::exact(0.0, FigureUnit::Cores, QualityWord::Estimated),
            turns: vec![Turn {
                input: "messages of a call".to_owned(),
                unit: FigureUnit::NsPerCall,
                point: 600_000.0,
                low: 500_000.0,
                high: 700_000.0,
                gain_at_low: 0.1,
                gain_at_high: 0.2,
                turns_at,
            }],
            experiment: "Measure it.".to_owned(),
        }
    }

    #[test]
    fn it_says_how_likely_and_what_would_flip_it() {
        let sure = likely(&judged(0.99, None), Verdict::Do);
        assert!(
            sure.starts_with(
                "Very likely: in <data value=0.99>99\u{a0}%</data> of <data value=1000>1,000</data> resamplings"
            ),
            "{sure}"
        );
        assert!(likely(&judged(0.4, None), Verdict::Try).starts_with("Open"));
        let flips_at = flips(&judged(0.9, Some(120_000.0)));
        assert!(
            flips_at.contains("messages of a call below <data value=120000>120\u{a0}µs</data>"),
            "{flips_at}"
        );
        assert!(flips(&judged(0.9, None)).starts_with("No single input flips it"));
        let rests = rests_on(&judged(0.9, None), "75 windows over 30 s");
        assert!(
            rests.contains("75 windows") && rests.contains("600\u{a0}µs"),
            "{rests}"
        );
    }
}
