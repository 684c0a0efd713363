//! What the control groups (version 2) of the process allow, and how often it ran into that.

use std::fs;

/// From our control group upwards; whoever is the tightest, decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Quota {
    /// The smallest quota, in thousandths of a core. `None`: there is none.
    pub(super) milli: Option<u64>,
    /// How long threads of the process's own group were held back by its quota since its begin.
    pub(super) throttled_ns: Option<u64>,
}

impl Quota {
    pub(super) fn read() -> Self {
        let Some(mut group) = fs::read_to_string("/proc/self/cgroup")
            .ok()
            .as_deref()
            .and_then(own_group)
        else {
            return Self::default();
        };
        let read = |group: &str, name: &str| {
            fs::read_to_string(format!("/sys/fs/cgroup{group}/{name}")).ok()
        };
        let throttled_ns = read(&group, "cpu.stat").as_deref().and_then(throttled_ns);
        let mut milli = None;
        // A control group is a few levels deep.
        for _ in 0..32 {
            if let Some(text) = read(&group, "cpu.max") {
                milli = [milli, parse_quota(&text)].into_iter().flatten().min();
            }
            let Some(parent) = group.rfind('/') else {
                break;
            };
            group.truncate(parent);
        }
        Self {
            milli,
            throttled_ns,
        }
    }
}

fn own_group(groups: &str) -> Option<String> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(group.trim_end_matches('/').to_owned())
}

/// `throttled_usec` of a `cpu.stat`. The line is there only while a quota is set.
fn throttled_ns(text: &str) -> Option<u64> {
    let us: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("throttled_usec "))?
        .trim()
        .parse()
        .ok()?;
    us.checked_mul(1_000)
}

/// Thousandths of a core of a line such as `150000 100000`; `max` means no quota.
fn parse_quota(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    quota.checked_mul(1_000)?.checked_div(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_thousandths_of_a_core() {
        assert_eq!(parse_quota("150000 100000\n"), Some(1_500));
        assert_eq!(parse_quota("max 100000\n"), None);
        assert_eq!(parse_quota("5 0"), None);
    }

    #[test]
    fn throttling_is_known_only_with_a_quota() {
        let text = "usage_usec 9\nnr_periods 4\nnr_throttled 2\nthrottled_usec 1500\n";
        assert_eq!(throttled_ns(text), Some(1_500_000));
        assert_eq!(throttled_ns("usage_usec 9\nuser_usec 5\n"), None);
        assert_eq!(throttled_ns("throttled_usec 99999999999999999999\n"), None);
    }

    #[test]
    fn the_group_of_version_two_is_ours() {
        let text = "4:memory:/a\n0::/system.slice/x.service\n";
        assert_eq!(own_group(text).as_deref(), Some("/system.slice/x.service"));
        assert_eq!(own_group("0::/\n").as_deref(), Some(""));
        assert_eq!(own_group("4:memory:/a\n"), None);
    }
}
