//! Memory: what requests hold and what processes stand on.

use std::collections::BTreeMap;

use askama::Template;

use super::rendered;
use crate::chart::{Bar, BarChart, Caption, Ink, Scale, Segment, bars};
use crate::decide::say::and_more;
use crate::document::{Document, OperationReport, ServiceReport};
use crate::html::anchors::{Anchors, operation_name};
use crate::html::figure::{self, Notes, Show, sentence};
use crate::html::markup::Markup;
use crate::html::picture::{self, BARS_SHOWN};
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::name;

/// Operations in the table: those with the largest peaks.
const ROWS_SHOWN: usize = 60;
/// Services of which one thing is said that are named.
const NAMED: usize = 5;

#[derive(Template)]
#[template(path = "memory.html")]
struct Memory {
    chart: Markup,
    operations: Markup,
    processes: Markup,
    moves: Vec<String>,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    let mut operations: Vec<(&ServiceReport, &OperationReport)> = document
        .services
        .iter()
        .flat_map(|service| {
            service
                .operations
                .iter()
                .map(move |operation| (service, operation))
        })
        .collect();
    let peak = |o: &OperationReport| o.peak_live_max.value.unwrap_or(-1.0);
    operations.sort_by(|a, b| peak(b.1).total_cmp(&peak(a.1)));
    rendered(&Memory {
        chart: chart(&operations),
        operations: table(&operations, anchors),
        processes: processes(document, anchors),
        moves: moves(document),
    })
}

/// How what processes keep is divided where operations move: by what is said of it, with the services.
fn moves(document: &Document) -> Vec<String> {
    let mut said: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for service in &document.services {
        if let Some(memory) = service.memory.as_ref().filter(|m| !m.said.is_empty()) {
            said.entry(&memory.said).or_default().push(&service.service);
        }
    }
    said.into_iter()
        .map(|(said, services)| {
            let named: Vec<String> = services
                .iter()
                .take(NAMED)
                .map(|service| name(service))
                .collect();
            let more = and_more(services.len() - named.len());
            format!("{}{more}: {said}", named.join(", "))
        })
        .collect()
}

fn chart(operations: &[(&ServiceReport, &OperationReport)]) -> Markup {
    let known: Vec<_> = operations
        .iter()
        .filter(|(_, o)| o.peak_live_max.value.is_some())
        .collect();
    let Some(largest) = known.first().and_then(|(_, o)| o.peak_live_max.value) else {
        return Markup::default();
    };
    let description = format!(
        "One bar for each operation: the most that one of its requests held at once.{}",
        picture::shown_of(known.len())
    );
    let chart = BarChart {
        caption: Caption {
            id: "chart-memory",
            title: "Most memory that one request held at once",
            description: &description,
        },
        bars: known
            .iter()
            .take(BARS_SHOWN)
            .map(|(service, operation)| Bar {
                label: format!("{} {}", name(&service.service), name(&operation.operation)),
                segments: vec![Segment {
                    ink: Ink::Handler,
                    value: operation.peak_live_max.value.unwrap_or(0.0),
                }],
                interval: None,
                value_text: sentence(&operation.peak_live_max),
            })
            .collect(),
        scale: Scale::bytes(largest),
        axis_label: "Bytes held at the peak",
    };
    picture::of_bars(
        &chart.caption,
        "t-memory",
        "",
        known
            .iter()
            .take(BARS_SHOWN)
            .map(|(_, operation)| &operation.peak_live_max),
        |layout| bars(&chart, layout),
    )
}

fn table(operations: &[(&ServiceReport, &OperationReport)], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Operation", ""),
        words("Service", ""),
        figures("Peak, largest", "Most bytes that one request held at once"),
        figures(
            "Peak, mean",
            "Mean over requests of the bytes each held at its peak",
        ),
        figures("Allocated", "Bytes allocated by one request"),
        figures("Allocations", "By one request"),
        figures(
            "Retained",
            "Bytes that the operation held at the ends of windows, mean, by sampling, with its 90 % interval",
        ),
        figures("In flight, most", "Most requests at one instant"),
    ];
    let rows = operations
        .iter()
        .take(ROWS_SHOWN)
        .map(|(service, operation)| {
            Row::new("")
                .head(&anchors.link_as(
                    &operation.id,
                    &operation_name(&operation.operation, &operation.class),
                ))
                .text(&service.service)
                .figure(&operation.peak_live_max, Show::Plain, &mut notes)
                .figure(&operation.peak_live_mean, Show::Plain, &mut notes)
                .figure(&operation.alloc_bytes, Show::Plain, &mut notes)
                .figure(&operation.alloc_count, Show::Plain, &mut notes)
                .cell(match &operation.retained {
                    Some(retained) => figure::cell_with_interval(retained, Show::Plain, &mut notes),
                    None => figure::unknown_cell("not sampled", &mut notes),
                })
                .figure(&operation.in_flight_max, Show::Number, &mut notes)
        })
        .collect();
    let of = |caption| Table::new("t-memory", caption, columns, rows, notes);
    if operations.len() > ROWS_SHOWN {
        of("Memory of one request, by operation: the largest peaks; report.json has all").markup()
    } else {
        of("Memory of one request, by operation").quiet().markup()
    }
}

fn processes(document: &Document, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        figures("At init", "Resident set of one process when it began"),
        figures("Mean", "Resident set of one process"),
        figures("Peak", "By the kernel"),
        figures("Base", "What one process holds without any request"),
    ];
    let rows = document
        .services
        .iter()
        .map(|service| {
            Row::new("")
                .head(&anchors.link_as(&service.id, &service.service))
                .figure(&service.rss_init, Show::Plain, &mut notes)
                .figure(&service.rss, Show::Plain, &mut notes)
                .figure(&service.rss_peak, Show::Plain, &mut notes)
                .figure(&service.base.rss, Show::Plain, &mut notes)
        })
        .collect();
    Table::new(
        "t-rss",
        "Resident set of one process, by service",
        columns,
        rows,
        notes,
    )
    .at_most(ROWS_SHOWN)
    .markup()
}
