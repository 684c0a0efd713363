//! Rows from protobuf.

use std::sync::Arc;

use super::{Bounds, DecodeError, bounded, invalid};
use crate::limits as max;
use crate::reader::{Field, Fields, malformed, to_u32, zigzag};
use crate::{Histogram, Quality, RowKey, RowSet, RowValue, Sketch};

/// A tag, a length, a kind and a quality.
const ROW_BYTES_MIN: usize = 6;

/// Reads the rows of a message: all fields of this number.
pub(crate) fn rows(
    message: &[u8],
    number: u32,
    count: usize,
    strings: &[Arc<str>],
    bounds: Bounds,
) -> Result<RowSet, DecodeError> {
    // The first row that is too short to say its kind and quality ends the reading.
    let mut read = Vec::with_capacity(count.min(message.len() / ROW_BYTES_MIN));
    for field in Fields::new(message) {
        let field = field?;
        if field.number == number {
            read.push(row(field, strings, bounds)?);
        }
    }
    let set = RowSet::from_rows(read);
    if set.len() < count {
        // Rows of one key were merged; together they keep to the bounds of one.
        for (_, value) in set.iter() {
            value
                .columns()
                .try_for_each(|(column, v)| bounds.value(column, v))?;
            value
                .histograms()
                .flat_map(|(_, histogram)| histogram.buckets())
                .try_for_each(|(_, count)| bounds.count(count))?;
        }
    }
    Ok(set)
}

/// A short list on the stack: filling it allocates nothing.
struct Short<T, const N: usize> {
    what: &'static str,
    items: [T; N],
    len: usize,
}

impl<T: Copy + Default, const N: usize> Short<T, N> {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            items: [T::default(); N],
            len: 0,
        }
    }

    fn push(&mut self, item: T) -> Result<(), DecodeError> {
        let limit = N;
        let place = self.items.get_mut(self.len).ok_or(DecodeError::TooLarge {
            what: self.what,
            found: limit + 1,
            limit,
        })?;
        *place = item;
        self.len += 1;
        Ok(())
    }

    fn items(&self) -> &[T] {
        self.items.get(..self.len).unwrap_or_default()
    }
}

fn row(
    row: Field<'_>,
    strings: &[Arc<str>],
    bounds: Bounds,
) -> Result<(RowKey, RowValue), DecodeError> {
    let (mut kind, mut quality) = (0, 0);
    let mut key = Short::<u32, { max::KEY_PARTS_MAX }>::new("key parts of a row");
    let mut columns = Short::<u32, { max::COLUMNS_MAX }>::new("columns of a row");
    let mut values = Short::<i64, { max::COLUMNS_MAX }>::new("values of a row");
    let (mut histograms, mut sketches) = (0, 0);
    for field in row.message()? {
        let field = field?;
        match field.number {
            1 => kind = field.uint32()?,
            2 => quality = field.uint64()?,
            3 => field.each_varint(|v| key.push(to_u32(v)?))?,
            4 => field.each_varint(|v| columns.push(to_u32(v)?))?,
            5 => field.each_varint(|v| values.push(zigzag(v)))?,
            6 => histograms += 1,
            7 => sketches += 1,
            _ => {}
        }
    }
    bounded("histograms of a row", histograms, max::HISTOGRAMS_MAX)?;
    bounded("sketches of a row", sketches, max::SKETCHES_MAX)?;
    if kind == 0 {
        return Err(invalid("row kind", "0 is not a kind"));
    }
    let quality = match u8::try_from(quality) {
        Ok(0) => {
            return Err(invalid(
                "quality",
                "every row says how its figures came about",
            ));
        }
        Ok(quality) => Quality::from_wire(quality),
        Err(_) => return Err(invalid("quality", format!("{quality} is beyond 255"))),
    };
    let mut parts = Vec::with_capacity(key.len);
    for &index in key.items() {
        let part = usize::try_from(index)
            .ok()
            .and_then(|at| strings.get(at))
            .ok_or_else(|| {
                invalid(
                    "row key",
                    format!("string {index} of a table of {}", strings.len()),
                )
            })?;
        parts.push(part.clone());
    }
    let mut value = RowValue::from_columns(pairs(columns.items(), values.items(), bounds)?);
    if histograms + sketches > 0 {
        for field in row.message()? {
            let field = field?;
            match field.number {
                6 => {
                    let (id, read) = histogram(field, bounds)?;
                    if value.histogram(id).is_some() {
                        return Err(invalid("row", format!("two histograms of column {id}")));
                    }
                    *value.histogram_mut(id) = read;
                }
                7 => {
                    let (id, read) = sketch(field)?;
                    if value.sketch(id).is_some() {
                        return Err(invalid("row", format!("two sketches of column {id}")));
                    }
                    value.add_sketch(id, &read);
                }
                _ => {}
            }
        }
    }
    Ok((
        RowKey {
            kind,
            quality,
            parts: parts.into_boxed_slice(),
        },
        value,
    ))
}

fn pairs(columns: &[u32], values: &[i64], bounds: Bounds) -> Result<Vec<(u32, i64)>, DecodeError> {
    if columns.len() != values.len() {
        let (columns, values) = (columns.len(), values.len());
        return Err(invalid(
            "row",
            format!("{columns} columns but {values} values"),
        ));
    }
    if !columns.is_sorted_by(|a, b| a < b) {
        return Err(invalid("row", "column numbers do not ascend"));
    }
    for (&column, &value) in columns.iter().zip(values) {
        bounds.value(column, value)?;
    }
    Ok(columns
        .iter()
        .copied()
        .zip(values.iter().copied())
        .collect())
}

fn histogram(message: Field<'_>, bounds: Bounds) -> Result<(u32, Histogram), DecodeError> {
    let mut id = 0;
    let (mut deltas, mut counts) = (0usize, 0usize);
    for field in message.message()? {
        let field = field?;
        match field.number {
            1 => id = field.uint32()?,
            2 => deltas += field.varint_count()?,
            3 => counts += field.varint_count()?,
            _ => {}
        }
    }
    bounded(
        "buckets of a histogram",
        deltas,
        Histogram::INDEX_MAX as usize + 1,
    )?;
    if deltas != counts {
        return Err(invalid(
            "histogram",
            format!("{deltas} buckets but {counts} counts"),
        ));
    }
    let mut buckets: Vec<(u32, u64)> = Vec::with_capacity(deltas);
    let mut counted = 0;
    for field in message.message()? {
        let field = field?;
        if field.number == 2 {
            field.each_varint(|delta| {
                let index = match buckets.last() {
                    Some(_) if delta == 0 => {
                        return Err(invalid("histogram", "buckets do not ascend"));
                    }
                    Some(&(before, _)) => u64::from(before).saturating_add(delta),
                    None => delta,
                };
                let index = u32::try_from(index)
                    .ok()
                    .filter(|index| *index <= Histogram::INDEX_MAX)
                    .ok_or_else(|| {
                        invalid("histogram", format!("bucket {index} is out of range"))
                    })?;
                buckets.push((index, 0));
                Ok(())
            })?;
        }
    }
    for field in message.message()? {
        let field = field?;
        if field.number == 3 {
            field.each_varint(|count| {
                bounds.count(count)?;
                let (_, slot) = buckets
                    .get_mut(counted)
                    .ok_or_else(|| malformed("more counts than buckets"))?;
                *slot = count;
                counted += 1;
                Ok(())
            })?;
        }
    }
    buckets.retain(|&(_, count)| count > 0);
    Ok((id, Histogram::from_checked(buckets)))
}

fn sketch(message: Field<'_>) -> Result<(u32, Sketch), DecodeError> {
    let (mut id, mut k, mut len) = (0, 0, 0usize);
    for field in message.message()? {
        let field = field?;
        match field.number {
            1 => id = field.uint32()?,
            2 => k = field.uint32()?,
            3 => len += field.fixed64_count()?,
            _ => {}
        }
    }
    if k == 0 {
        return Err(invalid("sketch", "k is 0"));
    }
    bounded("k of a sketch", k as usize, max::SKETCH_HASHES_MAX)?;
    bounded("hashes of a sketch", len, k as usize)?;
    let mut hashes: Vec<u64> = Vec::with_capacity(len);
    for field in message.message()? {
        let field = field?;
        if field.number == 3 {
            field.each_fixed64(|hash| {
                if hashes.last().is_some_and(|&last| hash <= last) {
                    return Err(invalid("sketch", "hashes do not ascend"));
                }
                hashes.push(hash);
                Ok(())
            })?;
        }
    }
    Ok((id, Sketch::from_checked(k, hashes)))
}
