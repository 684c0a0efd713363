//! The fast clock: what a reading costs, and how far it is off while four threads share two processors.
//!
//! The reference is the kernel: its thread clock, and its counts of switches. In `pieces` the clock runs as in a
//! service; in `witnessed` the kernel is asked after every piece, so that no switch goes by unseen.

use std::hint::black_box;
use std::process::ExitCode;

use weighbridge_agent::bench::{
    Clock, ClockStats, kernel_thread_cpu_ns, monotonic_ns, run_on, start_clock, thread_switches,
};
use weighbridge_benches::{Figure, Interval, Report};

const PROCESSORS: usize = 2;
const THREADS: u64 = 4;
const SECONDS_NS: u64 = 4_000_000_000;

fn main() -> ExitCode {
    let mut report = Report::new("clock");
    let processors = run_on(PROCESSORS);
    report.push(Figure::new("processors", count(processors as u64), "count"));
    if let Err(reason) = start_clock(Some("rseq")) {
        report.push(Figure::new(
            format!("no mode rseq: {reason}"),
            f64::NAN,
            "ns",
        ));
        return report.finish();
    }
    report.push(reading("a reading").at_most(20.0));
    pieces(&mut report, "rseq", Some(0.5), Some(1.0));
    witnessed(&mut report);
    for mode in ["scaled", "thread"] {
        if start_clock(Some(mode)).is_ok() {
            report.push(reading(&format!("a reading, mode {mode}")));
        }
        if mode == "scaled" {
            pieces(&mut report, mode, None, None);
        }
    }
    report.finish()
}

/// Nanoseconds of CPU for a reading: median over blocks, with the quartiles.
fn reading(name: &str) -> Figure {
    const BLOCKS: usize = 101;
    const READINGS: u32 = 20_000;
    let clock = Clock::new();
    clock.read();
    let mut costs: Vec<f64> = (0..BLOCKS)
        .map(|_| {
            let begun = kernel_thread_cpu_ns();
            for _ in 0..READINGS {
                black_box(clock.read());
            }
            let spent = kernel_thread_cpu_ns() - begun;
            ns(spent) / f64::from(READINGS)
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    let at = |quarter: usize| costs[(BLOCKS - 1) * quarter / 4];
    let interval = Interval {
        mean: at(2),
        low: at(1),
        high: at(3),
    };
    Figure::of(name, Some(interval), "ns").note("median and quartiles of blocks")
}

/// CPU by account, by the clock and as it must be.
#[derive(Clone, Copy, Default)]
struct Spent {
    kernel_ns: i64,
    /// Two accounts: pieces of 1 to 20 and of 20 to 50 µs.
    booked_ns: [i64; 2],
    rounds: [u64; 2],
    readings: u64,
    switches: i64,
    /// Pieces in which the thread was taken off its processor, and those of them that were booked wrong.
    switched: u64,
    missed: u64,
    /// Largest difference between a piece and the kernel's figure for it.
    worst_ns: i64,
}

impl Spent {
    fn add(mut self, other: &Self) -> Self {
        self.kernel_ns += other.kernel_ns;
        for account in 0..2 {
            self.booked_ns[account] += other.booked_ns[account];
            self.rounds[account] += other.rounds[account];
        }
        self.readings += other.readings;
        self.switches += other.switches;
        self.switched += other.switched;
        self.missed += other.missed;
        self.worst_ns = self.worst_ns.max(other.worst_ns);
        self
    }
}

/// Four threads, pieces of 1 to 50 µs in turn for two accounts.
fn pieces(report: &mut Report, mode: &str, corrections_max: Option<f64>, off_max: Option<f64>) {
    let per_us = rounds_per_us();
    let (before, stolen_before) = (ClockStats::now(), stolen_s());
    let spent = on_threads(|seed| run(seed, per_us, false));
    let (after, stolen) = (ClockStats::now(), stolen_s());
    let name = |what: &str| format!("{mode}: {what}");
    let cpu_ns = ns(spent.kernel_ns);
    let corrections = count(after.corrections_ns - before.corrections_ns);
    let push = |report: &mut Report, figure: Figure, max: Option<f64>| {
        report.push(match max {
            Some(max) => figure.at_most(max),
            None => figure,
        });
    };
    report.push(Figure::new(name("CPU time"), cpu_ns / 1e9, "s"));
    report.push(Figure::new(
        name("readings"),
        count(spent.readings),
        "count",
    ));
    report.push(Figure::new(name("switches"), ns(spent.switches), "count"));
    let rereads = after.rereads() - before.rereads();
    report.push(Figure::new(name("re-reads"), count(rereads), "count"));
    for (why, n) in [
        ("interrupted", after.interrupted - before.interrupted),
        ("long", after.long - before.long),
        ("aged", after.aged - before.aged),
    ] {
        report.push(Figure::new(
            name(&format!("re-reads, {why}")),
            count(n),
            "count",
        ));
    }
    if let (Some(before), Some(after)) = (stolen_before, stolen) {
        // In steps of 10 ms; all threads of the machine.
        let share = 100.0 * (after - before) * 1e9 / cpu_ns;
        report.push(Figure::new(
            name("stolen by the hypervisor meanwhile"),
            share,
            "% of CPU",
        ));
    }
    let share = Figure::new(
        name("sum of absolute corrections"),
        100.0 * corrections / cpu_ns,
        "% of CPU",
    );
    push(report, share, corrections_max);
    let rounds = count(spent.rounds[0] + spent.rounds[1]);
    for (account, length) in ["1 to 20 µs", "20 to 50 µs"].into_iter().enumerate() {
        // All rounds are alike, so that an account's share of the CPU time is its share of the rounds.
        let must = cpu_ns * count(spent.rounds[account]) / rounds;
        let off = 100.0 * (ns(spent.booked_ns[account]) - must).abs() / must;
        let off = Figure::new(name(&format!("account of {length} off by")), off, "%");
        push(report, off, off_max);
    }
    let degradations = after.degradations - before.degradations;
    report.push(Figure::new(name("degradations"), count(degradations), "count").at_most(0.0));
}

/// The same with the kernel asked after each piece, and naps.
fn witnessed(report: &mut Report) {
    let per_us = rounds_per_us();
    let spent = on_threads(|seed| run(seed, per_us, true));
    report.push(Figure::new(
        "witnessed: pieces",
        count(spent.readings),
        "count",
    ));
    report.push(Figure::new(
        "witnessed: switches",
        ns(spent.switches),
        "count",
    ));
    report.push(Figure::new(
        "witnessed: pieces with a switch",
        count(spent.switched),
        "count",
    ));
    report.push(
        Figure::new(
            "witnessed: switches missed that moved over 50 µs",
            count(spent.missed),
            "count",
        )
        .at_most(0.0),
    );
    report.push(Figure::new(
        "witnessed: worst piece off by",
        ns(spent.worst_ns) / 1e3,
        "µs",
    ));
}

fn on_threads(run: impl Fn(u64) -> Spent + Sync) -> Spent {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS)
            .map(|n| scope.spawn(move || run(n + 1)))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .fold(Spent::default(), |sum, spent| sum.add(&spent))
    })
}

fn run(seed: u64, rounds_per_us: u64, witnessed: bool) -> Spent {
    const MOVED_NS: i64 = 50_000;
    let clock = Clock::new();
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut spent = Spent::default();
    let (switches, cpu) = (thread_switches(), kernel_thread_cpu_ns());
    let end = monotonic_ns() + SECONDS_NS;
    let mut last = clock.settle();
    let (mut last_kernel, mut last_switches) = ((cpu, kernel_thread_cpu_ns()), switches);
    // The wall clock is asked now and then, so that it does not weigh on the pieces.
    while monotonic_ns() < end {
        for _ in 0..100 {
            for (account, (from_us, to_us)) in [(1, 20), (20, 50)].into_iter().enumerate() {
                let rounds = dice.between(from_us * rounds_per_us, to_us * rounds_per_us);
                work(rounds);
                if witnessed && dice.between(0, 200) == 0 {
                    std::thread::park_timeout(std::time::Duration::from_micros(300));
                }
                let before = if witnessed { kernel_thread_cpu_ns() } else { 0 };
                let now = clock.read();
                let piece = now - last;
                last = now;
                spent.booked_ns[account] += piece;
                spent.rounds[account] += rounds;
                spent.readings += 1;
                if witnessed {
                    let after = kernel_thread_cpu_ns();
                    let switches = thread_switches();
                    // The reading was taken between the kernel's two, whatever came in between.
                    let least = before - last_kernel.1;
                    let most = after - last_kernel.0;
                    let off = (least - piece).max(piece - most);
                    if switches != last_switches {
                        spent.switched += 1;
                        spent.missed += u64::from(off > MOVED_NS);
                        spent.worst_ns = spent.worst_ns.max(off);
                    }
                    (last_kernel, last_switches) = ((before, after), switches);
                }
            }
        }
    }
    let settled = clock.settle();
    spent.booked_ns[1] += settled - last;
    spent.kernel_ns = kernel_thread_cpu_ns() - cpu;
    spent.switches = thread_switches() - switches;
    spent
}

/// Time that the hypervisor took from the whole machine since it started.
fn stolen_s() -> Option<f64> {
    const TICKS_PER_S: f64 = 100.0;
    const STEAL: usize = 8;
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks: f64 = text
        .lines()
        .next()?
        .split_whitespace()
        .nth(STEAL)?
        .parse()
        .ok()?;
    Some(ticks / TICKS_PER_S)
}

fn work(rounds: u64) {
    let mut sum = 0_u64;
    for n in 0..rounds {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(n));
    }
    black_box(sum);
}

/// How many rounds of work take a microsecond: the most of several trials, the least disturbed.
fn rounds_per_us() -> u64 {
    const ROUNDS: u64 = 1_000_000;
    (0..5)
        .filter_map(|_| {
            let begun = kernel_thread_cpu_ns();
            work(ROUNDS);
            let spent = u64::try_from(kernel_thread_cpu_ns() - begun).ok()?;
            (ROUNDS * 1_000).checked_div(spent)
        })
        .max()
        .unwrap_or(1)
        .max(1)
}

struct Dice(u64);

impl Dice {
    /// From `low`, to below `high`.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low).max(1)
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ns(ns: i64) -> f64 {
    ns as f64
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(n: u64) -> f64 {
    n as f64
}
