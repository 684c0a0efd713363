//! `completions`.

use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs};
use crate::exit::{Exit, Stop};
use crate::output;

/// Prints the completions of a shell.
pub(crate) fn run(args: &CompletionsArgs) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "weighbridge", &mut script);
    output::data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
