//! Rows and sets of rows: the only aggregation in the system.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::{ALL_CLASSES, Class, Histogram, Merge, Quality, RowKind, Sketch};

/// What a row is about. Ordered by kind, quality, then parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// A [`RowKind`] as its number, or one that this version does not know.
    pub kind: u32,
    /// How the figures came about.
    pub quality: Quality,
    /// Meaning fixed per kind; see the key types.
    pub parts: Box<[Arc<str>]>,
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = || {
            let differ = |(a, b): (&Arc<str>, &Arc<str>)| {
                // Rows of one delta share their strings; comparing addresses first keeps a key of long
                // equal names from costing their length at each step of a search.
                let order = if Arc::ptr_eq(a, b) {
                    Ordering::Equal
                } else {
                    a.cmp(b)
                };
                (order != Ordering::Equal).then_some(order)
            };
            self.parts
                .iter()
                .zip(&other.parts)
                .find_map(differ)
                .unwrap_or_else(|| self.parts.len().cmp(&other.parts.len()))
        };
        self.kind
            .cmp(&other.kind)
            .then(self.quality.cmp(&other.quality))
            .then_with(parts)
    }
}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The figures of a row. An absent column is unknown, which is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowValue {
    /// Ascending by column: rows are many and small, a list is an eighth of a tree's size.
    columns: Vec<(u32, i64)>,
    /// Few rows have any.
    rest: Option<Box<Rest>>,
}

/// What few rows have. Both lists ascend by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Rest {
    histograms: Vec<(u32, Histogram)>,
    sketches: Vec<(u32, Sketch)>,
}

/// The entry of a column in an ascending list, made by `new` when it is absent.
fn entry<T>(list: &mut Vec<(u32, T)>, column: u32, new: impl FnOnce() -> T) -> &mut T {
    let place = match list.binary_search_by_key(&column, |(at, _)| *at) {
        Ok(found) => found,
        Err(place) => {
            // Rows have one or two of these: growing by four would waste more than it saves.
            list.reserve_exact(1);
            list.insert(place, (column, new()));
            place
        }
    };
    &mut list[place].1
}

fn find<T>(list: &[(u32, T)], column: u32) -> Option<&T> {
    let place = list.binary_search_by_key(&column, |(at, _)| *at).ok()?;
    list.get(place).map(|(_, found)| found)
}

impl RowValue {
    /// A row without figures.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes columns with their figures: as they are when they ascend, one by one when not.
    #[must_use]
    pub fn from_columns(columns: Vec<(u32, i64)>) -> Self {
        if columns.is_sorted_by(|a, b| a.0 < b.0) {
            return Self {
                columns,
                rest: None,
            };
        }
        let mut value = Self::new();
        for (column, figure) in columns {
            value.add(column, figure);
        }
        value
    }

    /// Merges a value into a column by the column's own rule.
    pub fn add(&mut self, column: u32, value: i64) {
        match self.columns.binary_search_by_key(&column, |&(at, _)| at) {
            Ok(found) => {
                if let Some((_, old)) = self.columns.get_mut(found) {
                    *old = Merge::of(column).apply(*old, value);
                }
            }
            Err(place) => self.columns.insert(place, (column, value)),
        }
    }

    /// [`add`](Self::add) for building a row in one expression.
    #[must_use]
    pub fn with(mut self, column: u32, value: i64) -> Self {
        self.add(column, value);
        self
    }

    /// The histogram of a column, made empty when it is absent.
    pub fn histogram_mut(&mut self, column: u32) -> &mut Histogram {
        entry(
            &mut self.rest.get_or_insert_default().histograms,
            column,
            Histogram::new,
        )
    }

    /// Merges a sketch into the one of a column.
    pub fn add_sketch(&mut self, column: u32, sketch: &Sketch) {
        // A new entry begins empty with the same k, so that merging into it gives the sketch itself.
        entry(
            &mut self.rest.get_or_insert_default().sketches,
            column,
            || Sketch::new(sketch.k()),
        )
        .merge(sketch);
    }

    /// The figure of a column; `None` means unknown.
    #[must_use]
    pub fn get(&self, column: u32) -> Option<i64> {
        find(&self.columns, column).copied()
    }

    /// The histogram of a column.
    #[must_use]
    pub fn histogram(&self, column: u32) -> Option<&Histogram> {
        find(&self.rest.as_ref()?.histograms, column)
    }

    /// The sketch of a column.
    #[must_use]
    pub fn sketch(&self, column: u32) -> Option<&Sketch> {
        find(&self.rest.as_ref()?.sketches, column)
    }

    /// All columns, ascending.
    pub fn columns(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.columns.iter().copied()
    }

    /// All histograms, ascending by column.
    pub fn histograms(&self) -> impl Iterator<Item = (u32, &Histogram)> + '_ {
        self.rest
            .iter()
            .flat_map(|rest| &rest.histograms)
            .map(|(column, h)| (*column, h))
    }

    /// All sketches, ascending by column.
    pub fn sketches(&self) -> impl Iterator<Item = (u32, &Sketch)> + '_ {
        self.rest
            .iter()
            .flat_map(|rest| &rest.sketches)
            .map(|(column, s)| (*column, s))
    }

    /// Sum of the CPU columns over all classes; absent ones are left out.
    #[must_use]
    pub fn cpu_ns(&self) -> i64 {
        ALL_CLASSES
            .iter()
            .filter_map(|class| self.class_cpu_ns(*class))
            .fold(0, i64::saturating_add)
    }

    /// The CPU of one class; `None` means unknown.
    #[must_use]
    pub fn class_cpu_ns(&self, class: Class) -> Option<i64> {
        self.get(class.column())
    }

    /// True when there is no figure at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.rest.is_none()
    }

    /// Merges all figures of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        let same = self.columns.len() == other.columns.len()
            && self
                .columns
                .iter()
                .zip(&other.columns)
                .all(|(a, b)| a.0 == b.0);
        if same {
            // The common case of folding: the same row of another window.
            for ((column, old), (_, value)) in self.columns.iter_mut().zip(&other.columns) {
                *old = Merge::of(*column).apply(*old, *value);
            }
        } else {
            for (column, value) in other.columns() {
                self.add(column, value);
            }
        }
        for (column, histogram) in other.histograms() {
            self.histogram_mut(column).merge(histogram);
        }
        for (column, sketch) in other.sketches() {
            self.add_sketch(column, sketch);
        }
    }
}

/// A set of rows, ordered by key. Merging is associative and commutative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet {
    rows: BTreeMap<RowKey, RowValue>,
}

impl RowSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows as they were read: in one go when they ascend, merged one by one when not.
    #[must_use]
    pub fn from_rows(rows: Vec<(RowKey, RowValue)>) -> Self {
        if rows.is_sorted_by(|a, b| a.0 < b.0) {
            Self {
                rows: rows.into_iter().collect(),
            }
        } else {
            rows.into_iter().collect()
        }
    }

    /// The row with this key, made empty when it is absent.
    pub fn row_mut(&mut self, key: RowKey) -> &mut RowValue {
        self.rows.entry(key).or_default()
    }

    /// Merges figures into the row with this key.
    pub fn add(&mut self, key: RowKey, value: &RowValue) {
        self.row_mut(key).merge(value);
    }

    /// Merges all rows of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.merge_by(other, RowValue::merge);
    }

    /// Merges all rows of `other` by a rule, which gets a row without figures where there was none.
    pub fn merge_by(&mut self, other: &Self, mut merge: impl FnMut(&mut RowValue, &RowValue)) {
        let mut missing = Vec::new();
        if other.len() >= self.len() / 4 {
            // The common case of adding windows up: both have mostly the same rows, in the same order. Going along
            // both compares each key once, where looking for it would take as many times as the tree is deep.
            let mut mine = self.rows.iter_mut().peekable();
            for (key, value) in &other.rows {
                loop {
                    match mine.peek().map(|(at, _)| (*at).cmp(key)) {
                        Some(Ordering::Less) => drop(mine.next()),
                        Some(Ordering::Equal) => {
                            if let Some((_, row)) = mine.next() {
                                merge(row, value);
                            }
                            break;
                        }
                        Some(Ordering::Greater) | None => {
                            missing.push((key, value));
                            break;
                        }
                    }
                }
            }
        } else {
            for (key, value) in &other.rows {
                match self.rows.get_mut(key) {
                    Some(row) => merge(row, value),
                    None => missing.push((key, value)),
                }
            }
        }
        for (key, value) in missing {
            merge(self.rows.entry(key.clone()).or_default(), value);
        }
    }

    /// Keeps the rows whose keys pass.
    pub fn retain(&mut self, keep: impl Fn(&RowKey) -> bool) {
        self.rows.retain(|key, _| keep(key));
    }

    /// Keeps the rows that pass.
    pub fn retain_rows(&mut self, keep: impl Fn(&RowKey, &RowValue) -> bool) {
        self.rows.retain(|key, value| keep(key, value));
    }

    /// The row with this key.
    #[must_use]
    pub fn get(&self, key: &RowKey) -> Option<&RowValue> {
        self.rows.get(key)
    }

    /// The row with this key, to be changed.
    pub fn get_mut(&mut self, key: &RowKey) -> Option<&mut RowValue> {
        self.rows.get_mut(key)
    }

    /// All rows in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&RowKey, &RowValue)> {
        self.rows.iter()
    }

    /// All rows of a known kind, in key order.
    pub fn of_kind(&self, kind: RowKind) -> impl Iterator<Item = (&RowKey, &RowValue)> {
        // The first possible key of a kind: the lowest quality and no parts.
        let first = |kind| RowKey {
            kind,
            quality: Quality::Measured,
            parts: Box::default(),
        };
        let kind = kind.to_wire();
        self.rows.range(first(kind)..first(kind.saturating_add(1)))
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Sum of CPU over the rows that conservation counts: operations and owners.
    #[must_use]
    pub fn accounts_cpu_ns(&self) -> i64 {
        self.of_kind(RowKind::Operation)
            .chain(self.of_kind(RowKind::Owner))
            .map(|(_, value)| value.cpu_ns())
            .fold(0, i64::saturating_add)
    }
}

impl FromIterator<(RowKey, RowValue)> for RowSet {
    fn from_iter<I: IntoIterator<Item = (RowKey, RowValue)>>(rows: I) -> Self {
        let mut set = Self::new();
        for (key, value) in rows {
            match set.rows.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(mut mine) => mine.get_mut().merge(&value),
            }
        }
        set
    }
}
