//! Costs of regions that a thread has not yet booked.
//!
//! A span may be entered many times in a poll. What it cost waits here until the thread books to the request
//! anyway, so that leaving a span takes no lock.

use super::stack::Due;
use crate::account::Totals;
use crate::ledger::{RegionId, Shard};

/// How many regions have a place, each one of its own.
const PLACES: usize = 16;

#[derive(Debug)]
pub(super) struct Waiting {
    due: [Due; PLACES],
    /// One bit per place in use.
    used: u32,
}

impl Waiting {
    /// Of zeros only, so that it takes no memory of a thread that has no regions.
    pub(super) const fn new() -> Self {
        const NOTHING: Due = Due {
            region: RegionId::NONE,
            cost: Totals::NONE,
            times: 0,
            weight: 0,
        };
        Self {
            due: [NOTHING; PLACES],
            used: 0,
        }
    }

    /// Adds a cost. Returns what has to be booked now, because another region had the place.
    #[inline]
    pub(super) fn add(&mut self, due: Due) -> Option<Due> {
        let n = due.region.index() as usize % PLACES;
        let bit = 1 << n;
        let place = self.due.get_mut(n)?;
        if self.used & bit == 0 {
            self.used |= bit;
            *place = due;
            None
        } else if place.region == due.region && place.weight == due.weight {
            place.cost.add(due.cost);
            place.times += due.times;
            None
        } else {
            Some(std::mem::replace(place, due))
        }
    }

    /// Books everything.
    pub(super) fn book(&mut self, shard: &mut Shard) {
        while self.used != 0 {
            let n = self.used.trailing_zeros();
            self.used &= self.used - 1;
            if let Some(due) = self.due.get(n as usize) {
                let regions = &mut shard.regions;
                regions.book(due.region, due.cost, due.times, due.weight);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(super) fn forget(&mut self) {
        self.used = 0;
    }
}
