//! Costs of named owners that a thread has not yet booked.
//!
//! The scheduler and a connection take turns many times within microseconds. Their costs wait here until the
//! thread takes a lock of the tables anyway, goes idle, or has waited for [`PENDING_NS_MAX`]. Until then they
//! are CPU in progress, as what runs on a CPU is.

use crate::ledger::{Cost, OwnerId, Shard};

/// How long a cost may wait, in ns of the thread's CPU time.
pub(super) const PENDING_NS_MAX: i64 = 1_000_000;
/// How many owners may wait.
const OWNERS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Pending(Vec<(OwnerId, Cost)>);

impl Pending {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a cost. True when there is no room for another owner.
    #[inline]
    pub(super) fn add(&mut self, owner: OwnerId, cost: &Cost) -> bool {
        match self.0.iter_mut().find(|(id, _)| *id == owner) {
            Some((_, sum)) => sum.add(cost),
            None => self.0.push((owner, *cost)),
        }
        self.0.len() >= OWNERS_MAX
    }

    #[inline]
    pub(super) fn book(&mut self, shard: &mut Shard) {
        for (owner, cost) in self.0.drain(..) {
            shard.book_owner(owner, &cost);
        }
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
