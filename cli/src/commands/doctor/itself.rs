//! What the agent can measure on this machine: doctor weighs itself for a moment.

use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weighbridge_agent::{Delivery, Sink};
use weighbridge_wire::{Delta, ProcessKey, RowSet, column};

use super::finding::Finding;

/// How long the agent may take to hand over what it measured.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps the rows that the agent delivers.
#[derive(Default)]
struct Keep(Mutex<RowSet>);

impl Sink for Keep {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        match Delta::decode(delta) {
            Ok(delta) => {
                self.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .merge(&delta.rows);
                Delivery::Accepted
            }
            Err(error) => Delivery::Refused {
                reason: error.to_string(),
            },
        }
    }
}

/// Starts the agent with the settings of the environment, works a little, and looks at the rows.
pub(super) fn look() -> Vec<Finding> {
    const SETTINGS: &str = "settings";
    let sink = Arc::<Keep>::default();
    let agent = match weighbridge_agent::builder()
        .sink(sink.clone())
        .print_table(false)
        .try_init()
    {
        Ok(agent) => agent,
        Err(error) => {
            return vec![Finding::broken(
                SETTINGS,
                error.to_string(),
                "services start all the same and use the default; set the variable to a value that can be read",
            )];
        }
    };
    let mut findings = vec![Finding::good(SETTINGS, "all variables can be read")];
    if !weighbridge_agent::is_enabled() {
        return findings;
    }
    work();
    if !agent.flush(PATIENCE) {
        findings.push(Finding::broken(
            "measuring",
            "the agent delivered nothing",
            "report this with the output of `weighbridge doctor` and `uname -a`",
        ));
        return findings;
    }
    drop(agent);
    findings.extend(read(&sink.0.lock().unwrap_or_else(PoisonError::into_inner)));
    findings
}

fn work() {
    let mut sum = 0_u64;
    for n in 0..2_000_u64 {
        let text = black_box(n.to_string());
        sum += text.bytes().map(u64::from).sum::<u64>();
    }
    black_box(sum);
}

fn read(rows: &RowSet) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, value) in rows.iter() {
        let Some(key) = ProcessKey::read(key) else {
            continue;
        };
        let how = format!(
            "CPU time is read by `{}` ({} readings, {} of them from the kernel)",
            key.clock_mode,
            value.get(column::CLOCK_READINGS).unwrap_or(0),
            value.get(column::CLOCK_REREADS).unwrap_or(0),
        );
        findings.push(if &*key.clock_mode == "rseq" {
            Finding::good("clock", how)
        } else {
            Finding::less(
                "clock",
                how,
                "for the fast clock take 64-bit x86 Linux with glibc 2.35 or later, and leave WEIGHBRIDGE_CLOCK and GLIBC_TUNABLES unset",
            )
        });
        findings.push(match value.get(column::CPU_PROCESS_NS) {
            Some(ns) if ns > 0 => Finding::good(
                "kernel",
                format!("the kernel reports CPU time ({ns} ns for this program so far)"),
            ),
            _ => Finding::broken(
                "kernel",
                "the kernel reports no CPU time for this process",
                "see whether the sandbox forbids clock_gettime",
            ),
        });
    }
    let allocated: i64 = rows
        .iter()
        .filter_map(|(_, value)| value.get(column::ALLOC_BYTES))
        .sum();
    findings.push(if allocated > 0 {
        Finding::good("allocator", "allocations of this program are counted; of a service, if it sets the global allocator")
    } else {
        Finding::less(
            "allocator",
            "allocations are not counted",
            "set the global allocator of the service to weighbridge_agent::Alloc::system()",
        )
    });
    findings
}
