//! The collector as its users run it: the binary in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use weighbridge_wire::FoldedRange;

use crate::child::{Child, Ended};
use crate::http;
use crate::patience::patience;

/// SIGTERM.
const TERMINATE: i32 = 15;

/// A running `weighbridge collect`.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    address: SocketAddr,
    data: PathBuf,
}

impl Collector {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start(data: &Path) -> Self {
        Self::start_at(data, "127.0.0.1:0")
    }

    /// Starts one on this address.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_at(data: &Path, listen: &str) -> Self {
        Self::start_command(data, &mut Self::command(data, listen))
    }

    /// Starts one by a [`command`](Self::command) that a test changed.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_command(data: &Path, command: &mut Command) -> Self {
        let mut child = Child::start(command);
        let address = child.wait_for("address", |stdout, _| {
            stdout.lines().find_map(|line| {
                line.strip_prefix("listening on http://")?
                    .trim()
                    .parse()
                    .ok()
            })
        });
        let collector = Self {
            child,
            address,
            data: data.to_path_buf(),
        };
        crate::assert_eventually!(
            http::try_get(address, "/readyz").is_some_and(|answer| answer.status == 200),
            "the collector did not become ready:\n{}",
            collector.child.stderr()
        );
        collector
    }

    /// The command that starts one, for tests of what it refuses.
    #[must_use]
    pub fn command(data: &Path, listen: &str) -> Command {
        let mut command = Command::new(crate::weighbridge());
        command
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .args(["collect", "--listen-http", listen, "--data"])
            .arg(data);
        command
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that agents and reports use.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.child.stderr()
    }

    /// Kills it in the middle of whatever it does (SIGKILL) and starts another on the same directory and port.
    #[must_use]
    pub fn kill_and_restart(mut self) -> Self {
        self.child.kill();
        Self::start_at(&self.data, &self.address.to_string())
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        self.child.signal(signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn wait(self) -> Ended {
        self.child.wait(patience())
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn shut_down(self) -> Ended {
        self.child.signal(TERMINATE);
        self.child.wait(patience())
    }

    /// Everything that it holds.
    ///
    /// # Panics
    /// When it does not answer with a range.
    #[must_use]
    pub fn range(&self) -> FoldedRange {
        let answer = http::get(self.address, "/api/v1/range");
        assert_eq!(answer.status, 200, "{}", answer.text());
        FoldedRange::decode(&answer.body)
            .unwrap_or_else(|error| panic!("the range cannot be read: {error}"))
    }
}
