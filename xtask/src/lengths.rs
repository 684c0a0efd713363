//! How long source files are: long ones are where architecture hides.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::say;

/// More lines than this fail the check.
const LINES_MAX: usize = 700;
/// More lines than this are listed.
const LINES_LISTED: usize = 400;

/// Lists long files and fails when one is too long. Generated code does not count.
pub(crate) fn check(context: &Context) -> Result<()> {
    let mut files = Vec::new();
    for folder in crate::tree::FOLDERS {
        collect(&context.root.join(folder), &mut files)?;
    }
    let mut lengths = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        lengths.push((
            text.lines().count(),
            file.strip_prefix(&context.root)
                .unwrap_or(file)
                .display()
                .to_string(),
        ));
    }
    lengths.sort_by(|a, b| b.cmp(a));
    let total: usize = lengths.iter().map(|(lines, _)| lines).sum();
    let median = lengths
        .get(lengths.len() / 2)
        .map_or(0, |(lines, _)| *lines);
    say::line(&format!(
        "{} Rust files, {total} lines, median {median}",
        lengths.len()
    ));
    for (lines, file) in lengths.iter().filter(|(lines, _)| *lines > LINES_LISTED) {
        say::line(&format!("{lines:>6} lines  {file}"));
    }
    let too_long: Vec<&str> = lengths
        .iter()
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(_, file)| file.as_str())
        .collect();
    if !too_long.is_empty() {
        bail!(
            "longer than {LINES_MAX} lines, split by role: {}",
            too_long.join(", ")
        );
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if name != "generated" && name != "node_modules" && name != "target" {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
