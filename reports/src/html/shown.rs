//! How much of a large document stands on the page. A page of a hundred services has to be mailed, one of a thousand
//! has to open at once: of what comes once for each service the largest stand there with all that is known of them, the
//! others with a row. `report.json` has all of all.

use crate::document::{Document, EdgeConservation, EdgeReport, ServiceConservation};

/// Services, origins and entities that have a part of their own, the largest first.
pub(super) const PARTS_SHOWN: usize = 14;
/// Services whose regions are shown.
pub(super) const REGIONS_SHOWN: usize = 8;
/// Recommendations that are shown as cards; the others are rows.
pub(super) const CARDS_SHOWN: usize = 10;
/// Rows of a table that has one for each service, origin, edge, entity, or recommendation without a card: laying out
/// 1 000 rows of 17 cells takes longer than a reader waits.
pub(super) const ROWS_SHOWN: usize = 200;

/// Rows of the tables that tell a figure of another table by class of work.
pub(super) const CLASS_ROWS_SHOWN: usize = 30;

/// What is said under a table or a list of parts that does not hold all.
pub(super) fn left_out(all: usize, shown: usize, what: &str) -> String {
    left_out_of("report.json", all, shown, what)
}

/// The same, of a page beside which another file has all.
pub(super) fn left_out_of(file: &str, all: usize, shown: usize, what: &str) -> String {
    if all <= shown {
        return String::new();
    }
    format!("Shown are {shown} of {all} {what}; {file} has all.")
}

/// The checks of the services that have a part of their own, and of those that do not add up.
pub(super) fn checked(document: &Document) -> impl Iterator<Item = &ServiceConservation> {
    let services = document.services.iter().take(PARTS_SHOWN);
    let large: Vec<&str> = services.map(|s| s.service.as_str()).collect();
    let odd = |check: &ServiceConservation| check.difference_ns.is_some_and(|ns| ns != 0);
    let checks = document.conservation.services.iter();
    checks
        .filter(move |check| large.contains(&check.service.as_str()) || odd(check))
        .take(2 * PARTS_SHOWN)
}

/// The edges that have a row, the dearest.
pub(super) fn edges(document: &Document) -> &[EdgeReport] {
    &document.edges[..document.edges.len().min(ROWS_SHOWN)]
}

/// The comparisons of what was sent with what was received: those that differ first, when there are many.
pub(super) fn compared(document: &Document) -> Vec<&EdgeConservation> {
    let mut all: Vec<&EdgeConservation> = document.conservation.edges.iter().collect();
    if all.len() > 2 * ROWS_SHOWN {
        // Stable: the order stays what it was among those that agree.
        all.sort_by_key(|check| check.difference.unwrap_or(0) == 0);
        all.truncate(2 * ROWS_SHOWN);
    }
    all
}
