//! Cost per origin: what a request costs over all services.

use std::collections::BTreeSet;

use askama::Template;

use super::flames::{Labels, flames};
use super::rendered;
use crate::chart::{Bar, BarChart, Caption, Scale, Segment, stacked_bars};
use crate::document::{Document, FigureUnit, OriginReport};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, Notes, Show, sentence};
use crate::html::markup::Markup;
use crate::html::picture::{self, BARS_SHOWN};
use crate::html::shown::{CLASS_ROWS_SHOWN, PARTS_SHOWN, ROWS_SHOWN, left_out};
use crate::html::table::{CLASS_COLUMNS, Row, Table, figures, words};
use crate::html::text::name;

/// Links of one kind under an origin.
const WAYS_SHOWN: usize = 16;

struct Origin {
    slug: String,
    operation: String,
    service: String,
    cost: Markup,
    messages: Markup,
    services: Markup,
    operations: Markup,
    overhead: Markup,
    ways: Markup,
    flames: Markup,
    open: bool,
}

#[derive(Template)]
#[template(path = "origins.html")]
struct Origins {
    chart: Markup,
    table: Markup,
    classes: Markup,
    origins: Vec<Origin>,
    few: String,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    build(document, anchors, true)
}

/// The section without flame graphs, all folded.
pub(crate) fn live(document: &Document, anchors: &Anchors) -> Markup {
    build(document, anchors, false)
}

fn build(document: &Document, anchors: &Anchors, whole: bool) -> Markup {
    let origins = &document.origins;
    let labels = Labels::of(document);
    // The one that crosses most services shows what is inside; more would hide what follows.
    let widest = origins
        .iter()
        .take(PARTS_SHOWN)
        .enumerate()
        .filter(|(_, origin)| origin.services.len() > 1)
        .max_by(|a, b| {
            let size = |o: &OriginReport| (o.services.len(), o.cores.value.unwrap_or(0.0));
            let ((n, x), (m, y)) = (size(a.1), size(b.1));
            n.cmp(&m).then(x.total_cmp(&y))
        })
        .map(|(index, _)| index);
    rendered(&Origins {
        chart: chart(origins),
        table: table(origins, anchors),
        classes: classes(origins, anchors),
        few: left_out(origins.len(), PARTS_SHOWN, "origins, the dearest"),
        origins: origins
            .iter()
            .take(PARTS_SHOWN)
            .enumerate()
            .map(|(index, origin)| {
                let flames = if whole {
                    flames(index, origin, &labels, anchors)
                } else {
                    Markup::default()
                };
                let mut shown = drill_down(index, origin, document, anchors);
                shown.flames = flames;
                shown.open = whole && widest == Some(index);
                shown
            })
            .collect(),
    })
}

fn chart(origins: &[OriginReport]) -> Markup {
    if origins.is_empty() {
        return Markup::default();
    }
    let mut dearest: Vec<&OriginReport> = origins.iter().collect();
    // What a request costs times how often it comes: a rare giant would leave no width for what the cores go to.
    let cores = |o: &OriginReport| o.cores.value.unwrap_or(0.0);
    dearest.sort_by(|a, b| cores(b).total_cmp(&cores(a)));
    dearest.truncate(BARS_SHOWN);
    let description = format!(
        "One bar for each origin, made of the classes of work; a line at its end is the 90 % interval.{}",
        picture::shown_of(origins.len())
    );
    let chart = BarChart {
        caption: Caption {
            id: "chart-origins",
            title: "Cores that each origin takes over all services, by class of work",
            description: &description,
        },
        bars: dearest
            .iter()
            .map(|origin| Bar {
                label: origin.operation.clone(),
                segments: picture::class_segments(&origin.unit_cost)
                    .into_iter()
                    .map(|part| Segment {
                        // ns of CPU a request × requests a second = cores.
                        value: part.value * origin.rate.value.unwrap_or(0.0) / 1e9,
                        ..part
                    })
                    .collect(),
                interval: picture::interval(&origin.cores),
                value_text: sentence(&origin.cores),
            })
            .collect(),
        scale: Scale::plain("cores"),
        axis_label: "CPU of all its requests",
    };
    picture::of_bars(
        &chart.caption,
        "t-origins",
        &picture::class_legend(),
        dearest.iter().map(|origin| &origin.cores),
        |layout| stacked_bars(&chart, layout),
    )
}

fn table(origins: &[OriginReport], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Origin", "The operation at which a chain of requests began"),
        figures("Requests/s", "Chains that ended, in a second"),
        figures(
            "× CPU each",
            "CPU over all services for one request, with its 90 % interval",
        ),
        figures("= Cores", "Rate × unit cost"),
        figures("Share", "Of the CPU of all origins"),
        figures("Money/h", "At the price sheet"),
        figures(
            "Of it messages",
            "Share of the CPU each that carries messages: reading the request and answering it, both sides of all edges \
             further down, pools, brokers",
        ),
        figures("p50", "Half of the requests took at most this long"),
        figures("p95", "95 % of the requests took at most this long"),
        figures("p99", "99 % of the requests took at most this long"),
    ];
    let rows = origins
        .iter()
        .enumerate()
        .map(|(index, origin)| {
            // An origin without a part of its own is linked to here.
            let (id, label) = if index < PARTS_SHOWN {
                ("", anchors.link_as(&origin.id, &origin.operation))
            } else {
                (
                    anchors.slug(&origin.id),
                    Markup::text(&name(&origin.operation)),
                )
            };
            Row::new(id)
                .head(&Markup::composed(format!(
                    "{}<small>{}</small>",
                    label,
                    Markup::text(&name(&origin.service)),
                )))
                .figure(&origin.rate, Show::Bare, &mut notes)
                .interval(&origin.unit_cost.total, Show::Plain, &mut notes)
                .figure(&origin.cores, Show::Bare, &mut notes)
                .figure(&origin.share, Show::Plain, &mut notes)
                .cell(money(origin, &mut notes))
                .figure(&origin.message_overhead.share, Show::Plain, &mut notes)
                .figure(&origin.wall.p50, Show::Plain, &mut notes)
                .figure(&origin.wall.p95, Show::Plain, &mut notes)
                .figure(&origin.wall.p99, Show::Plain, &mut notes)
        })
        .collect();
    Table::new(
        "t-origins",
        "Cost per origin over all services",
        columns,
        rows,
        notes,
    )
    .at_most(ROWS_SHOWN)
    .markup()
}

/// The CPU of one request by class of work, and what of it carries messages, by where.
fn classes(origins: &[OriginReport], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let mut columns = vec![
        words("Origin", ""),
        figures("CPU each", "CPU over all services for one request"),
    ];
    columns.extend(CLASS_COLUMNS);
    let rows = origins
        .iter()
        .map(|origin| {
            let mut row = Row::new("")
                .head(&anchors.link_as(&origin.id, &origin.operation))
                .figure(&origin.unit_cost.total, Show::Plain, &mut notes);
            for (_, class) in origin.unit_cost.each() {
                row = row.figure(class, Show::Plain, &mut notes);
            }
            row
        })
        .collect();
    Table::new(
        "t-origin-classes",
        "CPU of one request over all services, by class of work",
        columns,
        rows,
        notes,
    )
    .at_most(CLASS_ROWS_SHOWN)
    .quiet()
    .markup()
}

/// Money at the price sheet; without one the cell says so, once for all.
fn money(origin: &OriginReport, notes: &mut Notes) -> Markup {
    match &origin.money {
        Some(money) => figure::cell(money, Show::Bare, notes),
        None => Markup::composed(format!(
            "<td class=k>no price{}",
            figure::reference(
                "No price sheet: give one to report with --core-hour and --gib-hour, or try prices under What if.",
                notes
            )
        )),
    }
}

fn drill_down(
    index: usize,
    origin: &OriginReport,
    document: &Document,
    anchors: &Anchors,
) -> Origin {
    Origin {
        slug: anchors.slug(&origin.id).to_owned(),
        operation: name(&origin.operation),
        service: name(&origin.service),
        cost: Markup::composed(figure::prose(&origin.unit_cost.total)),
        messages: Markup::composed(match origin.message_overhead.share.value {
            Some(share) => format!(
                "{} of it messages",
                figure::said_in(share, FigureUnit::Ratio)
            ),
            None => "messages not known".to_owned(),
        }),
        services: services(index, origin, document, anchors),
        operations: operations(index, origin, anchors),
        overhead: overhead(index, origin),
        ways: ways(origin, document, anchors),
        flames: Markup::default(),
        open: false,
    }
}

/// Links further down: to the edges between the operations of the chain, and to the regions inside them.
fn ways(origin: &OriginReport, document: &Document, anchors: &Anchors) -> Markup {
    let rows: BTreeSet<&str> = origin.operations.iter().map(|o| o.row.as_str()).collect();
    let edges: Vec<&String> = document
        .edges
        .iter()
        .filter(|edge| rows.contains(edge.from.row.as_str()) && rows.contains(edge.to.row.as_str()))
        .map(|edge| &edge.id)
        .collect();
    let regions: Vec<&String> = document
        .services
        .iter()
        .flat_map(|service| &service.operations)
        .filter(|operation| rows.contains(operation.id.as_str()))
        .flat_map(|operation| &operation.regions)
        .map(|region| &region.id)
        .collect();
    // Those without a row on the page are among the ones that are left out.
    let line = |label: &str, what: &str, ids: &[&String]| {
        let links: Vec<String> = ids
            .iter()
            .filter_map(|id| anchors.link(id))
            .take(WAYS_SHOWN)
            .map(|link| link.to_string())
            .collect();
        let said = match left_out(ids.len(), links.len(), what) {
            said if links.is_empty() => said,
            said if said.is_empty() => links.join(" · "),
            said => format!("{}. {said}", links.join(" · ")),
        };
        if said.is_empty() {
            String::new()
        } else {
            format!("<p class=small>{label}: {said}</p>")
        }
    };
    Markup::composed(format!(
        "{}{}",
        line("Edges on its way", "edges", &edges),
        line("Regions in it", "regions", &regions),
    ))
}

fn services(index: usize, origin: &OriginReport, document: &Document, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let mut columns = vec![
        words("Service", ""),
        figures(
            "Requests",
            "Requests at this service for each request of the origin",
        ),
        figures("CPU", "For each request of the origin"),
        figures("Share", "Of the unit cost"),
        figures("Allocated", "Bytes, for each request of the origin"),
    ];
    columns.extend(CLASS_COLUMNS);
    let rows = origin
        .services
        .iter()
        .map(|service| {
            let row_id = document
                .services
                .iter()
                .find(|s| s.service == service.service)
                .map_or("", |s| s.id.as_str());
            let mut row = Row::new("")
                .head(&anchors.link_as(row_id, &service.service))
                .figure(&service.requests, Show::Plain, &mut notes)
                .figure(&service.cpu.total, Show::Plain, &mut notes)
                .figure(&service.share, Show::Plain, &mut notes)
                .figure(&service.alloc_bytes, Show::Plain, &mut notes);
            for (_, class) in service.cpu.each() {
                row = row.figure(class, Show::Plain, &mut notes);
            }
            row
        })
        .collect();
    Table::new(&format!("to{index}s"), "By service", columns, rows, notes)
        .one_of_many(index)
        .markup()
}

fn operations(index: usize, origin: &OriginReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Operation", ""),
        figures(
            "Calls",
            "Requests of this operation for each request of the origin",
        ),
        figures("× CPU each", "CPU of one of its requests"),
        figures("= CPU", "For each request of the origin"),
        figures("Share", "Of the unit cost"),
        figures("Allocated", "Bytes, for each request of the origin"),
    ];
    let rows = origin
        .operations
        .iter()
        .map(|operation| {
            Row::new("")
                .head(&Markup::composed(format!(
                    "{}<small>{}</small>",
                    anchors.link_as(&operation.row, &operation.operation),
                    Markup::text(&name(&operation.service)),
                )))
                .figure(&operation.calls, Show::Plain, &mut notes)
                .figure(&operation.cpu_per_call, Show::Plain, &mut notes)
                .figure(&operation.cpu.total, Show::Plain, &mut notes)
                .figure(&operation.share, Show::Plain, &mut notes)
                .figure(&operation.alloc_bytes, Show::Plain, &mut notes)
        })
        .collect();
    Table::new(
        &format!("to{index}o"),
        "By operation; pools, connections and brokers stand under message overhead",
        columns,
        rows,
        notes,
    )
    .one_of_many(index)
    .named()
    .markup()
}

fn overhead(index: usize, origin: &OriginReport) -> Markup {
    let mut notes = Notes::default();
    let parts = &origin.message_overhead;
    let columns = vec![
        words("Where", ""),
        figures("CPU", "For each request of the origin"),
    ];
    let mut rows: Vec<Row> = [
        ("Calling sides, between services", &parts.caller),
        ("Answering sides, between services", &parts.callee),
        ("Client pools and drivers", &parts.pool),
        ("Brokers", &parts.broker),
        ("The request itself and its answer", &parts.outside),
    ]
    .into_iter()
    .map(|(label, figure)| {
        Row::new("")
            .head(&Markup::text(label))
            .figure(figure, Show::Plain, &mut notes)
    })
    .collect();
    rows.push(
        Row::new("")
            .head(&Markup::text("Together"))
            .figure(&parts.total, Show::Plain, &mut notes)
            .strong(),
    );
    Table::new(
        &format!("to{index}m"),
        "Message overhead",
        columns,
        rows,
        notes,
    )
    .fixed()
    .one_of_many(index)
    .markup()
}
