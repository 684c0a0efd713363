//! `report.json`.

use crate::Document;

/// The JSON Schema (draft 2020-12) of what [`json`] writes.
pub const JSON_SCHEMA: &str = include_str!("../../schema/report.schema.json");

/// The document as JSON: pretty, keys in the order of the structs, a newline at the end. The same document
/// gives the same bytes. `schema/report.schema.json` describes it.
///
/// # Errors
/// None in practice: every figure is finite and every key is a string. The error of the serialiser is passed
/// on all the same.
pub fn json(document: &Document) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    Ok(text)
}
