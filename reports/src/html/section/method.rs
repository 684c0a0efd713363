//! Quality, method, formulas, limits, glossary.

use askama::Template;

use super::rendered;
use crate::document::Document;
use crate::html::figure::{Notes, Show, sentence, short_quality};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::shown::ROWS_SHOWN;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, name};

struct FormulaView {
    name: String,
    formula: String,
    source: String,
    limits: String,
}

#[derive(Template)]
#[template(path = "method.html")]
struct Method {
    shares: Vec<(String, &'static str, &'static str)>,
    unexplained: String,
    agent: String,
    lost: String,
    clocks: Markup,
    unknown_kinds: Vec<String>,
    seed: String,
    schema_version: u32,
    method: Vec<String>,
    limits: Vec<String>,
    formulas: Vec<FormulaView>,
}

/// The two sections on how the figures came about.
pub(crate) fn section(document: &Document) -> Markup {
    let quality = &document.quality;
    rendered(&Method {
        shares: quality
            .cpu_shares
            .iter()
            .map(|part| {
                (
                    format::percent(part.share),
                    part.quality.as_str(),
                    short_quality(part.quality),
                )
            })
            .collect(),
        unexplained: sentence(&quality.unexplained_share),
        agent: sentence(&quality.agent_share),
        lost: sentence(&quality.lost),
        clocks: clocks(document),
        unknown_kinds: quality
            .unknown_kinds
            .iter()
            .map(|unknown| {
                format!(
                    "kind {}: {}",
                    unknown.kind,
                    super::header::plural(unknown.rows, "row", "rows")
                )
            })
            .collect(),
        seed: name(&quality.seed),
        schema_version: document.schema_version,
        method: quality.method.iter().map(|s| text::sentence(s)).collect(),
        limits: quality.limits.iter().map(|s| text::sentence(s)).collect(),
        formulas: quality
            .formulas
            .iter()
            .map(|f| FormulaView {
                name: text::sentence(&f.name),
                formula: text::sentence(&f.formula),
                source: text::sentence(&f.source),
                limits: text::sentence(&f.limits),
            })
            .collect(),
    })
}

fn clocks(document: &Document) -> Markup {
    if document.quality.clocks.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        words("Clock", "How CPU time was read"),
        figures("Readings", ""),
    ];
    let rows = document
        .quality
        .clocks
        .iter()
        .map(|clock| {
            Row::new("")
                .head(&Markup::text(&name(&clock.service)))
                .text(&clock.mode)
                .figure(&clock.readings, Show::Plain, &mut notes)
        })
        .collect();
    Table::new("t-clocks", "How CPU time was read", columns, rows, notes)
        .at_most(ROWS_SHOWN)
        .markup()
}
