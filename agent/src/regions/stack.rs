//! The spans that a thread is inside of. Pieces between two boundaries go to the innermost span of the owner
//! that is current; spans of owners further out wait.

use super::span::Place;
use crate::account::{Mark, Totals};
use crate::ledger::limits::REGION_STACK_MAX;
use crate::ledger::{RegionId, Untold};

/// A span that was entered and not yet left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// What it was entered with.
    pub(super) entered: Entering,
    /// What it cost itself so far, and how much of that is in the books.
    pub(super) cost: Totals,
    booked: Totals,
    stretch: u64,
    /// The owner's totals at the last boundary.
    last: Totals,
}

impl Frame {
    /// Of zeros only: a thread that enters no span takes no memory for its stack.
    const NONE: Self = Self {
        entered: Entering {
            span: 0,
            place: Place::ZERO,
            times: 0,
            weight: 0,
            generation: 0,
        },
        cost: Totals::NONE,
        booked: Totals::NONE,
        stretch: 0,
        last: Totals::NONE,
    };

    /// What is not in the books yet; from now on it is.
    fn take_due(&mut self) -> Due {
        let cost = self.cost.since(self.booked);
        self.booked = self.cost;
        Due {
            region: self.entered.place.region,
            cost,
            times: std::mem::take(&mut self.entered.times),
            weight: self.entered.weight,
        }
    }
}

/// What a span is entered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entering {
    pub(super) span: u64,
    pub(super) place: Place,
    /// Spans that began: 1 at the first entering of a span.
    pub(super) times: i64,
    pub(super) weight: u32,
    /// The stretch of measuring: what was entered in another one is nobody's any more.
    pub(super) generation: u32,
}

/// A cost to be booked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) region: RegionId,
    pub(super) cost: Totals,
    pub(super) times: i64,
    pub(super) weight: u32,
}

/// What came of entering.
#[derive(Debug)]
pub(super) enum Entered {
    Yes,
    /// Not yet: a span is in the way that is to be left first.
    InTheWay,
    /// No room: the cost is part of the span that was entered last.
    Full,
}

/// A span that was left.
#[derive(Debug)]
pub(super) struct Left {
    /// What it cost itself since it was entered.
    pub(super) cost: Totals,
    /// What of it is to be booked.
    pub(super) due: Due,
    pub(super) span: u64,
    pub(super) generation: u32,
    pub(super) untold: Untold,
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
    pub(super) const fn new() -> Self {
        Self {
            frames: [Frame::NONE; REGION_STACK_MAX],
            len: 0,
        }
    }

    fn entered(&self) -> &[Frame] {
        self.frames.get(..self.len).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn top(&mut self) -> Option<&mut Frame> {
        self.frames.get_mut(self.len.checked_sub(1)?)
    }

    /// Books the piece that ends with the mark to the innermost span of its stretch.
    #[inline]
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
    #[inline]
    pub(super) fn enter(&mut self, mark: &Mark, entering: Entering) -> Entered {
        if let Some(top) = self.top()
            && top.stretch > mark.stretch
        {
            return Entered::InTheWay;
        }
        self.settle(mark);
        let Some(slot) = self.frames.get_mut(self.len) else {
            return Entered::Full;
        };
        *slot = Frame {
            entered: entering,
            cost: Totals::NONE,
            booked: Totals::NONE,
            stretch: mark.stretch,
            last: mark.totals,
        };
        self.len += 1;
        Entered::Yes
    }

    /// True when the span was entered here. Takes no reading.
    #[inline]
    pub(super) fn has(&self, span: u64) -> bool {
        self.entered()
            .iter()
            .rev()
            .any(|frame| frame.entered.span == span)
    }

    /// The region of a span that was entered here inside this operation.
    pub(super) fn region_of(&self, span: u64, operation: u32, epoch: u32) -> Option<RegionId> {
        let is_it = |frame: &&Frame| {
            frame.entered.span == span && frame.entered.place.is_of(operation, epoch)
        };
        let found = self.entered().iter().rev().find(is_it)?;
        Some(found.entered.place.region)
    }

    /// Leaves a span, the innermost or another one: guards may be dropped in any order.
    #[inline]
    pub(super) fn leave(&mut self, mark: Option<&Mark>, span: u64) -> Option<Left> {
        if let Some(mark) = mark {
            self.settle(mark);
        }
        let at = self.len.checked_sub(1)?;
        let left = match self.frames.get_mut(at) {
            Some(top) if top.entered.span == span => self.pop(mark),
            _ => self.leave_inner(mark, span),
        }?;
        // The piece so far was the one's that was left; the next one's begins here.
        if let Some(mark) = mark
            && let Some(top) = self.top()
            && top.stretch == mark.stretch
        {
            top.last = mark.totals;
        }
        Some(left)
    }

    /// Leaves the innermost span.
    #[inline]
    fn pop(&mut self, mark: Option<&Mark>) -> Option<Left> {
        let top = self.top()?;
        let elsewhere = mark.is_none_or(|mark| mark.stretch != top.stretch);
        let left = Left {
            cost: top.cost,
            due: top.take_due(),
            span: top.entered.span,
            generation: top.entered.generation,
            untold: elsewhere.then_some(LEFT_ELSEWHERE),
        };
        self.len -= 1;
        Some(left)
    }

    #[cold]
    #[inline(never)]
    fn leave_inner(&mut self, mark: Option<&Mark>, span: u64) -> Option<Left> {
        let at = self
            .entered()
            .iter()
            .rposition(|frame| frame.entered.span == span)?;
        // It comes to the top, and those above keep their order.
        self.frames.get_mut(at..self.len)?.rotate_left(1);
        self.pop(mark)
    }

    /// Leaves the innermost span on behalf of whoever kept its guard.
    pub(super) fn drop_top(&mut self) -> Option<Left> {
        let mut left = self.pop(None)?;
        left.untold = Some(NEVER_LEFT);
        Some(left)
    }

    /// What the spans inside cost so far and is not in the books, each once. They stay entered.
    pub(super) fn take_due<'a>(&'a mut self, mark: &Mark) -> impl Iterator<Item = Due> + 'a {
        self.settle(mark);
        let generation = crate::state::generation();
        self.frames
            .iter_mut()
            .take(self.len)
            .filter(move |frame| frame.entered.generation == generation)
            .map(Frame::take_due)
    }
}
