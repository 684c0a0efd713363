//! Quality, method, formulas, limits, glossary.

use askama::Template;

use super::rendered;
use crate::document::{Document, FigureUnit};
use crate::html::figure::{self, Notes, Show, short_quality};
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
    shares: Vec<(Markup, &'static str, &'static str)>,
    unexplained: Markup,
    agent: Markup,
    lost: Markup,
    clocks: Markup,
    unknown_kinds: Vec<Markup>,
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
                    Markup::composed(figure::said_in(part.share, FigureUnit::Ratio)),
                    part.quality.as_str(),
                    short_quality(part.quality),
                )
            })
            .collect(),
        unexplained: Markup::composed(figure::prose(&quality.unexplained_share)),
        agent: Markup::composed(figure::prose(&quality.agent_share)),
        lost: Markup::composed(figure::prose(&quality.lost)),
        clocks: clocks(document),
        unknown_kinds: quality
            .unknown_kinds
            .iter()
            .map(|unknown| {
                let kind = f64::from(unknown.kind);
                Markup::composed(format!(
                    "kind {}: {}",
                    figure::said(kind, &format::count(kind)),
                    super::header::told(unknown.rows, "row", "rows")
                ))
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
