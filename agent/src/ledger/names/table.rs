//! A bounded table of names: by hash for those who ask, by id for rotation.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
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

/// Hashes that come from a keyed hasher are spread already.
#[derive(Clone, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        // Keys are u64, for which `write_u64` is called.
        bytes
            .iter()
            .for_each(|byte| self.0 = (self.0 << 8) | u64::from(*byte));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Slot<T> {
    hash: u64,
    entry: Arc<T>,
    /// The next one under the same hash.
    next: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Table<T> {
    /// The first one of each hash.
    by_hash: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    /// By id.
    all: Vec<Option<Slot<T>>>,
    free: Vec<u32>,
    /// Ids of those that are not found any more, and kept only for those who hold them.
    retired: HashSet<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            by_hash: HashMap::default(),
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
            let slot = slot.as_ref()?;
            (!self.retired.contains(&id)).then_some((id, &slot.entry))
        })
    }

    /// Those that are found, and those that are kept only for their ids.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<T>> {
        self.all.iter().flatten().map(|slot| &slot.entry)
    }

    pub(super) fn entry(&self, id: u32) -> Option<Arc<T>> {
        self.get(id).cloned()
    }

    fn slot(&self, id: u32) -> Option<&Slot<T>> {
        self.all.get(id as usize)?.as_ref()
    }

    /// Takes it out of those that are found under its hash.
    fn unlink(&mut self, id: u32) {
        let Some((hash, next)) = self.slot(id).map(|slot| (slot.hash, slot.next)) else {
            return;
        };
        let mut before = match self.by_hash.get(&hash) {
            None => return,
            Some(first) if *first == id => {
                match next {
                    Some(next) => self.by_hash.insert(hash, next),
                    None => self.by_hash.remove(&hash),
                };
                return;
            }
            Some(first) => *first,
        };
        while let Some(slot) = self
            .all
            .get_mut(before as usize)
            .and_then(|slot| slot.as_mut())
        {
            match slot.next {
                Some(after) if after == id => {
                    slot.next = next;
                    return;
                }
                Some(after) => before = after,
                None => return,
            }
        }
    }

    /// The entry is not found any more; it is forgotten when nobody holds it.
    pub(super) fn retire(&mut self, id: u32) {
        if self.slot(id).is_some() && self.retired.insert(id) {
            self.unlink(id);
        }
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
        let mut next = self.by_hash.get(&hash).copied();
        while let Some(slot) = self.slot(next?) {
            if same(&slot.entry) {
                return Some(&slot.entry);
            }
            next = slot.next;
        }
        None
    }

    pub(super) fn get(&self, id: u32) -> Option<&Arc<T>> {
        self.slot(id).map(|slot| &slot.entry)
    }

    pub(super) fn insert(&mut self, hash: u64, make: impl FnOnce(u32) -> T) -> Arc<T> {
        // The tables are bounded by limits far below u32::MAX.
        let id = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = Arc::new(make(id));
        let next = self.by_hash.insert(hash, id);
        if let Some(slot) = self.all.get_mut(id as usize) {
            *slot = Some(Slot {
                hash,
                entry: entry.clone(),
                next,
            });
        }
        entry
    }

    pub(super) fn by_id(&self) -> Vec<Option<Arc<T>>> {
        self.all
            .iter()
            .map(|slot| slot.as_ref().map(|slot| slot.entry.clone()))
            .collect()
    }
}

impl<T: Entry> Table<T> {
    /// Forgets what nobody holds or has asked for since this instant; whoever is retired goes unless it was asked for
    /// since the other one. `held` are the references that the table and the caller have. Returns how many were
    /// forgotten.
    pub(super) fn forget(&mut self, before_ns: u64, retired_before_ns: u64, held: usize) -> usize {
        let leaving: Vec<u32> = (0u32..)
            .zip(&self.all)
            .filter_map(|(id, slot)| {
                let entry = &slot.as_ref()?.entry;
                let before_ns = if self.retired.contains(&id) {
                    retired_before_ns
                } else {
                    before_ns
                };
                let idle = entry.used_ns().load(Ordering::Relaxed) < before_ns;
                let is_held = Arc::strong_count(entry) > held;
                (idle && !is_held && !entry.is_fixed()).then_some(id)
            })
            .collect();
        for &id in &leaving {
            if !self.retired.remove(&id) {
                self.unlink(id);
            }
            if let Some(slot) = self.all.get_mut(id as usize) {
                *slot = None;
            }
            self.free.push(id);
        }
        leaving.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Name(&'static str, AtomicU64);

    impl Entry for Name {
        fn used_ns(&self) -> &AtomicU64 {
            &self.1
        }

        fn is_fixed(&self) -> bool {
            false
        }
    }

    /// Names that all have the same hash.
    fn table(names: &[&'static str]) -> Table<Name> {
        let mut table = Table::default();
        for name in names {
            table.insert(7, |_| Name(name, AtomicU64::new(0)));
        }
        table
    }

    fn found(table: &Table<Name>) -> Vec<&'static str> {
        let names = ["a", "b", "c", "d"];
        let is_found = |name: &&&str| table.find(7, |it| it.0 == **name).is_some();
        names.iter().filter(is_found).copied().collect()
    }

    #[test]
    fn names_of_one_hash_are_told_apart_whichever_leaves() {
        for (gone, left) in [
            (0, ["b", "c", "d"]),
            (1, ["a", "c", "d"]),
            (2, ["a", "b", "d"]),
            (3, ["a", "b", "c"]),
        ] {
            let mut retired = table(&["a", "b", "c", "d"]);
            retired.retire(gone);
            retired.retire(gone);
            assert_eq!(found(&retired), left);
            assert_eq!((retired.len(), retired.live().count()), (3, 3));
            assert!(retired.get(gone).is_some(), "kept for those who hold it");
            let mut forgotten = table(&["a", "b", "c", "d"]);
            for (id, entry) in (0..).zip(&forgotten.all) {
                let used_ns = if id == gone { 1 } else { 9 };
                entry.as_ref().unwrap().entry.touch(used_ns);
            }
            assert_eq!(forgotten.forget(5, 5, 1), 1);
            assert_eq!(found(&forgotten), left);
            assert!(forgotten.get(gone).is_none());
            let back = forgotten.insert(7, |_| Name("d", AtomicU64::new(0)));
            assert!(
                Arc::ptr_eq(forgotten.get(gone).unwrap(), &back),
                "its id comes again"
            );
            assert_eq!(forgotten.len(), 4);
        }
        let mut all = table(&["a", "b"]);
        (0..2).for_each(|id| all.retire(id));
        assert_eq!(found(&all), [""; 0]);
        assert_eq!(all.forget(0, 0, 1), 0, "but not what was asked for");
        assert_eq!(all.forget(0, 5, 1), 2, "whoever is retired goes");
        assert_eq!(all.len(), 0);
    }

    #[test]
    fn what_somebody_holds_is_not_forgotten() {
        let mut table = table(&["a"]);
        let held = table.entry(0).unwrap();
        assert_eq!(table.forget(5, 5, 1), 0);
        drop(held);
        assert_eq!(table.forget(5, 5, 1), 1);
    }
}
