//! The directory that a run writes to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Says that a directory is the demo's own and may be emptied by the next run.
const MARK: &str = ".weighbridge-demo";
/// Everything that a run makes beside the report: databases, logs, the collector's data.
const RUN: &str = "run";

/// A directory for one run, with nothing left of an earlier one.
#[derive(Debug)]
pub(crate) struct OutDirectory {
    root: PathBuf,
}

impl OutDirectory {
    /// Makes the directory, or takes over one that an earlier run made.
    pub(crate) fn prepare(root: &Path) -> anyhow::Result<Self> {
        let advice = || format!("cannot write to {}; choose another --out", root.display());
        fs::create_dir_all(root).with_context(advice)?;
        let run = root.join(RUN);
        if !root.join(MARK).exists() && fs::read_dir(root).with_context(advice)?.next().is_some() {
            bail!(
                "{} is not empty and was not made by a demo; choose another --out",
                root.display()
            );
        }
        if run.exists() {
            fs::remove_dir_all(&run).with_context(advice)?;
        }
        fs::write(
            root.join(MARK),
            "made by `weighbridge demo`; its next run empties `run`\n",
        )
        .with_context(advice)?;
        for part in ["databases", "logs", "collector"] {
            fs::create_dir_all(run.join(part)).with_context(advice)?;
        }
        // Children are told these paths; they must not depend on where each of them stands.
        let root = root.canonicalize().with_context(advice)?;
        Ok(Self { root })
    }

    pub(crate) fn databases(&self) -> PathBuf {
        self.root.join(RUN).join("databases")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join(RUN).join("logs")
    }

    pub(crate) fn collector(&self) -> PathBuf {
        self.root.join(RUN).join("collector")
    }

    /// Predictions that were sealed.
    pub(crate) fn predictions(&self) -> PathBuf {
        self.root.join("predictions.json")
    }

    /// What was measured beside them.
    pub(crate) fn measured(&self) -> PathBuf {
        self.root.join("measured.json")
    }

    /// A directory of its own for a placement that is tried.
    pub(crate) fn trial(&self, name: &str) -> anyhow::Result<Self> {
        Self::prepare(&self.root.join(RUN).join("tried").join(name))
    }

    pub(crate) fn report_html(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// A file beside the report.
    pub(crate) fn kept(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn report_json(&self) -> PathBuf {
        self.root.join("report.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_empties_what_the_first_made_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("out");
        let out = OutDirectory::prepare(&root).expect("prepared");
        fs::write(out.databases().join("old.sqlite"), "x").expect("written");
        fs::write(root.join("mine.txt"), "x").expect("written");
        let out = OutDirectory::prepare(&root).expect("prepared again");
        assert!(!out.databases().join("old.sqlite").exists());
        assert!(root.join("mine.txt").exists());
    }

    #[test]
    fn a_foreign_directory_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let mine = directory.path().join("report.html");
        fs::write(&mine, "somebody's").expect("written");
        let error = OutDirectory::prepare(directory.path())
            .expect_err("refused")
            .to_string();
        assert!(error.contains("choose another --out"), "{error}");
        assert_eq!(fs::read_to_string(mine).expect("still there"), "somebody's");
        assert!(!directory.path().join(RUN).exists());
    }
}
