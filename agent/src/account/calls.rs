//! Which part of what a thread spends for its owner stands on the edges of calls.
//!
//! A request's protocol and io CPU is that of its own exchange, and that of the calls that it makes. The bill holds
//! both in one sum per class, since both are the request's; on edges each must stand once.

use std::cell::Cell;

use weighbridge_wire::Class;

/// The classes that a call's polls spend and its edge shows as they are found.
pub(super) const OF_CALLS: [Class; 2] = [Class::Protocol, Class::Io];

/// CPU by the classes of [`OF_CALLS`], in ns.
pub(crate) type MessageNs = [i64; OF_CALLS.len()];

/// What a piece of a call that runs around another one had spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OuterCall(Option<MessageNs>);

impl OuterCall {
    /// True when there is such a piece.
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

/// The pieces of calls on one thread. They nest; the innermost has what is spent.
pub(super) struct OfCalls {
    /// The totals since which what is spent is the innermost piece's; `None` while no call works.
    from: Cell<Option<MessageNs>>,
    /// What that piece had spent by then.
    piece_ns: Cell<MessageNs>,
    /// What pieces of the current owner's calls have spent since somebody took it.
    spent_ns: Cell<MessageNs>,
}

impl OfCalls {
    pub(super) const fn new() -> Self {
        Self {
            from: Cell::new(None),
            piece_ns: Cell::new([0; OF_CALLS.len()]),
            spent_ns: Cell::new([0; OF_CALLS.len()]),
        }
    }

    /// True while a piece of a call of the current owner is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.from.get().is_some()
    }

    /// A piece begins; the one around it has a rest.
    pub(super) fn begin(&self, totals: MessageNs) -> OuterCall {
        let outer = OuterCall(self.rest(totals).then(|| self.piece_ns.get()));
        self.come_back([0; OF_CALLS.len()], totals);
        outer
    }

    /// The innermost piece ends: what it spent. The one around it goes on.
    pub(super) fn end(&self, outer: OuterCall, totals: MessageNs) -> MessageNs {
        self.rest(totals);
        let spent = self.piece_ns.replace([0; OF_CALLS.len()]);
        if let Some(piece_ns) = outer.0 {
            self.come_back(piece_ns, totals);
        }
        spent
    }

    /// What a piece has spent stands on no call's edge after all.
    pub(super) fn give_back(&self, ns: MessageNs) {
        self.spent_ns.set(minus(self.spent_ns.get(), ns));
    }

    /// What calls have spent since the last taking.
    #[inline]
    pub(super) fn take(&self, totals: impl FnOnce() -> MessageNs) -> MessageNs {
        if self.from.get().is_some() {
            let totals = totals();
            self.rest(totals);
            self.from.set(Some(totals));
        }
        self.spent_ns.take()
    }

    /// Nothing that was spent so far is anybody's.
    pub(super) fn forget(&self) {
        self.spent_ns.set([0; OF_CALLS.len()]);
    }

    /// The owner is left, after its costs were taken. What its piece of a call has spent, if one was under way.
    #[inline]
    pub(super) fn leave(&self) -> Option<MessageNs> {
        self.from.take().map(|_| self.piece_ns.take())
    }

    /// The owner is back in the midst of a piece.
    pub(super) fn come_back(&self, piece_ns: MessageNs, totals: MessageNs) {
        self.piece_ns.set(piece_ns);
        self.from.set(Some(totals));
    }

    /// Counts up to these totals; true when a piece was under way, which it no longer is.
    fn rest(&self, totals: MessageNs) -> bool {
        let Some(from) = self.from.take() else {
            return false;
        };
        let ns = minus(totals, from);
        for sum in [&self.piece_ns, &self.spent_ns] {
            sum.set(plus(sum.get(), ns));
        }
        true
    }
}

fn plus(a: MessageNs, b: MessageNs) -> MessageNs {
    std::array::from_fn(|class| a[class] + b[class])
}

fn minus(a: MessageNs, b: MessageNs) -> MessageNs {
    std::array::from_fn(|class| a[class] - b[class])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_nest_and_other_owners_interrupt_them() {
        let calls = OfCalls::new();
        let outer = calls.begin([100, 0]);
        let inner = calls.begin([110, 5]);
        // Another owner comes in between and spends 50.
        assert_eq!(calls.take(|| [120, 5]), [20, 5]);
        let left = calls.leave().expect("a piece is under way");
        assert_eq!(calls.take(|| [170, 5]), [0, 0], "the other makes no call");
        assert!(calls.leave().is_none());
        calls.come_back(left, [170, 5]);
        assert_eq!(calls.end(inner, [171, 6]), [11, 1]);
        assert_eq!(calls.end(outer, [173, 6]), [12, 5]);
        assert_eq!(calls.take(|| [999, 999]), [3, 1], "since the last taking");
    }

    #[test]
    fn what_no_edge_shows_is_given_back() {
        let calls = OfCalls::new();
        let outer = calls.begin([0, 0]);
        let spent = calls.end(outer, [7, 2]);
        calls.give_back(spent);
        assert_eq!(calls.take(|| [9, 9]), [0, 0]);
    }
}
