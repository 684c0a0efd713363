//! Harness of the integration tests: patience instead of sleeps, child processes that end with the test,
//! the `weighbridge` binary, a sink that keeps what agents deliver, and HTTP as bytes.
//!
//! Tests listen on port 0 of the loopback interface and keep their files in a directory of their own, so
//! they run side by side.

mod binary;
mod child;
mod clock;
mod collector;
mod fixture;
pub mod http;
mod patience;
pub mod rows;
mod sink;

pub use binary::{new_dir, weighbridge, workspace_root};
pub use child::{Child, Ended, signal_process};
pub use clock::unix_ns;
pub use collector::Collector;
pub use fixture::{Counted, Fixture};
pub use patience::{Patience, patience};
pub use sink::CaptureSink;
