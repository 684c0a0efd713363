//! `demo`, and the processes that it starts.

use std::process::ExitCode;

use weighbridge_demo::Options;

use crate::args::{DemoArgs, DemoChildArgs};
use crate::exit::{Exit, Stop};
use crate::output;

/// Runs the demo and prints its verdict table.
pub(crate) fn run(args: DemoArgs) -> Result<Exit, Stop> {
    let outcome = weighbridge_demo::run(Options {
        seconds: args.seconds,
        seed: args.seed,
        out: args.out,
        placement: args.placement,
        verify: args.verify,
        rounds: args.rounds,
        only: args.only,
        open: args.open,
        kill_collector_at: args.kill_collector_at,
    })?;
    output::data(&outcome.text)?;
    Ok(if outcome.passed {
        Exit::Ok
    } else {
        Exit::Failure
    })
}

/// Runs one process of the demo.
pub(crate) fn child(args: &DemoChildArgs) -> ExitCode {
    weighbridge_demo::child(&args.args)
}
