//! The fast clock against the kernel's, under everything that takes a thread off its processor.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::rseq;
use super::thread_clock::ThreadClock;
use super::*;
use crate::testing::on_thread;

/// Work of about so many rounds of a few ns.
fn work(rounds: u64) {
    let mut sum = 0_u64;
    for n in 0..rounds {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(n));
    }
    black_box(sum);
}

/// Pieces longer and shorter than the counter is trusted for.
const LONG: u64 = 12_000;
/// Pieces of a few microseconds.
const SHORT: u64 = 1_000;

/// A small generator, so that lengths of pieces have no rhythm.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn setup(mode: Mode) -> Option<&'static Setup> {
    wanted(mode, 1_000)
}

/// Reads for `cpu_ns` of this thread and returns its time by the fast clock (sum of the pieces) and by the
/// kernel between the same two instants. Pieces are up to `rounds_max` of work.
fn spend(clock: &ThreadClock, cpu_ns: i64, rounds_max: u64) -> (i64, i64) {
    let mut dice = Dice(rounds_max | 1);
    let first = clock.settle();
    let begun = thread_cpu_ns();
    let (mut last, mut sum) = (first, 0);
    while thread_cpu_ns() - begun < cpu_ns {
        for _ in 0..200 {
            work(dice.roll(rounds_max));
            let now = clock.read(Leaving::Other);
            sum += now - last;
            last = now;
        }
    }
    let end = clock.settle();
    sum += end - last;
    assert_eq!(sum, end - first, "the pieces add up, corrections included");
    (sum, thread_cpu_ns() - begun)
}

fn agree(clock: i64, kernel: i64) {
    // The two are read one after the other: an interruption in between is in one of them only.
    assert!(
        (clock - kernel).abs() < 500_000,
        "{clock} ns by the fast clock, {kernel} ns by the kernel"
    );
}

#[test]
fn every_mode_gives_the_threads_cpu_time() {
    for mode in [Mode::Rseq, Mode::Scaled, Mode::Thread] {
        let Some(setup) = setup(mode) else { continue };
        let (clock, kernel) = on_thread(|| {
            let clock = ThreadClock::new(setup);
            let spent = spend(&clock, 100_000_000, LONG);
            clock.stop();
            spent
        });
        agree(clock, kernel);
        assert_eq!(setup.mode(), mode, "not degraded");
    }
}

#[test]
fn the_fast_modes_ask_the_kernel_seldom_and_are_corrected_little() {
    for mode in [Mode::Rseq, Mode::Scaled] {
        let Some(setup) = setup(mode) else { continue };
        let readings = on_thread(|| {
            let clock = ThreadClock::new(setup);
            let mut readings = 0_u64;
            let begun = thread_cpu_ns();
            while thread_cpu_ns() - begun < 200_000_000 {
                for _ in 0..1_000 {
                    work(300);
                    clock.read(Leaving::Other);
                }
                readings += 1_000;
            }
            clock.settle();
            clock.stop();
            readings
        });
        let totals = setup.totals();
        assert!(
            totals.rereads() * 20 < readings,
            "{mode:?}: {totals:?} of {readings}"
        );
        assert!(totals.covered_ns >= 199_000_000, "{totals:?}");
        // The bench holds 0.5 %; a busy machine and a build without optimisation get more room here.
        assert!(
            totals.corrections_ns * 20 < totals.covered_ns,
            "{mode:?}: {totals:?}"
        );
    }
}

#[test]
fn sleep_is_no_cpu_time_in_any_mode() {
    for mode in [Mode::Rseq, Mode::Scaled, Mode::Thread] {
        let Some(setup) = setup(mode) else { continue };
        let slept = on_thread(|| {
            let clock = ThreadClock::new(setup);
            clock.settle();
            let mut slept = 0;
            for _ in 0..20 {
                let before = clock.park(Leaving::Runtime);
                std::thread::park_timeout(std::time::Duration::from_millis(2));
                slept += clock.read(Leaving::Runtime) - before;
            }
            clock.stop();
            slept
        });
        assert!(slept < 10_000_000, "{mode:?}: {slept} ns of 40 ms asleep");
    }
}

#[test]
fn what_a_wait_cost_is_found_later_and_is_the_schedulers() {
    const SCHEDULER_NS: i64 = 300_000;
    let Some(setup) = setup(Mode::Rseq) else {
        return;
    };
    let burn = |cpu_ns| {
        let begun = thread_cpu_ns();
        while thread_cpu_ns() - begun < cpu_ns {
            work(100);
        }
    };
    // Whoever is preempted in between shows another figure: some tries are not.
    let tries: Vec<(i64, i64, i64)> = (0..40)
        .map(|_| {
            on_thread(move || {
                let clock = ThreadClock::new(setup);
                let (begun, kernel) = (clock.settle(), thread_cpu_ns());
                // The scheduler works and sleeps.
                burn(SCHEDULER_NS);
                std::thread::sleep(std::time::Duration::from_micros(50));
                let woken = clock.read(Leaving::Runtime);
                let put_off = clock.has_put_off();
                assert_eq!(clock.take_put_off(), 0, "the scheduler's is no other's");
                // Then somebody else, for longer than the counter is trusted.
                burn(100_000);
                let now = clock.read(Leaving::Other);
                let found = clock.take_put_off();
                assert!(!clock.has_put_off() || !put_off, "found once");
                let end = clock.settle();
                agree(end - begun, thread_cpu_ns() - kernel);
                clock.stop();
                let counted_at_waking = if put_off { woken - begun } else { i64::MAX };
                (counted_at_waking, found, now - woken - found)
            })
        })
        .collect();
    let held = |(at_waking, found, others): &&(i64, i64, i64)| {
        *at_waking == 0
            && (found - SCHEDULER_NS).abs() < 60_000
            && (others - 100_000).abs() < 60_000
    };
    assert!(tries.iter().filter(held).count() >= 5, "{tries:?}");
}

#[test]
fn instants_follow_the_monotonic_clock_and_never_step_back() {
    for mode in [Mode::Rseq, Mode::Scaled, Mode::Thread] {
        let Some(setup) = setup(mode) else { continue };
        on_thread(|| {
            let clock = ThreadClock::new(setup);
            let mut last = 0;
            let mut near = 0;
            for n in 0..20_000_u64 {
                work(n % 1_000);
                let before = monotonic_ns();
                clock.read(Leaving::Other);
                let instant = clock.last_instant_ns();
                let after = monotonic_ns();
                assert!(instant >= last, "{mode:?}: {instant} after {last}");
                last = instant;
                near += u32::from(instant + 2_000 >= before && instant <= after + 2_000);
            }
            // An interruption between the two lets an honest reading look far off.
            assert!(near > 19_000, "{mode:?}: {near} of 20000");
            clock.stop();
        });
    }
}

/// Four threads share two processors with signals, moves from one to the other and naps.
fn stress(setup: &'static Setup, cpu_ns: i64) {
    static HANDLED: AtomicU64 = AtomicU64::new(0);
    extern "C" fn on_signal(_: libc::c_int) {
        HANDLED.fetch_add(1, Ordering::Relaxed);
        work(500);
    }
    let signal = libc::SIGRTMIN() + 3;
    // SAFETY: the handler only counts and computes, which is safe at any instruction; the action is a valid
    // sigaction made from zeroed memory (integers and null).
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(
            libc::sigaction(signal, &raw const action, std::ptr::null_mut()),
            0
        );
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u64)
            .map(|n| {
                let (tell, told) = std::sync::mpsc::sync_channel(1);
                let worker = scope.spawn(move || {
                    tell.send(thread_id()).unwrap();
                    let clock = ThreadClock::new(setup);
                    let mut sums = (0, 0);
                    let mut dice = Dice(n + 11);
                    while sums.1 < cpu_ns {
                        let (clock, kernel) = spend(&clock, 20_000_000, LONG + dice.roll(100));
                        sums = (sums.0 + clock, sums.1 + kernel);
                        std::thread::park_timeout(std::time::Duration::from_micros(dice.roll(300)));
                    }
                    clock.stop();
                    sums
                });
                (told.recv().unwrap(), worker)
            })
            .collect();
        let threads: Vec<ThreadId> = workers.iter().map(|(thread, _)| *thread).collect();
        let disturb = scope.spawn({
            let done = &done;
            move || {
                let mut dice = Dice(99);
                while !done.load(Ordering::Relaxed) {
                    let thread = threads[dice.roll(4) as usize];
                    // SAFETY: tgkill takes numbers; a thread that has ended makes it fail. The set is a valid
                    // cpu_set_t from zeroed memory with one processor in it, and its size is given.
                    unsafe {
                        libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal);
                        let mut set: libc::cpu_set_t = std::mem::zeroed();
                        libc::CPU_SET(dice.roll(2) as usize, &mut set);
                        libc::sched_setaffinity(thread, size_of_val(&set), &raw const set);
                    }
                    std::thread::park_timeout(std::time::Duration::from_micros(200));
                }
            }
        });
        for (_, worker) in workers {
            let (clock, kernel) = worker.join().unwrap();
            // The two readings of the kernel at each end are a few microseconds apart, and a switch may fall
            // between them; each stretch of 20 ms has two ends.
            assert!(
                (clock - kernel).abs() < kernel / 100,
                "{clock} and {kernel}"
            );
        }
        done.store(true, Ordering::Relaxed);
        disturb.join().unwrap();
    });
    assert!(HANDLED.load(Ordering::Relaxed) > 0);
    let totals = setup.totals();
    assert!(totals.rereads[0] > 0, "interruptions were seen: {totals:?}");
    assert_eq!(totals.degradations, 0, "{totals:?}");
    assert!(totals.corrections_ns * 50 < totals.covered_ns, "{totals:?}");
}

#[test]
fn switches_signals_and_moves_lose_nothing() {
    let Some(setup) = setup(Mode::Rseq) else {
        return;
    };
    stress(setup, 250_000_000);
}

#[test]
#[ignore = "minutes: run by `cargo xtask evidence`"]
fn switches_signals_and_moves_lose_nothing_for_minutes() {
    let Some(setup) = setup(Mode::Rseq) else {
        return;
    };
    stress(setup, 60_000_000_000);
}

#[test]
fn a_wrong_rate_is_noticed_and_given_up() {
    if setup(Mode::Rseq).is_none() {
        return;
    }
    // Thousandths of the true rate; `scaled` follows a counter that seems too fast, as under steal, but a
    // thread cannot have more CPU time than wall time.
    for (rate, ends_in, degradations) in [(1_030, Mode::Scaled, 1), (960, Mode::Thread, 2)] {
        let wrong = Setup::faked(Mode::Rseq, rate);
        wrong.forget_beginning();
        let mut told = Totals::default();
        on_thread(|| {
            let clock = ThreadClock::new(wrong);
            // Interrupted stretches tell nothing, so that a busy machine takes longer to find out.
            for _ in 0..30 {
                let (sum, kernel) = spend(&clock, 100_000_000, SHORT);
                agree(sum, kernel);
                if wrong.mode() == ends_in {
                    break;
                }
            }
            clock.stop();
        });
        assert_eq!(wrong.mode(), ends_in, "{rate}: {:?}", wrong.totals());
        let window = wrong.end_window(&mut told);
        assert_eq!(window.degradations, degradations);
        assert!(window.scaled, "its pieces were scaled for a while");
        assert_eq!(window.mode, ends_in);
        assert_eq!(wrong.end_window(&mut told).degradations, 0, "told once");
    }
}

#[test]
fn a_small_error_of_the_rate_is_corrected_and_not_given_up() {
    if setup(Mode::Rseq).is_none() {
        return;
    }
    /// A quarter of what 200 ms are off by.
    const CORRECTED_NS: u64 = 200_000;
    let off = Setup::faked(Mode::Rseq, 1_004);
    on_thread(|| {
        let clock = ThreadClock::new(off);
        // Interrupted stretches tell nothing, so that a busy machine takes longer to see it.
        for _ in 0..30 {
            let (sum, kernel) = spend(&clock, 100_000_000, SHORT);
            agree(sum, kernel);
            if off.totals().corrections_ns > CORRECTED_NS {
                break;
            }
        }
        clock.stop();
    });
    assert_eq!(off.mode(), Mode::Rseq, "{:?}", off.totals());
    assert!(
        off.totals().corrections_ns > CORRECTED_NS,
        "{:?}",
        off.totals()
    );
}

#[test]
fn a_rate_that_changes_is_noticed_at_the_end_of_a_window() {
    let Some(setup) = setup(Mode::Rseq) else {
        return;
    };
    let begun = monotonic_ns();
    while monotonic_ns() - begun < 12_000_000 {
        work(100);
    }
    let mut told = Totals::default();
    assert_eq!(setup.end_window(&mut told).degradations, 0, "steady");
    let wrong = Setup::faked(Mode::Rseq, 1_050);
    // From here: a busy machine may have taken any time until now.
    let begun = monotonic_ns();
    while monotonic_ns() - begun < 12_000_000 {
        work(100);
    }
    let window = wrong.end_window(&mut Totals::default());
    assert_eq!((window.degradations, window.mode), (1, Mode::Scaled));
}

thread_local! {
    /// Looks like the kernel's area of a registered thread, but nobody ever clears its second half.
    static DEAF: [Cell<u64>; 2] = const { [const { Cell::new(0) }; 2] };
}

/// Where this thread has a word that nobody clears, from its thread pointer.
fn deaf_offset() -> isize {
    let address = DEAF.with(|area| std::ptr::from_ref(&area[1]).addr());
    // SAFETY: SELF_OFFSET is always readable.
    let thread_pointer = unsafe { counter::word(counter::SELF_OFFSET) };
    (address as isize).wrapping_sub(thread_pointer as isize)
}

#[test]
fn a_flag_that_is_never_cleared_is_noticed_by_the_switches_it_missed() {
    if setup(Mode::Rseq).is_none() {
        return;
    }
    let offset = deaf_offset();
    let deaf = Setup::with_word(offset);
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Enough rivals that switches happen in the middle of pieces.
        for _ in 0..3 * processors {
            scope.spawn(|| {
                // The offset is the same in all threads: the variable is in the program's own TLS block.
                assert_eq!(deaf_offset(), offset);
                let clock = ThreadClock::new(deaf);
                let begun = monotonic_ns();
                while deaf.mode() == Mode::Rseq && monotonic_ns() - begun < 60_000_000_000 {
                    for _ in 0..200 {
                        work(1_000);
                        clock.read(Leaving::Other);
                    }
                }
                clock.stop();
            });
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_ne!(deaf.mode(), Mode::Rseq, "{:?}", deaf.totals());
}

#[test]
fn a_thread_that_begins_with_somebody_elses_descriptor_and_loses_ours_again_only_reads_more() {
    let (Some(setup), Ok(place)) = (setup(Mode::Rseq), rseq::find()) else {
        return;
    };
    on_thread(|| {
        // Another copy of this library in the process would do this: a descriptor as good as ours.
        let foreign = rseq::foreign();
        // SAFETY: the place is glibc's; the descriptor is valid and static.
        let put = || unsafe { counter::swap_word(place.word, foreign) };
        put();
        let clock = ThreadClock::new(setup);
        let first = clock.read(Leaving::Other);
        let begun = thread_cpu_ns();
        let mut last = first;
        for n in 0..2_000 {
            work(500);
            if n % 2 == 0 {
                put();
            }
            last = clock.read(Leaving::Other);
        }
        agree(last - first, thread_cpu_ns() - begun);
        assert!(setup.totals().rereads[0] >= 1_000, "{:?}", setup.totals());
        put();
        clock.stop();
        // SAFETY: as above; 0 names nothing.
        let left = unsafe { counter::swap_word(place.word, 0) };
        assert!(
            left == foreign || left == 0,
            "not ours to take away: {left:#x}"
        );
    });
}

#[test]
fn a_child_made_by_fork_goes_on_from_where_its_parent_stood() {
    for mode in [Mode::Rseq, Mode::Scaled, Mode::Thread] {
        let Some(setup) = setup(mode) else { continue };
        on_thread(|| {
            let clock = ThreadClock::new(setup);
            clock.read(Leaving::Other);
            work(20_000_000);
            let parent = clock.read(Leaving::Other);
            assert!(parent > 10_000_000, "{parent}");
            // SAFETY: the child calls nothing but the clock (no allocation, no lock) and _exit.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let first = clock.read(Leaving::Other);
                work(2_000_000);
                let second = clock.settle();
                // Nothing of the difference between the two threads' clocks may be booked.
                let ok = (0..10_000_000).contains(&(first - parent)) && second > first;
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(i32::from(!ok)) };
            }
            assert!(child > 0);
            let mut status = 0;
            // SAFETY: waits for the child just made; `status` is a valid int.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(waited, child);
            assert!(
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
                "{mode:?}: {status:#x}"
            );
            let spent = clock.settle() - parent;
            assert!(
                (0..100_000_000).contains(&spent),
                "the parent's goes on: {spent}"
            );
            clock.stop();
        });
    }
}

#[test]
fn a_stopped_clock_leaves_nothing_with_the_kernel_and_begins_again() {
    let (Some(setup), Ok(place)) = (setup(Mode::Rseq), rseq::find()) else {
        return;
    };
    on_thread(|| {
        let clock = ThreadClock::new(setup);
        // An interruption right after the reading clears the flag too.
        assert!((0..100).any(|_| {
            clock.read(Leaving::Other);
            place.is_armed()
        }));
        clock.stop();
        assert!(!place.is_armed());
        let again = clock.read(Leaving::Other);
        agree(again, thread_cpu_ns());
        clock.stop();
    });
}

#[test]
fn a_mode_that_cannot_be_had_says_why_and_takes_the_best() {
    let best = Setup::new();
    assert_eq!(best.start(None), None);
    for mode in [Mode::Rseq, Mode::Scaled, Mode::Thread] {
        let setup = Setup::new();
        let why_not = setup.start(Some(mode));
        assert_eq!(why_not.is_none(), setup.mode() == mode, "{why_not:?}");
        if let Some(reason) = why_not {
            assert!(reason.contains("is in force"), "{reason}");
            assert_eq!(setup.mode(), best.mode());
        }
    }
}
