//! Which pieces of code cost most.

use std::fmt::Write as _;

use weighbridge_wire::{Quality, RegionKey, RowKind, RowSet, RowValue, column};

use super::{bytes, or_dash, time, visible};

/// How many regions are shown.
const REGIONS_SHOWN: usize = 12;

/// The regions that cost most themselves.
pub(super) fn write(all: &RowSet, out: &mut String) -> std::fmt::Result {
    let own = |row: &RowValue| row.get(column::CPU_EXCLUSIVE_NS).unwrap_or(0);
    let mut rows: Vec<_> = all
        .of_kind(RowKind::Region)
        .filter_map(|(key, row)| Some((RegionKey::read(key)?, key.quality, row)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by_key(|(_, _, row)| std::cmp::Reverse(own(row)));
    writeln!(
        out,
        "\n{:>10} {:>10} {:>8} {:>10}  regions that cost most, of {}",
        "own CPU",
        "with inner",
        "times",
        "allocated",
        rows.len()
    )?;
    for (key, quality, row) in rows.iter().take(REGIONS_SHOWN) {
        let figure = |column| row.get(column).unwrap_or(0);
        write!(
            out,
            "{:>10} {:>10} {:>8} {:>10}  {}",
            time(own(row)),
            time(figure(column::CPU_INCLUSIVE_NS)),
            figure(column::COUNT),
            or_dash(row.get(column::ALLOC_BYTES), bytes),
            visible(&key.operation)
        )?;
        if !key.class.is_empty() {
            write!(out, " ({})", visible(&key.class))?;
        }
        write!(out, ": {}", visible(&key.region))?;
        if *quality != Quality::Measured {
            write!(out, " ({})", quality.as_str())?;
        }
        writeln!(out)?;
    }
    Ok(())
}
