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
    /// Compiles the protocol definitions to wire/src/generated (needs --features regenerate).
    Regenerate {
        /// Only compare, and fail when the checked-in code is not current.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = Context::new().and_then(|context| match args.task {
        Task::Test => gate::test(&context),
        Task::Ci => gate::ci(&context),
        Task::CheckDeps => checks::check_deps(&context),
        Task::Evidence { name } => evidence::run(&context, name.as_deref()),
        Task::Instructions { write } => instructions::run(&context, write),
        Task::Regenerate { check } => regenerate::run(&context, check),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::line(&format!("\nerror: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
