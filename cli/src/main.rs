//! `weighbridge`: the one binary. Each subcommand is a thin file over a library; see `weighbridge help`.

mod args;
mod commands;
mod exit;
mod logging;
mod output;
mod runtime;

use std::process::ExitCode;

use clap::Parser as _;

use args::Args;

/// The collector and the demo weigh themselves; inert for everything else.
#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(help_or_error) => {
            // Help goes to standard output with 0, errors to standard error with 2.
            output::usage(&help_or_error);
            return u8::try_from(help_or_error.exit_code())
                .map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    commands::run(args.command)
}
