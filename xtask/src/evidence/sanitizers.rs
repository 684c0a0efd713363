//! The agent's unsafe code (clock, allocator, handlers of forks and of the end) under the compiler's sanitizers, which
//! only nightly has.

use anyhow::{Context as _, Result, bail};

use super::{TRIPLE, nightly_cargo};
use crate::context::Context;
use crate::say;

/// Unit tests of the modules with unsafe code, and of the accounts that sit on them.
const UNIT_TESTS: &[&str] = &["alloc::", "clock::", "account::"];

/// Programs with the agent's allocator as their global one.
const PROGRAMS: &[&str] = &["allocator", "peak", "reentry", "retained"];

/// Programs that fork, and end in every way: what the C library calls then is reached by them only. Not for the thread
/// sanitizer, which does not follow a child that a process of several threads forks: it ends the child when it starts
/// a thread, and with `die_after_fork=0` promises nothing of what it says.
const FORKING: &[&str] = &["life"];

pub(super) fn run(context: &Context) -> Result<()> {
    let installed = context
        .command("rustup")
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .output()
        .context("cannot run rustup; install it, and `rustup toolchain install nightly`")?;
    if !installed.status.success() {
        bail!("there is no nightly toolchain: `rustup toolchain install nightly`");
    }
    sanitize(context, "address", &[], &[PROGRAMS, FORKING].concat())?;
    let sysroot = String::from_utf8_lossy(&installed.stdout);
    let library = std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    if !library.is_dir() {
        // The thread sanitizer must see the standard library's own synchronisation, or it reports it.
        bail!(
            "the thread sanitizer did not run: it needs the standard library's source, \
             `rustup component add rust-src --toolchain nightly`"
        );
    }
    sanitize(context, "thread", &["-Zbuild-std"], PROGRAMS)
}

fn sanitize(context: &Context, sanitizer: &str, flags: &[&str], programs: &[&str]) -> Result<()> {
    say::line(&format!("{sanitizer} sanitizer"));
    let cargo = || {
        let mut cargo = nightly_cargo(context);
        cargo
            .args(["test", "--locked"])
            .args(flags)
            .args(["--target", TRIPLE, "--package", "weighbridge-agent"])
            // Flags of its own: a target directory of its own.
            .env(
                "CARGO_TARGET_DIR",
                context.target.join("evidence").join(sanitizer),
            )
            .env("RUSTFLAGS", format!("-Zsanitizer={sanitizer}"))
            // The agent's tables live as long as the process, and tests let some of theirs go.
            .env("ASAN_OPTIONS", "detect_leaks=0");
        cargo
    };
    let mut unit = cargo();
    unit.args(["--lib", "--"]).args(UNIT_TESTS);
    context.run(&mut unit)?;
    let mut tests = cargo();
    for program in programs {
        tests.args(["--test", program]);
    }
    context.run(&mut tests)
}
