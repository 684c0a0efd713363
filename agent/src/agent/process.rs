//! What the kernel says of the process.

use std::collections::HashMap;
use std::fs;

use weighbridge_wire::OwnerKind;

use crate::account::registered_threads;
use crate::clock::{self, ThreadId};
use crate::ledger::ProcessGauges;

/// Gauges of the process. What cannot be read is unknown.
#[derive(Debug)]
pub(super) struct Process {
    rss_init_bytes: Option<u64>,
}

impl Process {
    /// Call at init: the resident set then is what the process weighs empty.
    pub(super) fn new() -> Self {
        Self {
            rss_init_bytes: Status::read().rss_bytes,
        }
    }

    pub(super) fn read(&mut self) -> ProcessGauges {
        let status = Status::read();
        ProcessGauges {
            rss_init_bytes: self.rss_init_bytes,
            rss_bytes: status.rss_bytes,
            rss_peak_bytes: status.rss_peak_bytes,
            threads: status.threads,
            cores_milli: cores_milli(status.cores_allowed),
            foreign: Vec::new(),
        }
    }
}

/// What `/proc/self/status` holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    rss_bytes: Option<u64>,
    rss_peak_bytes: Option<u64>,
    threads: Option<u64>,
    cores_allowed: Option<u64>,
}

impl Status {
    fn read() -> Self {
        fs::read_to_string("/proc/self/status")
            .map(|text| Self::parse(&text))
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
        };
        let bytes = |name: &str| {
            let kib: u64 = field(name)?.strip_suffix("kB")?.trim().parse().ok()?;
            kib.checked_mul(1_024)
        };
        Self {
            rss_bytes: bytes("VmRSS"),
            rss_peak_bytes: bytes("VmHWM"),
            threads: field("Threads").and_then(|n| n.parse().ok()),
            cores_allowed: field("Cpus_allowed_list").and_then(count_list),
        }
    }
}

/// How many numbers stand in a list such as `0-3,7`.
fn count_list(list: &str) -> Option<u64> {
    list.split(',').try_fold(0u64, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// Cores that the process may use: those it may run on, or its quota where that is less.
fn cores_milli(allowed: Option<u64>) -> Option<u64> {
    let allowed = allowed
        .or_else(|| {
            std::thread::available_parallelism()
                .ok()
                .and_then(|n| u64::try_from(n.get()).ok())
        })
        .map(|cores| cores.saturating_mul(1_000));
    [allowed, quota_milli()].into_iter().flatten().min()
}

/// The smallest `cpu.max` from our control group (version 2) upwards.
fn quota_milli() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut group = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?
        .trim_end_matches('/')
        .to_owned();
    let mut smallest = None;
    // A control group is a few levels deep.
    for _ in 0..32 {
        if let Ok(text) = fs::read_to_string(format!("/sys/fs/cgroup{group}/cpu.max")) {
            smallest = [smallest, parse_quota(&text)].into_iter().flatten().min();
        }
        let Some(parent) = group.rfind('/') else {
            break;
        };
        group.truncate(parent);
    }
    smallest
}

/// Thousandths of a core of a line such as `150000 100000`; `max` means no quota.
fn parse_quota(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    quota.checked_mul(1_000)?.checked_div(period)
}

/// Threads that do not book themselves, by the prefix of their name.
#[derive(Debug)]
pub(super) struct ForeignThreads {
    rules: Vec<(String, OwnerKind, String)>,
    /// Clock of each such thread at the last reading.
    seen_ns: HashMap<ThreadId, i64>,
}

impl ForeignThreads {
    pub(super) fn new(rules: Vec<(String, OwnerKind, String)>) -> Self {
        let mut threads = Self {
            rules,
            seen_ns: HashMap::new(),
        };
        // What they spent before init is not ours to tell.
        threads.read();
        threads
    }

    /// CPU by owner since the last call.
    pub(super) fn read(&mut self) -> Vec<(OwnerKind, String, i64)> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let ours = registered_threads();
        let mut seen = HashMap::new();
        let mut spent: Vec<(OwnerKind, String, i64)> = Vec::new();
        for thread in thread_ids().filter(|thread| !ours.contains(thread)) {
            let Ok(name) = fs::read_to_string(format!("/proc/self/task/{thread}/comm")) else {
                continue;
            };
            let Some((_, kind, owner)) = self
                .rules
                .iter()
                .find(|(prefix, ..)| matches(&name, prefix))
            else {
                continue;
            };
            let Some(now) = clock::other_thread_cpu_ns(thread) else {
                continue;
            };
            let before = self
                .seen_ns
                .get(&thread)
                .copied()
                .filter(|before| *before <= now)
                .unwrap_or(0);
            seen.insert(thread, now);
            match spent
                .iter_mut()
                .find(|(k, name, _)| k == kind && name == owner)
            {
                Some((.., sum)) => *sum += now - before,
                None => spent.push((*kind, owner.clone(), now - before)),
            }
        }
        self.seen_ns = seen;
        spent
    }
}

/// The kernel keeps 15 bytes of a name.
fn matches(name: &str, prefix: &str) -> bool {
    const KERNEL_BYTES_MAX: usize = 15;
    let prefix = prefix.as_bytes();
    name.trim_end()
        .as_bytes()
        .starts_with(&prefix[..prefix.len().min(KERNEL_BYTES_MAX)])
}

fn thread_ids() -> impl Iterator<Item = ThreadId> {
    fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_file_is_read_and_gaps_are_unknown() {
        let text = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t7\nCpus_allowed_list:\t0-2,5\n";
        let all = Status {
            rss_bytes: Some(1 << 20),
            rss_peak_bytes: Some(2 << 20),
            threads: Some(7),
            cores_allowed: Some(4),
        };
        assert_eq!(Status::parse(text), all);
        assert_eq!(
            Status::parse("VmRSS:\tmuch kB\nThreads:\t-1\n"),
            Status::default()
        );
        assert_eq!(count_list("3-1"), None);
    }

    #[test]
    fn a_quota_is_thousandths_of_a_core() {
        assert_eq!(parse_quota("150000 100000\n"), Some(1_500));
        assert_eq!(parse_quota("max 100000\n"), None);
        assert_eq!(parse_quota("5 0"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_by_name_are_read_from_their_own_clocks() {
        let (begun, wait_begun) = std::sync::mpsc::sync_channel(0);
        let (end, wait_end) = std::sync::mpsc::sync_channel::<()>(0);
        let mut foreign = ForeignThreads::new(vec![(
            "foreign-worker-of".into(),
            OwnerKind::Driver,
            "broker".into(),
        )]);
        let thread = std::thread::Builder::new()
            .name("foreign-worker-of-a-test".into())
            .spawn(move || {
                let start = clock::thread_cpu_ns();
                while clock::thread_cpu_ns() - start < 10_000_000 {}
                begun.send(()).unwrap();
                wait_end.recv().unwrap();
            })
            .unwrap();
        wait_begun.recv().unwrap();
        let first = foreign.read();
        assert_eq!(first.len(), 1);
        assert_eq!(
            (first[0].0, first[0].1.as_str()),
            (OwnerKind::Driver, "broker")
        );
        assert!(first[0].2 >= 10_000_000, "{first:?}");
        let second = foreign.read();
        assert!(second[0].2 < 10_000_000, "only what is new: {second:?}");
        end.send(()).unwrap();
        thread.join().unwrap();
        assert!(foreign.read().is_empty());
    }
}
