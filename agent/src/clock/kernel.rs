//! The clocks that the kernel keeps.

/// Kernel id of a thread of this process.
pub(crate) type ThreadId = i32;

fn read(clock: libc::clockid_t) -> Option<i64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid, writable timespec for the whole call; an unknown clock id makes the call
    // fail without writing.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // widths differ between targets
    (result == 0).then(|| {
        (time.tv_sec as i64)
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec as i64)
    })
}

/// CPU time of the calling thread, in ns. The zero point is the start of the thread.
#[inline]
pub(crate) fn thread_cpu_ns() -> i64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

/// CPU time of the process since its start, in ns, all threads, ended ones included.
pub(crate) fn process_cpu_ns() -> i64 {
    read(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or(0)
}

/// Nanoseconds of a clock that runs at the rate of the machine's counter, never slewed; zero point arbitrary.
#[cfg(target_os = "linux")]
pub(super) fn raw_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC_RAW)
        .and_then(|ns| u64::try_from(ns).ok())
        .unwrap_or(0)
}

/// Not used on this system.
#[cfg(not(target_os = "linux"))]
pub(super) fn raw_ns() -> u64 {
    monotonic_ns()
}

/// How often the calling thread was taken off its processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// It waited for something.
    pub(crate) voluntary: i64,
    /// Another thread was given the processor.
    pub(crate) involuntary: i64,
}

/// The kernel's switch counters of the calling thread; zeroes where they are not known.
#[cfg(target_os = "linux")]
pub(crate) fn switches() -> Switches {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable for the whole call, and zeroed memory is a valid rusage (integers only), so
    // it may be read whether or not the call wrote it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // widths differ between targets
    Switches {
        voluntary: usage.ru_nvcsw as i64,
        involuntary: usage.ru_nivcsw as i64,
    }
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn switches() -> Switches {
    Switches::default()
}

/// Lets the calling thread, and threads that it starts, run on `n` of the processors it may run on. Returns on
/// how many it runs.
#[cfg(all(feature = "bench", target_os = "linux"))]
pub(crate) fn run_on(n: usize) -> usize {
    // SAFETY: a cpu_set_t is an array of integers, for which zeroes are valid; both calls get its size, and the
    // processor numbers stay below the number of bits in it.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        let mut chosen: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed);
        let cpus = (0..8 * size_of_val(&allowed)).filter(|cpu| libc::CPU_ISSET(*cpu, &allowed));
        for cpu in cpus.take(n) {
            libc::CPU_SET(cpu, &mut chosen);
        }
        libc::sched_setaffinity(0, size_of_val(&chosen), &raw const chosen);
        usize::try_from(libc::CPU_COUNT(&chosen)).unwrap_or(0)
    }
}

/// CPU time of another thread of this process. `None` when there is no such thread (any more).
#[cfg(target_os = "linux")]
pub(crate) fn other_thread_cpu_ns(thread: ThreadId) -> Option<i64> {
    // The clock id of a thread as the kernel builds it (posix-timers.h): the complement of the id, then
    // two bits for CPUCLOCK_SCHED and one for "a thread, not a process".
    read((!thread << 3) | 2 | 4)
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn other_thread_cpu_ns(_thread: ThreadId) -> Option<i64> {
    None
}

/// Kernel id of the calling thread.
#[cfg(target_os = "linux")]
pub(crate) fn thread_id() -> ThreadId {
    // SAFETY: gettid takes no arguments and cannot fail.
    unsafe { libc::gettid() }
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_id() -> ThreadId {
    0
}

/// Nanoseconds of a clock that never steps; its zero point is arbitrary.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
        .and_then(|ns| u64::try_from(ns).ok())
        .unwrap_or(0)
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn wall_unix_ns() -> u64 {
    read(libc::CLOCK_REALTIME)
        .and_then(|ns| u64::try_from(ns).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_threads_clock_is_read_by_its_id_and_gone_after_it() {
        let (ids, id) = std::sync::mpsc::sync_channel(1);
        let (go, stop) = std::sync::mpsc::sync_channel::<()>(0);
        let worker = std::thread::spawn(move || {
            let begun = thread_cpu_ns();
            while thread_cpu_ns() - begun < 5_000_000 {}
            ids.send(thread_id()).unwrap();
            stop.recv().unwrap();
            thread_cpu_ns()
        });
        let id = id.recv().unwrap();
        let seen = other_thread_cpu_ns(id).unwrap();
        assert!(seen >= 5_000_000, "{seen}");
        go.send(()).unwrap();
        let last = worker.join().unwrap();
        assert!(last >= seen, "the same clock: {last} after {seen}");
        // The join returns a little before the kernel has let go of the thread.
        let begun = monotonic_ns();
        while other_thread_cpu_ns(id).is_some() {
            assert!(monotonic_ns() - begun < 10_000_000_000, "still there");
            std::thread::yield_now();
        }
    }

    #[test]
    fn thread_time_stands_still_in_sleep_and_process_time_covers_it() {
        let (thread, process) = (thread_cpu_ns(), process_cpu_ns());
        let wall = monotonic_ns();
        std::thread::park_timeout(std::time::Duration::from_millis(30));
        let slept = i64::try_from(monotonic_ns() - wall).unwrap();
        assert!(thread_cpu_ns() - thread < slept / 2);
        assert!(process_cpu_ns() >= process);
    }
}
