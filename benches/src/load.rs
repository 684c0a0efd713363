//! Closed-loop load: N requests under way, each next one sent when an answer is whole.

pub mod http1;
pub mod http2;

use std::io;

use crate::child::Server;

/// A load that can be told how many requests to make.
pub trait Load {
    /// Makes this many requests and returns when the last answer is whole.
    ///
    /// # Errors
    /// When a connection breaks or an answer is not 200.
    fn run(&mut self, requests: u64) -> io::Result<()>;
}

/// CPU of the server per request, in microseconds, over a block of `requests`. The server is idle before and
/// after, so that the kernel's figure is exact.
///
/// # Errors
/// When the server is gone or answers wrongly.
pub fn block(server: &mut Server, load: &mut dyn Load, requests: u64) -> io::Result<f64> {
    let before = server.cpu_ns()?;
    load.run(requests)?;
    let spent = server.cpu_ns()? - before;
    Ok(spent as f64 / requests as f64 / 1e3)
}
