//! The rows of a window a page at a time, in the order of their keys: what costs memory at a rotation is a page and
//! not the window.

use weighbridge_wire::{OwnerKind, Quality, RowKind, RowSet};

use super::rows::{apportion_cpu, bound_figures};

/// How many things' rows are made at once.
const PAGE_LEN: usize = 32;

/// Where the rows of a window go.
pub(super) struct Pages<'a> {
    take: &'a mut dyn FnMut(&mut RowSet),
    /// The clock scaled its pieces.
    scaled: bool,
    /// Figures that were beyond the bounds of the wire.
    pub(super) bounded: u64,
    /// CPU of the rows that conservation counts.
    pub(super) accounts_ns: i64,
    /// That of the agent itself.
    pub(super) agent_ns: i64,
}

impl<'a> Pages<'a> {
    pub(super) fn new(take: &'a mut dyn FnMut(&mut RowSet), scaled: bool) -> Self {
        Self {
            take,
            scaled,
            bounded: 0,
            accounts_ns: 0,
            agent_ns: 0,
        }
    }

    /// Writes rows of one kind. The things that they are about are sorted by key; `add` adds those of one thing,
    /// and those that are the `same` share rows. Keys of rows ascend by quality first, so what has rows of several
    /// qualities is gone through once for each: `add` must add the same again.
    pub(super) fn write<T>(
        &mut self,
        things: &[T],
        same: impl Fn(&T, &T) -> bool,
        mut add: impl FnMut(&mut RowSet, &T),
    ) {
        let mut found = [Quality::Measured; 3].map(|_| false);
        let qualities = [Quality::Measured, Quality::Sampled, Quality::Apportioned];
        for (at, quality) in qualities.into_iter().enumerate() {
            if at > 0 && !found.get(at).is_some_and(|found| *found) {
                continue;
            }
            let mut rest = things;
            while !rest.is_empty() {
                let (page, more) = rest.split_at(page_len(rest, &same));
                rest = more;
                let mut rows = RowSet::new();
                page.iter().for_each(|thing| add(&mut rows, thing));
                self.mark(&mut rows);
                for (key, _) in rows.iter() {
                    if let Some(at) = qualities.iter().position(|it| *it == key.quality)
                        && let Some(found) = found.get_mut(at)
                    {
                        *found = true;
                    }
                }
                rows.retain(|key| key.quality == quality);
                self.pass(rows);
            }
        }
    }

    /// Rows with CPU time are apportioned, if the clock scales.
    pub(super) fn mark(&self, rows: &mut RowSet) {
        if self.scaled {
            *rows = apportion_cpu(rows);
        }
    }

    /// Counts these rows, within their bounds.
    pub(super) fn count(&mut self, rows: &mut RowSet) {
        self.bounded += bound_figures(rows);
        self.accounts_ns = self.accounts_ns.saturating_add(rows.accounts_cpu_ns());
        let agent = OwnerKind::Agent.as_str();
        self.agent_ns = rows
            .of_kind(RowKind::Owner)
            .filter(|(key, _)| key.parts.first().is_some_and(|kind| **kind == *agent))
            .fold(self.agent_ns, |sum, (_, row)| {
                sum.saturating_add(row.cpu_ns())
            });
    }

    /// Counts these rows and hands them over.
    pub(super) fn pass(&mut self, mut rows: RowSet) {
        self.count(&mut rows);
        self.hand_over(rows);
    }

    /// Hands over rows that were counted.
    pub(super) fn hand_over(&mut self, mut rows: RowSet) {
        if !rows.is_empty() {
            (self.take)(&mut rows);
        }
    }
}

/// How many things come next: those that share rows stay together.
fn page_len<T>(things: &[T], same: impl Fn(&T, &T) -> bool) -> usize {
    let last = PAGE_LEN.min(things.len()).saturating_sub(1);
    let more = things
        .get(last..)
        .unwrap_or_default()
        .windows(2)
        .take_while(|pair| matches!(pair, [a, b] if same(a, b)))
        .count();
    last + 1 + more
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{Class, OperationKey, RowKey, column};

    use super::*;

    fn key(n: usize, quality: Quality) -> RowKey {
        OperationKey {
            component: "".into(),
            operation: format!("{n:04}").into(),
            class: "".into(),
            caller_service: "".into(),
            caller_operation: "".into(),
            origin_service: "".into(),
            origin_operation: "".into(),
        }
        .row_key(quality)
    }

    /// The keys in the order in which they came, and their rows; each thing costs 1 ns and every third one has an
    /// apportioned row beside it.
    fn written(things: &[usize], scaled: bool) -> (Vec<RowKey>, RowSet, i64) {
        let (mut keys, mut all) = (Vec::new(), RowSet::new());
        let mut take = |rows: &mut RowSet| {
            keys.extend(rows.iter().map(|(key, _)| key.clone()));
            all.merge(rows);
        };
        let mut pages = Pages::new(&mut take, scaled);
        pages.write(
            things,
            |a, b| a == b,
            |rows, n| {
                let row = rows.row_mut(key(*n, Quality::Measured));
                row.add(Class::Handler.column(), 1);
                if n % 3 == 0 {
                    let row = rows.row_mut(key(*n, Quality::Apportioned));
                    row.add(Class::Io.column(), 10);
                }
            },
        );
        let accounts_ns = pages.accounts_ns;
        (keys, all, accounts_ns)
    }

    #[test]
    fn keys_ascend_over_all_pages_and_nothing_is_there_twice() {
        let things: Vec<usize> = (0..10 * PAGE_LEN + 1).collect();
        let third = things.len().div_ceil(3);
        for scaled in [false, true] {
            let (keys, rows, accounts_ns) = written(&things, scaled);
            assert!(keys.is_sorted_by(|a, b| a < b), "scaled {scaled}");
            let apportioned = keys
                .iter()
                .filter(|key| key.quality == Quality::Apportioned);
            let expected = if scaled { things.len() } else { third };
            assert_eq!(apportioned.count(), expected);
            let spent = i64::try_from(things.len() + 10 * third).unwrap();
            assert_eq!((rows.accounts_cpu_ns(), accounts_ns), (spent, spent));
        }
    }

    #[test]
    fn what_shares_a_row_comes_in_one_page() {
        let mut things = vec![0; 3 * PAGE_LEN];
        things.extend([1; 2]);
        things.extend(2..2 * PAGE_LEN);
        let (keys, rows, _) = written(&things, false);
        assert!(keys.is_sorted_by(|a, b| a < b));
        let row = rows.get(&key(0, Quality::Measured)).unwrap();
        let count = i64::try_from(3 * PAGE_LEN).unwrap();
        assert_eq!(row.get(column::CPU_HANDLER_NS), Some(count));
        let row = rows.get(&key(1, Quality::Measured)).unwrap();
        assert_eq!(row.get(column::CPU_HANDLER_NS), Some(2));
    }

    #[test]
    fn nothing_is_written_of_nothing() {
        assert_eq!(written(&[], false).1.len(), 0);
    }
}
