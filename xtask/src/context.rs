//! Where things are, and how other programs are run.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::say;

/// The work tree and how this run treats it.
#[derive(Debug)]
pub(crate) struct Context {
    /// The root of the work tree.
    pub(crate) root: PathBuf,
    /// Cargo's target directory; `CARGO_TARGET_DIR` is honoured.
    pub(crate) target: PathBuf,
    /// True under `CI=true`: what is missing fails the run instead of being skipped.
    pub(crate) strict: bool,
}

impl Context {
    /// Reads the surroundings.
    pub(crate) fn new() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the xtask crate stands at the top of the file system; put it back into its repository")?
            .to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => root.join(dir),
            _ => root.join("target"),
        };
        let strict =
            std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
        Ok(Self {
            root,
            target,
            strict,
        })
    }

    /// The `weighbridge` binary of a profile directory (`debug`, `release`).
    pub(crate) fn binary(&self, profile_dir: &str) -> PathBuf {
        self.target
            .join(profile_dir)
            .join(format!("weighbridge{}", std::env::consts::EXE_SUFFIX))
    }

    /// A command in the root of the work tree.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// The cargo that runs this task.
    pub(crate) fn cargo(&self) -> Command {
        self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Runs a command to its end and shows what it prints.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        let shown = shown(command);
        say::line(&format!("$ {shown}"));
        let status = command
            .status()
            .with_context(|| format!("cannot start `{shown}`; is the program installed?"))?;
        if !status.success() {
            bail!("`{shown}` ended with {status}; what it printed above says why");
        }
        Ok(())
    }

    /// Runs a command to its end, shows its standard output and hands each line of it to `each`.
    pub(crate) fn run_lines(
        &self,
        command: &mut Command,
        mut each: impl FnMut(&str),
    ) -> Result<()> {
        let shown = shown(command);
        say::line(&format!("$ {shown}"));
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{shown}`; is the program installed?"))?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).split(b'\n') {
                let line = line.context("the output of the command broke off")?;
                let line = String::from_utf8_lossy(&line);
                say::line(&line);
                each(&line);
            }
        }
        let status = child.wait().context("the command cannot be waited for")?;
        if !status.success() {
            bail!("`{shown}` ended with {status}; what it printed above says why");
        }
        Ok(())
    }

    /// Runs a command to its end and returns its standard output; its standard error is shown.
    pub(crate) fn read(&self, command: &mut Command) -> Result<String> {
        let shown = shown(command);
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start `{shown}`; is the program installed?"))?;
        if !output.status.success() {
            bail!(
                "`{shown}` ended with {}; what it printed above says why",
                output.status
            );
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("`{shown}` printed something that is not UTF-8"))
    }
}

/// True when the program is found in `PATH`.
pub(crate) fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    std::iter::once(program)
        .chain(
            command
                .get_args()
                .map(|arg| arg.to_string_lossy().into_owned()),
        )
        .collect::<Vec<_>>()
        .join(" ")
}
