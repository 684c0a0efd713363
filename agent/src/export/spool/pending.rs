//! Windows that were never sent.

use weighbridge_wire::{RowValue, Totals, Window, limits};

use super::piece::{Encoder, Form, Piece};
use crate::ledger::WindowEnd;

/// One window, or several merged into one, or a part of one.
#[derive(Debug)]
pub(super) struct Pending {
    window: Window,
    rows: Piece,
    started: u64,
    ended: u64,
    process_cpu_ns: Option<i64>,
    windows: u32,
}

impl Pending {
    pub(super) fn new(end: WindowEnd, rows: Piece) -> Self {
        Self {
            window: end.window,
            rows,
            started: end.started,
            ended: end.ended,
            process_cpu_ns: Some(end.process_cpu_ns),
            windows: 1,
        }
    }

    /// A part of a window that did not fit one delta. The window is counted with the part that comes last.
    pub(super) fn part(window: Window, rows: Piece) -> Self {
        Self {
            window,
            rows,
            started: 0,
            ended: 0,
            process_cpu_ns: None,
            windows: 0,
        }
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    pub(super) fn rows(&self) -> &Piece {
        &self.rows
    }

    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    /// How many windows of the agent it covers.
    pub(super) fn windows(&self) -> u32 {
        self.windows
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    pub(super) fn accounts_cpu_ns(&self) -> i64 {
        self.rows.accounts_cpu_ns()
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
    pub(super) fn merged(&self, later: &Self, form: Form) -> Option<Self> {
        let window = self.window.cover(later.window);
        if window.len_ns() > limits::WINDOW_NS_MAX {
            return None;
        }
        let mut rows = self.rows.rows()?;
        rows.merge(&later.rows.rows()?);
        let fits = |value: &RowValue| {
            value
                .columns()
                .all(|(column, v)| v.unsigned_abs() <= limits::column_max(column).unsigned_abs())
        };
        if !rows.iter().all(|(_, value)| fits(value)) {
            return None;
        }
        let mut encoder = Encoder::new(form);
        encoder.add(&rows);
        let (parts, rows) = encoder.finish();
        if !parts.is_empty() {
            return None;
        }
        Some(Self {
            window,
            rows,
            started: self.started.saturating_add(later.started),
            ended: self.ended.saturating_add(later.ended),
            process_cpu_ns: later.process_cpu_ns.or(self.process_cpu_ns),
            windows: self.windows.saturating_add(later.windows),
        })
    }
}
