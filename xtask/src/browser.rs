//! The demo's report, seen in a browser.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::context::Context;
use crate::install::{self, CHROMIUM, NODE, NPM};
use crate::steps::Outcome;

/// Where the demo test leaves its report for this step.
pub(crate) fn report_dir(context: &Context) -> PathBuf {
    context.target.join("xtask").join("demo-report")
}

/// Opens the report at two widths, light and dark, and fails on script errors, requests and overflow.
pub(crate) fn check(context: &Context, report: &Path) -> Result<Outcome> {
    let folder = context.root.join("tests").join("browser");
    let missing = install::ensure(context, &[CHROMIUM, NODE, NPM])?;
    if !missing.is_empty() {
        return Ok(Outcome::Skipped(format!(
            "missing: {}; install them (Debian: apt-get install {})",
            missing.join(", "),
            missing.join(" ")
        )));
    }
    if !report.is_file() {
        bail!(
            "{} is not there: the demo test writes it, so see why that test failed",
            report.display()
        );
    }
    let modules = folder.join("node_modules").join("playwright-core");
    if !modules.is_dir() {
        let mut npm = context.command("npm");
        npm.current_dir(&folder)
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        if let Err(error) = context.run(&mut npm) {
            return Ok(Outcome::Skipped(format!(
                "playwright-core cannot be fetched: {error:#}"
            )));
        }
    }
    let screenshots = context.target.join("xtask").join("screenshots");
    std::fs::create_dir_all(&screenshots)?;
    let mut node = context.command("node");
    node.arg(folder.join("check-report.mjs"))
        .arg(report)
        .arg(&screenshots);
    context.run(&mut node)?;
    Ok(Outcome::Passed)
}
