//! The report on a range: built by the reports crate, cut into pieces for the API.

use serde_json::{Map, Value};
use weighbridge_reports::{Document, Options};
use weighbridge_wire::{FoldedRange, FoldedWindow};

use crate::span::Span;
use crate::store::StoreError;

/// Most rows of a range that a report is made of inside the collector. A longer range is for
/// `weighbridge report`, which has a process of its own for it.
pub(crate) const ROWS_MAX: usize = 4_000_000;

/// The parts of a document that the API serves one by one.
pub(crate) const PARTS: [&str; 7] = [
    "services",
    "operations",
    "origins",
    "edges",
    "entities",
    "conservation",
    "recommendations",
];

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error(
        "the range holds more than {ROWS_MAX} rows; ask for a shorter one (since=, until=), or use \
         `weighbridge report --from URL`"
    )]
    TooLong,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the report could not be written as JSON: {0}; this is a defect, please report it")]
    Json(#[from] serde_json::Error),
}

/// Builds the report on what a view holds.
pub(crate) fn build(
    view: impl Iterator<Item = Result<FoldedWindow, StoreError>>,
    span: Span,
) -> Result<Document, DocumentError> {
    let mut windows = Vec::new();
    let mut rows = 0;
    for folded in view {
        let folded = folded?;
        rows += folded.rows.len();
        if rows > ROWS_MAX {
            return Err(DocumentError::TooLong);
        }
        windows.push(folded);
    }
    let window = span.covering(&windows);
    Ok(Document::build(
        &FoldedRange { window, windows },
        &Options::default(),
    ))
}

/// The whole document as JSON.
pub(crate) fn json(document: &Document) -> Result<Vec<u8>, DocumentError> {
    Ok(serde_json::to_vec(document)?)
}

/// One of [`PARTS`], with the window it is about.
pub(crate) fn part_json(document: &Document, part: &str) -> Result<Vec<u8>, DocumentError> {
    let Value::Object(mut all) = serde_json::to_value(document)? else {
        return Ok(Vec::new());
    };
    let mut cut = Map::new();
    for key in ["schema_version", "window"] {
        cut.insert(key.to_owned(), all.remove(key).unwrap_or_default());
    }
    let value = if part == "operations" {
        operations(all.remove("services").unwrap_or_default())
    } else {
        all.remove(part).unwrap_or_default()
    };
    cut.insert(part.to_owned(), value);
    Ok(serde_json::to_vec(&cut)?)
}

/// The operations of all services in one list, each with the name of its service.
fn operations(services: Value) -> Value {
    let Value::Array(services) = services else {
        return Value::Null;
    };
    let mut list = Vec::new();
    for mut service in services {
        let name = service
            .get_mut("service")
            .map(Value::take)
            .unwrap_or_default();
        let Some(Value::Array(operations)) = service.get_mut("operations").map(Value::take) else {
            continue;
        };
        for mut operation in operations {
            if let Value::Object(fields) = &mut operation {
                fields.insert("service".to_owned(), name.clone());
            }
            list.push(operation);
        }
    }
    Value::Array(list)
}
