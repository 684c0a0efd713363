//! What-if: sliders that the page's script recomputes.
//!
//! Linear terms stand in `capacity` of the document and are multiplied by the script; responses are read from the
//! table of 12 loads that the model made, straight lines between its points.

use askama::Template;

use super::rendered;
use crate::document::{Document, FigureUnit};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, Notes, Show};
use crate::html::markup::Markup;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::name;

/// Services and origins with a row of their own; the totals are of all.
const ROWS_SHOWN: usize = 40;

#[derive(Template)]
#[template(path = "what_if.html")]
struct WhatIf {
    any: bool,
    few: bool,
    target_percent: u32,
    core_price: f64,
    memory_price: f64,
    currency: String,
    services: Markup,
    origins: Markup,
    changes: Markup,
}

/// The section. Without its script it says that it needs one; the same figures at 1×, 2× and 5× stand in Capacity.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    let capacity = &document.capacity;
    let prices = capacity.prices.as_ref();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let target_percent = (capacity.target_utilisation.clamp(0.05, 1.0) * 100.0).round() as u32;
    rendered(&WhatIf {
        any: !capacity.services.is_empty(),
        few: capacity.services.len() > ROWS_SHOWN || capacity.latency.len() > ROWS_SHOWN,
        target_percent,
        core_price: prices.map_or(0.0, |prices| prices.core_hour),
        memory_price: prices.map_or(0.0, |prices| prices.gib_hour),
        currency: prices.map_or_else(String::new, |prices| name(&prices.currency)),
        services: services(document, anchors),
        origins: origins(document, anchors),
        changes: changes(document, anchors),
    })
}

/// A cell that the script fills, with what stands there before the first slider is moved.
fn cell(what: &str, value: Option<f64>, unit: FigureUnit, show: Show) -> Markup {
    let shown = value.map_or_else(
        || "not known".to_owned(),
        |value| figure::said_apart(value, unit, show),
    );
    Markup::composed(format!("<td class=\"w-{what}\">{shown}"))
}

fn services(document: &Document, anchors: &Anchors) -> Markup {
    let columns = vec![
        words("Service", ""),
        figures(
            "Cores",
            "Load × what grows with it + processes × what each takes by itself: today’s processes, or those needed where they are more",
        ),
        figures("Used", "Of the cores of today’s processes"),
        figures("Processes", "Needed at the target utilisation"),
        figures(
            "Memory",
            "Of these processes, each as large as the largest seen",
        ),
        figures(
            "Money/h",
            "Cores and memory of these processes at the prices above",
        ),
        figures(
            "Full in",
            "Months until today’s processes are full, at the growth above",
        ),
    ];
    let mut rows: Vec<Row> = document
        .capacity
        .services
        .iter()
        .take(ROWS_SHOWN)
        .map(|service| {
            let seen = service.points.iter().find(|p| p.load_factor == 1.0);
            let value = |pick: fn(&crate::document::CapacityPoint) -> &crate::document::Figure| {
                seen.and_then(|p| pick(p).value)
            };
            Row::new("")
                .head(&anchors.link_as(&service.id, &service.service))
                .cell(cell(
                    "cores",
                    value(|p| &p.cores),
                    FigureUnit::Cores,
                    Show::Bare,
                ))
                .cell(cell(
                    "used",
                    value(|p| &p.utilisation),
                    FigureUnit::Ratio,
                    Show::Plain,
                ))
                .cell(cell(
                    "replicas",
                    value(|p| &p.replicas),
                    FigureUnit::Count,
                    Show::Plain,
                ))
                .cell(cell(
                    "memory",
                    value(|p| &p.memory),
                    FigureUnit::Bytes,
                    Show::Plain,
                ))
                .cell(Markup::composed(
                    "<td class=\"w-money\">no price".to_owned(),
                ))
                .cell(Markup::composed(
                    "<td class=\"w-months\">no growth".to_owned(),
                ))
        })
        .collect();
    rows.push(
        Row::new("")
            .head(&Markup::text("All services"))
            .cell(Markup::composed("<td class=\"w-cores\">".to_owned()))
            .empty(1)
            .cell(Markup::composed("<td class=\"w-replicas\">".to_owned()))
            .cell(Markup::composed("<td class=\"w-memory\">".to_owned()))
            .cell(Markup::composed("<td class=\"w-money\">".to_owned()))
            .empty(1)
            .strong(),
    );
    Table::new(
        "t-what-if",
        "What services would need",
        columns,
        rows,
        Notes::default(),
    )
    .fixed()
    .markup()
}

fn origins(document: &Document, anchors: &Anchors) -> Markup {
    let columns = vec![
        words("Origin", ""),
        figures(
            "Response",
            "Mean, with today’s processes, from the table of 12 loads",
        ),
        figures("As seen", "At the load seen"),
    ];
    let rows: Vec<Row> = document
        .capacity
        .latency
        .iter()
        .take(ROWS_SHOWN)
        .map(|origin| {
            let seen = origin
                .points
                .iter()
                .find(|p| p.load_factor == 1.0)
                .and_then(|p| p.response.value);
            Row::new("")
                .head(&Markup::composed(format!(
                    "{}<small>{}</small>",
                    anchors.link_as(&origin.origin, &origin.operation),
                    Markup::text(&name(&origin.service)),
                )))
                .cell(cell("response", seen, FigureUnit::Ns, Show::Plain))
                .cell(cell("seen", seen, FigureUnit::Ns, Show::Plain))
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new(
        "t-what-if-origins",
        "How long requests would take",
        columns,
        rows,
        Notes::default(),
    )
    .fixed()
    .markup()
}

/// What the recommended changes would save. The load does not scale it: a part grows with calls, and what the processes
/// themselves take does not. `simulate` says what a change comes to at another load.
fn changes(document: &Document, anchors: &Anchors) -> Markup {
    use crate::document::Verdict;
    let columns = vec![
        words("Change", ""),
        figures(
            "Cores saved",
            "At the load seen; negative: what it costs. At another load: weighbridge simulate",
        ),
        figures(
            "Money/h",
            "Of these cores at the price above; memory is not in it",
        ),
    ];
    let rows: Vec<Row> = document
        .recommendations
        .iter()
        .filter(|r| matches!(r.verdict, Verdict::Do | Verdict::Try))
        .filter(|r| r.gain.unit == FigureUnit::Cores && r.gain.value.is_some())
        .take(ROWS_SHOWN)
        .map(|r| {
            Row::new("")
                .head(&anchors.link_sentence(&r.id, &r.title))
                .cell(cell("gain", r.gain.value, FigureUnit::Cores, Show::Bare))
                .cell(Markup::composed(
                    "<td class=\"w-money\">no price".to_owned(),
                ))
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new(
        "t-what-if-changes",
        "What the recommended changes would save, at the load seen",
        columns,
        rows,
        Notes::default(),
    )
    .fixed()
    .markup()
}
