//! `demo`, and the processes that it starts.

use std::process::ExitCode;

use weighbridge_demo::{Options, Outcome};

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
    output::data(&shown(&outcome))?;
    Ok(if outcome.passed {
        Exit::Ok
    } else {
        Exit::Failure
    })
}

/// What it says: tables, and the path of the report, which holds a name that was given.
fn shown(outcome: &Outcome) -> String {
    output::visible(&outcome.text)
}

/// Runs one process of the demo.
pub(crate) fn child(args: &DemoChildArgs) -> ExitCode {
    weighbridge_demo::child(&args.args)
}

#[cfg(test)]
mod tests {
    use weighbridge_demo::Outcome;

    use super::shown;

    #[test]
    fn s7_the_path_of_the_report_cannot_steer_the_terminal() {
        let path = std::path::PathBuf::from("x\u{1b}[2J\u{202e}/report.html");
        let said = shown(&Outcome {
            passed: true,
            text: format!("| ✓ found |\n\nReport: {}\n", path.display()),
            report_html: path.clone(),
            report_json: path.with_extension("json"),
        });
        assert_eq!(
            said,
            "| ✓ found |\n\nReport: x\\u{1b}[2J\\u{202e}/report.html\n"
        );
    }
}
