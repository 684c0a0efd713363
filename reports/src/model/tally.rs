//! Sums over rows that remember when and how they came about.

use weighbridge_wire::{Merge, Quality, RowValue, column};

use super::Amounts;
use crate::document::QualityWord;

/// One column over a set of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// The column over the whole range, merged by its own rule.
    pub(crate) total: i64,
    /// Sum columns: what fell into each slot, ascending by slot. Sparse.
    slots: Vec<(u32, i64)>,
    /// Absolute amounts by how they came about.
    pub(crate) by_quality: Amounts<i64>,
    /// What rows say of how far their estimates may be off; nothing where none does.
    pub(crate) bounds: Bounds,
}

/// Estimated amounts with the bounds that their rows carry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// The part of the estimated amount that has bounds.
    pub(crate) estimated: i64,
    /// Least that this part may be.
    pub(crate) low: i64,
    /// Most.
    pub(crate) high: i64,
}

impl Tally {
    fn add(&mut self, merge: Merge, slot: u32, quality: QualityWord, value: i64, first: bool) {
        self.total = if first {
            value
        } else {
            merge.apply(self.total, value)
        };
        let amount = self.by_quality.entry(quality);
        match merge {
            Merge::Sum => {
                *amount = amount.saturating_add(value.saturating_abs());
                // Windows are read in order, so the slot is nearly always the last one.
                match self.slots.last_mut() {
                    Some((last, sum)) if *last == slot => *sum = sum.saturating_add(value),
                    _ => self.insert(slot, value),
                }
            }
            Merge::Max | Merge::Min => *amount = (*amount).max(value.saturating_abs()),
        }
    }

    fn insert(&mut self, slot: u32, value: i64) {
        match self.slots.binary_search_by_key(&slot, |(s, _)| *s) {
            Ok(at) => self.slots[at].1 = self.slots[at].1.saturating_add(value),
            Err(at) => self.slots.insert(at, (slot, value)),
        }
    }

    /// The slots in which something fell, ascending.
    pub(crate) fn slots(&self) -> &[(u32, i64)] {
        &self.slots
    }

    /// Adds another tally of the same sum column.
    pub(crate) fn merge_sum(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        for (slot, value) in &other.slots {
            self.insert(*slot, *value);
        }
        for (quality, amount) in other.by_quality.iter() {
            let mine = self.by_quality.entry(quality);
            *mine = mine.saturating_add(amount);
        }
        let (mine, theirs) = (&mut self.bounds, &other.bounds);
        mine.estimated = mine.estimated.saturating_add(theirs.estimated);
        mine.low = mine.low.saturating_add(theirs.low);
        mine.high = mine.high.saturating_add(theirs.high);
    }

    /// The same with every value's sign changed.
    pub(crate) fn negated(&self) -> Self {
        let mut negated = self.clone();
        negated.total = -negated.total;
        negated
            .slots
            .iter_mut()
            .for_each(|(_, value)| *value = -*value);
        negated
    }
}

/// All columns over a set of rows. A column that no row had is unknown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// Ascending by column: few, and read far more often than added.
    columns: Vec<(u32, Tally)>,
}

impl Sums {
    pub(crate) fn add(&mut self, slot: u32, quality: Quality, value: &RowValue) {
        let quality = quality_word(quality);
        // Both ascend, so one walk finds all places.
        let mut at = 0;
        for (column, figure) in value.columns() {
            while self
                .columns
                .get(at)
                .is_some_and(|(known, _)| *known < column)
            {
                at += 1;
            }
            let first = self
                .columns
                .get(at)
                .is_none_or(|(known, _)| *known != column);
            if first {
                self.columns.insert(at, (column, Tally::default()));
            }
            let tally = &mut self.columns[at].1;
            tally.add(Merge::of(column), slot, quality, figure, first);
        }
    }

    fn place(&self, column: u32) -> Result<usize, usize> {
        self.columns
            .binary_search_by_key(&column, |(known, _)| *known)
    }

    pub(crate) fn get(&self, column: u32) -> Option<&Tally> {
        Some(&self.columns[self.place(column).ok()?].1)
    }

    pub(crate) fn total(&self, column: u32) -> Option<i64> {
        self.get(column).map(|tally| tally.total)
    }

    /// The sum of several sum columns over the whole range; `None` when none of them is known.
    pub(crate) fn total_of(&self, columns: &[u32]) -> Option<i64> {
        let known = columns.iter().filter_map(|column| self.total(*column));
        known.reduce(i64::saturating_add)
    }

    /// The sum of several sum columns; `None` when none of them is known. Estimates are CPU of the handler, so with that
    /// column go the bounds of the estimates.
    pub(crate) fn sum_of(&self, columns: &[u32]) -> Option<Tally> {
        let mut sum: Option<Tally> = None;
        for tally in columns.iter().filter_map(|column| self.get(*column)) {
            sum.get_or_insert_default().merge_sum(tally);
        }
        if let Some(sum) = &mut sum
            && columns.contains(&column::CPU_HANDLER_NS)
        {
            sum.bounds = self.bounds();
        }
        sum
    }

    fn bounds(&self) -> Bounds {
        let (Some(handler), Some(low), Some(high)) = (
            self.get(column::CPU_HANDLER_NS),
            self.total(column::CPU_LOW_NS),
            self.total(column::CPU_HIGH_NS),
        ) else {
            return Bounds::default();
        };
        let estimated = handler.by_quality.get(QualityWord::Estimated);
        Bounds {
            estimated: estimated.unwrap_or(0),
            low,
            high,
        }
    }

    /// Adds all columns of another set; gauges by their own rule.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (column, theirs) in &other.columns {
            let at = match self.place(*column) {
                Ok(at) => at,
                Err(at) => {
                    self.columns.insert(at, (*column, theirs.clone()));
                    continue;
                }
            };
            let mine = &mut self.columns[at].1;
            match Merge::of(*column) {
                Merge::Sum => mine.merge_sum(theirs),
                merge => {
                    mine.total = merge.apply(mine.total, theirs.total);
                    for (quality, amount) in theirs.by_quality.iter() {
                        let slot = mine.by_quality.entry(quality);
                        *slot = (*slot).max(amount);
                    }
                }
            }
        }
    }
}

pub(crate) fn quality_word(quality: Quality) -> QualityWord {
    match quality {
        Quality::Measured => QualityWord::Measured,
        Quality::Sampled => QualityWord::Sampled,
        Quality::Apportioned => QualityWord::Apportioned,
        Quality::Estimated => QualityWord::Estimated,
        Quality::Other(_) => QualityWord::Other,
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::column;

    use super::*;

    #[test]
    fn sums_add_and_gauges_take_the_larger() {
        let mut sums = Sums::default();
        let row = |ended, rss| {
            RowValue::new()
                .with(column::ENDED, ended)
                .with(column::RSS_BYTES, rss)
        };
        sums.add(0, Quality::Measured, &row(3, 10));
        sums.add(4, Quality::Estimated, &row(5, 7));
        sums.add(4, Quality::Measured, &row(1, 2));
        assert_eq!(sums.total(column::ENDED), Some(9));
        assert_eq!(sums.total(column::RSS_BYTES), Some(10));
        assert_eq!(sums.total(column::WALL_NS), None, "unknown is not zero");
        let ended = sums.get(column::ENDED).unwrap();
        assert_eq!(ended.slots(), [(0, 3), (4, 6)]);
        assert_eq!(ended.by_quality.get(QualityWord::Estimated), Some(5));
        assert_eq!(ended.by_quality.get(QualityWord::Measured), Some(4));
    }

    #[test]
    fn a_first_negative_gauge_is_not_lifted_to_zero() {
        let mut sums = Sums::default();
        sums.add(
            0,
            Quality::Measured,
            &RowValue::new().with(column::RSS_BYTES, -5),
        );
        assert_eq!(sums.total(column::RSS_BYTES), Some(-5));
    }

    /// CPU that may have been none of an operation's, or three times what was estimated: draws say so, as the page does.
    /// With a part that has no bounds, and one that was measured, they are that much nearer.
    #[test]
    fn estimates_are_as_unsure_as_their_rows_say() {
        use crate::model::{CPU_COLUMNS, Resampler};
        let row = |ns: i64, bounds: Option<(i64, i64)>| {
            let row = RowValue::new().with(column::CPU_HANDLER_NS, ns);
            match bounds {
                Some((low, high)) => row
                    .with(column::CPU_LOW_NS, low)
                    .with(column::CPU_HIGH_NS, high),
                None => row,
            }
        };
        let of = |rows: &[(Quality, RowValue)]| {
            let mut sums = Sums::default();
            for slot in 0..60 {
                for (quality, row) in rows {
                    sums.add(slot, *quality, row);
                }
            }
            let estimate = Resampler::new(60, 1).estimate(&sums.sum_of(&CPU_COLUMNS).unwrap());
            let (low, high) = estimate.interval().unwrap();
            [low, high].map(|bound| bound / estimate.point)
        };
        let bounded = row(100, Some((0, 300)));
        let near = |got: [f64; 2], want: [f64; 2]| {
            for (got, want) in got.into_iter().zip(want) {
                assert!((got - want).abs() < 0.25, "{got} and not {want}");
            }
        };
        near(of(&[(Quality::Estimated, bounded.clone())]), [0.0, 3.0]);
        // Told to the nanosecond: as sure as its windows.
        let exact = row(100, Some((100, 100)));
        assert_eq!(of(&[(Quality::Estimated, exact)]), [1.0, 1.0]);
        let measured = (Quality::Measured, row(300, None));
        near(
            of(&[(Quality::Estimated, bounded.clone()), measured]),
            [0.75, 1.5],
        );
        // Two operations in one figure: bounds of one, the assumption of the other.
        let mut sums = Sums::default();
        let mut other = Sums::default();
        for slot in 0..60 {
            sums.add(slot, Quality::Estimated, &bounded);
            other.add(slot, Quality::Estimated, &row(100, None));
        }
        let mut both = sums.sum_of(&CPU_COLUMNS).unwrap();
        both.merge_sum(&other.sum_of(&CPU_COLUMNS).unwrap());
        let estimate = Resampler::new(60, 1).estimate(&both);
        let (low, high) = estimate.interval().unwrap();
        near([low / 12_000.0, high / 12_000.0], [0.5 / 1.5, 0.5 * 4.5]);
    }
}
