//! What the kernel says of the whole machine.

use std::fs;

/// The kernel's unit in `/proc/stat`: on all Linux systems that Rust runs on it shows hundredths of a second,
/// whatever its own tick is.
const TICK_NS: u64 = 10_000_000;

/// CPU time of the machine since its start, over all its cores. Inside a container this is the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    /// Cores that are switched on.
    pub(super) cores: u64,
    /// Everything but idling and waiting for disks.
    pub(super) busy_ns: u64,
    /// Handling the part of interrupts that is put off, such as receiving from a network.
    pub(super) softirq_ns: u64,
    /// What the hypervisor gave to others while this machine wanted to run.
    pub(super) steal_ns: u64,
}

impl Host {
    pub(super) fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let total = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = total
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        // Guest time, which may follow, is part of the first two.
        let &[user, nice, system, _idle, _io_wait, irq, softirq, steal, ..] = ticks.as_slice()
        else {
            return None;
        };
        let ns = |ticks: u64| ticks.saturating_mul(TICK_NS);
        let busy = [user, nice, system, irq, softirq, steal];
        let cores = text.lines().filter(|line| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        Some(Self {
            cores: u64::try_from(cores.count()).ok()?,
            busy_ns: ns(busy.into_iter().fold(0, u64::saturating_add)),
            softirq_ns: ns(softirq),
            steal_ns: ns(steal),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_time_is_read_and_an_unknown_form_is_unknown() {
        let text = "cpu  100 1 50 9000 70 3 20 5 7 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n";
        let host = Host {
            cores: 2,
            busy_ns: 1_790_000_000,
            softirq_ns: 200_000_000,
            steal_ns: 50_000_000,
        };
        assert_eq!(Host::parse(text), Some(host));
        assert_eq!(Host::parse("cpu  100 1 50 9000\n"), None);
        assert_eq!(Host::parse("cpu  100 1 50 9000 70 3 x 5\n"), None);
        assert_eq!(Host::parse("intr 5\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_it() {
        let before = Host::read().expect("/proc/stat");
        crate::testing::burn(50_000_000);
        let after = Host::read().expect("/proc/stat");
        assert!(after.cores >= 1);
        assert!(after.busy_ns > before.busy_ns, "{before:?} {after:?}");
    }
}
