//! Other forms of the document: JSON, CSV, Markdown. The HTML page is in [`crate::html`].

mod change;
mod csv;
mod json;
mod markdown;

pub use change::change_markdown;
pub use csv::{CsvTable, csv};
pub use json::{JSON_SCHEMA, change_json, json};
pub use markdown::markdown;
pub(crate) use markdown::{escape, prediction_row};

use crate::Document;

/// The name of a page that the next report does not replace, `report-20261129T004902Z.html`: by the end of its range, so
/// that the same range gives the same name.
#[must_use]
pub fn page_name(document: &Document) -> String {
    stamped(&document.window.end)
}

fn stamped(end: &str) -> String {
    let stamp: String = end
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == 'T')
        .collect();
    format!("report-{stamp}Z.html")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_copy_bears_the_end_of_its_range() {
        assert_eq!(
            super::stamped("2026-11-29T00:49:02.123Z"),
            "report-20261129T004902Z.html"
        );
    }
}
