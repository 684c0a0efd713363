//! Regions: spans of `tracing` that know what they cost.
//!
//! A region is a span inside a request. While it is the innermost span that its request has entered on a
//! thread, CPU time and allocations of the request are its own (*exclusive*); with those of all spans below it
//! in the tree they are *inclusive*. So the exclusive figures of an operation's regions and what lies outside
//! of any span add up to the operation's cost. What another owner spends meanwhile, such as a request polled
//! inside, is never in them.

#[cfg(feature = "tracing-subscriber-0_3")]
mod here;
#[cfg(feature = "tracing-subscriber-0_3")]
mod known;
#[cfg(feature = "tracing-subscriber-0_3")]
mod layer;
mod level;
#[cfg(feature = "tracing-subscriber-0_3")]
mod names;
#[cfg(not(feature = "tracing-subscriber-0_3"))]
mod nowhere;
#[cfg(feature = "tracing-opentelemetry-0_34")]
mod opentelemetry;
#[cfg(feature = "tracing-subscriber-0_3")]
mod span;
#[cfg(feature = "tracing-subscriber-0_3")]
mod stack;
#[cfg(feature = "tracing-subscriber-0_3")]
mod waiting;

#[cfg(feature = "tracing-subscriber-0_3")]
pub(crate) use here::{book_so_far, forget, is_inside_any, leave_thread, settle};
#[cfg(feature = "tracing-subscriber-0_3")]
pub use layer::{Regions, regions};
pub(crate) use level::{ALL, OFF, regions_level, set_regions_level};
#[cfg(not(feature = "tracing-subscriber-0_3"))]
pub(crate) use nowhere::{book_so_far, forget, is_inside_any, leave_thread, settle};

#[cfg(all(test, feature = "tracing-subscriber-0_3"))]
mod tests;
