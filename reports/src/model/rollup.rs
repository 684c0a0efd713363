//! Reads a folded range into facts per service, in one canonical order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{FoldedRange, FoldedWindow, RowKind, ServiceId, Window};

use super::daily::{DAY_NS, covered_by_day};
use super::digest::Digest;
use super::service::{ServiceFacts, ServiceKey};
use super::trend::DAYS_MIN;

/// Most slots that resampling distinguishes; longer ranges put several windows into a slot.
const SLOTS_MAX: u64 = 96;

/// A range, read.
pub(crate) struct Rollup {
    /// From the first window's start to the last one's end; the range asked for when there is no window.
    pub(crate) seen: Window,
    /// Time covered by at least one window, ns.
    pub(crate) covered_ns: u64,
    /// The most common length of a window.
    pub(crate) window_ns: Option<u64>,
    /// Number of distinct windows.
    pub(crate) windows: u64,
    /// Number of slots.
    pub(crate) slots: u32,
    /// Time covered in each slot, ns.
    pub(crate) slot_ns: Vec<u64>,
    /// Time covered in each day since 1970, ns; empty for ranges of few days, which tell no growth.
    pub(crate) day_ns: BTreeMap<u64, u64>,
    /// From the hash of everything that was read.
    pub(crate) seed: u64,
    /// Sorted by label.
    pub(crate) services: Vec<ServiceFacts>,
    /// Services of which nothing is known but what was lost: no process and no request of theirs was seen.
    pub(crate) only_lost: Vec<ServiceFacts>,
    /// Indices of the services of a name.
    by_name: BTreeMap<String, Vec<usize>>,
    /// Rows of kinds that are not known here.
    pub(crate) unknown_kinds: BTreeMap<u32, u64>,
}

impl Rollup {
    /// The order in which windows come does not matter; the same window twice is merged.
    pub(crate) fn read(range: &FoldedRange) -> Self {
        let mut windows: BTreeMap<(Window, &ServiceId), Cow<'_, FoldedWindow>> = BTreeMap::new();
        for folded in &range.windows {
            windows
                .entry((folded.window, &folded.service))
                .and_modify(|mine| mine.to_mut().rows.merge(&folded.rows))
                .or_insert(Cow::Borrowed(folded));
        }

        // What was lost covers no time: a sender was refused, and that is all that is known of it.
        let spans: BTreeSet<Window> = windows
            .iter()
            .filter(|(_, folded)| !is_only_losses(folded))
            .map(|((window, _), _)| *window)
            .collect();
        let seen = spans
            .iter()
            .copied()
            .reduce(Window::cover)
            .unwrap_or(range.window);
        let many_days = seen.len_ns() / DAY_NS >= DAYS_MIN as u64;
        let starts: BTreeSet<u64> = spans.iter().map(|w| w.start_unix_ns).collect();
        let slot_of: BTreeMap<u64, u32> = slots_of(&starts);
        let slots = slot_of.values().max().map_or(0, |last| last + 1);

        let mut digest = Digest::of(range.window);
        let mut of_service: BTreeMap<ServiceKey, Vec<&FoldedWindow>> = BTreeMap::new();
        for ((_, id), folded) in &windows {
            digest.add(folded);
            of_service
                .entry(ServiceKey::of(id))
                .or_default()
                .push(folded);
        }
        let mut unknown_kinds: BTreeMap<u32, u64> = BTreeMap::new();
        // One service after the other: the sums of all of a large system fit into no cache.
        let services = of_service.into_iter().map(|(key, windows)| {
            let mut facts = ServiceFacts::new(key);
            for folded in windows {
                let slot = slot_of.get(&folded.window.start_unix_ns).copied();
                facts.read(&folded.service, slot.unwrap_or(0), folded.window, folded);
                if many_days {
                    facts.daily.add(folded);
                }
                for (key, _) in folded.rows.iter() {
                    if RowKind::from_wire(key.kind).is_none() {
                        *unknown_kinds.entry(key.kind).or_default() += 1;
                    }
                }
            }
            facts
        });
        let (mut services, mut only_lost): (Vec<ServiceFacts>, Vec<ServiceFacts>) =
            services.partition(|service| service.windows() > 0);
        label(&mut only_lost);
        label(&mut services);
        services.sort_by(|a, b| a.label.cmp(&b.label).then_with(|| a.key.cmp(&b.key)));
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, service) in services.iter().enumerate() {
            by_name
                .entry(service.key.service.clone())
                .or_default()
                .push(index);
        }

        Self {
            seen,
            covered_ns: covered(&spans),
            slot_ns: covered_by_slot(&spans, &slot_of, slots),
            window_ns: most_common_length(&spans),
            windows: u64::try_from(starts.len()).unwrap_or(u64::MAX),
            slots,
            day_ns: if many_days {
                covered_by_day(&spans)
            } else {
                BTreeMap::new()
            },
            seed: digest.seed(),
            services,
            only_lost,
            by_name,
            unknown_kinds,
        }
    }

    /// The service that another one calls by this name: in its own namespace and environment first, else
    /// the only one of that name.
    pub(crate) fn resolve(&self, from: usize, name: &str) -> Option<usize> {
        let home = &self.services.get(from)?.key;
        let named = self.by_name.get(name)?;
        let near = named.iter().copied().find(|i| {
            let key = &self.services[*i].key;
            (&key.tenant, &key.namespace, &key.environment)
                == (&home.tenant, &home.namespace, &home.environment)
        });
        near.or_else(|| {
            let mut all = named
                .iter()
                .copied()
                .filter(|i| self.services[*i].key.tenant == home.tenant);
            match (all.next(), all.next()) {
                (Some(only), None) => Some(only),
                _ => None,
            }
        })
    }
}

/// True when a window says what was lost, and nothing else.
pub(super) fn is_only_losses(folded: &FoldedWindow) -> bool {
    let is_loss = |kind| kind == RowKind::Loss.to_wire();
    !folded.rows.is_empty() && folded.rows.iter().all(|(key, _)| is_loss(key.kind))
}

/// Evenly groups the windows' starts into at most [`SLOTS_MAX`] slots.
fn slots_of(starts: &BTreeSet<u64>) -> BTreeMap<u64, u32> {
    let n = u64::try_from(starts.len()).unwrap_or(u64::MAX).max(1);
    let slots = n.min(SLOTS_MAX);
    (0u64..)
        .zip(starts)
        .map(|(i, start)| (*start, u32::try_from(i * slots / n).unwrap_or(u32::MAX)))
        .collect()
}

/// Length of the union of the windows.
fn covered(spans: &BTreeSet<Window>) -> u64 {
    let mut covered = 0u64;
    let mut end = 0u64;
    // In order of their starts.
    for span in spans {
        let start = span.start_unix_ns.max(end);
        covered += span.end_unix_ns.saturating_sub(start);
        end = end.max(span.end_unix_ns);
    }
    covered
}

/// The same for each slot: what windows of a slot add to the union.
fn covered_by_slot(spans: &BTreeSet<Window>, slot_of: &BTreeMap<u64, u32>, slots: u32) -> Vec<u64> {
    let mut covered = vec![0u64; slots as usize];
    let mut end = 0u64;
    for span in spans {
        let slot = slot_of.get(&span.start_unix_ns).copied().unwrap_or(0);
        let start = span.start_unix_ns.max(end);
        if let Some(sum) = covered.get_mut(slot as usize) {
            *sum += span.end_unix_ns.saturating_sub(start);
        }
        end = end.max(span.end_unix_ns);
    }
    covered
}

fn most_common_length(spans: &BTreeSet<Window>) -> Option<u64> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for span in spans {
        *counts.entry(span.len_ns()).or_default() += 1;
    }
    // The shorter one when two are equally common.
    counts
        .into_iter()
        .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))
        .map(|(length, _)| length)
}

/// A service is shown by its name alone where that is unambiguous.
fn label(services: &mut [ServiceFacts]) {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for service in services.iter() {
        *counts.entry(service.key.service.clone()).or_default() += 1;
    }
    for service in services.iter_mut() {
        let key = &service.key;
        service.label = if counts.get(&key.service).copied().unwrap_or(0) > 1 {
            [&key.tenant, &key.namespace, &key.environment, &key.service]
                .into_iter()
                .filter(|part| !part.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join("/")
        } else {
            key.service.clone()
        };
    }
    // Parts that are empty in different places can still look alike.
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for service in services {
        let mut label = service.label.clone();
        let mut n = 2;
        while !taken.insert(label.clone()) {
            label = format!("{} ({n})", service.label);
            n += 1;
        }
        service.label = label;
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{LossKey, Quality, RowValue, column};

    use super::*;
    use crate::testing::System;
    use crate::{Document, Options};

    fn span(start: u64, end: u64) -> Window {
        Window {
            start_unix_ns: start,
            end_unix_ns: end,
        }
    }

    #[test]
    fn coverage_counts_overlaps_once() {
        let spans = [span(0, 10), span(0, 5), span(8, 12), span(20, 30)].into();
        assert_eq!(covered(&spans), 22);
        let slot_of = [(0, 0), (8, 0), (20, 1)].into();
        assert_eq!(covered_by_slot(&spans, &slot_of, 2), [12, 10]);
        assert_eq!(most_common_length(&spans), Some(10));
        assert_eq!(most_common_length(&BTreeSet::new()), None);
    }

    #[test]
    fn many_windows_share_slots_evenly() {
        let starts: BTreeSet<u64> = (0..960).collect();
        let slots = slots_of(&starts);
        let mut sizes = BTreeMap::<u32, u32>::new();
        slots
            .values()
            .for_each(|slot| *sizes.entry(*slot).or_default() += 1);
        assert_eq!(sizes.len(), 96);
        assert!(sizes.values().all(|size| *size == 10));
    }

    #[test]
    fn what_was_lost_alone_makes_no_service_and_covers_no_time() {
        let mut system = System::new(4);
        system.root(
            "shop",
            "GET /",
            20,
            [1_000, 1_000, 1_000, 1_000, 1_000, 1_000],
        );
        let before = system.range();
        let mut range = before.clone();
        let key = LossKey {
            place: "collector.otlp".into(),
            reason: "spans rejected: too_old".into(),
        };
        let lost = |n| RowValue::new().with(column::LOST, n);
        let row = key.row_key(Quality::Measured);
        let last = range.windows.last().unwrap().window;
        let later = |s: u64| last.end_unix_ns + s * 1_000_000_000;
        range.windows.push(FoldedWindow {
            service: ServiceId {
                service: "weighbridge-collector".into(),
                ..ServiceId::default()
            },
            window: span(later(3_600), later(3_610)),
            rows: [(row.clone(), lost(3))].into_iter().collect(),
        });
        // Of a service that did something, it stands there.
        range.windows[0].rows.add(row, &lost(4));
        let document = |range| Document::build(range, &Options::default());
        let (before, after) = (document(&before), document(&range));
        let names = |document: &Document| -> Vec<String> {
            let services = document.services.iter();
            services.map(|service| service.service.clone()).collect()
        };
        assert_eq!(names(&after), ["shop"]);
        assert_eq!(names(&before), ["shop"]);
        let rate = |document: &Document| document.services[0].operations[0].rate.value;
        assert_eq!(rate(&after), rate(&before));
        assert_eq!(after.window.end, before.window.end);
        let losses = after.conservation.losses.iter();
        let losses: Vec<_> = losses.map(|row| (row.service.as_str(), row.lost)).collect();
        assert_eq!(
            losses,
            [("shop", Some(4)), ("weighbridge-collector", Some(3))]
        );
        assert_eq!(after.quality.lost.value, Some(7.0));
    }
}
