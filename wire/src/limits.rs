//! Bounds on everything that is read from outside. Larger input is refused with
//! [`DecodeError`](crate::DecodeError), never truncated.

use crate::Merge;

/// Largest encoded delta after decompression, in bytes.
pub const DELTA_BYTES_MAX: usize = 8 << 20;
/// Largest encoded folded range, in bytes: a reader of its own collector or file.
pub const RANGE_BYTES_MAX: usize = 1 << 30;
/// Decoding a delta holds at most this many bytes of memory per byte of input, beyond
/// [`DECODE_BASE_BYTES`]. The worst input is made of rows that say nothing; what agents send takes about 6.
pub const DECODE_BYTES_PER_BYTE: usize = 24;
/// The same for folded windows and ranges. The worst input is made of windows of one row that says nothing.
pub const FOLDED_DECODE_BYTES_PER_BYTE: usize = 64;
/// What decoding may hold whatever the input is, in bytes.
pub const DECODE_BASE_BYTES: usize = 16 << 10;
/// Most strings in the string table of a delta.
pub const STRINGS_MAX: usize = 65_536;
/// Longest string, in bytes. Agents shorten names before this; see the agent's limits.
pub const STRING_BYTES_MAX: usize = 4_096;
/// Most rows in one delta.
pub const ROWS_MAX: usize = 65_536;
/// Most strings in the string table of a folded window, where many instances come together.
pub const FOLDED_STRINGS_MAX: usize = 1 << 20;
/// Most rows in a folded window, where many instances come together.
pub const FOLDED_ROWS_MAX: usize = 1 << 20;
/// Most folded windows in a range.
pub const WINDOWS_MAX: usize = 1 << 20;
/// Most parts in a key.
pub const KEY_PARTS_MAX: usize = 16;
/// Most columns in a row.
pub const COLUMNS_MAX: usize = 64;
/// Most histograms in a row.
pub const HISTOGRAMS_MAX: usize = 8;
/// Most sketches in a row.
pub const SKETCHES_MAX: usize = 8;
/// Most hashes in a sketch.
pub const SKETCH_HASHES_MAX: usize = 1_024;
/// Most tombstones in a delta.
pub const TOMBSTONES_MAX: usize = 1_024;
/// Largest magnitude of a column that adds up, in one row of a delta: 2^53, so that the figures of a window
/// stay exact in JSON and in `f64`. Sums over many windows may be larger.
pub const VALUE_MAX: i64 = 1 << 53;
/// Largest magnitude of a column that takes the maximum or minimum, and of the totals of an epoch: 2^62.
/// They run over the life of a process, and 2^53 ns of CPU are only 104 core-days.
pub const GAUGE_MAX: i64 = 1 << 62;
/// Longest window: a day, in nanoseconds.
pub const WINDOW_NS_MAX: u64 = 86_400_000_000_000;
/// Latest end of a window: the year 2262, so that instants fit a signed integer.
pub const UNIX_NS_MAX: u64 = i64::MAX.unsigned_abs();

/// Largest magnitude of this column in one row of a delta: by its merge rule, [`VALUE_MAX`] or
/// [`GAUGE_MAX`].
#[must_use]
pub fn column_max(column: u32) -> i64 {
    match Merge::of(column) {
        Merge::Sum => VALUE_MAX,
        Merge::Max | Merge::Min => GAUGE_MAX,
    }
}
