//! Windows that were never sent.

use weighbridge_wire::{RowKey, RowSet, RowValue, Totals, Window, limits};

use crate::ledger::WindowLedger;

/// One window, or several merged into one.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    window: Window,
    rows: RowSet,
    started: u64,
    ended: u64,
    process_cpu_ns: Option<i64>,
    windows: u32,
    bytes: usize,
}

impl Pending {
    pub(super) fn new(ledger: WindowLedger) -> Self {
        let bytes = estimated_bytes(&ledger.rows);
        Self {
            window: ledger.window,
            rows: ledger.rows,
            started: ledger.started,
            ended: ledger.ended,
            process_cpu_ns: Some(ledger.process_cpu_ns),
            windows: 1,
            bytes,
        }
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    pub(super) fn rows(&self) -> &RowSet {
        &self.rows
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    /// How many windows of the agent it covers.
    pub(super) fn windows(&self) -> u32 {
        self.windows
    }

    /// Memory that it takes, estimated.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn accounts_cpu_ns(&self) -> i64 {
        self.rows.accounts_cpu_ns()
    }

    pub(super) fn add_rows(&mut self, rows: &RowSet) {
        self.rows.merge(rows);
        self.bytes += estimated_bytes(rows);
    }

    /// The totals with this window included.
    pub(super) fn add_to(&self, totals: Totals) -> Totals {
        Totals {
            started: totals.started.saturating_add(self.started),
            ended: totals.ended.saturating_add(self.ended),
            process_cpu_ns: self.process_cpu_ns.unwrap_or(totals.process_cpu_ns),
            accounts_cpu_ns: totals
                .accounts_cpu_ns
                .saturating_add(self.accounts_cpu_ns()),
        }
    }

    /// This window and the `later` one as one. `None` when the result could not go on the wire.
    pub(super) fn merged(&self, later: &Self) -> Option<Self> {
        let window = self.window.cover(later.window);
        if window.len_ns() > limits::WINDOW_NS_MAX {
            return None;
        }
        let mut rows = self.rows.clone();
        rows.merge(&later.rows);
        let fits = |value: &RowValue| {
            value
                .columns()
                .all(|(column, v)| v.unsigned_abs() <= limits::column_max(column).unsigned_abs())
        };
        if rows.len() > limits::ROWS_MAX || !rows.iter().all(|(_, value)| fits(value)) {
            return None;
        }
        Some(Self {
            window,
            bytes: estimated_bytes(&rows),
            rows,
            started: self.started.saturating_add(later.started),
            ended: self.ended.saturating_add(later.ended),
            process_cpu_ns: later.process_cpu_ns.or(self.process_cpu_ns),
            windows: self.windows.saturating_add(later.windows),
        })
    }

    /// Keeps the first `rows_max` rows and returns the rest, which takes the counts of requests with it.
    pub(super) fn split_off(&mut self, rows_max: usize) -> Option<Self> {
        if self.rows.len() <= rows_max {
            return None;
        }
        let copy = |(key, value): (&RowKey, &RowValue)| (key.clone(), value.clone());
        let first: RowSet = self.rows.iter().take(rows_max).map(copy).collect();
        let rest: RowSet = self.rows.iter().skip(rows_max).map(copy).collect();
        let rest = Self {
            window: self.window,
            bytes: estimated_bytes(&rest),
            rows: rest,
            started: std::mem::take(&mut self.started),
            ended: std::mem::take(&mut self.ended),
            process_cpu_ns: self.process_cpu_ns.take(),
            windows: self.windows,
        };
        self.bytes = estimated_bytes(&first);
        self.rows = first;
        // The pieces are one window: it is counted with the piece that comes last.
        self.windows = 0;
        Some(rest)
    }
}

/// Memory of a row set: keys share their texts with the agent's tables, so those are not counted.
fn estimated_bytes(rows: &RowSet) -> usize {
    rows.iter()
        .map(|(key, value)| {
            let histograms: usize = value
                .histograms()
                .map(|(_, h)| 32 + 24 * h.buckets().count())
                .sum();
            let sketches: usize = value
                .sketches()
                .map(|_| 8 * limits::SKETCH_HASHES_MAX)
                .sum();
            128 + 16 * key.parts.len() + 24 * value.columns().count() + histograms + sketches
        })
        .sum()
}
