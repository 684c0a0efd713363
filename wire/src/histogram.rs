//! The one histogram layout: HdrHistogram's index formula, 2 significant digits, lowest value 1.

/// 2 × 10^2 rounded up to a power of two: values below this have a bucket each.
const SUB_BUCKETS: u64 = 256;
const SUB_BUCKET_HALF_BITS: u32 = 7;
const SUB_BUCKET_HALF: u64 = 1 << SUB_BUCKET_HALF_BITS;

/// A sparse histogram of integers. Relative bucket width is at most 1/128, so a quantile read at a bucket's
/// middle is within 0.4 % of the recorded value. Merging adds counts, so it is exact, associative and
/// commutative.
///
/// The layout is that of Gil Tene's [HdrHistogram](https://github.com/HdrHistogram/HdrHistogram) with two
/// significant digits and lowest discernible value 1; a test compares it with the `hdrhistogram` crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Ascending by index, no count of 0: a sorted list is a quarter of a tree's size.
    buckets: Vec<(u32, u64)>,
}

/// Where the buckets of a [`Histogram`] stood when they were last counted up. Wrong hints cost time and nothing
/// else, so the same ones may serve several histograms, and outlive them.
#[derive(Clone, Copy, Debug)]
pub struct Hints([u16; Self::LEN]);

impl Hints {
    /// One for each bucket between a value and its double.
    const LEN: usize = 1 << SUB_BUCKET_HALF_BITS;
}

impl Default for Hints {
    fn default() -> Self {
        Self([0; Self::LEN])
    }
}

impl Histogram {
    /// Largest value that has a bucket; larger ones are recorded as this one.
    pub const VALUE_MAX: u64 = (1 << 53) - 1;
    /// Largest bucket index: that of [`Self::VALUE_MAX`].
    pub const INDEX_MAX: u32 = index_of(Self::VALUE_MAX);

    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.add_bucket(index_of(value.min(Self::VALUE_MAX)), 1);
    }

    /// As [`Self::record`], looking first where `hints` say the bucket is: for whoever records often.
    #[inline]
    pub fn record_with(&mut self, value: u64, hints: &mut Hints) {
        let index = index_of(value.min(Self::VALUE_MAX));
        let hint = &mut hints.0[index as usize % Hints::LEN];
        match self.buckets.get_mut(usize::from(*hint)) {
            Some((at, count)) if *at == index => *count = count.saturating_add(1),
            _ => self.record_and_tell(index, hint),
        }
    }

    #[inline(never)]
    fn record_and_tell(&mut self, index: u32, hint: &mut u16) {
        // A place too far to be noted leaves the hint of another one.
        if let Ok(place) = u16::try_from(self.count_up(index, 1)) {
            *hint = place;
        }
    }

    /// Adds `count` to the bucket with this index. Returns false, and changes nothing, when there is no
    /// such bucket.
    pub fn add_bucket(&mut self, index: u32, count: u64) -> bool {
        if index > Self::INDEX_MAX {
            return false;
        }
        if count > 0 {
            self.count_up(index, count);
        }
        true
    }

    /// Returns where the bucket stands.
    fn count_up(&mut self, index: u32, count: u64) -> usize {
        match self.buckets.binary_search_by_key(&index, |&(at, _)| at) {
            Ok(found) => {
                if let Some((_, slot)) = self.buckets.get_mut(found) {
                    *slot = slot.saturating_add(count);
                }
                found
            }
            Err(place) => {
                self.buckets.insert(place, (index, count));
                place
            }
        }
    }

    /// Takes buckets that ascend, are in range and hold no 0: what the decoder has checked.
    pub(crate) fn from_checked(buckets: Vec<(u32, u64)>) -> Self {
        Self { buckets }
    }

    /// Adds all counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        // Each bucket of `other` lies after the one before, so the search goes on from there.
        let mut from = 0;
        for &(index, count) in &other.buckets {
            let rest = self.buckets.get(from..).unwrap_or_default();
            match rest.binary_search_by_key(&index, |&(at, _)| at) {
                Ok(found) => {
                    from += found;
                    if let Some((_, slot)) = self.buckets.get_mut(from) {
                        *slot = slot.saturating_add(count);
                    }
                }
                Err(place) => {
                    from += place;
                    self.buckets.insert(from, (index, count));
                }
            }
        }
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, &(_, n)| sum.saturating_add(n))
    }

    /// True when nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The value below or at which a share `q` (0 to 1) of the records lies: the middle of the bucket that
    /// holds the record of that rank. `None` when empty.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        // Rank in 1..=total, as HdrHistogram counts it.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
        let mut seen = 0u64;
        for &(index, count) in &self.buckets {
            seen = seen.saturating_add(count);
            if seen >= rank {
                return Some(middle_of(index));
            }
        }
        self.buckets.last().map(|&(index, _)| middle_of(index))
    }

    /// The mean of the bucket middles. `None` when empty.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn mean(&self) -> Option<f64> {
        let total = self.count();
        (total > 0).then(|| {
            let sum: f64 = self
                .buckets
                .iter()
                .map(|&(i, n)| middle_of(i) as f64 * n as f64)
                .sum();
            sum / total as f64
        })
    }

    /// The mean of the squared bucket middles, for variability. `None` when empty.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn mean_square(&self) -> Option<f64> {
        let total = self.count();
        (total > 0).then(|| {
            let sum: f64 = self
                .buckets
                .iter()
                .map(|&(i, n)| (middle_of(i) as f64).powi(2) * n as f64)
                .sum();
            sum / total as f64
        })
    }

    /// Buckets in ascending order: (index, count).
    pub fn buckets(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.buckets.iter().copied()
    }

    /// Buckets in ascending order: (lowest value, highest value, count).
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.buckets.iter().map(|&(index, count)| {
            let (low, width) = bounds_of(index);
            (low, low + width - 1, count)
        })
    }
}

/// The bucket of a value: HdrHistogram's `countsArrayIndex`.
const fn index_of(value: u64) -> u32 {
    let bucket = u64::BITS - (value | (SUB_BUCKETS - 1)).leading_zeros() - SUB_BUCKET_HALF_BITS - 1;
    let sub = value >> bucket;
    // `sub` is below 256 by construction, `bucket` below 57: the cast loses nothing.
    #[allow(clippy::cast_possible_truncation)]
    {
        ((bucket + 1) << SUB_BUCKET_HALF_BITS) + sub as u32 - SUB_BUCKET_HALF as u32
    }
}

/// Lowest value and width of a bucket.
const fn bounds_of(index: u32) -> (u64, u64) {
    let mut bucket = index >> SUB_BUCKET_HALF_BITS;
    let mut sub = (index as u64 & (SUB_BUCKET_HALF - 1)) + SUB_BUCKET_HALF;
    if bucket == 0 {
        sub -= SUB_BUCKET_HALF;
    } else {
        bucket -= 1;
    }
    (sub << bucket, 1 << bucket)
}

const fn middle_of(index: u32) -> u64 {
    let (low, width) = bounds_of(index);
    low + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_buckets_as_the_hdrhistogram_crate() {
        let mut oracle =
            hdrhistogram::Histogram::<u64>::new_with_bounds(1, Histogram::VALUE_MAX, 2).unwrap();
        for value in
            (0..2_000).chain((10..53).flat_map(|b| [1 << b, (1 << b) - 1, (1 << b) + 12_345]))
        {
            let (low, width) = bounds_of(index_of(value));
            assert_eq!(low, oracle.lowest_equivalent(value), "lowest of {value}");
            assert_eq!(
                low + width - 1,
                oracle.highest_equivalent(value),
                "highest of {value}"
            );
            oracle.record(value).unwrap();
        }
        assert_eq!(oracle.len(), 2_000 + 43 * 3);
    }

    #[test]
    fn the_formula_of_the_specification() {
        for value in (0..2_000).chain((10..53).flat_map(|b| [1u64 << b, (1 << b) - 1])) {
            let e = value.checked_ilog2().unwrap_or(0).max(7) - 7;
            let index = u64::from(e + 1) * 128 + (value >> e) - 128;
            assert_eq!(u64::from(index_of(value)), index, "{value}");
        }
        assert_eq!(Histogram::INDEX_MAX, 6_015);
    }

    #[test]
    fn quantiles_are_within_half_a_bucket() {
        let mut h = Histogram::new();
        (1..=10_000u64).for_each(|v| h.record(v));
        for (q, exact) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0)] {
            #[allow(clippy::cast_precision_loss)]
            let got = h.quantile(q).unwrap() as f64;
            assert!((got - exact).abs() / exact < 0.004, "{q}: {got}");
        }
        assert_eq!(Histogram::new().quantile(0.5), None);
    }

    #[test]
    fn hints_change_no_count() {
        let mut values = 1u64;
        let (mut plain, mut hinted) = (Histogram::new(), Histogram::new());
        let mut hints = Hints::default();
        for round in 0..20_000u64 {
            // Knuth's multiplier for MMIX: some hundred buckets, in no order, more than hints reach.
            values = values
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let value = if round % 97 == 0 {
                u64::MAX
            } else {
                values >> (40 + round % 20)
            };
            plain.record(value);
            hinted.record_with(value, &mut hints);
            if round == 10_000 {
                // The histogram begins again, the hints do not.
                (plain, hinted) = (Histogram::new(), Histogram::new());
            }
        }
        assert!(plain.buckets.len() > 300, "{}", plain.buckets.len());
        assert_eq!(plain, hinted);
    }

    #[test]
    fn a_bucket_beyond_the_range_is_refused() {
        let mut h = Histogram::new();
        assert!(!h.add_bucket(Histogram::INDEX_MAX + 1, 1));
        assert!(h.is_empty());
        h.record(u64::MAX);
        assert_eq!(h.buckets().collect::<Vec<_>>(), [(Histogram::INDEX_MAX, 1)]);
    }
}
