//! The fixture service (`src/bin/fixture.rs`) as a child process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::child::Child;
use crate::patience::patience;

/// A running fixture service.
#[derive(Debug)]
pub struct Fixture {
    child: Child,
    address: SocketAddr,
}

/// What a fixture service counted on its own, and how it ended.
#[derive(Debug)]
pub struct Counted {
    counts: Value,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Counted {
    /// One of its counts.
    ///
    /// # Panics
    /// When there is no such count.
    #[must_use]
    pub fn get(&self, name: &str) -> i64 {
        self.counts[name]
            .as_i64()
            .unwrap_or_else(|| panic!("no count {name} in {}", self.counts))
    }
}

impl Fixture {
    /// Starts one. `program` is `env!("CARGO_BIN_EXE_fixture")`, which only tests know.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start(program: &str, role: &str, args: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(Path::new(program));
        command
            .env("OTEL_SERVICE_NAME", role)
            .env("WEIGHBRIDGE_WINDOW", "1s")
            .envs(settings.iter().copied())
            .arg(role)
            .args(args);
        let mut child = Child::start(&mut command);
        let address = child.wait_for("address", |stdout, _| {
            stdout
                .lines()
                .find_map(|line| line.strip_prefix("listening ")?.trim().parse().ok())
        });
        Self { child, address }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks it to end, and waits until its agent has delivered what it had.
    ///
    /// # Panics
    /// When it does not end well.
    #[must_use]
    pub fn end(mut self) -> Counted {
        self.child.end_input();
        let ended = self.child.wait(patience());
        assert!(
            ended.status.success(),
            "the fixture ended with {}:\n{}",
            ended.status,
            ended.stderr
        );
        let counts = ended
            .stdout
            .lines()
            .find_map(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| {
                panic!(
                    "the fixture printed no counts:\n{}\n{}",
                    ended.stdout, ended.stderr
                )
            });
        Counted {
            counts,
            stderr: ended.stderr,
        }
    }
}
