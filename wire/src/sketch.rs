//! Bottom-k sketch of a set of hashed keys.

use crate::limits::SKETCH_HASHES_MAX;

/// The `k` smallest distinct 64-bit hashes of a set: enough to estimate how many distinct keys there are
/// and how much two sets share. Merging keeps the `k` smallest of the union, so it is associative,
/// commutative and idempotent. (Bar-Yossef et al., *Counting distinct elements in a data stream*, 2002.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    k: u32,
    /// Ascending and distinct.
    hashes: Vec<u64>,
}

impl Sketch {
    /// The largest `k`.
    #[allow(clippy::cast_possible_truncation)]
    pub const K_MAX: u32 = SKETCH_HASHES_MAX as u32;

    /// An empty sketch that keeps `k` hashes, at least 1 and at most [`K_MAX`](Self::K_MAX).
    #[must_use]
    pub fn new(k: u32) -> Self {
        Self {
            k: k.clamp(1, Self::K_MAX),
            hashes: Vec::new(),
        }
    }

    /// Takes hashes that ascend, at most `k` of them: what the decoder has checked.
    pub(crate) fn from_checked(k: u32, hashes: Vec<u64>) -> Self {
        Self { k, hashes }
    }

    /// How many hashes are kept at most.
    #[must_use]
    pub fn k(&self) -> u32 {
        self.k
    }

    /// Adds a hashed key.
    pub fn insert(&mut self, hash: u64) {
        // Once full, nearly every hash is larger than all that are kept.
        let full = self.hashes.len() >= self.k as usize;
        if full && self.hashes.last().is_some_and(|&last| hash >= last) {
            return;
        }
        if let Err(place) = self.hashes.binary_search(&hash) {
            self.hashes.insert(place, hash);
            self.hashes.truncate(self.k as usize);
        }
    }

    /// Adds all of `other`; the smaller `k` wins.
    pub fn merge(&mut self, other: &Self) {
        self.k = self.k.min(other.k);
        self.hashes.truncate(self.k as usize);
        for &hash in other.hashes.iter().take(self.k as usize) {
            self.insert(hash);
        }
    }

    /// Hashes in ascending order.
    pub fn hashes(&self) -> impl Iterator<Item = u64> + '_ {
        self.hashes.iter().copied()
    }

    /// Estimated number of distinct keys: exact while fewer than `k` were seen, then `(k − 1) / v` where
    /// `v` is the largest kept hash as a share of the hash range.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn distinct(&self) -> f64 {
        if self.hashes.len() < self.k as usize {
            return self.hashes.len() as f64;
        }
        match self.hashes.last() {
            Some(&v) if v > 0 => (f64::from(self.k) - 1.0) / (v as f64 / u64::MAX as f64),
            _ => self.hashes.len() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64: hashes that are spread as a good hash function spreads them.
    fn hash(n: u64) -> u64 {
        let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn exact_below_k_and_within_a_few_percent_beyond() {
        let mut sketch = Sketch::new(1_024);
        (0..1_000).for_each(|n| sketch.insert(hash(n % 500)));
        assert!((sketch.distinct() - 500.0).abs() < f64::EPSILON);
        (0..100_000).for_each(|n| sketch.insert(hash(n)));
        // Standard error of the estimate is 1 / √(k − 2) = 3.1 %; four of them.
        assert!(
            (sketch.distinct() - 100_000.0).abs() < 12_500.0,
            "{}",
            sketch.distinct()
        );
        assert_eq!(sketch.hashes().count(), 1_024);
    }

    #[test]
    fn k_stays_within_what_a_reader_takes() {
        assert_eq!(Sketch::new(0).k(), 1);
        assert_eq!(Sketch::new(u32::MAX).k(), Sketch::K_MAX);
    }
}
