//! Merging rows under bounds, so that whatever was accepted can always be stored and read again.
//!
//! Each delta is within [`weighbridge_wire::limits`]; many of them merged need not be. What goes beyond
//! keeps its totals where that is possible (rows are folded into `__other__`), is cut where it is not (a row
//! with too many columns), and is counted in a loss row of the same window either way.

use std::sync::Arc;

use weighbridge_wire::{
    LossKey, OTHER, Quality, RowKey, RowKind, RowSet, RowValue, column, limits,
};

/// Most rows kept per window and service, unless set otherwise.
pub(crate) const ROWS_PER_WINDOW_DEFAULT: usize = 16_384;

/// What that setting may be at most: so many rows fill the string table of a folded window.
pub(crate) const ROWS_PER_WINDOW_MAX: usize =
    limits::FOLDED_STRINGS_MAX / limits::KEY_PARTS_MAX - HEADROOM;

/// Place of the loss rows that say what did not fit.
pub(crate) const PLACE_ROWS: &str = "collector.rows";

/// Rows that may stand above the limit: one `__other__` per kind and fixed parts, and the loss rows.
const HEADROOM: usize = 1_024;

/// Merges `from` into `into`. Beyond `rows_max` rows, new keys are folded into `__other__`. Returns how
/// many rows were folded or cut; the same number stands in loss rows of `into`.
pub(crate) fn merge(into: &mut RowSet, from: &RowSet, rows_max: usize) -> u64 {
    let rows_max = rows_max.min(ROWS_PER_WINDOW_MAX);
    let (mut folded, mut cut) = (0u64, 0u64);
    if into.len() + from.len() <= rows_max {
        into.merge_by(from, |row, value| cut += merge_row(row, value));
        return note(into, folded, cut);
    }
    for (key, value) in from.iter() {
        // What is there already, by far the most, needs no key of its own.
        if let Some(row) = into.get_mut(key) {
            cut += merge_row(row, value);
            continue;
        }
        let full = into.len() >= rows_max;
        let key = if full && key.kind != RowKind::Loss.to_wire() {
            folded += 1;
            other_key(key)
        } else {
            key.clone()
        };
        // The loss rows and unknown kinds of a hostile producer end here.
        if full && into.len() >= rows_max + HEADROOM && into.get(&key).is_none() {
            cut += 1;
            continue;
        }
        cut += merge_row(into.row_mut(key), value);
    }
    note(into, folded, cut)
}

/// Says what was lost.
fn note(into: &mut RowSet, folded: u64, cut: u64) -> u64 {
    for (reason, count) in [("folded into __other__", folded), ("cut at a limit", cut)] {
        if count > 0 {
            let lost = i64::try_from(count).unwrap_or(i64::MAX);
            let key = LossKey {
                place: PLACE_ROWS.into(),
                reason: reason.into(),
            };
            into.add(
                key.row_key(Quality::Measured),
                &RowValue::new().with(column::LOST, lost),
            );
        }
    }
    folded + cut
}

/// Returns 1 when something had to be cut.
fn merge_row(row: &mut RowValue, value: &RowValue) -> u64 {
    row.merge(value);
    if fits(row) {
        return 0;
    }
    *row = cut_to_fit(row);
    1
}

/// Removes rows that were taken back and added elsewhere: of a request, a call or a statement nothing is left when all
/// of its figures are 0.
pub(crate) fn prune(rows: &mut RowSet) {
    let corrected = [RowKind::Operation, RowKind::Edge, RowKind::Entity].map(RowKind::to_wire);
    rows.retain_rows(|key, value| {
        !corrected.contains(&key.kind)
            || value.columns().any(|(_, figure)| figure != 0)
            || value.histograms().next().is_some()
            || value.sketches().next().is_some()
    });
}

/// True when some row takes back what another one, perhaps a stored one, had added.
pub(crate) fn takes_back(rows: &RowSet) -> bool {
    let counts = [
        (RowKind::Operation, column::ENDED),
        (RowKind::Edge, column::REQUEST_MESSAGES),
        (RowKind::Entity, column::STATEMENTS),
    ];
    counts.into_iter().any(|(kind, count)| {
        rows.of_kind(kind)
            .any(|(_, value)| value.get(count).is_some_and(|n| n < 0))
    })
}

/// The key under which a row is folded that no longer fits: names become `__other__`, words with a fixed
/// meaning stay.
fn other_key(key: &RowKey) -> RowKey {
    let fixed: &[usize] = match RowKind::from_wire(key.kind) {
        Some(RowKind::Owner | RowKind::Loss | RowKind::Exemplar) => &[0],
        Some(RowKind::Edge) => &[0, 1, 2],
        Some(RowKind::EdgeSize) => &[0, 1, 6, 7],
        Some(RowKind::Entity) => &[5],
        Some(RowKind::Distribution) => &[3],
        _ => &[],
    };
    let other: Arc<str> = OTHER.into();
    RowKey {
        kind: key.kind,
        quality: key.quality,
        parts: key
            .parts
            .iter()
            .enumerate()
            .map(|(i, part)| {
                // A fixed word is short; a long one is somebody's name in its place.
                let keep = part.is_empty() || (fixed.contains(&i) && part.len() <= 16);
                if keep { part.clone() } else { other.clone() }
            })
            .collect(),
    }
}

fn fits(value: &RowValue) -> bool {
    value.columns().count() <= limits::COLUMNS_MAX
        && value.histograms().count() <= limits::HISTOGRAMS_MAX
        && value.sketches().count() <= limits::SKETCHES_MAX
}

/// The row with as many columns as may be stored, the lowest numbers first.
fn cut_to_fit(value: &RowValue) -> RowValue {
    let mut cut = RowValue::new();
    for (column, v) in value.columns().take(limits::COLUMNS_MAX) {
        cut.add(column, v);
    }
    for (column, histogram) in value.histograms().take(limits::HISTOGRAMS_MAX) {
        cut.histogram_mut(column).merge(histogram);
    }
    for (column, sketch) in value.sketches().take(limits::SKETCHES_MAX) {
        cut.add_sketch(column, sketch);
    }
    cut
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{FoldedWindow, OperationKey, ServiceId, Sketch, Window};

    use super::*;

    fn operation(name: &str) -> RowKey {
        let empty: Arc<str> = "".into();
        OperationKey {
            component: empty.clone(),
            operation: name.into(),
            class: empty.clone(),
            caller_service: empty.clone(),
            caller_operation: empty.clone(),
            origin_service: "store".into(),
            origin_operation: name.into(),
        }
        .row_key(Quality::Measured)
    }

    fn reads_back(rows: &RowSet) -> bool {
        let folded = FoldedWindow {
            service: ServiceId {
                service: "store".into(),
                ..ServiceId::default()
            },
            window: Window {
                start_unix_ns: 1,
                end_unix_ns: 2,
            },
            rows: rows.clone(),
        };
        FoldedWindow::decode(&folded.encode()) == Ok(folded)
    }

    #[test]
    fn s8_beyond_the_row_limit_totals_stay_and_the_loss_is_counted() {
        let mut into = RowSet::new();
        for n in 0..50 {
            let delta: RowSet = [(
                operation(&format!("GET /{n}")),
                RowValue::new().with(column::CPU_HANDLER_NS, 10),
            )]
            .into_iter()
            .collect();
            merge(&mut into, &delta, 8);
        }
        assert_eq!(into.accounts_cpu_ns(), 500);
        assert!(into.len() <= 8 + 2, "{} rows", into.len());
        let loss: i64 = into
            .of_kind(RowKind::Loss)
            .filter_map(|(_, value)| value.get(column::LOST))
            .sum();
        assert_eq!(loss, 42);
        assert!(reads_back(&into));
    }

    #[test]
    fn merged_rows_beyond_the_limits_of_a_row_still_read_back() {
        let mut into = RowSet::new();
        for part in 0..4u32 {
            let mut value = RowValue::new().with(column::CPU_HANDLER_NS, limits::VALUE_MAX);
            for n in 0..40 {
                value.add(4 * (1_000 * (part + 1) + n), 1);
            }
            for n in 0..4 {
                value
                    .histogram_mut(4 * (9_000 + 10 * part + n))
                    .add_bucket(3, u64::MAX >> 11);
                value.histogram_mut(4 * 8_000).add_bucket(3, u64::MAX >> 11);
                let mut sketch = Sketch::new(4);
                sketch.insert(9);
                value.add_sketch(4 * (7_000 + 10 * part + n), &sketch);
            }
            let delta: RowSet = [(operation("GET /"), value)].into_iter().collect();
            merge(&mut into, &delta, 8);
        }
        assert!(reads_back(&into));
        let cut: i64 = into
            .of_kind(RowKind::Loss)
            .filter_map(|(_, value)| value.get(column::LOST))
            .sum();
        assert!(cut > 0);
    }

    #[test]
    fn the_largest_window_still_reads_back() {
        let mut all = RowSet::new();
        for n in 0..70_000 {
            let parts = (0..16).map(|part| format!("{n}.{part}").into()).collect();
            // Loss rows are never folded, so they test the headroom too.
            let kind = if n % 2 == 0 {
                900
            } else {
                RowKind::Loss.to_wire()
            };
            let key = RowKey {
                kind,
                quality: Quality::Measured,
                parts,
            };
            let delta: RowSet = [(key, RowValue::new().with(column::LOST, 1))]
                .into_iter()
                .collect();
            merge(&mut all, &delta, usize::MAX);
        }
        assert!(reads_back(&all));
        let total: i64 = all
            .iter()
            .filter(|(key, _)| key.kind == 900)
            .filter_map(|(_, value)| value.get(column::LOST))
            .sum();
        assert_eq!(total, 35_000);
    }
}
