//! The tasks of this repository: `cargo xtask help`.

mod browser;
mod checks;
mod clock;
mod context;
mod counts;
mod evidence;
mod gate;
mod install;
mod instructions;
mod lengths;
mod otlp;
mod picture;
mod regenerate;
mod release;
mod say;
mod steps;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::Context;

/// The tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// All tests, the browser's included; installs what is missing and may be installed.
    Test,
    /// The gate: tests, format, lints, docs, dependency rules, build time of the quick start.
    Ci,
    /// Who depends on whom, how many crates the agent adds, how long files are.
    CheckDeps,
    /// The long form of a check; without a name it lists them.
    Evidence {
        /// Which one.
        name: Option<String>,
    },
    /// Counts the instructions that a request takes (needs valgrind) and compares them with the baseline.
    Instructions {
        /// Write the baseline instead, after an intended change.
        #[arg(long)]
        write: bool,
    },
    /// The browser's tests alone, on the reports that the last run of `test` left.
    Browser,
    /// Makes anew what is checked in and made by a program.
    Regenerate {
        /// What: the code of the protocol definitions in wire/src/generated (needs --features regenerate), or the
        /// picture and the excerpt of the demo's report in the README (from what the last run of `test` left).
        #[arg(value_enum, default_value_t = Generated::Wire)]
        what: Generated,
        /// Only compare, and fail when what is checked in is not current.
        #[arg(long)]
        check: bool,
    },
}

/// What is made by a program and checked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Generated {
    /// wire/src/generated
    Wire,
    /// docs/img/report.png and the excerpt in README.md
    Picture,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = Context::new().and_then(|context| match args.task {
        Task::Test => gate::test(&context),
        Task::Ci => gate::ci(&context),
        Task::CheckDeps => checks::check_deps(&context),
        Task::Evidence { name } => evidence::run(&context, name.as_deref()),
        Task::Instructions { write } => instructions::run(&context, write),
        Task::Browser => browser::run(&context),
        Task::Regenerate {
            what: Generated::Wire,
            check,
        } => regenerate::run(&context, check),
        Task::Regenerate {
            what: Generated::Picture,
            check,
        } => picture::run(&context, check),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::line(&format!("\nerror: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
