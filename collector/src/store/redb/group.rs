//! Windows of one service in one value.
//!
//! Alone a window of a few kilobytes is mostly names and column numbers, and leaves half of its page empty. Together
//! they share the names: the rows that stand in any of them are written once, as a window of zeros, and then the
//! figures of all windows by column, so that what is alike stands together.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress_into};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};
use weighbridge_wire::{FoldedWindow, RowSet, RowValue, ServiceId, Sketch, Window};

/// First byte of a group: the version of its form.
const FORM: u8 = 1;
/// The form, a checksum of what follows it, and how many bytes follow.
const HEAD_BYTES: usize = 9;
/// Most windows in a group.
const WINDOWS_MAX: usize = 1_024;
/// Longest window of zeros, bytes.
const SHAPE_BYTES_MAX: u64 = 64 << 20;
/// Most bytes that say what is there and what is not: one bit for each row and figure of each window.
const PRESENT_BYTES_MAX: u64 = 1 << 20;
/// Figures are noise in all but their first digits; more work finds nothing.
const LEVEL: usize = 6;

/// The windows of a group, ascending.
pub(super) type Group = BTreeMap<Window, RowSet>;

/// Writes a group; `None` when it is too large for one.
pub(super) fn encode(windows: &Group) -> Result<Option<Vec<u8>>, redb::Error> {
    let Some(first) = windows.keys().next().copied() else {
        return Ok(None);
    };
    let shape = shape(windows);
    let mut streams = Streams::default();
    let mut present = Bits::default();
    for (key, all) in shape.iter() {
        for rows in windows.values() {
            let Some(value) = rows.get(key) else {
                present.push(false);
                continue;
            };
            present.push(true);
            for (column, _) in all.columns() {
                let figure = value.get(column);
                present.push(figure.is_some());
                if let Some(figure) = figure {
                    streams.figures.entry(column).or_default().push(figure);
                }
            }
            for (column, _) in all.histograms() {
                let histogram = value.histogram(column);
                present.push(histogram.is_some());
                if let Some(histogram) = histogram {
                    let mut before = 0;
                    for (index, count) in histogram.buckets() {
                        streams.bucket_deltas.push(index - before);
                        streams.counts.push(count);
                        before = index;
                    }
                    streams
                        .lengths
                        .push(u32::try_from(histogram.buckets().count()).unwrap_or(u32::MAX));
                }
            }
            for (column, _) in all.sketches() {
                let sketch = value.sketch(column);
                present.push(sketch.is_some());
                if let Some(sketch) = sketch {
                    streams.lengths.push(sketch.k());
                    streams
                        .lengths
                        .push(u32::try_from(sketch.hashes().count()).unwrap_or(u32::MAX));
                    streams.hashes.extend(sketch.hashes());
                }
            }
        }
    }
    if windows.len() > WINDOWS_MAX || present.bytes.len() as u64 > PRESENT_BYTES_MAX {
        return Ok(None);
    }
    let shape = FoldedWindow {
        service: ServiceId::default(),
        window: first,
        rows: shape,
    }
    .encode();
    if shape.len() as u64 > SHAPE_BYTES_MAX {
        return Ok(None);
    }
    let mut body = Vec::new();
    put_varint(windows.len() as u64, &mut body);
    for window in windows.keys() {
        put_varint(window.start_unix_ns, &mut body);
        put_varint(window.end_unix_ns - window.start_unix_ns, &mut body);
    }
    put_bytes(&deflate(&shape)?, &mut body);
    put_bytes(&deflate(&present.bytes)?, &mut body);
    streams.write(&mut body)?;
    let mut bytes = vec![FORM];
    bytes.extend_from_slice(&checksum(&body).to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(Some(bytes))
}

/// How many bytes a group has that begins like this.
pub(super) fn length(head: &[u8]) -> Option<usize> {
    let bytes = head.get(5..HEAD_BYTES)?.first_chunk()?;
    let body = usize::try_from(u32::from_le_bytes(*bytes)).ok()?;
    (head.first() == Some(&FORM)).then_some(HEAD_BYTES + body)
}

/// How many windows a group has that begins like this.
pub(super) fn count(head: &[u8]) -> u64 {
    let mut body = head.get(HEAD_BYTES..).unwrap_or_default();
    varint(&mut body).unwrap_or_default()
}

/// Reads a group.
pub(super) fn decode(bytes: &[u8]) -> Result<Group, redb::Error> {
    let whole = length(bytes) == Some(bytes.len());
    let body = bytes.get(HEAD_BYTES..).unwrap_or_default();
    let said = bytes.get(1..5).and_then(<[u8]>::first_chunk);
    if !whole || said != Some(&checksum(body).to_le_bytes()) {
        return Err(damaged("its checksum does not fit"));
    }
    decode_body(body)
}

pub(crate) fn decode_body(mut body: &[u8]) -> Result<Group, redb::Error> {
    let body = &mut body;
    let count = usize::try_from(varint(body)?).unwrap_or(usize::MAX);
    if count > WINDOWS_MAX {
        return Err(damaged("too many windows"));
    }
    let mut windows = Vec::with_capacity(count);
    for _ in 0..count {
        let start_unix_ns = varint(body)?;
        let end_unix_ns = start_unix_ns.saturating_add(varint(body)?);
        windows.push(Window {
            start_unix_ns,
            end_unix_ns,
        });
    }
    if !windows.is_sorted_by(|a, b| a < b) {
        return Err(damaged("its windows do not ascend"));
    }
    let shape = inflate(bytes(body)?, SHAPE_BYTES_MAX)?;
    let shape = FoldedWindow::decode(&shape).map_err(|error| damaged(&error.to_string()))?;
    let present = inflate(bytes(body)?, PRESENT_BYTES_MAX)?;
    let layout = Layout::read(&shape.rows, count, &present)?;
    let mut figures = Vec::with_capacity(layout.figures.len());
    for (column, count) in layout.figures {
        figures.push((column, numbers(body, count)?.into_iter()));
    }
    let mut lengths = numbers::<u32>(body, layout.lengths)?.into_iter();
    let mut deltas = counted::<u32>(body)?.into_iter();
    let mut counts = counted::<u64>(body)?.into_iter();
    let mut hashes = counted::<u64>(body)?.into_iter();
    let mut rows: Vec<Vec<_>> = vec![Vec::with_capacity(shape.rows.len()); count];
    let mut present = Present::of(&present);
    let short = || damaged("it ends too early");
    for (key, all) in shape.rows.iter() {
        // Where the figures of each column of this row come from.
        let places: Vec<(u32, usize)> = all
            .columns()
            .filter_map(|(column, _)| {
                let place = figures.binary_search_by_key(&column, |(at, _)| *at).ok()?;
                Some((column, place))
            })
            .collect();
        for rows in &mut rows {
            if !present.next()? {
                continue;
            }
            let mut columns = Vec::with_capacity(places.len());
            for (column, place) in &places {
                if present.next()? {
                    let figure = figures.get_mut(*place).and_then(|(_, all)| all.next());
                    columns.push((*column, figure.ok_or_else(short)?));
                }
            }
            let mut value = RowValue::from_columns(columns);
            for (column, _) in all.histograms() {
                if present.next()? {
                    let histogram = value.histogram_mut(column);
                    let mut index = 0u32;
                    for _ in 0..lengths.next().ok_or_else(short)? {
                        index = index.saturating_add(deltas.next().ok_or_else(short)?);
                        let count = counts.next().ok_or_else(short)?;
                        if !histogram.add_bucket(index, count) {
                            return Err(damaged("a bucket is out of range"));
                        }
                    }
                }
            }
            for (column, _) in all.sketches() {
                if present.next()? {
                    let mut sketch = Sketch::new(lengths.next().ok_or_else(short)?);
                    for _ in 0..lengths.next().ok_or_else(short)? {
                        sketch.insert(hashes.next().ok_or_else(short)?);
                    }
                    value.add_sketch(column, &sketch);
                }
            }
            rows.push((key.clone(), value));
        }
    }
    Ok(windows
        .into_iter()
        .zip(rows)
        .map(|(window, rows)| (window, RowSet::from_rows(rows)))
        .collect())
}

/// All rows of all windows, with all columns that any of them has, and zeros for figures.
fn shape(windows: &Group) -> RowSet {
    let mut shape = RowSet::new();
    for (key, value) in windows.values().flat_map(RowSet::iter) {
        if shape.get(key).is_none() {
            shape.row_mut(key.clone());
        }
        let Some(all) = shape.get_mut(key) else {
            continue;
        };
        for (column, _) in value.columns() {
            if all.get(column).is_none() {
                all.add(column, 0);
            }
        }
        for (column, _) in value.histograms() {
            all.histogram_mut(column);
        }
        for (column, _) in value.sketches() {
            if all.sketch(column).is_none() {
                all.add_sketch(column, &Sketch::new(1));
            }
        }
    }
    shape
}

/// How many numbers there are of each sort.
#[derive(Default)]
struct Layout {
    figures: BTreeMap<u32, usize>,
    lengths: usize,
}

impl Layout {
    fn read(shape: &RowSet, windows: usize, present: &[u8]) -> Result<Self, redb::Error> {
        let mut layout = Self::default();
        let mut present = Present::of(present);
        for (_, all) in shape.iter() {
            for (column, _) in all.columns() {
                layout.figures.entry(column).or_default();
            }
            for _ in 0..windows {
                if !present.next()? {
                    continue;
                }
                for (column, _) in all.columns() {
                    let count = layout.figures.entry(column).or_default();
                    *count += usize::from(present.next()?);
                }
                for _ in all.histograms() {
                    layout.lengths += usize::from(present.next()?);
                }
                for _ in all.sketches() {
                    layout.lengths += 2 * usize::from(present.next()?);
                }
            }
        }
        Ok(layout)
    }
}

/// The numbers of a group, in the order of its rows and, within each, of its windows.
#[derive(Default)]
struct Streams {
    figures: BTreeMap<u32, Vec<i64>>,
    /// Of a histogram, how many buckets; of a sketch, its k and how many hashes.
    lengths: Vec<u32>,
    bucket_deltas: Vec<u32>,
    counts: Vec<u64>,
    hashes: Vec<u64>,
}

impl Streams {
    fn write(&self, body: &mut Vec<u8>) -> Result<(), redb::Error> {
        for figures in self.figures.values() {
            put_numbers(figures, body)?;
        }
        put_numbers(&self.lengths, body)?;
        put_varint(self.bucket_deltas.len() as u64, body);
        put_numbers(&self.bucket_deltas, body)?;
        put_varint(self.counts.len() as u64, body);
        put_numbers(&self.counts, body)?;
        put_varint(self.hashes.len() as u64, body);
        put_numbers(&self.hashes, body)
    }
}

/// Bits, one after the other.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn push(&mut self, bit: bool) {
        if self.count.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (self.count % 8);
        }
        self.count += 1;
    }
}

struct Present<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Present<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn next(&mut self) -> Result<bool, redb::Error> {
        let byte = self.bytes.get(self.at / 8);
        let byte = byte.ok_or_else(|| damaged("it does not say what it holds"))?;
        let bit = byte >> (self.at % 8) & 1 == 1;
        self.at += 1;
        Ok(bit)
    }
}

fn put_numbers<T: Number>(numbers: &[T], body: &mut Vec<u8>) -> Result<(), redb::Error> {
    if numbers.is_empty() {
        return Ok(());
    }
    // Rows beside each other have nothing to do with each other.
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_mode_spec(ModeSpec::Classic)
        .with_delta_spec(DeltaSpec::NoOp);
    let packed = simple_compress(numbers, &config).map_err(|error| damaged(&error.to_string()))?;
    put_bytes(&packed, body);
    Ok(())
}

/// Numbers before which their count stands.
fn counted<T: Number + Default>(body: &mut &[u8]) -> Result<Vec<T>, redb::Error> {
    let count = usize::try_from(varint(body)?).unwrap_or(usize::MAX);
    // Each takes a bit where it says anything at all, and none has more values than this.
    if count as u64 > 8 * PRESENT_BYTES_MAX {
        return Err(damaged("too many numbers"));
    }
    numbers(body, count)
}

fn numbers<T: Number + Default>(body: &mut &[u8], count: usize) -> Result<Vec<T>, redb::Error> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut numbers = vec![T::default(); count];
    let read = simple_decompress_into(bytes(body)?, &mut numbers)
        .map_err(|error| damaged(&error.to_string()))?;
    if read.n_processed != count || !read.finished {
        return Err(damaged("another count of numbers than it says"));
    }
    Ok(numbers)
}

fn put_varint(value: u64, body: &mut Vec<u8>) {
    prost::encoding::encode_varint(value, body);
}

fn varint(body: &mut &[u8]) -> Result<u64, redb::Error> {
    prost::encoding::decode_varint(body).map_err(|error| damaged(&error.to_string()))
}

fn put_bytes(bytes: &[u8], body: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, body);
    body.extend_from_slice(bytes);
}

fn bytes<'a>(body: &mut &'a [u8]) -> Result<&'a [u8], redb::Error> {
    let len = usize::try_from(varint(body)?).unwrap_or(usize::MAX);
    let (bytes, rest) = body
        .split_at_checked(len)
        .ok_or_else(|| damaged("it ends too early"))?;
    *body = rest;
    Ok(bytes)
}

fn deflate(bytes: &[u8]) -> Result<Vec<u8>, redb::Error> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn inflate(bytes: &[u8], limit: u64) -> Result<Vec<u8>, redb::Error> {
    let mut inflated = Vec::with_capacity(bytes.len().saturating_mul(4).min(1 << 20));
    flate2::read::DeflateDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut inflated)?;
    Ok(inflated)
}

fn checksum(body: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(body);
    crc.sum()
}

fn damaged(why: &str) -> redb::Error {
    redb::Error::Corrupted(format!("a group of windows: {why}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weighbridge_wire::{Quality, RowKey, limits};

    use super::*;

    fn value() -> impl Strategy<Value = RowValue> {
        let columns = proptest::collection::vec(
            (
                0u32..24,
                prop_oneof![Just(0), any::<i64>(), -9i64..9_999_999],
            ),
            0..6,
        );
        let histogram = proptest::collection::vec((0u64..1 << 40, 1u64..4), 0..5);
        let sketch = (
            any::<bool>(),
            1u32..9,
            proptest::collection::vec(any::<u64>(), 0..12),
        );
        (columns, any::<bool>(), histogram, sketch).prop_map(
            |(columns, has_histogram, recorded, (has_sketch, k, hashes))| {
                let mut value = RowValue::new();
                for (column, figure) in columns {
                    value.add(4 * column, figure);
                }
                if has_histogram {
                    let histogram = value.histogram_mut(4 * 31);
                    for (at, times) in recorded {
                        (0..times).for_each(|_| histogram.record(at));
                    }
                }
                if has_sketch {
                    let mut sketch = Sketch::new(k);
                    hashes.into_iter().for_each(|hash| sketch.insert(hash));
                    value.add_sketch(4 * 33, &sketch);
                }
                value
            },
        )
    }

    fn rows() -> impl Strategy<Value = RowSet> {
        let key = (1u32..4, 0usize..3, 0u32..5).prop_map(|(kind, parts, name)| RowKey {
            kind,
            quality: Quality::Measured,
            parts: (0..parts).map(|at| format!("{name}.{at}").into()).collect(),
        });
        proptest::collection::vec((key, value()), 0..12).prop_map(|rows| rows.into_iter().collect())
    }

    fn group() -> impl Strategy<Value = Group> {
        proptest::collection::btree_map(0u64..400, rows(), 1..9).prop_map(|windows| {
            let ten = |n| 1_764_000_000_000_000_000 + n * 10_000_000_000;
            windows
                .into_iter()
                .map(|(n, rows)| {
                    let window = Window {
                        start_unix_ns: ten(n),
                        end_unix_ns: ten(n + 1),
                    };
                    (window, rows)
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(group in group()) {
            let bytes = encode(&group).unwrap().unwrap();
            prop_assert_eq!(length(&bytes), Some(bytes.len()));
            prop_assert_eq!(decode(&bytes).unwrap(), group);
        }

        #[test]
        fn a_changed_or_cut_group_is_refused(group in group(), at: prop::sample::Index, bit in 0u32..8) {
            let bytes = encode(&group).unwrap().unwrap();
            let at = at.index(bytes.len());
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            prop_assert!(decode(&changed).is_err());
            prop_assert!(decode(&bytes[..at]).is_err());
            // Behind the checksum nothing panics either.
            drop(decode_body(changed.get(HEAD_BYTES..).unwrap_or_default()));
            drop(decode_body(bytes.get(HEAD_BYTES..at).unwrap_or_default()));
        }
    }

    #[test]
    fn what_is_too_large_for_a_group_is_told() {
        let rows = |count: usize| -> RowSet {
            let key = |n| RowKey {
                kind: 900,
                quality: Quality::Measured,
                parts: [format!("{n}").into()].into(),
            };
            let value = (0..60).fold(RowValue::new(), |value, n| value.with(4 * n, 1));
            (0..count).map(|n| (key(n), value.clone())).collect()
        };
        let group = |count| -> Group {
            let window = |n| Window {
                start_unix_ns: n,
                end_unix_ns: n + 1,
            };
            (1..=40).map(|n| (window(n), rows(count))).collect()
        };
        assert!(encode(&group(100)).unwrap().is_some());
        assert!(
            encode(&group(limits::FOLDED_ROWS_MAX / 256))
                .unwrap()
                .is_none()
        );
        assert!(encode(&Group::new()).unwrap().is_none());
    }
}
