//! What the agent adds to a request: CPU of the server's process from the kernel, load from this process.
//!
//! Two ways, for two questions. *Against itself switched off*, by toggling inside one process in short
//! off-on-on-off blocks: resolves a tenth of a microsecond. *Against peers*, each in a process of its own,
//! in interleaved blocks and fresh processes each round, so that what a process's layout adds averages out:
//! resolves about a microsecond.
//!
//! `--toggled` and `--peers` run one of the two; `--quick` runs a short form.

mod peers;
mod toggled;

use std::io;
use std::process::ExitCode;

use weighbridge_benches::{Report, say};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// Fresh processes per case that is toggled, and off-on-on-offs in each.
    toggled_processes: usize,
    toggled_pairs: usize,
    /// Rounds of fresh peers, and blocks of each peer in a round.
    rounds: usize,
    blocks: usize,
}

const WHOLE: Extent = Extent {
    toggled_processes: 3,
    toggled_pairs: 30,
    rounds: 8,
    blocks: 8,
};

const QUICK: Extent = Extent {
    toggled_processes: 2,
    toggled_pairs: 6,
    rounds: 5,
    blocks: 2,
};

/// The name of this bench in `Cargo.toml`.
const BENCH: &str = "request_overhead";

type Part = (Report, fn(Extent, &mut Report) -> io::Result<()>);

fn main() -> ExitCode {
    let is_asked = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    let extent = if is_asked("--quick") { QUICK } else { WHOLE };
    let both = is_asked("--toggled") == is_asked("--peers");
    let mut parts: Vec<Part> = Vec::new();
    if both || is_asked("--toggled") {
        parts.push((Report::new(BENCH), toggled::measure));
    }
    if both || is_asked("--peers") {
        let report = Report::of_part(BENCH, "peers", &["--peers"]);
        parts.push((report, peers::measure));
    }
    let mut kept = true;
    for (mut report, measure) in parts {
        if let Err(error) = measure(extent, &mut report) {
            say::note(&format!("the bench broke off: {error}"));
            return ExitCode::FAILURE;
        }
        kept &= report.finish() == ExitCode::SUCCESS;
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
