//! The load: open-loop and seeded, so that a slow system is not asked less and two runs ask the same.

mod drive;
mod mix;
mod schedule;
mod tally;

pub(crate) use drive::Driver;
pub(crate) use mix::MIX;
pub(crate) use schedule::{ProbeLoad, SHARD_KEY_HEADER, Segment, plan, plan_segment};
pub(crate) use tally::Results;
