//! The `weighbridge` binary, and directories for tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Folders whose sources are in the binary.
const SOURCES: &[&str] = &["wire", "agent", "collector", "reports", "demo", "cli"];

/// The root of the work tree.
///
/// # Panics
/// When the crate does not stand inside a work tree.
#[must_use]
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| panic!("no folder above this crate"))
}

/// The binary to test: `WEIGHBRIDGE_TEST_BINARY`, or the one beside this test's own profile, which is built
/// when it is absent or older than its sources.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn weighbridge() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) =
            std::env::var_os("WEIGHBRIDGE_TEST_BINARY").filter(|path| !path.is_empty())
        {
            let path = PathBuf::from(path);
            assert!(
                path.is_file(),
                "WEIGHBRIDGE_TEST_BINARY names {}, which is not there",
                path.display()
            );
            return path;
        }
        let (profile_dir, path) = beside_this_test();
        let sources = newest_source();
        let current = std::fs::metadata(&path)
            .and_then(|meta| meta.modified())
            .is_ok_and(|built| sources.is_none_or(|newest| built >= newest));
        if !current {
            build(&profile_dir);
        }
        assert!(path.is_file(), "{} was not built", path.display());
        path
    })
}

/// A new directory that is removed when the value is dropped.
///
/// # Panics
/// When the machine's directory for temporary files cannot be written.
#[must_use]
pub fn new_dir() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("weighbridge-test-")
        .tempdir()
        .unwrap_or_else(|error| panic!("no directory for temporary files: {error}"))
}

/// `target/<profile>/deps/it-…` → (`<profile>`, `target/<profile>/weighbridge`).
fn beside_this_test() -> (String, PathBuf) {
    let this =
        std::env::current_exe().unwrap_or_else(|error| panic!("no path of this test: {error}"));
    let dir = this
        .ancestors()
        .nth(2)
        .unwrap_or_else(|| panic!("{} stands in no target directory", this.display()));
    let profile_dir = dir
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    (
        profile_dir,
        dir.join(format!("weighbridge{}", std::env::consts::EXE_SUFFIX)),
    )
}

fn build(profile_dir: &str) {
    let profile = if profile_dir == "debug" {
        "dev"
    } else {
        profile_dir
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(workspace_root())
        .args([
            "build",
            "--quiet",
            "--package",
            "weighbridge",
            "--profile",
            profile,
        ])
        .status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "the weighbridge binary cannot be built: {status:?}"
    );
}

fn newest_source() -> Option<SystemTime> {
    let mut folders: Vec<PathBuf> = SOURCES
        .iter()
        .map(|folder| workspace_root().join(folder))
        .collect();
    let mut newest = None;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "tests") {
                    folders.push(path);
                }
            } else if let Ok(modified) = entry.metadata().and_then(|meta| meta.modified()) {
                newest = newest.max(Some(modified));
            }
        }
    }
    newest
}
