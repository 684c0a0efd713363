//! How many requests have their regions measured: all, one in so many, or none.

use std::sync::atomic::{AtomicU32, Ordering};

/// Regions of every request are measured.
pub(crate) const ALL: u32 = 1;
/// No regions are measured.
pub(crate) const OFF: u32 = 0;

static LEVEL: AtomicU32 = AtomicU32::new(ALL);
static CHANGES: AtomicU32 = AtomicU32::new(0);

/// Sets the level: [`ALL`], [`OFF`], or k for the regions of one request in k. Whole requests are left out,
/// chosen evenly, so that what is measured of one fits together.
pub(crate) fn set_regions_level(level: u32) {
    if LEVEL.swap(level, Ordering::Relaxed) != level {
        CHANGES.fetch_add(1, Ordering::Relaxed);
    }
}

/// The level in force.
#[inline]
pub(crate) fn regions_level() -> u32 {
    LEVEL.load(Ordering::Relaxed)
}

/// How often the level was changed: a span that saw two values was not measured evenly.
#[cfg(feature = "tracing-opentelemetry-0_34")]
pub(super) fn changes() -> u32 {
    CHANGES.load(Ordering::Relaxed)
}
