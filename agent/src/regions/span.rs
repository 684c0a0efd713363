//! What is remembered of one span.

#[cfg(feature = "tracing-opentelemetry-0_34")]
use std::sync::atomic::{AtomicI64, Ordering};

#[cfg(feature = "tracing-opentelemetry-0_34")]
use super::level;
#[cfg(feature = "tracing-opentelemetry-0_34")]
use crate::account::Totals;
use crate::ledger::RegionId;

/// An extension of a span that was entered inside an owner.
#[derive(Debug)]
pub(super) struct SpanRegion {
    pub(super) place: Place,
    /// True once the span is in the region's count.
    pub(super) counted: bool,
    #[cfg(feature = "tracing-opentelemetry-0_34")]
    pub(super) figures: Figures,
}

/// Where a span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the operation; [`NO_OPERATION`] outside of requests.
    pub(super) operation: u32,
    /// The epoch of the region's number.
    pub(super) epoch: u32,
    pub(super) region: RegionId,
}

pub(super) const NO_OPERATION: u32 = u32::MAX;

impl Place {
    /// What nobody looks at: of zeros, so that a thread's tables of it take no memory before they are used.
    pub(super) const ZERO: Self = Self {
        operation: 0,
        epoch: 0,
        region: RegionId::NONE,
    };

    /// Outside of requests.
    #[cfg(feature = "tracing-opentelemetry-0_34")]
    pub(super) const NONE: Self = Self {
        operation: NO_OPERATION,
        ..Self::ZERO
    };

    /// True where the region is one of this operation and its number still holds.
    #[inline]
    pub(super) fn is_of(&self, operation: u32, epoch: u32) -> bool {
        self.operation == operation && self.epoch == epoch
    }
}

impl SpanRegion {
    pub(super) fn new(place: Place, counted: bool) -> Self {
        Self {
            place,
            counted,
            #[cfg(feature = "tracing-opentelemetry-0_34")]
            figures: Figures::new(),
        }
    }

    /// The span is entered in a request, of this address; 0 for none.
    pub(super) fn enter(&mut self, place: Place, request: usize) {
        self.place = place;
        #[cfg(feature = "tracing-opentelemetry-0_34")]
        {
            self.figures.request = request;
        }
        #[cfg(not(feature = "tracing-opentelemetry-0_34"))]
        let _ = request;
    }
}

/// What the span itself will be told when it closes.
#[cfg(feature = "tracing-opentelemetry-0_34")]
#[derive(Debug)]
pub(super) struct Figures {
    /// The request, by an address that it has for itself while it lives; 0 outside of requests.
    pub(super) request: usize,
    /// Changes of the level when the span began.
    changes: u32,
    own: Sums,
    /// Of the spans below that have closed.
    below: Sums,
}

#[cfg(feature = "tracing-opentelemetry-0_34")]
impl Figures {
    fn new() -> Self {
        Self {
            request: 0,
            changes: level::changes(),
            own: Sums::default(),
            below: Sums::default(),
        }
    }

    /// Adds what the span itself cost.
    pub(super) fn add_own(&self, cost: Totals) {
        self.own.add(cost);
    }

    /// Adds what a span below it cost, with those below that one.
    pub(super) fn add_below(&self, cost: Totals) {
        self.below.add(cost);
    }

    pub(super) fn exclusive(&self) -> Totals {
        self.own.get()
    }

    pub(super) fn inclusive(&self) -> Totals {
        let mut sum = self.own.get();
        sum.add(self.below.get());
        sum
    }

    /// False when the level was changed during the span's life: its figures are then not its cost.
    pub(super) fn is_whole(&self) -> bool {
        self.changes == level::changes()
    }
}

/// Sums that several threads may add to while a span is entered on all of them.
#[cfg(feature = "tracing-opentelemetry-0_34")]
#[derive(Debug, Default)]
struct Sums {
    cpu_ns: AtomicI64,
    alloc_bytes: AtomicI64,
    alloc_count: AtomicI64,
}

#[cfg(feature = "tracing-opentelemetry-0_34")]
impl Sums {
    fn add(&self, cost: Totals) {
        self.cpu_ns.fetch_add(cost.cpu_ns, Ordering::Relaxed);
        self.alloc_bytes
            .fetch_add(cost.alloc_bytes, Ordering::Relaxed);
        self.alloc_count
            .fetch_add(cost.alloc_count, Ordering::Relaxed);
    }

    fn get(&self) -> Totals {
        Totals {
            cpu_ns: self.cpu_ns.load(Ordering::Relaxed),
            alloc_bytes: self.alloc_bytes.load(Ordering::Relaxed),
            alloc_count: self.alloc_count.load(Ordering::Relaxed),
        }
    }
}
