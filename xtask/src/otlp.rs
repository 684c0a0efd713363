//! OpenTelemetry's SDKs as clients of the collector: installed into the target directory, never into the tree.

use std::fs;

use anyhow::Result;

use crate::context::{Context, installed};
use crate::install::{self, NODE, NPM};
use crate::steps::{Outcome, Tests};

/// Installs what is missing and runs the tests that need it.
pub(crate) fn check(context: &Context, tests: &mut Tests) -> Result<Outcome> {
    let folder = context.root.join("tests").join("otlp");
    let python = context.target.join("xtask").join("otlp-python");
    let node = context.target.join("xtask").join("otlp-node");
    let missing = install::ensure(context, &[NODE, NPM])?;
    if !missing.is_empty() || !installed("python3") {
        return Ok(Outcome::Skipped(format!(
            "missing: python3 or {}",
            missing.join(", ")
        )));
    }
    let fetched = || -> Result<()> {
        let interpreter = python.join("bin").join("python3");
        if !interpreter.is_file() {
            context.run(context.command("python3").args(["-m", "venv"]).arg(&python))?;
        }
        let mut pip = context.command(interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(folder.join("requirements.txt"));
        context.run(&mut pip)?;
        fs::create_dir_all(&node)?;
        for file in ["package.json", "package-lock.json", "client.mjs"] {
            fs::copy(folder.join(file), node.join(file))?;
        }
        let mut npm = context.command("npm");
        npm.current_dir(&node)
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        context.run(&mut npm)
    };
    if let Err(error) = fetched() {
        return Ok(Outcome::Skipped(format!(
            "the SDKs cannot be fetched: {error:#}"
        )));
    }
    let mut cargo = context.cargo();
    cargo
        .env(
            "WEIGHBRIDGE_OTLP_PYTHON",
            python.join("bin").join("python3"),
        )
        .env("WEIGHBRIDGE_OTLP_NODE", &node)
        // As all tests are built, so that nothing is built again with other features.
        .args(["test", "--locked", "--workspace", "--test", "it"])
        .args(["--", "--ignored", "otlp_sdk"]);
    context.run_lines(&mut cargo, |line| tests.read_line(line))?;
    Ok(Outcome::Passed)
}
