//! What the C library knows of the process as a whole: its use of the machine, and its forks and end.

/// What the process used since its start, all threads, ended ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time in user mode, ns. The kernel scales ticks to the precise sum, so the split is a good estimate
    /// and the sum exact to the microsecond.
    pub(crate) user_ns: u64,
    /// CPU time in the kernel on behalf of the process, ns.
    pub(crate) system_ns: u64,
    /// Times a thread gave its core away because it had to wait.
    pub(crate) voluntary_switches: u64,
    /// Times a thread had its core taken away.
    pub(crate) involuntary_switches: u64,
}

/// What the process used so far. `None` where the system does not say.
pub(crate) fn usage() -> Option<Usage> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for a write of one `rusage` for the whole call.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if result != 0 {
        return None;
    }
    // SAFETY: all bytes were set to zero, which is a valid `rusage` of integers, and the call filled it.
    let usage = unsafe { usage.assume_init() };
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // widths differ between targets
    let ns = |time: libc::timeval| {
        (time.tv_sec as u64)
            .saturating_mul(1_000_000_000)
            .saturating_add((time.tv_usec as u64).saturating_mul(1_000))
    };
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
    Some(Usage {
        user_ns: ns(usage.ru_utime),
        system_ns: ns(usage.ru_stime),
        voluntary_switches: usage.ru_nvcsw as u64,
        involuntary_switches: usage.ru_nivcsw as u64,
    })
}

/// A function without arguments that the C library calls.
pub(crate) type Handler = extern "C" fn();

/// Has `before` called in every thread that forks, `parent` and `child` in the two processes after it.
/// False when the system takes no more handlers. They are never taken back.
#[cfg(target_os = "linux")]
pub(crate) fn at_fork(before: Handler, parent: Handler, child: Handler) -> bool {
    unsafe extern "C" {
        // POSIX; the libc crate has it for other systems only.
        fn pthread_atfork(
            before: Option<Handler>,
            parent: Option<Handler>,
            child: Option<Handler>,
        ) -> libc::c_int;
    }
    // SAFETY: the signature is that of POSIX, and functions of this program live as long as the process.
    // That they do nothing that is not allowed in them is said where they stand.
    unsafe { pthread_atfork(Some(before), Some(parent), Some(child)) == 0 }
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn at_fork(_before: Handler, _parent: Handler, _child: Handler) -> bool {
    false
}

/// Has `last` called when the process ends by `exit` or by returning from `main`. False when the system takes
/// no more handlers.
#[cfg(unix)]
pub(crate) fn at_exit(last: Handler) -> bool {
    // SAFETY: a function of this program lives as long as the process.
    unsafe { libc::atexit(last) == 0 }
}

/// Not known on this system.
#[cfg(not(unix))]
pub(crate) fn at_exit(_last: Handler) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_splits_the_same_cpu_time_that_the_clock_reads() {
        let (usage_0, clock_0) = (usage().unwrap(), super::super::process_cpu_ns());
        crate::testing::burn(50_000_000);
        let (usage_1, clock_1) = (usage().unwrap(), super::super::process_cpu_ns());
        let spent = |u: Usage| i64::try_from(u.user_ns + u.system_ns).unwrap();
        let (split, clock) = (spent(usage_1) - spent(usage_0), clock_1 - clock_0);
        // Other tests run beside this one, and the two readings are not one instant.
        assert!(split >= 49_000_000, "{split}");
        assert!(
            (split - clock).abs() <= clock / 4 + 20_000_000,
            "{split} by getrusage, {clock} by the clock"
        );
        assert!(usage_1.voluntary_switches >= usage_0.voluntary_switches);
    }
}
