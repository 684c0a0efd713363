//! What the kernel says of a process, read from `/proc`. `None` where there is no such thing.

use std::fs;

/// Length of a clock tick in `/proc/PID/stat`: `USER_HZ` is 100 on every Linux that we build for.
const TICK_MS: u64 = 10;

/// CPU time of a process since its start, its threads included, in ms.
pub(crate) fn cpu_ms(pid: u32) -> Option<u64> {
    parse_cpu_ms(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// CPU time of this process since its start, its threads included, in ns.
pub(crate) fn own_cpu_ns() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let (s, ns) = (
            u64::try_from(spent.tv_sec).ok()?,
            u64::try_from(spent.tv_nsec).ok()?,
        );
        Some(s * 1_000_000_000 + ns)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Cores that this process may run on.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn parse_cpu_ms(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything, so count the fields behind the last one.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * TICK_MS)
}

/// Memory of a process in bytes: its own pages, and its part of those that it shares with others (`Pss`). So the
/// sum over processes that run the same program counts that program once.
pub(crate) fn memory_bytes(pid: u32) -> Option<u64> {
    parse_memory_bytes(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn parse_memory_bytes(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Gives this process one of the cores that it may run on, the `turn`th of them in turn: what a container limited
/// to one core has, on a machine with any number. What it starts inherits it. Without effect where the system
/// knows no such thing or does not allow it; the report then shows more cores.
pub(crate) fn keep_to_one_core(turn: usize) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let kept = sched_getaffinity(None).and_then(|allowed| {
            let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
                .filter(|core| allowed.is_set(*core))
                .collect();
            let Some(core) = cores.get(turn % cores.len().max(1)) else {
                return Ok(());
            };
            let mut one = CpuSet::new();
            one.set(*core);
            sched_setaffinity(None, &one)
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "this process could not be kept to one core");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = turn;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 3 0 99";
        assert_eq!(parse_cpu_ms(stat), Some(1_750));
        assert_eq!(parse_cpu_ms("garbage"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_own_clock_and_the_ticks_agree() {
        let before = own_cpu_ns().expect("known");
        let mut sum = 0u64;
        while own_cpu_ns().expect("known") < before + 50_000_000 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let (own, ticks) = (
            own_cpu_ns().expect("known") / 1_000_000,
            cpu_ms(std::process::id()),
        );
        // Other tests run in this process meanwhile.
        assert!(
            own.abs_diff(ticks.expect("known")) < 500,
            "{own} and {ticks:?}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_is_kept_to_one_core_has_one() {
        let before = std::thread::available_parallelism().expect("known").get();
        // On a thread of its own: the test runner keeps its cores.
        let cores = |turn| {
            std::thread::spawn(move || {
                keep_to_one_core(turn);
                std::thread::available_parallelism().expect("known").get()
            })
            .join()
            .expect("ended")
        };
        assert_eq!((cores(0), cores(before + 1)), (1, 1));
        assert_eq!(
            std::thread::available_parallelism().expect("known").get(),
            before
        );
    }

    #[test]
    fn memory_is_in_bytes_and_unknown_when_it_is_not_told() {
        let rollup = "00400000-7fff [rollup]\nRss:    9000 kB\nPss:    2048 kB\nPss_Anon: 7 kB\n";
        assert_eq!(parse_memory_bytes(rollup), Some(2_097_152));
        assert_eq!(parse_memory_bytes("Rss:  9000 kB\n"), None);
    }
}
