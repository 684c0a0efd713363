//! Who retains how much.

use std::collections::HashMap;

use super::live::LIVE;
use super::sampling::{Estimate, mean_bytes};

/// To whom an allocation belongs: the owner that was current on the thread when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// No account was current.
    Nobody,
    /// A request, by the id of its operation.
    Operation(u32),
    /// A connection, pool, driver, background work, the runtime or the agent.
    Named(u32),
}

/// Tells named owners from operations.
const NAMED: u32 = 1 << 31;

impl Holder {
    /// The holder as one number. Ids are bounded by tables far below 2^31.
    #[inline]
    pub(crate) fn tag(self) -> u32 {
        match self {
            Self::Nobody => 0,
            Self::Operation(id) => (id & !NAMED).wrapping_add(1),
            Self::Named(id) => id | NAMED,
        }
    }

    fn of(tag: u32) -> Self {
        match tag {
            0 => Self::Nobody,
            named if named & NAMED != 0 => Self::Named(named & !NAMED),
            operation => Self::Operation(operation - 1),
        }
    }
}

/// The samples alive at one instant, added up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retained {
    /// One sample in so many bytes.
    pub(crate) mean_bytes: f64,
    /// Estimates; a holder of no live sample is missing.
    pub(crate) by_holder: HashMap<Holder, Estimate>,
    /// Samples without room since the last call.
    pub(crate) lost: u64,
}

/// What is retained now; `None` while nothing is sampled.
pub(crate) fn retained() -> Option<Retained> {
    let mean_bytes = mean_bytes()?;
    // The map grows while the table is read; the tags come out first, so that none of its own allocations
    // is met halfway.
    let mut samples = Vec::new();
    LIVE.for_each(|sample| samples.push(sample));
    let mut retained = Retained {
        mean_bytes,
        lost: LIVE.take_lost(),
        ..Retained::default()
    };
    for sample in samples {
        retained
            .by_holder
            .entry(Holder::of(sample.owner))
            .or_default()
            .add(sample.size_bytes, mean_bytes);
    }
    Some(retained)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_one_number() {
        for holder in [
            Holder::Nobody,
            Holder::Operation(0),
            Holder::Operation(1),
            Holder::Operation(u32::MAX >> 2),
            Holder::Named(0),
            Holder::Named(77),
        ] {
            assert_eq!(Holder::of(holder.tag()), holder);
        }
    }
}
