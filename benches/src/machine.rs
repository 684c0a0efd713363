//! On what a bench ran.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine and the compiler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Version of the compiler.
    pub rustc: String,
    /// Load average over the last minute when the bench began: how quiet the machine was.
    pub load: String,
}

impl Machine {
    /// Reads them; what cannot be read is `unknown`.
    #[must_use]
    pub fn read() -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: file("/proc/cpuinfo")
                .lines()
                .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
                .map_or_else(unknown, |(_, model)| model.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(0, |n| n.get() as u64),
            kernel: first_word(&file("/proc/sys/kernel/osrelease")),
            rustc: output("rustc", &["--version"])
                .and_then(|text| text.split_whitespace().nth(1).map(str::to_owned))
                .unwrap_or_else(unknown),
            load: first_word(&file("/proc/loadavg")),
        }
    }
}

/// The commit of the work tree, with `+` when files that git knows differ from it.
pub(crate) fn commit() -> String {
    let Some(commit) = output("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return unknown();
    };
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|text| !text.is_empty());
    format!("{commit}{}", if changed { "+" } else { "" })
}

/// The root of the work tree.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where the benches leave their documents.
pub(crate) fn bench_dir() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(target).join("bench")
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn first_word(text: &str) -> String {
    text.split_whitespace()
        .next()
        .map_or_else(unknown, str::to_owned)
}

fn unknown() -> String {
    "unknown".into()
}
