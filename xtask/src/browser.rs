//! Reports and the live page, seen in a browser.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::install::{self, CHROMIUM, NODE, NPM};
use crate::say;
use crate::steps::{Outcome, Steps};

/// Where the tests leave reports for this step: the demo's with its ledger, and those of generated rollups.
pub(crate) fn report_dir(context: &Context) -> PathBuf {
    context.target.join("xtask").join("demo-report")
}

/// Where pictures of every section are kept, to be looked at.
fn screenshots(context: &Context) -> PathBuf {
    context.target.join("xtask").join("screenshots")
}

/// The step alone, on the reports that the last run of the tests left.
pub(crate) fn run(context: &Context) -> Result<()> {
    let mut steps = Steps::new(context.strict);
    steps.run_or_skip("reports and the live page in a browser", |_| check(context));
    steps.finish()
}

/// Opens the demo's report at several widths, light, dark and as print, the reports of generated rollups, and the live
/// page of a collector; fails on script errors, requests, overflow, what axe-core finds, and figures that differ from
/// the model's.
pub(crate) fn check(context: &Context) -> Result<Outcome> {
    if let Some(skipped) = prepare(context)? {
        return Ok(skipped);
    }
    let reports = report_dir(context);
    let (report, ledger) = (reports.join("report.html"), reports.join("ledger"));
    let generated = reports.join("generated");
    for (path, test) in [
        (&report, "the demo test"),
        (&ledger, "the demo test"),
        (&generated, "reports/tests/generated.rs"),
    ] {
        present(path, test)?;
    }
    let pictures = screenshots(context);
    empty(&pictures)?;
    let binary = context.binary("release");
    let script = |name: &str, args: &[&Path]| {
        let mut node = context.command("node");
        node.arg(folder(context).join(name)).args(args);
        context.run(&mut node)
    };
    // One that fails does not hide what the others find.
    let ran = [
        script("check-report.mjs", &[&report, &pictures, &binary, &ledger]),
        script(
            "check-generated.mjs",
            &[&generated, &pictures.join("generated")],
        ),
        script("check-live.mjs", &[&binary, &pictures]),
    ];
    let failed: Vec<String> = ran
        .into_iter()
        .filter_map(|result| result.err().map(|error| format!("{error:#}")))
        .collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(Outcome::Passed)
}

/// The scripts and what they need.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.root.join("tests").join("browser")
}

/// Makes a folder that holds nothing: an old picture must not stand in for one that was not made.
fn empty(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be emptied", folder.display()));
        }
        _ => {}
    }
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}

/// Fails with what to do when a test did not leave what it should.
pub(crate) fn present(path: &Path, test: &str) -> Result<()> {
    if !path.exists() {
        bail!(
            "{} is not there: {test} writes it (`cargo xtask test`), so see why it failed",
            path.display()
        );
    }
    Ok(())
}

/// Sees to it that there is a browser and what drives it; says why it is skipped where there is none.
pub(crate) fn prepare(context: &Context) -> Result<Option<Outcome>> {
    let missing = install::ensure(context, &[CHROMIUM, NODE, NPM])?;
    let modules = folder(context).join("node_modules");
    let present = ["playwright-core", "axe-core"]
        .iter()
        .all(|module| modules.join(module).is_dir());
    let fetched = if missing.is_empty() && !present {
        let mut npm = context.command("npm");
        npm.current_dir(folder(context)).args([
            "ci",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]);
        context.run(&mut npm)
    } else {
        Ok(())
    };
    let why = obstacle(&missing, fetched);
    if let Some(why) = &why {
        say::line(why);
    }
    Ok(why.map(Outcome::Skipped))
}

/// Why nothing can be seen in a browser here; nothing when all is there. Under `CI=true` the steps make a failure of it.
fn obstacle(missing: &[&str], fetched: Result<()>) -> Option<String> {
    if !missing.is_empty() {
        return Some(format!(
            "missing: {0}; install them (Debian: apt-get install {0})",
            missing.join(" ")
        ));
    }
    let error = fetched.err()?;
    Some(format!(
        "playwright-core and axe-core cannot be fetched: {error:#}"
    ))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    /// How a run ends whose browser step met this obstacle.
    fn ends(strict: bool, why: Option<String>) -> Result<()> {
        let mut steps = Steps::new(strict);
        steps.run_or_skip("browser", |_| {
            Ok(why.map_or(Outcome::Passed, Outcome::Skipped))
        });
        steps.finish()
    }

    #[test]
    fn all_there_is_no_obstacle() {
        assert_eq!(obstacle(&[], Ok(())), None);
        assert!(ends(true, obstacle(&[], Ok(()))).is_ok());
    }

    #[test]
    fn a_missing_browser_fails_the_gate_and_is_skipped_by_hand() {
        let why = obstacle(&["chromium"], Ok(()));
        assert!(
            why.as_ref()
                .is_some_and(|why| why.contains("apt-get install chromium"))
        );
        assert!(ends(true, why.clone()).is_err());
        assert!(ends(false, why).is_ok());
    }

    #[test]
    fn what_npm_cannot_fetch_fails_the_gate_and_is_skipped_by_hand() {
        let failed = || Err(anyhow!("`npm ci` ended with exit status: 1"));
        let why = obstacle(&[], failed());
        assert!(why.as_ref().is_some_and(|why| why.contains("npm ci")));
        assert!(ends(true, why).is_err());
        assert!(ends(false, obstacle(&[], failed())).is_ok());
    }

    #[test]
    fn pictures_of_an_earlier_run_are_gone_before_new_ones_are_made() {
        let place =
            std::env::temp_dir().join(format!("weighbridge-pictures-{}", std::process::id()));
        let generated = place.join("generated");
        std::fs::create_dir_all(&generated).unwrap();
        std::fs::write(generated.join("old.png"), "old").unwrap();
        empty(&place).unwrap();
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
        // Where there was none, there is one.
        std::fs::remove_dir(&place).unwrap();
        empty(&place).unwrap();
        assert!(place.is_dir());
        std::fs::remove_dir(&place).unwrap();
    }

    #[test]
    fn a_report_that_no_test_left_is_a_failure_and_no_skip() {
        let error = present(Path::new("/nowhere/report.html"), "the demo test").unwrap_err();
        assert!(error.to_string().contains("the demo test writes it"));
    }
}
