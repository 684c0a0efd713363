//! What a thread knows of the spans it is inside of.

use std::cell::RefCell;

use super::known::Known;
use super::layer::PLACE;
use super::span::Place;
use super::stack::{Due, Entered, Entering, Left, NEVER_LEFT, Stack};
use super::waiting::Waiting;
use crate::account::Mark;
use crate::ledger::{RegionId, Shard, ledger};
use crate::state;

#[derive(Debug)]
struct Here {
    stack: Stack,
    known: Known,
    waiting: Waiting,
}

thread_local! {
    // Without a destructor: usable until the thread is gone. Never borrowed while anything else is called.
    static HERE: RefCell<Here> = const {
        RefCell::new(Here {
            stack: Stack::new(),
            known: Known::new(),
            waiting: Waiting::new(),
        })
    };
}

#[inline]
fn with<R>(f: impl FnOnce(&mut Here) -> Option<R>) -> Option<R> {
    HERE.try_with(|here| f(&mut *here.try_borrow_mut().ok()?))
        .ok()
        .flatten()
}

/// Whether this span was entered on this thread and not left.
#[inline]
pub(super) fn is_inside(span: u64) -> bool {
    with(|here| Some(here.stack.has(span))).unwrap_or(false)
}

/// Where a span stands that was entered here before, in this operation.
#[inline]
pub(super) fn known(layer: u32, span: u64, operation: u32, epoch: u32) -> Option<Place> {
    with(|here| here.known.get(layer, span, operation, epoch))
}

/// Remembers where an open span stands.
pub(super) fn remember(layer: u32, span: u64, place: Place) {
    with(|here| {
        here.known.put(layer, span, place);
        Some(())
    });
}

/// The region of a span that this thread is inside of, in this operation.
pub(super) fn region_of(span: u64, operation: u32, epoch: u32) -> Option<RegionId> {
    with(|here| here.stack.region_of(span, operation, epoch))
}

/// Makes a span the innermost.
#[inline]
pub(super) fn enter(mark: &Mark, entering: Entering) -> Entered {
    with(|here| Some(here.stack.enter(mark, entering))).unwrap_or(Entered::Full)
}

/// Leaves a span. Its cost waits where it can; what else is to be booked is said.
#[inline]
pub(super) fn leave(mark: Option<&Mark>, span: u64) -> Option<(Left, Option<Due>)> {
    with(|here| {
        let left = here.stack.leave(mark, span)?;
        let due = if left.generation != state::generation() {
            // It was entered under another agent, or before a fork: nobody's.
            None
        } else if left.untold.is_none() && left.due.region != RegionId::NONE {
            here.waiting.add(left.due)
        } else {
            // Nobody may book on this thread for long.
            Some(left.due)
        };
        Some((left, due))
    })
}

/// Leaves the innermost span for whoever kept its guard.
pub(super) fn drop_top() -> Option<Left> {
    with(|here| here.stack.drop_top())
}

/// Books what waits. Called when the thread books to an owner.
#[inline]
pub(crate) fn settle(shard: &mut Shard) {
    with(|here| {
        if !here.waiting.is_empty() {
            here.waiting.book(shard);
        }
        Some(())
    });
}

/// Forgets what waits: it belongs to a stretch of measuring that has ended.
pub(crate) fn forget() {
    with(|here| {
        here.waiting.forget();
        Some(())
    });
}

/// Books what the spans that the thread is inside of cost so far. They stay entered.
pub(crate) fn book_so_far(mark: &Mark, shard: &mut Shard) {
    with(|here| {
        for due in here.stack.take_due(mark) {
            let regions = &mut shard.regions;
            regions.book(due.region, due.cost, due.times, due.weight);
        }
        Some(())
    });
}

/// True while the thread is inside of a span.
#[inline]
pub(crate) fn is_inside_any() -> bool {
    with(|here| Some(!here.stack.is_empty())).unwrap_or(false)
}

/// The thread ends: nobody will leave the spans that it is inside of, nor book what waits.
pub(crate) fn leave_thread(shard: impl FnOnce() -> usize) {
    if with(|here| Some(here.stack.is_empty() && here.waiting.is_empty())).unwrap_or(true) {
        return;
    }
    let mut shard = ledger().shard(shard());
    with(|here| {
        here.waiting.book(&mut shard);
        while let Some(left) = here.stack.drop_top() {
            if left.generation == state::generation() {
                shard.lose(PLACE, NEVER_LEFT, 1);
                let Due {
                    region,
                    cost,
                    times,
                    weight,
                } = left.due;
                shard.regions.book(region, cost, times, weight);
            }
        }
        Some(())
    });
}
