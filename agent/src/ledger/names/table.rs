//! A bounded table of names: by hash for those who ask, by id for rotation.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a table can forget.
pub(super) trait Entry {
    /// The rotation at which it was last asked for.
    fn used_ns(&self) -> &AtomicU64;
    /// "None" and `__other__` are never forgotten.
    fn is_fixed(&self) -> bool;

    /// Notes that it was asked for. Most often it was in this window already, and then nothing is written to
    /// memory that other threads read.
    fn touch(&self, now_ns: u64) {
        if self.used_ns().load(Ordering::Relaxed) != now_ns {
            self.used_ns().store(now_ns, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
pub(super) struct Table<T> {
    by_hash: HashMap<u64, Vec<Arc<T>>>,
    /// By id, with the hash.
    all: Vec<Option<(u64, Arc<T>)>>,
    free: Vec<u32>,
    /// Ids of those that are not found any more, and kept only for those who hold them.
    retired: HashSet<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            by_hash: HashMap::new(),
            all: Vec::new(),
            free: Vec::new(),
            retired: HashSet::new(),
        }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.all.len() - self.free.len() - self.retired.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.live().map(|(_, entry)| entry)
    }

    /// Those that are found, with their ids.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, &Arc<T>)> {
        (0u32..).zip(&self.all).filter_map(|(id, slot)| {
            let (_, entry) = slot.as_ref()?;
            (!self.retired.contains(&id)).then_some((id, entry))
        })
    }

    pub(super) fn entry(&self, id: u32) -> Option<Arc<T>> {
        let (_, entry) = self.all.get(id as usize)?.as_ref()?;
        Some(entry.clone())
    }

    /// The entry is not found any more; it is forgotten when nobody holds it.
    pub(super) fn retire(&mut self, id: u32) {
        let Some(Some((hash, entry))) = self.all.get(id as usize) else {
            return;
        };
        if let Some(same_hash) = self.by_hash.get_mut(hash) {
            same_hash.retain(|other| !Arc::ptr_eq(other, entry));
            if same_hash.is_empty() {
                self.by_hash.remove(hash);
            }
        }
        self.retired.insert(id);
    }

    pub(super) fn retire_where(&mut self, which: impl Fn(&T) -> bool) {
        let ids: Vec<u32> = self
            .live()
            .filter_map(|(id, entry)| which(entry).then_some(id))
            .collect();
        ids.into_iter().for_each(|id| self.retire(id));
    }

    pub(super) fn retired_ids(&self) -> HashSet<u32> {
        self.retired.clone()
    }

    pub(super) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    pub(super) fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&Arc<T>> {
        self.by_hash.get(&hash)?.iter().find(|entry| same(entry))
    }

    pub(super) fn get(&self, id: u32) -> Option<&Arc<T>> {
        let (_, entry) = self.all.get(id as usize)?.as_ref()?;
        Some(entry)
    }

    pub(super) fn insert(&mut self, hash: u64, make: impl FnOnce(u32) -> T) -> Arc<T> {
        // The tables are bounded by limits far below u32::MAX.
        let id = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = Arc::new(make(id));
        self.by_hash.entry(hash).or_default().push(entry.clone());
        if let Some(slot) = self.all.get_mut(id as usize) {
            *slot = Some((hash, entry.clone()));
        }
        entry
    }

    pub(super) fn by_id(&self) -> Vec<Option<Arc<T>>> {
        self.all
            .iter()
            .map(|slot| slot.as_ref().map(|(_, entry)| entry.clone()))
            .collect()
    }
}

impl<T: Entry> Table<T> {
    /// Forgets what nobody holds or has asked for since this instant. `held` are the references that the
    /// table and the caller have. Returns how many were forgotten.
    pub(super) fn forget(&mut self, before_ns: u64, held: usize) -> usize {
        let mut forgotten = 0;
        for (id, slot) in self.all.iter_mut().enumerate() {
            let Some((hash, entry)) = slot else { continue };
            let number = u32::try_from(id).unwrap_or(u32::MAX);
            let retired = self.retired.contains(&number);
            let idle = retired || entry.used_ns().load(Ordering::Relaxed) < before_ns;
            // Whoever is retired has one reference less in the table.
            let held = held - usize::from(retired);
            if !idle || entry.is_fixed() || Arc::strong_count(entry) > held {
                continue;
            }
            self.retired.remove(&number);
            if let Some(same_hash) = self.by_hash.get_mut(hash) {
                same_hash.retain(|other| !Arc::ptr_eq(other, entry));
                if same_hash.is_empty() {
                    self.by_hash.remove(hash);
                }
            }
            *slot = None;
            self.free.push(u32::try_from(id).unwrap_or(u32::MAX));
            forgotten += 1;
        }
        forgotten
    }
}
