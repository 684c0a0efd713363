//! A range as a reader sees it: what is stored, what is not written yet, and what never came.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use weighbridge_wire::{FoldedWindow, RowSet, ServiceId, Window};

use super::Shared;
use crate::store::{EpochId, EpochState, Note, Scan, StoreError, Tier};

type Key = (Window, ServiceId);

/// Says that nobody waits any more for what is being read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Folded windows; each (window, service) appears once, in no order.
pub struct View {
    stop: Stop,
    /// `None`: all.
    tenant: Option<String>,
    rows_max: usize,
    stored: Scan,
    extra: BTreeMap<Key, RowSet>,
}

impl Shared {
    pub(super) fn view(
        &self,
        tenant: Option<&str>,
        since_unix_ns: u64,
        until_unix_ns: u64,
        finest: Option<Tier>,
        stop: &Stop,
    ) -> Result<View, StoreError> {
        let (stored, mut extra) = self.gather(since_unix_ns, until_unix_ns, finest)?;
        let has_otlp = { self.joiner().is_used() };
        if has_otlp {
            // A counter tells differences: what stands before and after the range is needed too.
            let look_back_ns = crate::estimate::LOOK_BACK_NS;
            let around = || {
                let (stored, around) = self.gather(
                    since_unix_ns.saturating_sub(look_back_ns),
                    until_unix_ns.saturating_add(look_back_ns),
                    finest,
                )?;
                Ok(self.made(tenant, stored, around, stop))
            };
            for (key, rows) in crate::estimate::estimate(around)? {
                if (since_unix_ns..until_unix_ns).contains(&key.0.start_unix_ns) {
                    let rows_max = self.limits.rows_per_window;
                    crate::fold::merge(extra.entry(key).or_default(), &rows, rows_max);
                }
            }
        }
        Ok(self.made(tenant, stored, extra, stop))
    }

    fn made(
        &self,
        tenant: Option<&str>,
        stored: Scan,
        extra: BTreeMap<Key, RowSet>,
        stop: &Stop,
    ) -> View {
        View {
            stop: stop.clone(),
            tenant: tenant.map(str::to_owned),
            rows_max: self.limits.rows_per_window,
            stored,
            extra,
        }
    }

    /// What is stored, and what belongs to it but is not stored.
    fn gather(
        &self,
        since_unix_ns: u64,
        until_unix_ns: u64,
        finest: Option<Tier>,
    ) -> Result<(Scan, BTreeMap<Key, RowSet>), StoreError> {
        let rows_max = self.limits.rows_per_window;
        let mut extra: BTreeMap<Key, RowSet> = BTreeMap::new();
        let mut losses = Vec::new();
        let mut note_loss = |state: &EpochState| {
            if let Some((window, service, rows)) = state.loss() {
                losses.push(((window, service.clone()), rows));
            }
        };
        // Under one lock, so that no delta is seen twice or not at all.
        let (plan, stored) = {
            let pending = self.pending.read().unwrap_or_else(PoisonError::into_inner);
            let (plan, stored) = self.store.scan(since_unix_ns, until_unix_ns, finest)?;
            let mut unwritten: BTreeMap<&EpochId, (EpochState, Vec<&Note>)> = BTreeMap::new();
            for note in &pending.notes {
                unwritten.entry(&note.id.epoch).or_default().1.push(note);
            }
            self.store
                .epochs(&mut |id, state| match unwritten.get_mut(id) {
                    Some((known, _)) => *known = state.clone(),
                    None => note_loss(state),
                })?;
            for (mut state, notes) in unwritten.into_values() {
                notes.into_iter().for_each(|note| state.add(note));
                note_loss(&state);
            }
            for ((window, service), rows) in &pending.windows {
                // Where it will stand once it is written.
                if let Some(window) = plan.place(*window) {
                    let key = (window, service.clone());
                    crate::fold::merge(extra.entry(key).or_default(), rows, rows_max);
                }
            }
            if !pending.corrected.is_empty() {
                extra.values_mut().for_each(crate::fold::prune);
            }
            (plan, stored)
        };
        for ((window, service), rows) in losses {
            if let Some(window) = plan.place(window) {
                let key = (window, service);
                crate::fold::merge(extra.entry(key).or_default(), &rows, rows_max);
            }
        }
        Ok((stored, extra))
    }
}

impl View {
    fn next_any(&mut self) -> Option<Result<FoldedWindow, StoreError>> {
        let mut stored = match self.stored.next() {
            Some(Ok(stored)) => stored,
            Some(Err(error)) => return Some(Err(error)),
            None => {
                let ((window, service), rows) = self.extra.pop_first()?;
                return Some(Ok(FoldedWindow {
                    service,
                    window,
                    rows,
                }));
            }
        };
        if !self.extra.is_empty() {
            let key = (stored.window, stored.service);
            let extra = self.extra.remove(&key);
            (_, stored.service) = key;
            if let Some(rows) = extra {
                crate::fold::merge(&mut stored.rows, &rows, self.rows_max);
                crate::fold::prune(&mut stored.rows);
            }
        }
        Some(Ok(stored))
    }
}

impl Iterator for View {
    type Item = Result<FoldedWindow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.stop.is_set() {
                return Some(Err(StoreError::Failed(
                    "given up: nobody waits for it any more".into(),
                )));
            }
            match self.next_any()? {
                Ok(folded)
                    if self
                        .tenant
                        .as_ref()
                        .is_some_and(|mine| *mine != folded.service.tenant) => {}
                found => return Some(found),
            }
        }
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}
