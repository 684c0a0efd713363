//! Rows for human eyes: what snapshots and golden files are read by.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::{ColumnInfo, Quality, RowKey, RowKind, RowSet, RowValue, Unit};

/// An indented tree: kind, then key, then figures.
///
/// Empty parts of a key are left out, so is the quality `measured`; absent figures stay absent. Names from
/// outside are shown with their control characters escaped.
impl fmt::Display for RowSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kind = None;
        for (key, value) in self.iter() {
            if kind != Some(key.kind) {
                kind = Some(key.kind);
                match RowKind::from_wire(key.kind) {
                    Some(known) => writeln!(f, "{}", known.as_str())?,
                    None => writeln!(f, "kind {}", key.kind)?,
                }
            }
            writeln!(f, "  {}", key_line(key))?;
            figures(f, value)?;
        }
        Ok(())
    }
}

fn key_line(key: &RowKey) -> String {
    let names = RowKind::from_wire(key.kind).map_or(&[][..], RowKind::part_names);
    let mut line = String::new();
    for (at, part) in key
        .parts
        .iter()
        .enumerate()
        .filter(|(_, part)| !part.is_empty())
    {
        let name = names
            .get(at)
            .map_or_else(|| Cow::from(format!("part {at}")), |n| (*n).into());
        let gap = if line.is_empty() { "" } else { "  " };
        // A part that a `String` takes cannot fail to be written.
        let _ = write!(line, "{gap}{name}: {}", visible(part));
    }
    if line.is_empty() {
        line.push_str("(no name)");
    }
    match key.quality {
        Quality::Measured => {}
        Quality::Other(n) => {
            let _ = write!(line, "  [quality {n}]");
        }
        known => {
            let _ = write!(line, "  [{known}]");
        }
    }
    line
}

fn figures(f: &mut fmt::Formatter<'_>, value: &RowValue) -> fmt::Result {
    let columns: Vec<_> = value
        .columns()
        .map(|(column, v)| (name(column), v.to_string(), unit(column)))
        .collect();
    let widest = columns
        .iter()
        .map(|(name, _, _)| name.len())
        .max()
        .unwrap_or(0);
    let longest = columns
        .iter()
        .map(|(_, figure, _)| figure.len())
        .max()
        .unwrap_or(0);
    for (name, figure, unit) in columns {
        let line = format!("    {name:<widest$}  {figure:>longest$} {unit}");
        writeln!(f, "{}", line.trim_end())?;
    }
    for (column, histogram) in value.histograms() {
        write!(f, "    {}  {} recorded", name(column), histogram.count())?;
        if let (Some(p50), Some(p99)) = (histogram.quantile(0.5), histogram.quantile(0.99)) {
            let unit = unit(column);
            let gap = if unit.is_empty() { "" } else { " " };
            write!(f, ", p50 {p50}{gap}{unit}, p99 {p99}{gap}{unit}")?;
        }
        writeln!(f)?;
    }
    for (column, sketch) in value.sketches() {
        writeln!(
            f,
            "    {}  about {:.0} distinct, k {}",
            name(column),
            sketch.distinct(),
            sketch.k()
        )?;
    }
    Ok(())
}

fn name(column: u32) -> Cow<'static, str> {
    ColumnInfo::find(column).map_or_else(|| format!("column {column}").into(), |c| c.name.into())
}

fn unit(column: u32) -> &'static str {
    ColumnInfo::find(column).map_or("", |c| c.unit.symbol())
}

fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_control() || is_bidi(c)) {
        let escape = |c: char| {
            if c.is_control() || is_bidi(c) {
                c.escape_unicode().to_string()
            } else {
                c.into()
            }
        };
        text.chars().map(escape).collect::<String>().into()
    } else {
        text.into()
    }
}

/// Characters that reorder what stands around them: a name could pretend to be another line.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Unit {
    /// The symbol behind a figure; empty for a plain count.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Nanoseconds => "ns",
            Self::Bytes => "B",
            Self::MilliCores => "mcore",
            Self::CountNanoseconds => "count·ns",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{OperationKey, OwnerKey, Quality, RowKey, RowSet, RowValue, Sketch, column};
    use expect_test::expect;

    #[test]
    fn a_tree_of_kinds_keys_and_figures() {
        let mut rows = RowSet::new();
        let operation = OperationKey {
            component: "".into(),
            operation: "GET /orders/{id}".into(),
            class: "".into(),
            caller_service: "store".into(),
            caller_operation: "GET /".into(),
            origin_service: "store".into(),
            origin_operation: "GET /".into(),
        };
        let value = rows.row_mut(operation.row_key(Quality::Measured));
        value.add(column::ENDED, 12);
        value.add(column::CPU_HANDLER_NS, 345_678);
        value.add(column::PEAK_LIVE_BYTES, 9_000);
        (1..=100).for_each(|n| value.histogram_mut(column::HIST_WALL_NS).record(n));
        let mut sketch = Sketch::new(16);
        (1..=5).for_each(|n| sketch.insert(n));
        value.add_sketch(column::SKETCH_KEYS, &sketch);
        let owner = OwnerKey {
            owner_kind: "unattributed".into(),
            name: "".into(),
        }
        .row_key(Quality::Apportioned);
        rows.add(owner, &RowValue::new().with(column::CPU_HANDLER_NS, -7));
        let later = RowKey {
            kind: 4_000,
            quality: Quality::Other(9),
            parts: ["a\u{1b}[31m\u{202e}b".into(), "".into(), "c".into()].into(),
        };
        rows.add(later, &RowValue::new().with(4_001, 1));
        rows.add(
            RowKey {
                kind: 4_001,
                quality: Quality::Measured,
                parts: [].into(),
            },
            &RowValue::new(),
        );
        expect![[r#"
            operation
              operation: GET /orders/{id}  caller_service: store  caller_operation: GET /  origin_service: store  origin_operation: GET /
                ENDED                12
                CPU_HANDLER_NS   345678 ns
                PEAK_LIVE_BYTES    9000 B
                HIST_WALL_NS  100 recorded, p50 50 ns, p99 99 ns
                SKETCH_KEYS  about 5 distinct, k 16
            owner
              owner_kind: unattributed  [apportioned]
                CPU_HANDLER_NS  -7 ns
            kind 4000
              part 0: a\u{1b}[31m\u{202e}b  part 2: c  [quality 9]
                column 4001  1
            kind 4001
              (no name)
        "#]].assert_eq(&rows.to_string());
    }
}
