//! The one place in this crate that prints.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "benches talk to the person who ran them; everything goes through here"
)]

use std::io::Write as _;

/// Prints a line to standard output at once.
pub fn line(text: &str) {
    println!("{text}");
    let _ = std::io::stdout().flush();
}

/// Prints a line to standard error: what happens meanwhile.
pub fn note(text: &str) {
    eprintln!("{text}");
}
