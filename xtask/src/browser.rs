//! The demo's report and the live page, seen in a browser.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::context::Context;
use crate::install::{self, CHROMIUM, NODE, NPM};
use crate::steps::Outcome;

/// Where the demo test leaves its report for this step.
pub(crate) fn report_dir(context: &Context) -> PathBuf {
    context.target.join("xtask").join("demo-report")
}

/// Opens the report at several widths, light, dark and as print, and the live page of a collector; fails on script
/// errors, requests, overflow, what axe-core finds, and figures that differ from the model's.
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
    let modules = folder.join("node_modules");
    let present = |module: &str| modules.join(module).is_dir();
    if !present("playwright-core") || !present("axe-core") {
        let mut npm = context.command("npm");
        npm.current_dir(&folder)
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        if let Err(error) = context.run(&mut npm) {
            return Ok(Outcome::Skipped(format!(
                "playwright-core and axe-core cannot be fetched: {error:#}"
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
    let mut node = context.command("node");
    node.arg(folder.join("check-live.mjs"))
        .arg(context.binary("release"))
        .arg(&screenshots);
    context.run(&mut node)?;
    Ok(Outcome::Passed)
}
