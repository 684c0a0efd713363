//! Cells of a window that has ended, packed: few bytes for small figures, until their rows are written.

use std::marker::PhantomData;

use weighbridge_wire::Histogram;

/// What can be packed: it shows its figures, always the same ones in the same order.
pub(crate) trait Figures: Default {
    /// Shows each figure, which may be replaced.
    fn show(&mut self, to: &mut impl Show);
}

/// What figures are shown to.
pub(crate) trait Show {
    /// A whole number.
    fn wide(&mut self, figure: &mut i128);

    /// A histogram.
    fn histogram(&mut self, figure: &mut Histogram);

    /// A number.
    fn int(&mut self, figure: &mut i64) {
        let mut wide = i128::from(*figure);
        self.wide(&mut wide);
        // What was packed as an i64 is one.
        *figure = i64::try_from(wide).unwrap_or(0);
    }

    /// Numbers.
    fn ints<const N: usize>(&mut self, figures: [&mut i64; N]) {
        figures.into_iter().for_each(|figure| self.int(figure));
    }

    /// Numbers that may be unknown.
    fn known<const N: usize>(&mut self, figures: [&mut Option<i64>; N]) {
        for figure in figures {
            // Unknown is the one value that no number has.
            let mut wide = figure.map_or(i128::from(i64::MIN) - 1, i128::from);
            self.wide(&mut wide);
            *figure = i64::try_from(wide).ok();
        }
    }

    /// Something that few have.
    fn rare<T: Default>(
        &mut self,
        rare: &mut Option<Box<T>>,
        item: impl FnOnce(&mut Self, &mut T),
    ) {
        let mut there = i128::from(rare.is_some());
        self.wide(&mut there);
        if there != 0 {
            item(self, rare.get_or_insert_default());
        }
    }

    /// A list: its length, and each item.
    fn list<T: Default>(&mut self, list: &mut Vec<T>, mut item: impl FnMut(&mut Self, &mut T)) {
        let mut len = i128::try_from(list.len()).unwrap_or(0);
        self.wide(&mut len);
        list.resize_with(usize::try_from(len).unwrap_or(0), T::default);
        list.iter_mut().for_each(|it| item(self, it));
    }
}

struct Pack<'a>(&'a mut Vec<u8>);

impl Pack<'_> {
    fn varint(&mut self, mut n: u128) {
        while n >= 0x80 {
            // The low seven bits.
            self.0.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }
}

impl Show for Pack<'_> {
    fn wide(&mut self, figure: &mut i128) {
        // Zigzag: small magnitudes are small numbers.
        self.varint(((*figure << 1) ^ (*figure >> 127)).cast_unsigned());
    }

    fn histogram(&mut self, figure: &mut Histogram) {
        self.varint(figure.buckets().count() as u128);
        let mut before = 0;
        for (index, count) in figure.buckets() {
            self.varint(u128::from(index - before));
            self.varint(u128::from(count));
            before = index;
        }
    }
}

struct Unpack<'a>(&'a [u8]);

impl Unpack<'_> {
    fn varint(&mut self) -> u128 {
        let (mut n, mut shift) = (0, 0);
        while let Some((byte, rest)) = self.0.split_first() {
            self.0 = rest;
            n |= u128::from(byte & 0x7f) << shift;
            shift += 7;
            if *byte < 0x80 || shift > 126 {
                break;
            }
        }
        n
    }
}

impl Show for Unpack<'_> {
    fn wide(&mut self, figure: &mut i128) {
        let n = self.varint();
        *figure = (n >> 1).cast_signed() ^ -(n & 1).cast_signed();
    }

    fn histogram(&mut self, figure: &mut Histogram) {
        let mut index = 0;
        for _ in 0..self.varint() {
            index += u32::try_from(self.varint()).unwrap_or(0);
            let count = u64::try_from(self.varint()).unwrap_or(0);
            figure.add_bucket(index, count);
        }
    }
}

/// Packed cells by number.
#[derive(Debug)]
pub(crate) struct Packed<T> {
    bytes: Vec<u8>,
    /// Numbers ascend; each with where its cell begins.
    index: Vec<(u32, u32)>,
    cell: PhantomData<T>,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            index: Vec::new(),
            cell: PhantomData,
        }
    }
}

impl<T: Figures> Packed<T> {
    /// Packs a cell, whose number is above all before.
    pub(crate) fn push(&mut self, id: u32, cell: &mut T) {
        // Tables are bounded far below 4 GiB.
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.index.push((id, at));
        cell.show(&mut Pack(&mut self.bytes));
    }

    /// The cell of this number.
    pub(crate) fn get(&self, id: u32) -> Option<T> {
        let n = self.index.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        let (_, at) = self.index.get(n)?;
        Some(self.at(*at))
    }

    /// True when there is a cell of this number.
    pub(crate) fn has(&self, id: u32) -> bool {
        self.index.binary_search_by_key(&id, |(id, _)| *id).is_ok()
    }

    /// The numbers, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> {
        self.index.iter().map(|(id, _)| *id)
    }

    /// All cells, by ascending number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, T)> {
        self.index.iter().map(|&(id, at)| (id, self.at(at)))
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    fn at(&self, at: u32) -> T {
        let mut cell = T::default();
        cell.show(&mut Unpack(
            self.bytes.get(at as usize..).unwrap_or_default(),
        ));
        cell
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, Default, PartialEq)]
    struct Some3 {
        wide: i128,
        ints: [i64; 2],
        known: [Option<i64>; 2],
        list: Vec<i64>,
        histogram: Histogram,
    }

    impl Figures for Some3 {
        fn show(&mut self, to: &mut impl Show) {
            to.wide(&mut self.wide);
            let [a, b] = &mut self.ints;
            to.ints([a, b]);
            let [a, b] = &mut self.known;
            to.known([a, b]);
            to.list(&mut self.list, Show::int);
            to.histogram(&mut self.histogram);
        }
    }

    fn any_int() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -100i64..100, Just(i64::MIN), Just(i64::MAX)]
    }

    prop_compose! {
        fn any_cell()(
            wide in prop_oneof![any::<i128>(), -9i128..9, Just(i128::MIN), Just(i128::MAX)],
            ints in [any_int(), any_int()],
            known in [prop::option::of(any_int()), prop::option::of(any_int())],
            list in prop::collection::vec(any_int(), 0..4),
            buckets in prop::collection::vec((0u32..=Histogram::INDEX_MAX, any::<u64>()), 0..9),
        ) -> Some3 {
            let mut histogram = Histogram::new();
            for (index, count) in buckets {
                histogram.add_bucket(index, count);
            }
            Some3 { wide, ints, known, list, histogram }
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back(
            cells in prop::collection::btree_map(any::<u32>(), any_cell(), 0..20),
            absent in any::<u32>(),
        ) {
            let mut packed = Packed::default();
            for (id, cell) in &cells {
                packed.push(*id, &mut cell.clone());
            }
            for (id, cell) in &cells {
                prop_assert_eq!(packed.get(*id), Some(cell.clone()));
            }
            prop_assert_eq!(packed.get(absent), cells.get(&absent).cloned());
            prop_assert_eq!(packed.has(absent), cells.contains_key(&absent));
            prop_assert!(packed.ids().eq(cells.keys().copied()));
            prop_assert!(packed.iter().eq(cells.clone()));
        }
    }
}
