//! Recommendations as cards.

use askama::Template;

use super::{rendered, sure};
use crate::document::{
    Absence, Document, Evidence, FigureUnit, Judgement, Prediction, Recommendation,
    RecommendationKind, Threshold, Verdict,
};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, As, Notes, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::shown::{CARDS_SHOWN, ROWS_SHOWN, left_out};
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, escape_text};

struct Card {
    slug: String,
    id: String,
    verdict: &'static str,
    verdict_words: &'static str,
    kind: &'static str,
    title: String,
    reason: String,
    gain: Markup,
    subjects: Vec<Markup>,
    evidence: Vec<Markup>,
    prediction: Markup,
    more: Markup,
    more_label: Markup,
    sure: Markup,
    worth: bool,
    instead: Vec<Markup>,
    downsides: Vec<String>,
    falsify: Vec<String>,
    first_step: String,
    rule: String,
    thresholds: Markup,
    judgement: Markup,
}

#[derive(Template)]
#[template(path = "recommendations.html")]
struct Recommendations {
    cards: Vec<Card>,
    others: Markup,
    few: String,
    counts: Vec<(&'static str, &'static str, Markup)>,
    /// How many of what is worth doing exclude another of it.
    either_or: usize,
    suppressed: Vec<Left>,
    topologies: Markup,
}

/// A recommendation that an ignore file leaves.
struct Left {
    title: String,
    verdict: &'static str,
    id: String,
    reason: String,
    until: String,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    let all = &document.recommendations;
    let counts = [
        Verdict::Do,
        Verdict::Try,
        Verdict::Leave,
        Verdict::CannotSay,
    ]
    .into_iter()
    .map(|verdict| {
        let count = all.iter().filter(|r| r.verdict == verdict).count();
        (verdict, count)
    })
    .filter(|(_, count)| *count > 0)
    .map(|(verdict, count)| {
        let count = Markup::composed(figure::counted(count));
        (verdict.as_str(), verdict_words(verdict), count)
    })
    .collect();
    rendered(&Recommendations {
        others: others(all.get(CARDS_SHOWN..).unwrap_or_default(), anchors),
        few: left_out(all.len(), CARDS_SHOWN + ROWS_SHOWN, "recommendations"),
        cards: all
            .iter()
            .take(CARDS_SHOWN)
            .enumerate()
            .map(|(index, r)| card(index, r, document, anchors))
            .collect(),
        counts,
        either_or: all
            .iter()
            .filter(|r| !sure::instead_of(document, r).is_empty())
            .count(),
        topologies: super::topologies::part(document, anchors),
        suppressed: document
            .suppressed
            .iter()
            .map(|s| Left {
                title: text::sentence(&s.title),
                verdict: verdict_words(s.verdict),
                id: text::name(&s.id),
                reason: text::sentence(&s.reason),
                until: text::name(&s.until),
            })
            .collect(),
    })
}

/// What has no card, in a row each: what is worth doing stands first, so these are the lesser ones.
fn others(others: &[Recommendation], anchors: &Anchors) -> Markup {
    if others.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("Recommendation", ""),
        words("Verdict", ""),
        words("Why", ""),
        figures("Gain", "Cores, or what else it is measured in"),
        words("Dismiss key", "For an ignore file"),
    ];
    let rows = others
        .iter()
        .take(ROWS_SHOWN)
        .map(|r| {
            Row::new(anchors.slug(&r.id))
                .head(&Markup::text(&text::sentence(&r.title)))
                .words(verdict_words(r.verdict))
                .words(&text::sentence(&r.verdict_reason))
                .figure(&r.gain, Show::Plain, &mut notes)
                .markup(&Markup::composed(format!(
                    "<code>{}</code>",
                    escape_text(&text::clip(&r.id, 300))
                )))
        })
        .collect();
    Table::new(
        "t-recommendations",
        "The other recommendations; report.json has their evidence and predictions",
        columns,
        rows,
        notes,
    )
    .markup()
}

fn verdict_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Do => "do",
        Verdict::Try => "try",
        Verdict::Leave => "leave",
        Verdict::CannotSay => "cannot say",
    }
}

fn kind_words(kind: RecommendationKind) -> &'static str {
    match kind {
        RecommendationKind::Merge => "Merge",
        RecommendationKind::Split => "Split",
        RecommendationKind::Move => "Move",
        RecommendationKind::Replicate => "Replicate",
        RecommendationKind::Shard => "Shard",
        RecommendationKind::PlaceEntity => "Place an entity",
        RecommendationKind::Batch => "Batch a call",
        RecommendationKind::Keep => "Keep",
    }
}

/// Predictions that stand on a card; the others are folded.
const PREDICTIONS_SHOWN: usize = 4;

fn card(
    index: usize,
    recommendation: &Recommendation,
    document: &Document,
    anchors: &Anchors,
) -> Card {
    let all = &recommendation.prediction;
    // One row more is no reason to fold.
    let shown = if all.len() > PREDICTIONS_SHOWN + 2 {
        PREDICTIONS_SHOWN
    } else {
        all.len()
    };
    let (first, more) = all.split_at(shown);
    Card {
        slug: anchors.slug(&recommendation.id).to_owned(),
        id: text::clip(&recommendation.id, 300),
        verdict: recommendation.verdict.as_str(),
        verdict_words: verdict_words(recommendation.verdict),
        kind: kind_words(recommendation.kind),
        title: text::sentence(&recommendation.title),
        reason: text::sentence(&recommendation.verdict_reason),
        gain: gain(recommendation),
        subjects: recommendation
            .subjects
            .iter()
            .map(|subject| {
                let label = match (subject.service.is_empty(), subject.name.is_empty()) {
                    (false, false) => format!("{} {}", subject.service, subject.name),
                    (true, _) => subject.name.clone(),
                    (false, true) => subject.service.clone(),
                };
                anchors.link_as(&subject.row, &label)
            })
            .collect(),
        evidence: recommendation
            .evidence
            .iter()
            .map(|e| evidence(e, anchors))
            .collect(),
        prediction: prediction(index, "", "Before and after, as predicted", first),
        more: prediction(index, "m", "The other figures, as predicted", more),
        more_label: Markup::composed(format!(
            "{} more predicted, request by request: CPU and latency",
            super::header::counted(more.len(), "figure", "figures")
        )),
        sure: sure::paragraph(document, recommendation),
        worth: matches!(recommendation.verdict, Verdict::Do | Verdict::Try),
        instead: sure::instead_of(document, recommendation)
            .into_iter()
            .map(|other| anchors.link_sentence(&other.id, &other.title))
            .collect(),
        downsides: recommendation
            .downsides
            .iter()
            .map(|s| text::sentence(s))
            .collect(),
        falsify: recommendation
            .falsify
            .iter()
            .map(|s| text::sentence(s))
            .collect(),
        first_step: text::sentence(&recommendation.first_step),
        rule: text::sentence(&recommendation.rule),
        thresholds: thresholds(index, &recommendation.thresholds),
        judgement: recommendation
            .judgement
            .as_ref()
            .map(|j| judgement(index, j))
            .unwrap_or_default(),
    }
}

pub(super) fn gain(recommendation: &Recommendation) -> Markup {
    let Some(value) = recommendation.gain.value else {
        return Markup::default();
    };
    let unit = recommendation.gain.unit;
    // A loss is written as what it costs, so its interval changes sides.
    let how = if value < 0.0 { As::Minus } else { As::Itself };
    let range = match (recommendation.gain.low, recommendation.gain.high) {
        (Some(low), Some(high)) if low != high => {
            format!(" ({})", figure::said_range(low, high, unit, how))
        }
        _ => String::new(),
    };
    let verb = match (recommendation.verdict, value < 0.0) {
        (Verdict::Do | Verdict::Try, true) => "costs",
        (Verdict::Do | Verdict::Try, false) => "saves",
        (_, true) => "the change would cost",
        (_, false) => "the change would save",
    };
    Markup::composed(format!(
        "{verb} {}{range}",
        figure::said_as(value, unit, how)
    ))
}

fn evidence(evidence: &Evidence, anchors: &Anchors) -> Markup {
    let links: Vec<String> = evidence
        .rows
        .iter()
        .filter_map(|row| anchors.link(row))
        .map(|link| link.to_string())
        .collect();
    let rows = if links.is_empty() {
        String::new()
    } else {
        format!(" <span class=\"rows\">{}</span>", links.join(" · "))
    };
    Markup::composed(format!(
        "{}{rows}",
        escape_text(&text::sentence(&evidence.sentence))
    ))
}

/// The exact value in an attribute, three digits for people; `not known` where there is none.
fn value_cell(value: Option<f64>, unit: FigureUnit, notes: &mut Notes) -> Markup {
    match value {
        Some(value) => figure::number_cell(
            value,
            &figure::shown_markup(&figure::quantity(value, unit, Show::Plain)),
        ),
        None => figure::unknown_cell("the data of this range does not hold it", notes),
    }
}

fn prediction(index: usize, part: &str, caption: &str, predictions: &[Prediction]) -> Markup {
    if predictions.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("Figure", ""),
        figures("Before", ""),
        figures("After", "As predicted"),
        figures("90 % interval", "Of the figure after the change"),
        figures("Change", ""),
    ];
    let rows = predictions
        .iter()
        .map(|p| {
            let row = Row::new("")
                .head(&Markup::text(&text::sentence(&p.figure)))
                .cell(value_cell(p.before, p.unit, &mut notes))
                .cell(value_cell(p.after, p.unit, &mut notes));
            let row = match (p.low, p.high) {
                (Some(low), Some(high)) => row.cell(Markup::composed(format!(
                    "<td>{}",
                    figure::said_range(low, high, p.unit, As::Itself)
                ))),
                _ => {
                    let reason = p
                        .interval_absent_reason
                        .as_deref()
                        .unwrap_or("no interval was computed");
                    let reference = figure::reference(reason, &mut notes);
                    row.cell(Markup::composed(format!("<td class=k>none{reference}")))
                }
            };
            row.cell(change(p))
        })
        .collect();
    Table::new(&format!("tr{index}{part}"), caption, columns, rows, notes)
        .fixed()
        .one_of_many(index)
        .markup()
}

fn change(prediction: &Prediction) -> Markup {
    let text = match (prediction.before, prediction.after) {
        (Some(before), Some(after)) if before == after => "none".to_owned(),
        (Some(before), Some(after)) if before > 0.0 && after >= before * 10.0 => {
            format!("{}\u{a0}×", format::significant(after / before, 2))
        }
        (Some(before), Some(after)) if before > 0.0 => {
            let share = after / before - 1.0;
            let sign = if share > 0.0 { "+" } else { "" };
            format!("{sign}{}", format::percent(share))
        }
        (Some(0.0), Some(_)) => "new".to_owned(),
        _ => String::new(),
    };
    // Of the two figures before it: no figure of the document's own.
    Markup::composed(format!("<td data-as=change>{}", escape_text(&text)))
}

/// What would turn the gain, input by input.
fn judgement(index: usize, judged: &Judgement) -> Markup {
    let mut notes = Notes::default();
    let unit = judged.gain.unit;
    let columns = vec![
        words("What it hangs on", "Largest swing first"),
        figures("Found", "Or assumed"),
        figures("Turns at", "The value at which nothing is gained"),
        figures("Gain at low", "At the lower end of its interval"),
        figures("Gain at high", "At the upper end of its interval"),
    ];
    let never = Absence::NO_TURN.reason;
    let rows: Vec<Row> = judged
        .turns
        .iter()
        .map(|turn| {
            Row::new("")
                .head(&Markup::text(&text::sentence(&turn.input)))
                .cell(value_cell(Some(turn.point), turn.unit, &mut notes))
                .cell(match turn.turns_at {
                    Some(at) => value_cell(Some(at), turn.unit, &mut notes),
                    None => figure::unknown_cell(never, &mut notes),
                })
                .cell(value_cell(Some(turn.gain_at_low), unit, &mut notes))
                .cell(value_cell(Some(turn.gain_at_high), unit, &mut notes))
        })
        .collect();
    let table = if rows.is_empty() {
        Markup::default()
    } else {
        Table::new(
            &format!("tr{index}j"),
            "What would turn it",
            columns,
            rows,
            notes,
        )
        .fixed()
        .one_of_many(index)
        .markup()
    };
    Markup::composed(format!(
        "{table}<p class=\"prose-line\">What would settle it: {}</p>",
        escape_text(&text::sentence(&judged.experiment))
    ))
}

fn thresholds(index: usize, thresholds: &[Threshold]) -> Markup {
    if thresholds.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("What is compared", ""),
        figures("Found", ""),
        figures("Limit", ""),
    ];
    let rows = thresholds
        .iter()
        .map(|t| {
            Row::new("")
                .head(&Markup::text(&text::sentence(&t.name)))
                .cell(value_cell(t.found, t.unit, &mut notes))
                .cell(value_cell(Some(t.limit), t.unit, &mut notes))
        })
        .collect();
    Table::new(
        &format!("tr{index}r"),
        "Thresholds that decided",
        columns,
        rows,
        notes,
    )
    .fixed()
    .one_of_many(index)
    .markup()
}
