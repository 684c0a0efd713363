//! `report.json`.

use serde::Serialize;

use crate::Document;
use crate::document::ChangeReport;
use crate::html::text::plain_json;

/// The JSON Schema (draft 2020-12) of what [`json`] writes.
pub const JSON_SCHEMA: &str = include_str!("../../schema/report.schema.json");

/// The document as JSON: pretty, keys in the order of the structs, a newline at the end. The same document
/// gives the same bytes. `schema/report.schema.json` describes it.
///
/// # Errors
/// None in practice: every figure is finite and every key is a string. The error of the serialiser is passed
/// on all the same.
pub fn json(document: &Document) -> Result<String, serde_json::Error> {
    pretty(document)
}

/// The change between two documents as JSON, in the same form.
///
/// # Errors
/// As for [`json`].
pub fn change_json(change: &ChangeReport) -> Result<String, serde_json::Error> {
    pretty(change)
}

/// Names that could steer a terminal or hide text are escaped; it is the same JSON.
fn pretty(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut text = plain_json(&serde_json::to_string_pretty(value)?);
    text.push('\n');
    Ok(text)
}
