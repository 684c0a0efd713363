//! Clocks for tests that are about one mode. Where the machine does not have it, the test says so and does not look
//! like one that passed; under `CI=true` that is a failure, as with anything else that is missing.

use std::io::Write as _;

use super::{Mode, Setup};

/// A setup in this mode, whose rate is off by a factor of `thousandths` / 1000.
pub(crate) fn wanted(mode: Mode, thousandths: u64) -> Option<&'static Setup> {
    let reason = match Setup::new().start(Some(mode)) {
        None => return Some(Setup::faked(mode, thousandths)),
        Some(reason) => reason,
    };
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let text = format!("{test}: no clock `{}`: {reason}", mode.name());
    let is_gate = std::env::var("CI").as_deref() == Ok("true");
    assert!(
        !(is_gate && is_due(mode)),
        "{text}; the gate needs a machine that has it"
    );
    // Past the harness, which keeps what passing tests print.
    drop(writeln!(std::io::stderr(), "SKIPPED: {text}"));
    None
}

/// True where it can be had unless something is amiss: not on platforms that never have it, nor when whoever runs the
/// tests took it away to test without.
fn is_due(mode: Mode) -> bool {
    let taken_away =
        || std::env::var("GLIBC_TUNABLES").is_ok_and(|list| list.contains("glibc.pthread.rseq=0"));
    let counter = cfg!(all(target_arch = "x86_64", target_os = "linux"));
    match mode {
        Mode::Rseq => counter && cfg!(target_env = "gnu") && !taken_away(),
        Mode::Scaled => counter,
        _ => true,
    }
}
