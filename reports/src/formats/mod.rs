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
