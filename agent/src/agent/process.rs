//! What the kernel says of the process, and of the machine under it.

mod foreign;
mod host;
mod quota;

use std::fs;

use weighbridge_wire::column;

pub(super) use foreign::ForeignThreads;

use crate::clock::{self, Usage};
use host::Host;
use quota::Quota;

/// Reads the columns of the process row that the kernel knows. What cannot be read is absent.
#[derive(Debug)]
pub(super) struct Process {
    rss_init_bytes: Option<u64>,
    usage: Option<Usage>,
    host: Option<Host>,
    throttled_ns: Option<u64>,
}

impl Process {
    /// Call at init: the resident set then is what the process weighs empty, and what was spent before is not
    /// ours to tell.
    pub(super) fn new() -> Self {
        Self {
            rss_init_bytes: Status::read().rss_bytes,
            usage: clock::usage(),
            host: Host::read(),
            throttled_ns: Quota::read().throttled_ns,
        }
    }

    /// The gauges now, and the counters since the last call.
    pub(super) fn read(&mut self) -> Vec<(u32, i64)> {
        let (status, quota, host) = (Status::read(), Quota::read(), Host::read());
        let mut columns = Columns::default();
        columns.gauge(column::RSS_INIT_BYTES, self.rss_init_bytes);
        columns.gauge(column::RSS_BYTES, status.rss_bytes);
        columns.gauge(column::RSS_PEAK_BYTES, status.rss_peak_bytes);
        columns.gauge(column::THREADS, status.threads);
        columns.gauge(
            column::CORES_MILLI,
            cores_milli(status.cores_allowed, quota.milli),
        );
        columns.gauge(column::QUOTA_MILLI, quota.milli);
        columns.counter(
            column::THROTTLED_NS,
            std::mem::replace(&mut self.throttled_ns, quota.throttled_ns),
            quota.throttled_ns,
        );
        columns.gauge(column::HOST_CORES, host.map(|host| host.cores));
        let before = std::mem::replace(&mut self.host, host);
        for (column, before, now) in [
            (
                column::HOST_BUSY_NS,
                before.map(|h| h.busy_ns),
                host.map(|h| h.busy_ns),
            ),
            (
                column::HOST_SOFTIRQ_NS,
                before.map(|h| h.softirq_ns),
                host.map(|h| h.softirq_ns),
            ),
            (
                column::HOST_STEAL_NS,
                before.map(|h| h.steal_ns),
                host.map(|h| h.steal_ns),
            ),
        ] {
            columns.counter(column, before, now);
        }
        let usage = clock::usage();
        let before = std::mem::replace(&mut self.usage, usage);
        for (column, before, now) in [
            (
                column::CPU_USER_NS,
                before.map(|u| u.user_ns),
                usage.map(|u| u.user_ns),
            ),
            (
                column::CPU_SYSTEM_NS,
                before.map(|u| u.system_ns),
                usage.map(|u| u.system_ns),
            ),
            (
                column::SWITCHES_VOLUNTARY,
                before.map(|u| u.voluntary_switches),
                usage.map(|u| u.voluntary_switches),
            ),
            (
                column::SWITCHES_INVOLUNTARY,
                before.map(|u| u.involuntary_switches),
                usage.map(|u| u.involuntary_switches),
            ),
        ] {
            columns.counter(column, before, now);
        }
        columns.0
    }
}

/// Columns of which the value is known.
#[derive(Debug, Default)]
struct Columns(Vec<(u32, i64)>);

impl Columns {
    fn gauge(&mut self, column: u32, value: Option<u64>) {
        if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
            self.0.push((column, value));
        }
    }

    /// What was added since the last reading. A counter that went back began anew (the process was moved to
    /// another group, say): what it gained is unknown.
    fn counter(&mut self, column: u32, before: Option<u64>, now: Option<u64>) {
        let gained = now
            .zip(before)
            .and_then(|(now, before)| now.checked_sub(before));
        self.gauge(column, gained);
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
fn cores_milli(allowed: Option<u64>, quota_milli: Option<u64>) -> Option<u64> {
    let allowed = allowed
        .or_else(|| {
            std::thread::available_parallelism()
                .ok()
                .and_then(|n| u64::try_from(n.get()).ok())
        })
        .map(|cores| cores.saturating_mul(1_000));
    [allowed, quota_milli].into_iter().flatten().min()
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
    fn counters_tell_what_was_gained_and_what_is_unknown_stays_absent() {
        let mut columns = Columns::default();
        columns.counter(4, Some(5), Some(7));
        columns.counter(8, Some(7), Some(5));
        columns.counter(12, None, Some(5));
        columns.counter(16, Some(5), None);
        columns.gauge(20, None);
        assert_eq!(columns.0, [(4, 2)]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_window_of_work_shows_in_the_counters_of_the_process_and_its_machine() {
        let mut process = Process::new();
        process.read();
        crate::testing::burn(60_000_000);
        std::thread::park_timeout(std::time::Duration::from_millis(5));
        let columns = process.read();
        let get = |wanted: u32| {
            let found = columns.iter().find(|(column, _)| *column == wanted);
            found.map(|(_, value)| *value)
        };
        let cpu = get(column::CPU_USER_NS).unwrap() + get(column::CPU_SYSTEM_NS).unwrap();
        assert!(cpu >= 59_000_000, "{cpu}");
        assert!(get(column::SWITCHES_VOLUNTARY).unwrap() >= 1);
        assert!(get(column::HOST_BUSY_NS).unwrap() >= 40_000_000);
        assert!(get(column::HOST_CORES).unwrap() * 1_000 >= get(column::CORES_MILLI).unwrap());
        assert!(get(column::RSS_PEAK_BYTES).unwrap() >= get(column::RSS_BYTES).unwrap());
        assert!(get(column::HOST_STEAL_NS).is_some() && get(column::HOST_SOFTIRQ_NS).is_some());
        assert!(get(column::SWITCHES_INVOLUNTARY).is_some());
        let signed = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap());
        assert_eq!(get(column::RSS_INIT_BYTES), signed(process.rss_init_bytes));
        assert_eq!(get(column::QUOTA_MILLI), signed(Quota::read().milli));
        // Tests beside this one begin and end threads meanwhile.
        let threads = signed(Status::read().threads).unwrap();
        let told = get(column::THREADS).unwrap();
        assert!(
            told >= 2 && (told - threads).abs() < 64,
            "{told}, {threads} now"
        );
    }
}
