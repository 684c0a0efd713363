//! Rows to protobuf. The same rows give the same bytes: rows in key order, strings in order of first use.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Histogram, RowKey, RowSet, RowValue, Sketch, Window, pb};

/// Builds the string table while rows are written.
pub(crate) struct StringTable<'a> {
    index: HashMap<&'a str, u32>,
    strings: Vec<String>,
}

impl<'a> StringTable<'a> {
    /// A table whose entry 0 is the empty string.
    pub(crate) fn new() -> Self {
        Self {
            index: HashMap::new(),
            strings: vec![String::new()],
        }
    }

    fn intern(&mut self, text: &'a str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        // Readers refuse tables of 2^20 strings, far below 2^32.
        let next = u32::try_from(self.strings.len()).unwrap_or(u32::MAX);
        *self.index.entry(text).or_insert_with(|| {
            self.strings.push(text.to_owned());
            next
        })
    }

    pub(crate) fn into_strings(self) -> Vec<String> {
        self.strings
    }
}

pub(crate) fn rows_to_pb<'a>(rows: &'a RowSet, table: &mut StringTable<'a>) -> Vec<pb::Row> {
    let mut before: (&[Arc<str>], Vec<u32>) = (&[], Vec::new());
    rows.iter()
        .map(|(key, value)| {
            // Rows are sorted, so most parts are those of the row before: comparing is cheaper than hashing.
            let indices: Vec<u32> = key
                .parts
                .iter()
                .enumerate()
                .map(|(at, part)| match (before.0.get(at), before.1.get(at)) {
                    (Some(same), Some(&index)) if same == part => index,
                    _ => table.intern(part),
                })
                .collect();
            before = (&key.parts, indices.clone());
            let mut row = pb::Row {
                key: indices,
                ..pb::Row::default()
            };
            fill(&mut row, key, value);
            row
        })
        .collect()
}

/// Everything of a row but the indices of its key.
pub(crate) fn fill(row: &mut pb::Row, key: &RowKey, value: &RowValue) {
    row.kind = key.kind;
    row.quality = i32::from(key.quality.to_wire());
    refill(&mut row.column, value.columns().map(|(column, _)| column));
    refill(&mut row.value, value.columns().map(|(_, v)| v));
    let histograms = value.histograms().map(|(id, h)| histogram_to_pb(id, h));
    refill(&mut row.histogram, histograms);
    let sketches = value.sketches().map(|(id, s)| sketch_to_pb(id, s));
    refill(&mut row.sketch, sketches);
}

fn refill<T>(list: &mut Vec<T>, items: impl Iterator<Item = T>) {
    list.clear();
    list.extend(items);
}

fn sketch_to_pb(id: u32, sketch: &Sketch) -> pb::Sketch {
    pb::Sketch {
        id,
        k: sketch.k(),
        hash: sketch.hashes().collect(),
    }
}

fn histogram_to_pb(id: u32, histogram: &Histogram) -> pb::Histogram {
    let mut before = 0;
    let (bucket_delta, count) = histogram
        .buckets()
        .map(|(index, count)| {
            let delta = index - before;
            before = index;
            (delta, count)
        })
        .unzip();
    pb::Histogram {
        id,
        bucket_delta,
        count,
    }
}

pub(crate) fn window_to_pb(window: Window) -> pb::Window {
    pb::Window {
        start_unix_ns: window.start_unix_ns,
        end_unix_ns: window.end_unix_ns,
    }
}
