//! Rows to protobuf one by one: a whole window need not be in memory for its delta to be written.

use std::collections::HashMap;
use std::sync::Arc;

use prost::encoding::{WireType, encode_key, encode_varint, message};

use crate::delta::{ROWS, STRINGS};
use crate::{RowKey, RowValue, encode, pb};

/// Writes rows as fields of a [`Delta`](crate::Delta), each string before the first row that uses it.
///
/// What it appends, behind the bytes of a delta without rows, is that delta with these rows: fields may stand in
/// any order. Rows should come in the order of their keys, which costs readers least.
#[derive(Debug)]
pub struct RowWriter {
    known: HashMap<Arc<str>, u32>,
    next: u32,
    row: pb::Row,
}

impl Default for RowWriter {
    fn default() -> Self {
        Self::after(0)
    }
}

impl RowWriter {
    /// Goes on where another writer has written so many strings; 0 begins.
    #[must_use]
    pub fn after(strings: usize) -> Self {
        Self {
            known: HashMap::new(),
            // Entry 0 is the empty string, which every delta begins with. Readers refuse tables of 2^20.
            next: u32::try_from(strings).unwrap_or(u32::MAX).saturating_add(1),
            row: pb::Row::default(),
        }
    }

    /// How many strings were written, those before this writer included.
    #[must_use]
    pub fn strings(&self) -> usize {
        self.next as usize - 1
    }

    /// Appends a row, behind the strings that are new with it.
    pub fn write(&mut self, key: &RowKey, value: &RowValue, out: &mut Vec<u8>) {
        self.row.key.clear();
        for part in &key.parts {
            let index = intern(&mut self.known, &mut self.next, part, out);
            self.row.key.push(index);
        }
        encode::fill(&mut self.row, key, value);
        message::encode(ROWS, &self.row, out);
    }
}

fn intern(
    known: &mut HashMap<Arc<str>, u32>,
    next: &mut u32,
    text: &Arc<str>,
    out: &mut Vec<u8>,
) -> u32 {
    if text.is_empty() {
        return 0;
    }
    if let Some(&index) = known.get(text) {
        return index;
    }
    let index = *next;
    *next = next.saturating_add(1);
    known.insert(text.clone(), index);
    encode_key(STRINGS, WireType::LengthDelimited, out);
    encode_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
    index
}
