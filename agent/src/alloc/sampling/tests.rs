use std::cell::Cell;

use super::*;

/// Which of these allocations are samples on a thread of its own, counted and decided as the allocator does. The seed is
/// the caller's: other tests set the one of the process again and again, and threads with the same seed sample alike.
fn samples(sizes: &[u64], mean: f64, seed: u64) -> Vec<u64> {
    let cells = Cells::new();
    let sampled = |size: &&u64| {
        let size = usize::try_from(**size).expect("fits");
        cells.reaches(size) && is_sample(&cells, size, mean, || seed)
    };
    sizes.iter().filter(sampled).copied().collect()
}

/// Small and large, about 60 MiB: the shares of all sizes matter.
fn sizes() -> Vec<u64> {
    let mut sizes = Vec::new();
    for n in 0..20_000_u64 {
        sizes.push(16 + n % 500);
        if n % 20 == 0 {
            sizes.push(8 << 10);
        }
        if n % 400 == 0 {
            sizes.push(512 << 10);
        }
        if n % 2_000 == 0 {
            sizes.push(3 << 20);
        }
    }
    sizes
}

/// Known bytes, estimated by 400 threads that sample for the first time: the mean of the estimates is the truth, their
/// spread is what each says of itself, and the interval of docs/accounting.md holds the truth as often as it
/// promises.
#[test]
fn the_estimate_is_unbiased_and_its_interval_keeps_its_word() {
    const RUNS: u32 = 400;
    let sizes = sizes();
    let truth = sizes.iter().sum::<u64>() as f64;
    let mean = RETAINED_MEAN_BYTES as f64;
    let (mut sum, mut squares, mut told, mut within) = (0.0, 0.0, 0.0, 0);
    for run in 0..RUNS {
        let mut estimate = Estimate::default();
        let seed = u64::from(run).wrapping_mul(GOLDEN);
        for size in samples(&sizes, mean, seed) {
            estimate.add(size, mean);
        }
        sum += estimate.bytes;
        squares += (estimate.bytes - truth).powi(2);
        told += estimate.variance;
        let (low, high) = interval(estimate, mean);
        within += u32::from((low..=high).contains(&truth));
    }
    let runs = f64::from(RUNS);
    let spread = (squares / runs).sqrt();
    let bias = sum / runs - truth;
    assert!(
        bias.abs() < 3.0 * spread / runs.sqrt(),
        "bias {bias:.0} of {truth}, spread {spread:.0}"
    );
    let told = (told / runs).sqrt();
    assert!(
        (told / spread - 1.0).abs() < 0.1,
        "told {told:.0}, is {spread:.0}"
    );
    println!("bias {bias:.0}, spread {spread:.0}, told {told:.0}, of {truth}; within {within}");
    let share = f64::from(within) / runs;
    assert!(
        (0.93..=1.0).contains(&share),
        "{share} of the intervals hold the truth"
    );
}

/// The interval of docs/accounting.md for 95 %: Fay and Feuer 1997, with Wilson and Hilferty's quantiles.
fn interval(estimate: Estimate, mean: f64) -> (f64, f64) {
    let chi_squared =
        |k: f64, z: f64| k * (1.0 - 2.0 / (9.0 * k) + z * (2.0 / (9.0 * k)).sqrt()).powi(3);
    let Estimate { bytes, variance } = estimate;
    let low = if variance > 0.0 {
        variance / (2.0 * bytes) * chi_squared(2.0 * bytes * bytes / variance, -1.959_964)
    } else {
        bytes
    };
    let (bytes, variance) = (bytes + mean, variance + mean * mean);
    let high = variance / (2.0 * bytes) * chi_squared(2.0 * bytes * bytes / variance, 1.959_964);
    (low, high)
}

#[test]
fn nothing_sampled_still_has_an_upper_end() {
    let (low, high) = interval(Estimate::default(), 1.0);
    assert_eq!(low, 0.0);
    // Exactly −ln 0.025 for a Poisson count of zero.
    assert!((3.4..3.8).contains(&high), "{high}");
}

#[test]
fn a_large_allocation_is_counted_as_it_is() {
    let mean = RETAINED_MEAN_BYTES as f64;
    let mut estimate = Estimate::default();
    estimate.add(64 << 20, mean);
    assert_eq!(estimate.bytes.round(), f64::from(64 << 20));
    assert!(estimate.variance < 1.0);
    let mut small = Estimate::default();
    small.add(16, mean);
    assert!((small.bytes / mean - 1.0).abs() < 1e-3, "{}", small.bytes);
}

#[test]
fn distances_have_their_mean_and_no_memory() {
    let random = Cell::new(seeded(1));
    let draws: Vec<f64> = (0..100_000)
        .map(|_| draw(&random, 1_000.0) as f64)
        .collect();
    let mean = draws.iter().sum::<f64>() / 100_000.0;
    // Whole bytes: half a byte less on average.
    assert!((mean - 999.5).abs() < 15.0, "{mean}");
    let beyond = |bytes: f64| draws.iter().filter(|d| **d >= bytes).count() as f64 / 100_000.0;
    for means in [0.1_f64, 1.0, 3.0] {
        let expected = (-means).exp();
        assert!(
            (beyond(means * 1_000.0) - expected).abs() < 0.01,
            "{means} means"
        );
    }
}
