//! Every decoder by libFuzzer, under the address sanitizer: minutes of bytes that nobody meant to send.

use std::fs;

use anyhow::{Context as _, Result, bail};

use super::{TRIPLE, nightly_cargo};
use crate::context::Context;
use crate::say;

/// As `fuzz/targets/main.rs` lists them.
const TARGETS: [&str; 8] = [
    "ledger", "otlp", "stored", "frame", "text", "headers", "sql", "broker",
];

/// Longest input, bytes.
const LONGEST: u32 = 16 << 10;

/// Seconds for each target unless `WEIGHBRIDGE_TEST_FUZZ` says otherwise.
const SECONDS: u32 = 120;

/// What `cargo fuzz` passes to the compiler, so that no further program is needed.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address";

/// Inputs that are found stay in the target directory, so that the next run goes on from there; one that crashes is
/// to be copied to `fuzz/seeds`, where a test of the collector's or the agent's reads it from then on.
pub(super) fn run(context: &Context) -> Result<()> {
    let target_dir = context.target.join("evidence").join("fuzz");
    let mut cargo = nightly_cargo(context);
    cargo
        .args(["build", "--locked", "--release"])
        .args(["--manifest-path", "fuzz/Cargo.toml", "--target", TRIPLE])
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("RUSTFLAGS", FLAGS);
    context
        .run(&mut cargo)
        .context("the targets were not built; `rustup toolchain install nightly`")?;
    let program = target_dir.join(TRIPLE).join("release").join("fuzz");
    let seconds = match std::env::var("WEIGHBRIDGE_TEST_FUZZ") {
        Ok(text) => text
            .parse()
            .context("WEIGHBRIDGE_TEST_FUZZ is a number of seconds")?,
        Err(_) => SECONDS,
    };
    let mut crashed = Vec::new();
    for target in TARGETS {
        say::line(&format!("{target}: {seconds} s"));
        let corpus = target_dir.join("corpus").join(target);
        let crashes = target_dir.join("crashes").join(target);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&crashes)?;
        let mut fuzz = context.command(&program);
        fuzz.env("WEIGHBRIDGE_FUZZ_TARGET", target)
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={LONGEST}"))
            .args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .arg(&corpus)
            .arg(context.root.join("fuzz").join("seeds").join(target));
        if let Err(error) = context.run(&mut fuzz) {
            say::line(&format!("{target}: {error:#}"));
            crashed.push(format!("{target} ({})", crashes.display()));
        }
    }
    if !crashed.is_empty() {
        bail!(
            "crashed: {}; copy the input to fuzz/seeds and mend what it shows",
            crashed.join(", ")
        );
    }
    Ok(())
}
