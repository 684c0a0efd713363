//! Writes a page to standard output: `cargo run -p weighbridge-reports --example sample > report.html`.
//!
//! An argument gives the number of services, or a `report.json` whose page is to be made; without one it is the ERP of
//! the demo with invented figures.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/support/sample.rs"]
mod sample;

fn main() {
    let argument = std::env::args().nth(1);
    let document = match argument.as_deref().map(|text| (text, text.parse())) {
        None => sample::erp(),
        Some((_, Ok(0))) => sample::empty(),
        Some((_, Ok(count))) => sample::many(count),
        Some((path, Err(_))) => {
            serde_json::from_reader(std::fs::File::open(path).unwrap()).unwrap()
        }
    };
    println!("{}", weighbridge_reports::html::render(&document));
}
