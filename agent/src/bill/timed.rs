//! What the agent's own work on bills costs: opening them, booking into them, closing them.
//!
//! One bill in [`TIMED`] is timed, by the wall clock, and counts for all of them. Which one is told by the last bits of
//! the instant at which it began, which nothing the host does chooses.

use std::sync::Arc;

use super::Bill;
use crate::ledger::{Shard, ledger};
use crate::{account, clock};

/// One bill in so many: a power of two.
const TIMED: u64 = 256;
/// Longer than any work on a bill; the rest is a thread that was preempted, or waited for a lock.
const PIECE_NS_MAX: u64 = 20_000;

/// A piece of work on a bill that is timed.
#[derive(Debug)]
pub(super) struct Timed {
    begun_ns: u64,
}

impl Timed {
    /// Begins a piece for a bill that began at this instant, if it is one of those that are timed.
    #[inline]
    pub(super) fn begin(start_ns: u64) -> Option<Self> {
        start_ns.is_multiple_of(TIMED).then(Self::now)
    }

    #[cold]
    fn now() -> Self {
        Self {
            begun_ns: clock::monotonic_ns(),
        }
    }

    /// Ends the piece, if there is one, with what was made in it.
    #[inline]
    pub(super) fn end_with(timed: Option<Self>, bill: Arc<Bill>) -> Arc<Bill> {
        if let Some(timed) = timed
            && bill.is_recorded()
        {
            timed.end(&mut ledger().shard(account::shard_here()));
        }
        bill
    }

    /// Ends the piece.
    #[cold]
    pub(super) fn end(self, shard: &mut Shard) {
        let took_ns = clock::monotonic_ns().saturating_sub(self.begun_ns);
        shard.bills_ns += TIMED * took_ns.min(PIECE_NS_MAX);
    }
}
