//! The load: open-loop and seeded, so that a slow system is not asked less and two runs ask the same.

mod drive;
mod mix;
mod schedule;
mod tally;

pub(crate) use drive::drive;
pub(crate) use tally::{OriginResult, Results};
