//! Cells by number, in pages that are used again: what many rows need is taken once, wherever the thread that
//! needs it keeps its memory, and neither grows by copying nor is given back at each rotation.

/// How many cells a page has: one bit each.
const PAGE_LEN: usize = 32;

/// What a page can hold.
pub(crate) trait Cell: Default {
    /// Makes it as good as new, and may keep what it has allocated.
    fn reset(&mut self);
}

#[derive(Debug)]
struct Page<T> {
    used: u32,
    cells: [T; PAGE_LEN],
}

/// A table of cells by small numbers.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    /// Pages without a cell in use.
    spare: Vec<Box<Page<T>>>,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            spare: Vec::new(),
        }
    }
}

/// Which page a number is on, and where.
fn place(id: u32) -> (usize, usize) {
    let id = id as usize;
    (id / PAGE_LEN, id % PAGE_LEN)
}

impl<T: Cell> Paged<T> {
    /// The cell of this number, new when there was none.
    pub(crate) fn cell(&mut self, id: u32) -> &mut T {
        let (at, n) = place(id);
        if self.pages.len() <= at {
            self.pages.resize_with(at + 1, || None);
        }
        let spare = &mut self.spare;
        let page = self.pages[at].get_or_insert_with(|| {
            spare.pop().unwrap_or_else(|| {
                Box::new(Page {
                    used: 0,
                    cells: std::array::from_fn(|_| T::default()),
                })
            })
        });
        page.used |= 1 << n;
        &mut page.cells[n]
    }

    /// The cell of this number, if it is in use.
    #[cfg(test)]
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        let (at, n) = place(id);
        let page = self.pages.get(at)?.as_ref()?;
        (page.used >> n & 1 == 1).then(|| &page.cells[n])
    }

    /// The cells in use, by ascending number.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let pages = (0u32..).zip(&self.pages);
        pages
            .filter_map(|(at, page)| Some((at, page.as_ref()?)))
            .flat_map(|(at, page)| {
                (0u32..)
                    .zip(&page.cells)
                    .filter(|(n, _)| page.used >> n & 1 == 1)
                    .map(move |(n, cell)| (at * PAGE_LEN as u32 + n, cell))
            })
    }

    /// Takes all cells in use. What it kept for more is kept, but for half of the pages that found no use since the
    /// last time: those come second, to be dropped.
    pub(crate) fn take(&mut self) -> (Self, Unneeded<T>) {
        let unneeded = self.spare.split_off(self.spare.len() / 2);
        let taken = Self {
            pages: std::mem::take(&mut self.pages),
            spare: Vec::new(),
        };
        (taken, Unneeded(unneeded))
    }

    /// Hands over each cell in use and its number, and then each page, which is as good as new.
    pub(crate) fn empty(
        self,
        mut each: impl FnMut(u32, &mut T),
        mut emptied: impl FnMut(EmptyPage<T>),
    ) {
        for (at, page) in (0u32..).zip(self.pages) {
            let Some(mut page) = page else { continue };
            for (n, cell) in (0u32..).zip(&mut page.cells) {
                if page.used >> n & 1 == 1 {
                    each(at * PAGE_LEN as u32 + n, cell);
                    cell.reset();
                }
            }
            page.used = 0;
            emptied(EmptyPage(page));
        }
    }

    /// Keeps a page for later.
    pub(crate) fn give(&mut self, page: EmptyPage<T>) {
        self.spare.push(page.0);
    }
}

/// A page without a cell in use.
#[derive(Debug)]
pub(crate) struct EmptyPage<T>(Box<Page<T>>);

/// Pages to be dropped, when no lock is held.
#[derive(Debug)]
pub(crate) struct Unneeded<T>(#[expect(dead_code, reason = "only dropped")] Vec<Box<Page<T>>>);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default)]
    struct Sum(u64);

    impl Cell for Sum {
        fn reset(&mut self) {
            self.0 = 0;
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_whose_pages_come_again(
            windows in prop::collection::vec(prop::collection::vec((0u32..300, 1u64..9), 0..80), 1..6),
        ) {
            let mut table = Paged::<Sum>::default();
            for added in windows {
                let mut expected = BTreeMap::<u32, u64>::new();
                for (id, n) in added {
                    *expected.entry(id).or_default() += n;
                    table.cell(id).0 += n;
                }
                for id in 0..301 {
                    prop_assert_eq!(table.get(id).map(|sum| sum.0), expected.get(&id).copied());
                }
                let seen: Vec<_> = table.iter().map(|(id, sum)| (id, sum.0)).collect();
                let expected: Vec<_> = expected.into_iter().collect();
                prop_assert_eq!(&seen, &expected);
                let (taken, _) = table.take();
                prop_assert_eq!(table.iter().count(), 0);
                let mut emptied = Vec::new();
                taken.empty(|id, sum| emptied.push((id, sum.0)), |page| table.give(page));
                prop_assert_eq!(&emptied, &expected);
            }
        }
    }

    #[test]
    fn pages_that_find_no_use_go_by_and_by() {
        let mut table = Paged::<Sum>::default();
        let window = |table: &mut Paged<Sum>, pages: u32| {
            for at in 0..pages {
                table.cell(at * PAGE_LEN as u32).0 += 1;
            }
            let (taken, _) = table.take();
            taken.empty(|_, _| {}, |page| table.give(page));
            table.spare.len()
        };
        assert_eq!(window(&mut table, 64), 64);
        assert_eq!(window(&mut table, 64), 64, "the same again");
        let kept: Vec<_> = (0..8).map(|_| window(&mut table, 2)).collect();
        assert_eq!(kept, [33, 17, 9, 5, 3, 2, 2, 2]);
    }
}
