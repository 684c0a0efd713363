//! CPU by the day, of ranges that are long enough to tell what grows from what a weekday does.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{FoldedWindow, RowKind, Window, column};

use super::{CPU_COLUMNS, as_f64};

/// Nanoseconds of a day (UTC; days have no leap seconds in Unix time).
pub(crate) const DAY_NS: u64 = 86_400_000_000_000;

/// CPU of a service in each day since 1970, ns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Daily {
    kernel: BTreeMap<u64, f64>,
    accounts: BTreeMap<u64, f64>,
}

impl Daily {
    /// Adds a window; what lies in two days is divided by their parts of it.
    pub(super) fn add(&mut self, folded: &FoldedWindow) {
        let (mut kernel, mut accounts) = (None, None);
        for (key, value) in folded.rows.iter() {
            match RowKind::from_wire(key.kind) {
                Some(RowKind::Process) => sum(&mut kernel, value.get(column::CPU_PROCESS_NS)),
                Some(RowKind::Operation | RowKind::Owner) => CPU_COLUMNS
                    .iter()
                    .for_each(|column| sum(&mut accounts, value.get(*column))),
                _ => {}
            }
        }
        for (day, ns) in parts(folded.window) {
            let share = as_f64_of(ns) / as_f64_of(folded.window.len_ns());
            for (of, days) in [(kernel, &mut self.kernel), (accounts, &mut self.accounts)] {
                if let Some(of) = of {
                    *days.entry(day).or_default() += as_f64(of) * share;
                }
            }
        }
    }

    /// By the kernel, else by accounts; `None` when neither is known.
    pub(super) fn cpu_ns(&self) -> Option<&BTreeMap<u64, f64>> {
        [&self.kernel, &self.accounts]
            .into_iter()
            .find(|days| !days.is_empty())
    }
}

fn sum(sum: &mut Option<i64>, value: Option<i64>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0).saturating_add(value));
    }
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn as_f64_of(ns: u64) -> f64 {
    ns as f64
}

/// The days that a window lies in, with its part in each, ns. None for one that is longer than a day: it does not tell
/// how what is in it lies over the days.
fn parts(window: Window) -> impl Iterator<Item = (u64, u64)> {
    let told = window.len_ns() <= DAY_NS && window.len_ns() > 0;
    let first = window.start_unix_ns / DAY_NS;
    (first..=first + 1)
        .filter(move |_| told)
        .filter_map(move |day| {
            let start = window.start_unix_ns.max(day.checked_mul(DAY_NS)?);
            let end = window.end_unix_ns.min((day + 1).checked_mul(DAY_NS)?);
            (end > start).then(|| (day, end - start))
        })
}

/// Time covered in each day, ns: the union of the windows, which come in the order of their starts.
pub(super) fn covered_by_day(spans: &BTreeSet<Window>) -> BTreeMap<u64, u64> {
    let mut covered = BTreeMap::new();
    let mut end = 0u64;
    for span in spans.iter().filter(|span| span.len_ns() <= DAY_NS) {
        let new = Window {
            start_unix_ns: span.start_unix_ns.max(end),
            end_unix_ns: span.end_unix_ns,
        };
        if new.start_unix_ns < new.end_unix_ns {
            for (day, ns) in parts(new) {
                *covered.entry(day).or_default() += ns;
            }
        }
        end = end.max(span.end_unix_ns);
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(start: u64, end: u64) -> Window {
        let hour = DAY_NS / 24;
        Window {
            start_unix_ns: start * hour,
            end_unix_ns: end * hour,
        }
    }

    #[test]
    fn days_are_covered_once_and_windows_over_midnight_lie_in_both() {
        let spans = [hours(0, 24), hours(6, 12), hours(30, 50), hours(72, 120)];
        let covered = covered_by_day(&spans.into());
        let want = [(0, 24), (1, 18), (2, 2)].map(|(day, hours)| (day, hours * DAY_NS / 24));
        assert_eq!(covered, want.into(), "one of two days tells no day");
    }
}
