//! Merging is exact and does not ask in which order things arrive.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use weighbridge_wire::{Histogram, Merge, Quality, RowKey, RowSet, RowValue, Sketch};

use crate::samples::{any_histogram, any_sketch, text};

/// Few keys and columns, so that rows meet.
fn any_additions() -> impl Strategy<Value = Vec<(RowKey, u32, i64)>> {
    let key = (1..4u32, 1..4u8, 0..3u8).prop_map(|(kind, quality, name)| RowKey {
        kind,
        quality: Quality::from_wire(quality),
        parts: [text(&name.to_string()), text("same")].into(),
    });
    // 40 figures of 2^53 stay below 2^63.
    let figure = -(1i64 << 53)..=1 << 53;
    vec((key, 0..12u32, figure), 0..40)
}

fn set(additions: &[(RowKey, u32, i64)]) -> RowSet {
    let value = |column, figure| RowValue::new().with(column, figure);
    additions
        .iter()
        .map(|(key, column, v)| (key.clone(), value(*column, *v)))
        .collect()
}

fn merged<T: Clone>(a: &T, b: &T, merge: impl Fn(&mut T, &T)) -> T {
    let mut sum = a.clone();
    merge(&mut sum, b);
    sum
}

proptest! {
    #[test]
    fn row_sets(a in any_additions(), b in any_additions(), c in any_additions()) {
        let sum = |a: &RowSet, b: &RowSet| merged(a, b, RowSet::merge);
        let (x, y, z) = (set(&a), set(&b), set(&c));
        prop_assert_eq!(sum(&sum(&x, &y), &z), sum(&x, &sum(&y, &z)), "associative");
        prop_assert_eq!(sum(&x, &y), sum(&y, &x), "commutative");
        prop_assert_eq!(sum(&x, &RowSet::new()), x.clone(), "nothing changes nothing");

        // Exact: the same figures kept as plain lists, summed in integers that cannot overflow.
        let mut plain: BTreeMap<(RowKey, u32), Vec<i128>> = BTreeMap::new();
        for (key, column, v) in a.iter().chain(&b).chain(&c) {
            plain.entry((key.clone(), *column)).or_default().push(i128::from(*v));
        }
        let total = sum(&sum(&x, &y), &z);
        let columns: usize = total.iter().map(|(_, value)| value.columns().count()).sum();
        prop_assert_eq!(columns, plain.len());
        for ((key, column), figures) in plain {
            let expected = match Merge::of(column) {
                Merge::Sum => figures.iter().sum(),
                Merge::Max => figures.iter().copied().max().unwrap(),
                Merge::Min => figures.iter().copied().min().unwrap(),
            };
            let found = total.get(&key).and_then(|value| value.get(column));
            prop_assert_eq!(found.map(i128::from), Some(expected));
        }
    }

    #[test]
    fn histograms(a in any_histogram(), b in any_histogram(), c in any_histogram()) {
        let sum = |a: &Histogram, b: &Histogram| merged(a, b, Histogram::merge);
        prop_assert_eq!(sum(&sum(&a, &b), &c), sum(&a, &sum(&b, &c)), "associative");
        prop_assert_eq!(sum(&a, &b), sum(&b, &a), "commutative");
        prop_assert_eq!(sum(&a, &Histogram::new()), a.clone());
        prop_assert_eq!(sum(&Histogram::new(), &a), a.clone());
        prop_assert_eq!(sum(&a, &b).count(), a.count() + b.count(), "exact");
    }

    #[test]
    fn histograms_of_parts_equal_that_of_the_whole(
        values in vec(any::<u64>().prop_flat_map(|v| 0..=v), 0..60),
        at in 0..60usize,
    ) {
        let record = |values: &[u64]| {
            let mut histogram = Histogram::new();
            values.iter().for_each(|&v| histogram.record(v));
            histogram
        };
        let (first, second) = values.split_at(at.min(values.len()));
        let whole = record(&values);
        prop_assert_eq!(merged(&record(first), &record(second), Histogram::merge), whole.clone());
        prop_assert_eq!(whole.count(), values.len() as u64);
        let ranges: Vec<_> = whole.ranges().collect();
        for v in &values {
            let v = (*v).min(Histogram::VALUE_MAX);
            prop_assert!(ranges.iter().any(|&(low, high, _)| (low..=high).contains(&v)), "{}", v);
        }
        prop_assert!(ranges.is_sorted_by(|a, b| a.1 < b.0), "ranges do not overlap");
    }

    #[test]
    fn sketches(a in any_sketch(), b in any_sketch(), c in any_sketch()) {
        let sum = |a: &Sketch, b: &Sketch| merged(a, b, Sketch::merge);
        prop_assert_eq!(sum(&sum(&a, &b), &c), sum(&a, &sum(&b, &c)), "associative");
        prop_assert_eq!(sum(&a, &b), sum(&b, &a), "commutative");
        prop_assert_eq!(sum(&a, &a), a.clone(), "idempotent");
        let union: BTreeSet<u64> = a.hashes().chain(b.hashes()).collect();
        let k = a.k().min(b.k());
        let kept: Vec<u64> = union.into_iter().take(k as usize).collect();
        prop_assert_eq!(sum(&a, &b).hashes().collect::<Vec<_>>(), kept, "the smallest of both");
    }
}
