//! The spans that a thread is inside of. Pieces between two boundaries go to the innermost span of the owner
//! that is current; spans of owners further out wait.

use std::cell::RefCell;
use std::num::NonZeroU64;

use crate::account::{Mark, Totals};
use crate::ledger::limits::REGION_STACK_MAX;
use crate::ledger::{RegionId, Untold};

/// A span that was entered and not yet left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) span: NonZeroU64,
    pub(super) region: RegionId,
    /// Spans that began: 1 at the first entering of a span.
    pub(super) times: i64,
    pub(super) weight: u32,
    /// What it cost itself so far.
    pub(super) cost: Totals,
    stretch: u64,
    /// The owner's totals at the last boundary.
    last: Totals,
}

impl Frame {
    const NONE: Self = Self {
        span: NonZeroU64::MIN,
        region: RegionId::NONE,
        times: 0,
        weight: 1,
        cost: Totals::NONE,
        stretch: 0,
        last: Totals::NONE,
    };
}

/// What a span is entered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entering {
    pub(super) span: NonZeroU64,
    pub(super) region: RegionId,
    pub(super) times: i64,
    pub(super) weight: u32,
}

/// What came of entering.
#[derive(Debug)]
pub(super) enum Entered {
    Yes,
    /// Not yet: this frame is to be booked first.
    FirstTake(Frame),
    /// No room: the cost is part of the span that was entered last.
    Full,
}

/// Why a figure may be off, as reasons of a loss row.
pub(super) const STACK_FULL: &str = "too many spans entered at once";
pub(super) const NEVER_LEFT: &str = "span entered and not left in the same poll";
pub(super) const LEFT_ELSEWHERE: &str = "span left inside another owner";

#[derive(Debug)]
pub(super) struct Stack {
    frames: [Frame; REGION_STACK_MAX],
    len: usize,
}

impl Stack {
    const fn new() -> Self {
        Self {
            frames: [Frame::NONE; REGION_STACK_MAX],
            len: 0,
        }
    }

    fn top(&mut self) -> Option<&mut Frame> {
        self.frames.get_mut(self.len.checked_sub(1)?)
    }

    /// Books the piece that ends with the mark to the innermost span of its stretch.
    fn settle(&mut self, mark: &Mark) {
        if let Some(top) = self.top()
            && top.stretch == mark.stretch
        {
            top.cost.add(mark.totals.since(top.last));
            top.last = mark.totals;
        }
    }

    /// Makes a span the innermost. A frame of a stretch that has ended since is in the way: whoever entered
    /// that span kept the guard beyond the poll. Later stretches have larger numbers.
    pub(super) fn enter(&mut self, mark: &Mark, entering: Entering) -> Entered {
        if let Some(top) = self.top()
            && top.stretch > mark.stretch
        {
            let dead = *top;
            self.len -= 1;
            return Entered::FirstTake(dead);
        }
        self.settle(mark);
        let Some(slot) = self.frames.get_mut(self.len) else {
            return Entered::Full;
        };
        *slot = Frame {
            span: entering.span,
            region: entering.region,
            times: entering.times,
            weight: entering.weight,
            cost: Totals::NONE,
            stretch: mark.stretch,
            last: mark.totals,
        };
        self.len += 1;
        Entered::Yes
    }

    /// True when the span was entered here. Takes no reading.
    pub(super) fn has(&self, span: NonZeroU64) -> bool {
        self.frames.iter().take(self.len).any(|f| f.span == span)
    }

    /// Leaves a span, the innermost or another one: guards may be dropped in any order.
    pub(super) fn leave(
        &mut self,
        mark: Option<&Mark>,
        span: NonZeroU64,
    ) -> Option<(Frame, Untold)> {
        if let Some(mark) = mark {
            self.settle(mark);
        }
        let at = self
            .frames
            .iter()
            .take(self.len)
            .rposition(|frame| frame.span == span)?;
        let frame = *self.frames.get(at)?;
        self.frames.copy_within(at + 1..self.len, at);
        self.len -= 1;
        let Some(mark) = mark else {
            return Some((frame, Some(LEFT_ELSEWHERE)));
        };
        // The piece so far was the one's that was left; the next one's begins here.
        if let Some(top) = self.top()
            && top.stretch == mark.stretch
        {
            top.last = mark.totals;
        }
        let elsewhere = (frame.stretch != mark.stretch).then_some(LEFT_ELSEWHERE);
        Some((frame, elsewhere))
    }
}

thread_local! {
    // Without a destructor: usable until the thread is gone.
    static STACK: RefCell<Stack> = const { RefCell::new(Stack::new()) };
}

/// Runs `f` on this thread's stack. `None` when it is in use further out.
pub(super) fn with<R>(f: impl FnOnce(&mut Stack) -> R) -> Option<R> {
    STACK
        .try_with(|stack| Some(f(&mut *stack.try_borrow_mut().ok()?)))
        .ok()
        .flatten()
}

/// Whether this span was entered on this thread and not left.
#[inline]
pub(super) fn is_inside(span: NonZeroU64) -> bool {
    STACK
        .try_with(|stack| stack.try_borrow().is_ok_and(|stack| stack.has(span)))
        .unwrap_or(false)
}
