//! The regions of spans that a thread has entered before, so that entering one again asks neither the
//! registry, which takes four atomic operations, nor the table.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::span::Place;

/// How many spans are remembered, each at a place of its own.
const PLACES: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Span {
    layer: u32,
    span: u64,
    /// How often a span with such a number was closed when this one was open.
    closed: u64,
    place: Place,
}

#[derive(Debug)]
pub(super) struct Known([Span; PLACES]);

impl Known {
    /// Of zeros only, so that it takes no memory of a thread that has no regions.
    pub(super) const fn new() -> Self {
        const NOBODY: Span = Span {
            layer: 0,
            span: 0,
            closed: 0,
            place: Place::ZERO,
        };
        Self([NOBODY; PLACES])
    }

    /// Where an open span stands, if this thread has seen it there.
    #[inline]
    pub(super) fn get(&self, layer: u32, span: u64, operation: u32, epoch: u32) -> Option<Place> {
        let known = self.0.get(hash(span) % PLACES)?;
        (known.span == span
            && known.layer == layer
            && known.place.is_of(operation, epoch)
            && known.closed == closed(span).load(Ordering::Relaxed))
        .then_some(known.place)
    }

    /// Remembers where an open span stands.
    pub(super) fn put(&mut self, layer: u32, span: u64, place: Place) {
        if let Some(known) = self.0.get_mut(hash(span) % PLACES) {
            *known = Span {
                layer,
                span,
                closed: closed(span).load(Ordering::Relaxed),
                place,
            };
        }
    }
}

/// A number for a layer of its own: the spans of two registries have the same numbers.
pub(super) fn next_layer() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}

/// A span is being closed: its number will be another one's. The registry gives it away after this, and
/// whoever gets it so sees the change.
#[inline]
pub(super) fn close(span: u64) {
    closed(span).fetch_add(1, Ordering::Relaxed);
}

/// Counts what was closed, by a hash of the number: too many are counted, which costs a look at the registry.
static CLOSED: [AtomicU64; 1 << CLOSED_BITS] = [const { AtomicU64::new(0) }; 1 << CLOSED_BITS];
const CLOSED_BITS: u32 = 10;

#[inline]
fn closed(span: u64) -> &'static AtomicU64 {
    &CLOSED[hash(span) % CLOSED.len()]
}

/// Fibonacci hashing: numbers are places in a slab with a thread and a generation above them.
#[inline]
fn hash(span: u64) -> usize {
    (span.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - CLOSED_BITS)) as usize
}
