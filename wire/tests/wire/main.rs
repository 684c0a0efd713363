//! What holds for the ledger format as a whole. One binary, for link time.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod fuzz;
mod golden;
mod hostile;
mod merge;
mod oracle;
mod round_trip;
mod samples;
mod spec;
