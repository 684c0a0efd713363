//! What changed since a baseline: more calls, or dearer calls.

use askama::Template;

use super::rendered;
use crate::document::{ChangeReport, ChangeVerdict, CostChange, Document};
use crate::html::anchors::Anchors;
use crate::html::figure::{Notes, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::shown::left_out_of;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, escape_text, name};

/// Rows of a table of changes.
const ROWS_SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "change.html")]
struct Change {
    known: bool,
    base: Markup,
    origins: Markup,
    operations: Markup,
    notes: Vec<String>,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    of(document.change.as_ref(), "report.json", anchors)
}

/// The section of a change, whose rows are linked where the page holds them; `file` beside the page has all rows.
pub(crate) fn of(change: Option<&ChangeReport>, file: &str, anchors: &Anchors) -> Markup {
    let Some(change) = change else {
        return rendered(&Change {
            known: false,
            base: Markup::default(),
            origins: Markup::default(),
            operations: Markup::default(),
            notes: Vec::new(),
        });
    };
    rendered(&Change {
        known: true,
        base: Markup::composed(format!(
            "{} to {} ({})",
            escape_text(&name(&format::instant(&change.base.start))),
            escape_text(&name(&format::instant(&change.base.end))),
            super::header::windows(change.base.windows)
        )),
        origins: table(
            "t-change-origins",
            "By origin, over all services: the largest change first",
            &change.origins,
            file,
            anchors,
        ),
        operations: table(
            "t-change-operations",
            "By operation of a service: the largest change first",
            &change.operations,
            file,
            anchors,
        ),
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

fn table(id: &str, caption: &str, changes: &[CostChange], file: &str, anchors: &Anchors) -> Markup {
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
    Table::new(id, caption, columns, rows, notes)
        .note(left_out_of(
            file,
            changes.len(),
            ROWS_SHOWN,
            "rows, the first",
        ))
        .markup()
}
