//! What was predicted, against what came.

use askama::Template;

use super::rendered;
use crate::document::{AfterReport, Document, FigureUnit, Score};
use crate::html::figure::{self, As, Notes, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::shown::left_out;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, escape_text, name};

/// Advice in the table; `report.json` has all.
const ROWS_SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "predictions.html")]
struct Predictions {
    known: bool,
    earlier: String,
    load: Markup,
    outcomes: Markup,
    score: Markup,
    notes: Vec<String>,
}

/// The section.
pub(crate) fn section(document: &Document) -> Markup {
    let Some(after) = &document.after else {
        return rendered(&Predictions {
            known: false,
            earlier: String::new(),
            load: Markup::default(),
            outcomes: Markup::default(),
            score: Markup::default(),
            notes: Vec::new(),
        });
    };
    rendered(&Predictions {
        known: true,
        earlier: format!(
            "{} to {}",
            name(&format::instant(&after.earlier_start)),
            name(&format::instant(&after.earlier_end))
        ),
        load: Markup::composed(match after.load_factor {
            Some(factor) => format!(
                "requests come at {} times the rate of then",
                figure::said(factor, &format::significant(factor, 3))
            ),
            None => "how the load differs from then is not known".to_owned(),
        }),
        outcomes: outcomes(after),
        score: score(after),
        notes: after
            .notes
            .iter()
            .map(|note| text::sentence(note))
            .collect(),
    })
}

/// What became of an earlier report's advice.
fn outcomes(after: &AfterReport) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("What was to be done", ""),
        words("Done?", "Whether the change is seen in this report"),
        words("Figure", ""),
        figures("Predicted", "Brought to the load seen now"),
        figures("90 % interval", "Of the prediction"),
        figures("Observed", "In this report"),
        figures("Off by", "Observed ÷ predicted − 1"),
        words("Interval", "Does it hold what was observed?"),
    ];
    let mut rows = Vec::new();
    for outcome in after.outcomes.iter().take(ROWS_SHOWN) {
        let seen = if outcome.applied {
            "applied"
        } else {
            "not applied"
        };
        if outcome.figures.is_empty() {
            rows.push(
                Row::new("")
                    .head(&Markup::text(&text::sentence(&outcome.title)))
                    .words(&format!("{seen}: {}", text::sentence(&outcome.seen)))
                    .empty(6),
            );
        }
        for it in &outcome.figures {
            let mut value = |value: Option<f64>, why: &str| match value {
                Some(value) => figure::number_cell(
                    value,
                    &figure::shown_markup(&figure::quantity(value, it.unit, Show::Plain)),
                ),
                None => figure::unknown_cell(why, &mut notes),
            };
            let predicted = value(it.predicted, "nothing was predicted");
            let observed = value(it.observed, "this report has no such figure");
            let interval = match (it.low, it.high) {
                (Some(low), Some(high)) => {
                    format!("<td>{}", figure::said_range(low, high, it.unit, As::Itself))
                }
                _ => "<td class=k>none".to_owned(),
            };
            let error = match it.error {
                Some(error) => figure::number_cell(error, &escape_text(&format::percent(error))),
                None => figure::unknown_cell("nothing was predicted to be left", &mut notes),
            };
            let held = match (&it.not_scored_reason, it.inside) {
                (Some(reason), _) => text::sentence(reason),
                (None, Some(true)) => "holds it".to_owned(),
                (None, Some(false)) => "does not hold it".to_owned(),
                (None, None) => "no interval".to_owned(),
            };
            rows.push(
                Row::new("")
                    .head(&Markup::text(&text::sentence(&outcome.title)))
                    .words(&format!("{seen}: {}", text::sentence(&outcome.seen)))
                    .words(&text::sentence(&it.figure))
                    .cell(predicted)
                    .cell(Markup::composed(interval))
                    .cell(observed)
                    .cell(error)
                    .words(&held),
            );
        }
    }
    Table::new(
        "t-predictions",
        "The advice of an earlier report, against what is observed",
        columns,
        rows,
        notes,
    )
    .fixed()
    .note(left_out(
        after.outcomes.len(),
        ROWS_SHOWN,
        "pieces of advice, the first",
    ))
    .markup()
}

/// How often predictions held: those of this comparison, and those of all before it with them.
fn score(after: &AfterReport) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Predictions", ""),
        figures("Compared", "Figures that were predicted and observed"),
        figures("With interval", "Of these, those that had a 90 % interval"),
        figures(
            "Inside",
            "Observed inside its interval: nine of ten should be",
        ),
        figures(
            "Off at the median",
            "Without the sign, as a share of the prediction",
        ),
        figures(
            "Off at the worst",
            "Without the sign, as a share of the prediction",
        ),
    ];
    let mut row = |what: &str, score: &Score| {
        let mut share = |value: Option<f64>| match value {
            Some(value) => figure::number_cell(
                value,
                &figure::shown_markup(&figure::quantity(value, FigureUnit::Ratio, Show::Plain)),
            ),
            None => figure::unknown_cell("no prediction could be scored", &mut notes),
        };
        let (median, worst) = (share(score.error_median), share(score.error_max));
        Row::new("")
            .head(&Markup::text(what))
            .number(score.figures)
            .number(score.with_interval)
            .number(score.inside)
            .cell(median)
            .cell(worst)
    };
    let rows = vec![
        row("Of this report", &after.score),
        row("All so far", &after.running),
    ];
    Table::new(
        "t-score",
        "How often predictions were right",
        columns,
        rows,
        notes,
    )
    .fixed()
    .markup()
}
