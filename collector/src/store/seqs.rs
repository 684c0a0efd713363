//! Sets of sequence numbers, kept as ranges.

use std::collections::BTreeMap;

/// A set of sequence numbers. A producer that loses nothing needs one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeqSet {
    /// First of a range → last of it; ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl SeqSet {
    /// Adds `first..=last`.
    pub fn insert(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        if let Some((&start, &end)) = self.ranges.range(..=first).next_back()
            && end.saturating_add(1) >= first
        {
            first = start;
            last = last.max(end);
        }
        while let Some((&start, &end)) = self.ranges.range(first..=last.saturating_add(1)).next() {
            self.ranges.remove(&start);
            last = last.max(end);
        }
        self.ranges.insert(first, last);
    }

    /// True when `seq` is in the set.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.ranges
            .range(..=seq)
            .next_back()
            .is_some_and(|(_, &last)| last >= seq)
    }

    /// How many numbers the set holds; saturates.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().fold(0, |sum: u64, (first, last)| {
            sum.saturating_add((last - first).saturating_add(1))
        })
    }

    /// The ranges as (first, last), ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(&first, &last)| (first, last))
    }

    /// Number of ranges: what the set costs.
    #[must_use]
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// True when adding `seq` would start a range of its own.
    #[must_use]
    pub fn would_grow(&self, seq: u64) -> bool {
        !self.contains(seq)
            && !seq
                .checked_sub(1)
                .is_some_and(|before| self.contains(before))
            && !seq.checked_add(1).is_some_and(|after| self.contains(after))
    }

    /// Numbers of `self` in `0..=limit` that are not in `other`.
    #[must_use]
    pub fn count_without(&self, other: &Self, limit: u64) -> u64 {
        let mut count = 0u64;
        for (first, last) in self.ranges() {
            if first > limit {
                break;
            }
            let last = last.min(limit);
            let mut shared = 0u64;
            for (from, to) in other.ranges() {
                let (from, to) = (from.max(first), to.min(last));
                if from <= to {
                    shared = shared.saturating_add((to - from).saturating_add(1));
                }
            }
            count = count.saturating_add((last - first).saturating_add(1).saturating_sub(shared));
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(
            a in proptest::collection::vec((0u64..60, 0u64..6), 0..30),
            b in proptest::collection::vec((0u64..60, 0u64..6), 0..30),
            limit in 0u64..70,
        ) {
            let build = |parts: &[(u64, u64)]| {
                let mut ranges = SeqSet::default();
                let mut plain = BTreeSet::new();
                for &(first, len) in parts {
                    ranges.insert(first, first + len);
                    plain.extend(first..=first + len);
                }
                (ranges, plain)
            };
            let ((ranges_a, plain_a), (ranges_b, plain_b)) = (build(&a), build(&b));
            prop_assert_eq!(ranges_a.count(), plain_a.len() as u64);
            for seq in 0..70 {
                prop_assert_eq!(ranges_a.contains(seq), plain_a.contains(&seq));
            }
            // No two ranges overlap or touch.
            let listed: Vec<_> = ranges_a.ranges().collect();
            prop_assert!(listed.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            let difference = plain_a.difference(&plain_b).filter(|&&seq| seq <= limit).count();
            prop_assert_eq!(ranges_a.count_without(&ranges_b, limit), difference as u64);
        }
    }

    #[test]
    fn survives_the_end_of_the_number_range() {
        let mut set = SeqSet::default();
        set.insert(0, u64::MAX);
        set.insert(u64::MAX, u64::MAX);
        assert!(set.contains(u64::MAX));
        assert_eq!(set.range_count(), 1);
        assert!(!set.would_grow(u64::MAX));
    }
}
