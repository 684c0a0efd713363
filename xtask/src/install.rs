//! Installs what a task needs from Debian, where that may be done.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Result;

use crate::context::{Context, installed};
use crate::say;

/// A program that a step needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// Names under which it may be found in `PATH`.
    programs: &'static [&'static str],
    /// The Debian package that holds it.
    package: &'static str,
}

/// The browser that looks at reports.
pub(crate) const CHROMIUM: Tool = Tool {
    programs: &["chromium", "chromium-browser"],
    package: "chromium",
};
/// Runs the script that drives the browser.
pub(crate) const NODE: Tool = Tool {
    programs: &["node"],
    package: "nodejs",
};
/// Fetches what that script needs.
pub(crate) const NPM: Tool = Tool {
    programs: &["npm"],
    package: "npm",
};
/// Counts instructions, and watches the unsafe code where sanitizers cannot.
pub(crate) const VALGRIND: Tool = Tool {
    programs: &["valgrind"],
    package: "valgrind",
};

/// The servers that the agent's clients are tested against. Each test starts its own.
pub(crate) const SERVERS: &[Tool] = &[
    // The server's own programs are in no `PATH`; this one comes with it.
    Tool {
        programs: &["pg_ctlcluster"],
        package: "postgresql",
    },
    Tool {
        programs: &["redis-server"],
        package: "redis-server",
    },
    Tool {
        programs: &["nats-server"],
        package: "nats-server",
    },
    Tool {
        programs: &["mosquitto"],
        package: "mosquitto",
    },
    Tool {
        programs: &["rabbitmq-server"],
        package: "rabbitmq-server",
    },
];

impl Tool {
    fn present(self) -> bool {
        self.programs.iter().any(|program| installed(program))
    }
}

/// Sees to it that all tools are there. What is missing is installed when that needs no question
/// (root, and apt is there). Returns the names of those that are still missing.
pub(crate) fn ensure(context: &Context, tools: &[Tool]) -> Result<Vec<&'static str>> {
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| !tool.present())
        .collect();
    if !missing.is_empty() && may_install() {
        let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
        say::line(&format!("installing {} from Debian", packages.join(", ")));
        let apt = |args: &[&str]| {
            let mut command = context.command("apt-get");
            command
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
                .args(args);
            context.run(&mut command)
        };
        let _no_daemons = NoDaemons::hold();
        // A failure shows in what is still missing afterwards, with the reason printed above it.
        let installed_now = apt(&["update"]).and_then(|()| {
            let mut args = vec!["install", "--yes", "--no-install-recommends"];
            args.extend(&packages);
            apt(&args)
        });
        if let Err(error) = installed_now {
            say::line(&format!("cannot install: {error:#}"));
        }
    }
    Ok(tools
        .iter()
        .filter(|tool| !tool.present())
        .map(|tool| tool.package)
        .collect())
}

/// Where Debian's packages ask whether they may start a service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Keeps what is installed from starting as a daemon: tests start servers of their own, on free ports. A policy that
/// is there already stays, and decides.
struct NoDaemons {
    ours: bool,
}

impl NoDaemons {
    fn hold() -> Self {
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o755)
                .open(POLICY)?;
            // 101: forbidden by policy.
            file.write_all(b"#!/bin/sh\nexit 101\n")
        };
        let ours = write().is_ok();
        Self { ours }
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            say::line(&format!("cannot remove {POLICY}: {error}"));
        }
    }
}

/// True for root on a machine with apt.
fn may_install() -> bool {
    installed("apt-get") && is_root()
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|ids| ids.split_whitespace().nth(1))
            .is_some_and(|effective| effective == "0")
    })
}
