//! `GET /api/v1/windows`: folded windows as JSON, one object per line, so that a long range needs no memory on either
//! side. Integers as they are stored; absent figures are absent.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use weighbridge_wire::{ALL_COLUMNS, FoldedWindow, RowKey, RowKind, RowValue};

use super::range::{SpanQuery, open_view, streamed};
use super::{App, answer};
use crate::ingest::View;
use crate::store::StoreError;

/// Newline-delimited JSON.
const NDJSON: &str = "application/x-ndjson";
const PIECE_BYTES: usize = 64 << 10;

pub(super) async fn windows(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<SpanQuery>,
) -> Response {
    match open_view(&app, &headers, &query).await {
        Ok((view, _, permit)) => {
            let body: Body = streamed(Lines(Some(view)), permit);
            answer::typed(StatusCode::OK, NDJSON, body)
        }
        Err(response) => *response,
    }
}

/// Whole lines, some at a time.
struct Lines(Option<View>);

impl Iterator for Lines {
    type Item = Result<Bytes, std::io::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES {
            let line = match self.0.as_mut()?.next() {
                Some(folded) => folded.and_then(|folded| line(&folded)),
                None => {
                    self.0 = None;
                    break;
                }
            };
            match line {
                Ok(line) => piece.extend_from_slice(&line),
                Err(error) => {
                    self.0 = None;
                    tracing::error!(%error, "a range could not be read to its end");
                    return Some(Err(std::io::Error::other(error)));
                }
            }
        }
        (!piece.is_empty()).then(|| Ok(piece.into()))
    }
}

fn line(folded: &FoldedWindow) -> Result<Vec<u8>, StoreError> {
    let service = &folded.service;
    let rows: Vec<Value> = folded
        .rows
        .iter()
        .map(|(key, value)| row(key, value))
        .collect();
    let object = json!({
        "start_unix_ns": folded.window.start_unix_ns,
        "end_unix_ns": folded.window.end_unix_ns,
        "namespace": service.namespace,
        "environment": service.environment,
        "service": service.service,
        "version": service.version,
        "rows": rows,
    });
    let mut line =
        serde_json::to_vec(&object).map_err(|error| StoreError::Failed(error.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

fn row(key: &RowKey, value: &RowValue) -> Value {
    let known = RowKind::from_wire(key.kind);
    let names = known.map_or(&[][..], RowKind::part_names);
    let named = |at: usize| {
        names
            .get(at)
            .map_or_else(|| format!("part_{at}"), |n| (*n).to_owned())
    };
    let parts: Map<String, Value> = key
        .parts
        .iter()
        .enumerate()
        .map(|(at, part)| (named(at), Value::from(&**part)))
        .collect();
    let figures: Map<String, Value> = value
        .columns()
        .map(|(column, figure)| (column_name(column), figure.into()))
        .collect();
    let histograms: Map<String, Value> = value
        .histograms()
        .map(|(column, histogram)| {
            let buckets: Vec<Value> = histogram
                .ranges()
                .map(|(low, high, count)| json!([low, high, count]))
                .collect();
            (column_name(column), buckets.into())
        })
        .collect();
    let mut row = json!({
        "kind": known.map_or_else(|| format!("kind_{}", key.kind), |kind| kind.as_str().to_owned()),
        "quality": key.quality.as_str(),
        "key": parts,
        "figures": figures,
    });
    if !histograms.is_empty() {
        row["histograms"] = histograms.into();
    }
    row
}

fn column_name(column: u32) -> String {
    ALL_COLUMNS
        .iter()
        .find(|info| info.column == column)
        .map_or_else(
            || format!("column_{column}"),
            |info| info.name.to_lowercase(),
        )
}
