//! Writes a sample page to standard output: `cargo run -p weighbridge-reports --example sample > report.html`.
//!
//! An argument gives the number of services; without one it is the ERP of the demo. The figures are invented.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/support/sample.rs"]
mod sample;

fn main() {
    let document = match std::env::args().nth(1).and_then(|count| count.parse().ok()) {
        Some(0) => sample::empty(),
        Some(count) => sample::many(count),
        None => sample::erp(),
    };
    println!("{}", weighbridge_reports::html::render(&document));
}
