//! Which region a span is: asked once per span, and once per thread of the table.

use std::cell::RefCell;
use std::ptr;
use std::sync::Arc;

use tracing::Metadata;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::layer::count;
use super::span::{NO_OPERATION, Place, SpanRegion};
use crate::account::Mark;
use crate::bill::Bill;
use crate::ledger::limits::REGION_DEPTH_MAX;
use crate::ledger::{RegionId, TOO_DEEP, Untold, ledger};

/// The region of a span in the owner that is current, and 1 when it is the span's first time there.
#[inline]
pub(super) fn of_span<'a, R>(span: &SpanRef<'a, R>, mark: &Mark) -> (RegionId, i64)
where
    R: LookupSpan<'a>,
{
    let epoch = ledger().regions.epoch();
    let operation = mark.operation.unwrap_or(NO_OPERATION);
    if let Some(known) = span.extensions().get::<SpanRegion>()
        && known.place.operation == operation
        && known.place.epoch == epoch
    {
        return (known.place.region, 0);
    }
    of_new_span(span, operation, epoch)
}

fn of_new_span<'a, R>(span: &SpanRef<'a, R>, operation: u32, epoch: u32) -> (RegionId, i64)
where
    R: LookupSpan<'a>,
{
    let bill = Bill::current();
    let (region, untold) = match &bill {
        Some(bill) => find(span, bill, operation, epoch),
        None => (RegionId::NONE, None),
    };
    count(untold);
    let place = Place {
        operation,
        request: bill.as_ref().map_or(0, |bill| Arc::as_ptr(bill).addr()),
        region,
        epoch,
    };
    let mut extensions = span.extensions_mut();
    let first = match extensions.get_mut::<SpanRegion>() {
        Some(known) => {
            known.place = place;
            !std::mem::replace(&mut known.counted, bill.is_some())
        }
        None => {
            let mut region = SpanRegion::new(place);
            region.counted = bill.is_some();
            extensions.insert(region);
            true
        }
    };
    // What is part of the region outside is not one more of that.
    (region, i64::from(first && untold != Some(TOO_DEEP)))
}

fn find<'a, R>(span: &SpanRef<'a, R>, bill: &Bill, operation: u32, epoch: u32) -> (RegionId, Untold)
where
    R: LookupSpan<'a>,
{
    // The nearest span outside that ran in this operation, on whatever thread.
    let parent = span
        .scope()
        .skip(1)
        .take(REGION_DEPTH_MAX)
        .find_map(|outer| {
            let extensions = outer.extensions();
            let place = extensions.get::<SpanRegion>()?.place;
            (place.operation == operation && place.epoch == epoch).then_some(place.region)
        });
    let asked = Asked {
        epoch,
        operation,
        parent,
        callsite: ptr::from_ref(span.metadata()).addr(),
    };
    CACHE
        .try_with(|cache| {
            let mut cache = cache.try_borrow_mut().ok()?;
            let slot = cache.get_mut(asked.slot())?;
            if let Some((known, answer)) = slot
                && *known == asked
            {
                return Some(*answer);
            }
            let answer = ask(span.metadata(), bill, parent);
            *slot = Some((asked, answer));
            Some(answer)
        })
        .ok()
        .flatten()
        .unwrap_or_else(|| ask(span.metadata(), bill, parent))
}

fn ask(
    metadata: &'static Metadata<'static>,
    bill: &Bill,
    parent: Option<RegionId>,
) -> (RegionId, Untold) {
    ledger()
        .regions
        .region(&bill.operation_name(), parent, metadata.name())
}

/// What a thread remembers an answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    epoch: u32,
    operation: u32,
    parent: Option<RegionId>,
    /// Address of the span's metadata.
    callsite: usize,
}

impl Asked {
    fn slot(&self) -> usize {
        let parent = self.parent.map_or(0, RegionId::index);
        let mixed = (self.callsite >> 4)
            .wrapping_add((self.operation as usize).wrapping_mul(0x9e37_79b1))
            .wrapping_add((parent as usize).wrapping_mul(0x85eb_ca77));
        (mixed ^ (mixed >> 7)) % REMEMBERED
    }
}

/// Answers that a thread remembers, each at a place of its own.
const REMEMBERED: usize = 128;

type Answers = [Option<(Asked, (RegionId, Untold))>; REMEMBERED];

thread_local! {
    // Without a destructor: usable until the thread is gone.
    static CACHE: RefCell<Answers> = const { RefCell::new([None; REMEMBERED]) };
}
