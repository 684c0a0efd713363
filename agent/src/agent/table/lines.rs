//! Lines of the table: rows of all qualities, with what of their CPU time was not measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weighbridge_wire::{Quality, RowKey, RowKind, RowSet, RowValue};

/// The rows of one thing.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) row: RowValue,
    /// CPU time by quality.
    cpu_ns: BTreeMap<Quality, i64>,
}

impl Line {
    pub(super) fn add(&mut self, quality: Quality, row: &RowValue) {
        self.row.merge(row);
        *self.cpu_ns.entry(quality).or_default() += row.cpu_ns();
    }

    /// Adds the CPU time of another line and nothing else.
    pub(super) fn add_cpu(&mut self, other: &Self) {
        for (quality, cpu_ns) in &other.cpu_ns {
            *self.cpu_ns.entry(*quality).or_default() += cpu_ns;
        }
    }

    pub(super) fn cpu_ns(&self) -> i64 {
        self.cpu_ns.values().sum()
    }

    /// Which share of the CPU time was not measured; nothing when all was.
    pub(super) fn not_measured(&self) -> String {
        let mut text = String::new();
        let whole: u64 = self.cpu_ns.values().map(|ns| ns.unsigned_abs()).sum();
        for (quality, cpu_ns) in &self.cpu_ns {
            if *quality == Quality::Measured || *cpu_ns == 0 {
                continue;
            }
            let percent = u128::from(cpu_ns.unsigned_abs()) * 100 / u128::from(whole.max(1));
            // Writing to a string cannot fail.
            let _ = write!(text, "  {percent} % {}", quality.as_str());
        }
        text
    }
}

/// The rows of a kind, one line for all with the same `name`; those that cost most first.
pub(super) fn of<K: Ord>(
    rows: &RowSet,
    kind: RowKind,
    name: impl Fn(&RowKey) -> Option<K>,
) -> Vec<(K, Line)> {
    let mut lines = BTreeMap::<K, Line>::new();
    for (key, row) in rows.of_kind(kind) {
        if let Some(name) = name(key) {
            lines.entry(name).or_default().add(key.quality, row);
        }
    }
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.cpu_ns()));
    lines
}
