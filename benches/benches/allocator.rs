//! What the wrapper adds to an allocate/free pair: the bare system allocator and the wrapper over it, called
//! in turns in one process, in a tight loop of one block (64 bytes, the cheapest there is) and over 64 blocks of
//! mixed sizes that live at once. Sampling runs with a thousand samples alive.
//!
//! A program calls its global allocator through one function for each method, which the compiler makes and does
//! not inline; the allocator's own code is inlined into it. So both are called through such functions here: a
//! frame that the wrapper needs and the bare allocator does not is in the figures. What is left where the whole
//! is inlined into the caller (link-time optimisation) is told beside.

use std::alloc::System;
use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use weighbridge_agent::Alloc;
use weighbridge_agent::bench::{
    AllocMode, allocate_and_free, allocate_and_free_inlined, set_alloc_mode,
};
use weighbridge_benches::blocks::{differences, in_turns};
use weighbridge_benches::interval::average;
use weighbridge_benches::{Figure, Interval, Report, clock};

#[global_allocator]
static WRAPPED: Alloc = Alloc::system();

/// The limits, in ns per pair.
const COUNTING_MAX_NS: f64 = 1.5;
const SAMPLING_MAX_NS: f64 = 5.0;
/// Two threads: how much more a second one may slow the first down than it does with the bare allocator.
const SCALING_MAX: f64 = 1.05;

/// Four blocks each.
const TURNS: usize = 300;

/// Sizes that a service allocates: futures, strings, buffers.
const MIXED: [usize; 64] = {
    let mut sizes = [0; 64];
    let mut n = 0;
    while n < 64 {
        // 16 to 1 024 bytes, small ones more often.
        sizes[n] = 16 << (n * n % 7);
        n += 1;
    }
    sizes
};

struct Pattern {
    name: &'static str,
    sizes: &'static [usize],
    /// Pairs in a block of measuring: about 1 ms.
    pairs: usize,
}

const PATTERNS: [Pattern; 2] = [
    Pattern {
        name: "one block of 64 bytes",
        sizes: &[64],
        pairs: 128 * 1_024,
    },
    Pattern {
        name: "64 blocks of 16 to 1024 bytes",
        sizes: &MIXED,
        pairs: 64 * 1_024,
    },
];

impl Pattern {
    /// CPU of this thread per pair, in ns.
    fn run(&self, wrapped: bool, inlined: bool) -> f64 {
        let rounds = self.pairs / self.sizes.len();
        let begun = clock::thread_cpu_ns();
        match (wrapped, inlined) {
            (true, false) => allocate_and_free(&WRAPPED, self.sizes, rounds),
            (false, false) => allocate_and_free(&System, self.sizes, rounds),
            (true, true) => allocate_and_free_inlined(&WRAPPED, self.sizes, rounds),
            (false, true) => allocate_and_free_inlined(&System, self.sizes, rounds),
        }
        (clock::thread_cpu_ns() - begun) as f64 / self.pairs as f64
    }
}

/// Lives while sampling is measured: about a thousand samples. Nobody touches it, so it takes no memory.
fn alive() -> Vec<Vec<u8>> {
    (0..1_024).map(|_| vec![0; 1 << 20]).collect()
}

fn added(report: &mut Report, mode: AllocMode, limit: Option<f64>) {
    set_alloc_mode(mode);
    let alive = if mode == AllocMode::Sampling {
        alive()
    } else {
        Vec::new()
    };
    let inlined: &[bool] = match mode {
        AllocMode::Counting => &[false, true],
        _ => &[false],
    };
    let cases = inlined
        .iter()
        .flat_map(|inlined| PATTERNS.iter().map(move |pattern| (*inlined, pattern)));
    for (inlined, pattern) in cases {
        let Ok(pairs) = in_turns(TURNS, |wrapped| {
            Ok::<_, Infallible>(pattern.run(wrapped, inlined))
        });
        let bare = average(&pairs.iter().map(|pair| pair.off).collect::<Vec<_>>());
        let how = if inlined { ", inlined" } else { "" };
        let figure = Figure::of(
            format!("{mode:?} over bare{how}, {}", pattern.name),
            Interval::of_mean(&differences(&pairs)),
            "ns/pair",
        )
        .note(format!("bare: {bare:.2} ns/pair"));
        report.push(match limit {
            Some(limit) => figure.at_most(limit),
            None => figure,
        });
    }
    drop(alive);
}

/// A pattern on this thread, with or without the other one at it too: CPU of this thread per pair, in ns.
struct Two<'a> {
    start: &'a Barrier,
    end: &'a Barrier,
    wrapped: &'a AtomicBool,
}

impl Two<'_> {
    fn run(&self, pattern: &Pattern, wrapped: bool, second: bool) -> f64 {
        self.wrapped.store(wrapped, Ordering::SeqCst);
        if !second {
            return pattern.run(wrapped, false);
        }
        self.start.wait();
        let cost = pattern.run(wrapped, false);
        self.end.wait();
        cost
    }
}

/// What a second thread costs the first: bare against counting, in turns.
fn scaling(report: &mut Report) {
    set_alloc_mode(AllocMode::Counting);
    let pattern = &PATTERNS[1];
    let (start, end, wrapped, over) = (
        Barrier::new(2),
        Barrier::new(2),
        AtomicBool::new(false),
        AtomicBool::new(false),
    );
    let ratios = std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                start.wait();
                if over.load(Ordering::SeqCst) {
                    return;
                }
                pattern.run(wrapped.load(Ordering::SeqCst), false);
                end.wait();
            }
        });
        let two = Two {
            start: &start,
            end: &end,
            wrapped: &wrapped,
        };
        let ratios: Vec<(f64, f64)> = (0..TURNS)
            .map(|_| {
                // Slow-down by the second thread: 1 where it costs the first nothing.
                let slower =
                    |wrapped| two.run(pattern, wrapped, true) / two.run(pattern, wrapped, false);
                let (bare, counting, again) = (slower(false), slower(true), slower(false));
                (counting, f64::midpoint(bare, again))
            })
            .collect();
        over.store(true, Ordering::SeqCst);
        start.wait();
        ratios
    });
    let bare = average(&ratios.iter().map(|ratio| ratio.1).collect::<Vec<_>>());
    report.push(
        Figure::of(
            "Counting: slow-down by a second thread, over that of bare",
            Interval::of_ratio(&ratios),
            "ratio",
        )
        .at_most(SCALING_MAX)
        .note(format!(
            "bare: a second thread makes the first {bare:.2} times slower"
        )),
    );
}

fn main() -> ExitCode {
    let mut report = Report::new("allocator");
    added(&mut report, AllocMode::Inert, None);
    added(&mut report, AllocMode::Counting, Some(COUNTING_MAX_NS));
    added(&mut report, AllocMode::Sampling, Some(SAMPLING_MAX_NS));
    scaling(&mut report);
    report.finish()
}
