//! Reading a range: from a directory that no collector holds, or from a running collector.

mod copy;
mod fetch;

use std::path::Path;
use std::sync::Arc;

use weighbridge_wire::{FoldedRange, FoldedWindow};

use crate::clock::Clock;
use crate::ingest::{Engine, Limits};
use crate::metrics::Metrics;
use crate::span::Span;
use crate::store::{RedbStore, StoreError};

pub use copy::{fetch_snapshot, restore_dir, send_restore, snapshot_dir};
pub use fetch::{Access, FetchError, fetch_range};

/// Reads a range from the data directory of a collector that does not run, all tenants together. What it had committed, but not
/// folded, is folded in memory; nothing is written unless the last process was killed and the file needs
/// repair.
///
/// # Errors
/// [`StoreError`]; [`StoreError::InUse`] when a collector holds the directory.
pub fn read_range(data_dir: &Path, span: Span) -> Result<FoldedRange, StoreError> {
    let store = RedbStore::open_read_only(data_dir)?;
    let engine = Engine::read_only(
        Arc::new(store),
        Limits::default(),
        Clock::system(),
        Metrics::new(),
    )?;
    collect(
        engine.view_all(span.since_unix_ns, span.until_unix_ns)?,
        span,
    )
}

/// Gathers a view into one range.
pub(crate) fn collect(
    view: impl Iterator<Item = Result<FoldedWindow, StoreError>>,
    span: Span,
) -> Result<FoldedRange, StoreError> {
    let windows = view.collect::<Result<Vec<_>, _>>()?;
    Ok(in_order(FoldedRange {
        window: span.covering(&windows),
        windows,
    }))
}

/// A store hands windows over as they stand in it.
fn in_order(mut range: FoldedRange) -> FoldedRange {
    range
        .windows
        .sort_by(|a, b| (a.window, &a.service).cmp(&(b.window, &b.service)));
    range
}

#[cfg(test)]
mod tests;
