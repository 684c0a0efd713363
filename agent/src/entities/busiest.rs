//! How often the busiest key was touched, at least.

use super::KEYS_COUNTED_MAX;

/// Counters of the keys that are touched most (Misra and Gries, *Finding repeated elements*, 1982). Each counter is at
/// most the number of touches of its key, and short of it by at most all touches ÷ (`KEYS_COUNTED_MAX` + 1); with no
/// more keys than counters it is exact. Merging keeps that bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Busiest {
    counters: Vec<(u64, u64)>,
    touches: u64,
}

impl Busiest {
    /// Counts a touch.
    pub(crate) fn touch(&mut self, hash: u64) {
        self.touches += 1;
        if let Some((_, count)) = self.counters.iter_mut().find(|(key, _)| *key == hash) {
            *count += 1;
        } else if self.counters.len() < KEYS_COUNTED_MAX {
            self.counters.push((hash, 1));
        } else {
            self.lower(1);
        }
    }

    /// Adds the counters of others.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.touches += other.touches;
        for &(hash, count) in &other.counters {
            match self.counters.iter_mut().find(|(key, _)| *key == hash) {
                Some((_, sum)) => *sum += count,
                None => self.counters.push((hash, count)),
            }
        }
        if self.counters.len() > KEYS_COUNTED_MAX {
            self.counters
                .sort_unstable_by_key(|&(_, count)| std::cmp::Reverse(count));
            let first_without_room = self.counters[KEYS_COUNTED_MAX].1;
            self.lower(first_without_room);
        }
    }

    /// Takes so much from all counters, and drops those that are used up.
    fn lower(&mut self, by: u64) {
        self.counters.retain_mut(|(_, count)| {
            *count = count.saturating_sub(by);
            *count > 0
        });
    }

    /// All touches.
    pub(crate) fn touches(&self) -> u64 {
        self.touches
    }

    /// Touches of the busiest key, at least.
    pub(crate) fn top(&self) -> u64 {
        self.counters
            .iter()
            .map(|&(_, count)| count)
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn of(keys: &[u64]) -> Busiest {
        let mut all = Busiest::default();
        keys.iter().for_each(|key| all.touch(*key));
        all
    }

    fn most(keys: &[u64]) -> u64 {
        let mut counts = HashMap::new();
        keys.iter()
            .for_each(|key| *counts.entry(key).or_insert(0) += 1);
        counts.into_values().max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn it_is_never_too_high_and_short_by_a_bounded_part(
            parts in prop::collection::vec(prop::collection::vec(0u64..60, 0..200), 1..5),
        ) {
            let all = parts.concat();
            let mut merged = Busiest::default();
            parts.iter().for_each(|part| merged.absorb(&of(part)));
            let total = all.len() as u64;
            for found in [of(&all), merged] {
                prop_assert_eq!(found.touches(), total);
                prop_assert!(found.counters.len() <= KEYS_COUNTED_MAX);
                let (top, most) = (found.top(), most(&all));
                prop_assert!(top <= most, "{top} of {most}");
                prop_assert!(most - top <= total / (KEYS_COUNTED_MAX as u64 + 1), "{top} of {most}");
            }
        }

        #[test]
        fn few_keys_are_counted_exactly(
            left in prop::collection::vec(0u64..16, 0..100),
            right in prop::collection::vec(0u64..16, 0..100),
        ) {
            let mut merged = of(&left);
            merged.absorb(&of(&right));
            prop_assert_eq!(merged.top(), most(&[left, right].concat()));
        }
    }
}
