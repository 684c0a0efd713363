//! How the calls of a request run, by operation.

use crate::document::{CallShapeReport, Document, OperationReport, ServiceReport};
use crate::html::anchors::{Anchors, operation_name};
use crate::html::figure::{Notes, Show};
use crate::html::markup::Markup;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{escape_text, name};

/// Shapes in the table: those in which requests waited longest. All of them stand in `report.json`.
const SHAPES_SHOWN: usize = 20;

struct Shown<'a> {
    service: &'a ServiceReport,
    operation: &'a OperationReport,
    shape: &'a CallShapeReport,
}

impl Shown<'_> {
    /// Time on the critical path over all requests.
    fn critical_ns(&self) -> f64 {
        self.shape.critical.value.unwrap_or(0.0) * self.shape.requests.value.unwrap_or(0.0)
    }
}

/// The table; nothing where no request made a call.
pub(super) fn table(document: &Document, anchors: &Anchors) -> Markup {
    let mut shown: Vec<Shown<'_>> = Vec::new();
    for service in &document.services {
        for operation in &service.operations {
            shown.extend(operation.shapes.iter().map(|shape| Shown {
                service,
                operation,
                shape,
            }));
        }
    }
    if shown.is_empty() {
        return Markup::default();
    }
    // Stable: equals stay in the order of the document.
    shown.sort_by(|a, b| b.critical_ns().total_cmp(&a.critical_ns()));
    let mut notes = Notes::default();
    let columns = vec![
        words("Operation", ""),
        words(
            "Calls",
            "→ one after the other, | side by side; ( ) encloses what comes again",
        ),
        figures("Requests", "Of this shape, in the range"),
        figures("Share", "Of the requests of the operation that made calls"),
        figures("Wall", "Of a request, mean"),
        figures("Own", "Of it, what no call that was waited for covers"),
        figures("Critical", "Of it, calls on the critical path"),
    ];
    let rows = shown
        .iter()
        .take(SHAPES_SHOWN)
        .map(|it| {
            let operation = operation_name(&it.operation.operation, &it.operation.class);
            let head = format!(
                "<b>{}</b> {}",
                escape_text(&name(&it.service.service)),
                anchors.link_as(&it.operation.id, &operation)
            );
            Row::new("")
                .head(&Markup::composed(head))
                .words(&it.shape.shown)
                .figure(&it.shape.requests, Show::Plain, &mut notes)
                .figure(&it.shape.share, Show::Plain, &mut notes)
                .figure(&it.shape.wall, Show::Plain, &mut notes)
                .figure(&it.shape.own, Show::Plain, &mut notes)
                .figure(&it.shape.critical, Show::Plain, &mut notes)
        })
        .collect();
    let of = |caption| Table::new("t-shapes", caption, columns, rows, notes);
    if shown.len() > SHAPES_SHOWN {
        of("How the calls of a request run: the shapes in which requests waited longest").markup()
    } else {
        of("How the calls of a request run").quiet().markup()
    }
}
