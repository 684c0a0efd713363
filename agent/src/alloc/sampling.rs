//! Which allocations are samples.
//!
//! The bytes that a thread allocates are laid end to end, and points fall on that line at random, on average
//! one in `mean` bytes, independently of each other (a Poisson process). An allocation is a sample when a point
//! falls on one of its bytes, which happens with probability 1 − exp(−size ÷ mean). Counted as size divided by
//! that probability, the samples that are alive are an unbiased estimate of the bytes that are alive, whatever
//! the sizes are.

use std::sync::atomic::{AtomicU64, Ordering};

use super::counting::{self, Cells, Mode};
use super::live::{LIVE, Sample};

/// One sample of retained memory in so many allocated bytes, on average. `WEIGHBRIDGE_RETAINED_MEAN_BYTES`.
pub const RETAINED_MEAN_BYTES: usize = 512 << 10;
/// The densest sampling of retained memory.
pub const RETAINED_MEAN_BYTES_MIN: usize = 16 << 10;
/// The thinnest sampling of retained memory.
pub const RETAINED_MEAN_BYTES_MAX: usize = 64 << 20;

static MEAN: AtomicU64 = AtomicU64::new(RETAINED_MEAN_BYTES as u64);
/// Each thread begins its random numbers with another value of it.
static SEED: AtomicU64 = AtomicU64::new(0);

/// Steps of the seed; odd, so that no two threads of a process get the same.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Begins to sample with this mean, and forgets the samples before.
pub(crate) fn start(mean_bytes: usize, seed: u64) {
    counting::set(Mode::Counting);
    LIVE.clear();
    MEAN.store(mean_bytes.max(1) as u64, Ordering::SeqCst);
    SEED.store(seed, Ordering::SeqCst);
    counting::set(Mode::Sampling);
}

/// The mean while allocations are sampled.
pub(crate) fn mean_bytes() -> Option<f64> {
    counting::is(Mode::Sampling).then(mean)
}

fn mean() -> f64 {
    MEAN.load(Ordering::Relaxed) as f64
}

/// An allocation reached the next point, or the thread has none.
#[cold]
#[inline(never)]
pub(super) fn passed(cells: &Cells, ptr: *mut u8, size: usize) {
    let seed = || SEED.fetch_add(GOLDEN, Ordering::Relaxed);
    if is_sample(cells, size, mean(), seed) {
        LIVE.insert(
            ptr as u64,
            Sample {
                owner: cells.owner.get(),
                size_bytes: size as u64,
            },
        );
    }
}

/// Whether a point fell on an allocation that counted `until` down below zero; sets the distance to the next. A thread
/// that has no random numbers yet begins them with a seed.
fn is_sample(cells: &Cells, size: usize, mean: f64, seed: impl FnOnce() -> u64) -> bool {
    if cells.random.get() == 0 {
        cells.random.set(seeded(seed()));
        // There was no point before: this allocation has its chance as any other.
        let beyond = draw(&cells.random, mean).saturating_sub(size as i64);
        if beyond >= 0 {
            cells.until.set(beyond);
            return false;
        }
    }
    // The points after this allocation do not depend on those before.
    cells.until.set(draw(&cells.random, mean));
    true
}

/// A state that is never 0, from any seed (SplitMix64).
fn seeded(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) | 1
}

/// Whole bytes to the next point: exponential with this mean.
fn draw(random: &std::cell::Cell<u64>, mean: f64) -> i64 {
    // xorshift64*: its state never becomes 0 again.
    let mut x = random.get();
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random.set(x);
    let bits = x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
    // In (0, 1]: the logarithm is finite.
    let uniform = (bits + 1) as f64 / (1_u64 << 53) as f64;
    // Saturates far below i64::MAX: at most 37 means.
    (-uniform.ln() * mean) as i64
}

/// The probability that an allocation of this size is a sample.
fn probability(size_bytes: f64, mean_bytes: f64) -> f64 {
    -f64::exp_m1(-size_bytes / mean_bytes)
}

/// What live samples say about the bytes alive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Estimate {
    /// Unbiased estimate of the live bytes.
    pub(crate) bytes: f64,
    /// Unbiased estimate of the variance of `bytes` (Horvitz and Thompson).
    pub(crate) variance: f64,
}

impl Estimate {
    /// Adds what other samples say; draws of samples do not depend on each other.
    pub(crate) fn join(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.variance += other.variance;
    }

    /// Adds a sample.
    pub(crate) fn add(&mut self, size_bytes: u64, mean_bytes: f64) {
        let size = size_bytes as f64;
        let p = probability(size, mean_bytes);
        if p > 0.0 {
            self.bytes += size / p;
            self.variance += size * size * (1.0 - p) / (p * p);
        }
    }
}

#[cfg(test)]
mod tests;
