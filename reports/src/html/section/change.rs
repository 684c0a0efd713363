//! What changed since a baseline: more calls, or dearer calls; and what was predicted against what came.

use askama::Template;

use super::rendered;
use crate::document::{
    AfterReport, ChangeReport, ChangeVerdict, CostChange, Document, PredictionCheck,
};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, Notes, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, escape_text, name};

/// Rows of a table of changes; `report.json` has all.
const ROWS_SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "change.html")]
struct Change {
    known: bool,
    base: String,
    origins: Markup,
    operations: Markup,
    predictions: Markup,
    after: Markup,
    notes: Vec<String>,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    let after = document.after.as_ref().map(after).unwrap_or_default();
    build(document.change.as_ref(), after, anchors)
}

/// The section of a change, whose rows are linked where the page holds them.
pub(crate) fn of(change: Option<&ChangeReport>, anchors: &Anchors) -> Markup {
    build(change, Markup::default(), anchors)
}

fn build(change: Option<&ChangeReport>, after: Markup, anchors: &Anchors) -> Markup {
    let Some(change) = change else {
        return rendered(&Change {
            known: false,
            base: String::new(),
            origins: Markup::default(),
            operations: Markup::default(),
            predictions: Markup::default(),
            after,
            notes: Vec::new(),
        });
    };
    rendered(&Change {
        known: true,
        base: format!(
            "{} to {} ({})",
            name(&format::instant(&change.base.start)),
            name(&format::instant(&change.base.end)),
            super::header::plural(change.base.windows, "window", "windows")
        ),
        origins: table(
            "t-change-origins",
            "By origin, over all services: the largest change first",
            &change.origins,
            anchors,
        ),
        operations: table(
            "t-change-operations",
            "By operation of a service: the largest change first",
            &change.operations,
            anchors,
        ),
        predictions: predictions(&change.predictions, anchors),
        after,
        notes: change
            .notes
            .iter()
            .map(|note| text::sentence(note))
            .collect(),
    })
}

/// The verdict in words; the mark says it without colour.
fn verdict(verdict: ChangeVerdict) -> Markup {
    let (class, word) = match verdict {
        ChangeVerdict::Dearer => ("strong", "dearer"),
        ChangeVerdict::Cheaper => ("", "cheaper"),
        ChangeVerdict::Same => ("", "within the noise"),
        ChangeVerdict::CannotSay => ("", "cannot say"),
        ChangeVerdict::New => ("", "new"),
        ChangeVerdict::Gone => ("", "gone"),
    };
    Markup::composed(format!("<mark class=\"{class}\">{word}</mark>"))
}

fn table(id: &str, caption: &str, changes: &[CostChange], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Operation", ""),
        words(
            "A request is",
            "By the interval of the change of its unit cost",
        ),
        figures(
            "Unit cost before",
            "CPU for one request, with its 90 % interval",
        ),
        figures("after", "CPU for one request, with its 90 % interval"),
        figures("Change", "Of the unit cost, with its 90 % interval"),
        figures("Requests/s before", ""),
        figures("after", ""),
        figures(
            "More calls",
            "Cores: change of the rate × mean of both unit costs",
        ),
        figures(
            "Dearer calls",
            "Cores: change of the unit cost × mean of both rates",
        ),
        figures("Together", "Change of cores"),
    ];
    let rows = changes
        .iter()
        .take(ROWS_SHOWN)
        .map(|change| {
            Row::new("")
                .head(&Markup::composed(format!(
                    "{}<small>{}</small>",
                    anchors.link_as(&change.id, &change.operation),
                    Markup::text(&name(&change.service)),
                )))
                .markup(&verdict(change.verdict))
                .interval(&change.unit_before, Show::Plain, &mut notes)
                .interval(&change.unit_after, Show::Plain, &mut notes)
                .interval(&change.unit_change, Show::Plain, &mut notes)
                .figure(&change.rate_before, Show::Bare, &mut notes)
                .figure(&change.rate_after, Show::Bare, &mut notes)
                .figure(&change.more_calls, Show::Bare, &mut notes)
                .figure(&change.dearer_calls, Show::Bare, &mut notes)
                .figure(&change.cores_change, Show::Bare, &mut notes)
        })
        .collect();
    Table::new(id, caption, columns, rows, notes).markup()
}

fn predictions(checks: &[PredictionCheck], anchors: &Anchors) -> Markup {
    if checks.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("What was to be done", ""),
        words("Figure", ""),
        figures("Before", "In the baseline"),
        figures("Predicted", "By the baseline, after the change"),
        figures("90 % interval", "Of the prediction"),
        figures("Observed", "Now"),
        words("Finding", ""),
    ];
    let rows = checks
        .iter()
        .take(ROWS_SHOWN)
        .map(|check| {
            let mut value = |value: Option<f64>, why: &str| match value {
                Some(value) => figure::number_cell(
                    value,
                    &figure::shown_markup(&figure::quantity(value, check.unit, Show::Plain)),
                ),
                None => figure::unknown_cell(why, &mut notes),
            };
            let before = value(check.before, "the baseline does not know it");
            let predicted = value(check.predicted, "the baseline does not predict it");
            let observed = value(check.observed, "this report has no such figure");
            let interval = match (check.low, check.high) {
                (Some(low), Some(high)) => format!(
                    "<td>{}",
                    escape_text(&figure::range(low, high, check.unit, Show::Plain))
                ),
                _ => "<td class=k>none".to_owned(),
            };
            Row::new("")
                .head(&anchors.link_as(&check.recommendation, &check.title))
                .words(&text::sentence(&check.figure))
                .cell(before)
                .cell(predicted)
                .cell(Markup::composed(interval))
                .cell(observed)
                .words(&text::sentence(&check.finding))
        })
        .collect();
    Table::new(
        "t-predictions",
        "What the baseline predicted, against what is observed",
        columns,
        rows,
        notes,
    )
    .markup()
}

/// What became of an earlier report's advice, and how often its predictions held.
fn after(after: &AfterReport) -> Markup {
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
                (Some(low), Some(high)) => format!(
                    "<td>{}",
                    escape_text(&figure::range(low, high, it.unit, Show::Plain))
                ),
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
    let share = |part: Option<f64>| part.map_or_else(|| "not known".to_owned(), format::percent);
    let lines: Vec<String> = [("This report", &after.score), ("All so far", &after.running)]
        .into_iter()
        .map(|(what, score)| {
            format!(
                "{what}: {} of {} predictions with an interval were inside it (nine of ten should be); off by {} at the \
                 median and {} at the worst.",
                score.inside,
                score.with_interval,
                share(score.error_median),
                share(score.error_max)
            )
        })
        .chain(after.notes.iter().map(|note| text::sentence(note)))
        .collect();
    let list: String = lines
        .iter()
        .map(|line| format!("<li>{}</li>", escape_text(line)))
        .collect();
    let table = Table::new(
        "t-after",
        "The advice of an earlier report, against what is observed",
        columns,
        rows,
        notes,
    )
    .fixed()
    .markup();
    Markup::composed(format!(
        "<h3>Predictions kept against what is observed</h3>{table}<ul class=\"prose\">{list}</ul>"
    ))
}
