//! The demo without the command line: `cargo run -p weighbridge-demo --example demo -- [SECONDS] [OUT]`.
#![allow(clippy::print_stdout, reason = "an example speaks to who runs it")]

use std::path::PathBuf;
use std::process::ExitCode;

use weighbridge_demo::Options;

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|first| first == "demo-child").is_some() {
        return weighbridge_demo::child(&args.collect::<Vec<_>>());
    }
    let mut options = Options {
        out: PathBuf::from("target/demo"),
        ..Options::default()
    };
    options.verify = args.next_if(|first| first == "--verify").is_some();
    if let Some(seconds) = args.next().and_then(|text| text.parse().ok()) {
        options.seconds = seconds;
    }
    if let Some(out) = args.next() {
        options.out = PathBuf::from(out);
    }
    options.placement = args.next().map(PathBuf::from);
    options.kill_collector_at = args.next().and_then(|text| text.parse().ok());
    match weighbridge_demo::run(options) {
        Ok(outcome) => {
            println!("{}", outcome.text);
            if outcome.passed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
