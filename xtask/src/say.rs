//! The one place in this crate that prints.
#![allow(
    clippy::print_stdout,
    reason = "tasks talk to the person who ran them; everything goes through here"
)]

use std::io::Write as _;

/// Prints a line at once, so that it stands in order with what child processes print.
pub(crate) fn line(text: &str) {
    println!("{text}");
    let _ = std::io::stdout().flush();
}

/// Prints the title of a step.
pub(crate) fn title(text: &str) {
    line(&format!("\n=== {text}"));
}

/// Prints something that nobody should overlook.
pub(crate) fn loud(text: &str) {
    let rule = "!".repeat(text.chars().count().clamp(10, 100));
    line(&format!("{rule}\n{text}\n{rule}"));
}
