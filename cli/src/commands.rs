//! One file per subcommand; each is thin over a library.

mod collect;
mod completions;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod diff;
mod doctor;
mod report;
mod simulate;
mod snapshot;

use std::process::ExitCode;

use crate::args::Command;
use crate::output;

/// Does what was asked, and says why when it cannot.
pub(crate) fn run(command: Command) -> ExitCode {
    let result = match command {
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args),
        #[cfg(feature = "demo")]
        Command::DemoChild(args) => return demo::child(&args),
        Command::Collect(args) => collect::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Snapshot(args) => snapshot::take(&args),
        Command::Restore(args) => snapshot::restore(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::CheckConfig(args) => config::check(&args),
        Command::PrintConfig(args) => config::print(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(stop) => {
            output::error(&stop.message);
            stop.exit.into()
        }
    }
}
