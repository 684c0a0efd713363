//! Which region a span is: asked once per span, and once per thread of the table.

use std::cell::RefCell;
use std::ptr;

use tracing::Metadata;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::here;
use super::layer::count;
use super::span::{Place, SpanRegion};
use crate::account::{self, OwnerRef};
use crate::bill::Bill;
use crate::ledger::limits::REGION_DEPTH_MAX;
use crate::ledger::{RegionId, TOO_DEEP, Untold, ledger};

/// Where a span stands in the operation that is current, and 1 when it is the span's first time there.
///
/// Its extensions are looked at once and last: no lock of theirs is held while another one is taken.
pub(super) fn of_span<'a, R>(span: &SpanRef<'a, R>, operation: u32, epoch: u32) -> (Place, i64)
where
    R: LookupSpan<'a>,
{
    // No reference of our own to the request is needed for it.
    let found = account::with_current_owner(|owner| match owner {
        Some(OwnerRef::Bill(bill)) => {
            let (region, untold) = find(span, bill, operation, epoch);
            Some((region, untold, ptr::from_ref::<Bill>(bill).addr()))
        }
        _ => None,
    });
    let in_request = found.flatten();
    let (region, untold, request) = in_request.unwrap_or((RegionId::NONE, None, 0));
    let place = Place {
        operation,
        epoch,
        region,
    };
    let counted = {
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<SpanRegion>() {
            Some(known) if known.place.is_of(operation, epoch) => return (known.place, 0),
            Some(known) => {
                known.enter(place, request);
                let counted = known.counted;
                known.counted |= in_request.is_some();
                counted
            }
            None => {
                let mut new = SpanRegion::new(place, in_request.is_some());
                new.enter(place, request);
                extensions.insert(new);
                false
            }
        }
    };
    count(untold);
    // What is part of the region outside is not one more of that.
    let first = in_request.is_some() && !counted && untold != Some(TOO_DEEP);
    (place, i64::from(first))
}

fn find<'a, R>(span: &SpanRef<'a, R>, bill: &Bill, operation: u32, epoch: u32) -> (RegionId, Untold)
where
    R: LookupSpan<'a>,
{
    // The nearest span outside that ran in this operation, on whatever thread.
    let parent = std::iter::successors(span.parent(), SpanRef::parent)
        .take(REGION_DEPTH_MAX)
        .find_map(|outer| {
            if let Some(region) = here::region_of(outer.id().into_u64(), operation, epoch) {
                return Some(region);
            }
            let extensions = outer.extensions();
            let place = extensions.get::<SpanRegion>()?.place;
            place.is_of(operation, epoch).then_some(place.region)
        });
    let asked = Asked {
        epoch,
        operation,
        parent: parent.unwrap_or(RegionId::NONE),
        callsite: ptr::from_ref(span.metadata()).addr(),
    };
    CACHE
        .try_with(|cache| {
            let mut cache = cache.try_borrow_mut().ok()?;
            let slot = cache.get_mut(asked.slot())?;
            if slot.asked == asked {
                return Some((slot.region, slot.untold));
            }
            let (region, untold) = ask(span.metadata(), bill, parent);
            *slot = Answer {
                asked,
                region,
                untold,
            };
            Some((region, untold))
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
    /// [`RegionId::NONE`] at the top.
    parent: RegionId,
    /// Address of the span's metadata; 0 where nothing was asked yet.
    callsite: usize,
}

impl Asked {
    fn slot(&self) -> usize {
        let mixed = (self.callsite >> 4)
            .wrapping_add((self.operation as usize).wrapping_mul(0x9e37_79b1))
            .wrapping_add((self.parent.index() as usize).wrapping_mul(0x85eb_ca77));
        (mixed ^ (mixed >> 7)) % REMEMBERED
    }
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    asked: Asked,
    region: RegionId,
    untold: Untold,
}

impl Answer {
    /// Of zeros only: a thread that enters no span takes no memory for them.
    const NONE: Self = Self {
        asked: Asked {
            epoch: 0,
            operation: 0,
            parent: RegionId::NONE,
            callsite: 0,
        },
        region: RegionId::NONE,
        untold: None,
    };
}

/// Answers that a thread remembers, each at a place of its own.
const REMEMBERED: usize = 128;

thread_local! {
    // Without a destructor: usable until the thread is gone.
    static CACHE: RefCell<[Answer; REMEMBERED]> = const { RefCell::new([Answer::NONE; REMEMBERED]) };
}
