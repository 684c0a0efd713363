//! The tasks that live, in a sharded table.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::hash::{BuildHasherDefault, Hash as _, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::Id;

use crate::ledger::loss;
use crate::sync::lock;

/// Ids are consecutive numbers: spread them.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        // The odd constant of Fibonacci hashing; the table uses high and low bits.
        self.0 = (self.0 ^ n)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(32);
    }
}

type Shard<T> = HashMap<Id, T, BuildHasherDefault<IdHasher>>;

const SHARDS: usize = 64;

/// What is known of each task until it ends.
pub(super) struct Living<T> {
    shards: [Mutex<Shard<T>>; SHARDS],
    len: AtomicUsize,
}

impl<T> Default for Living<T> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            len: AtomicUsize::new(0),
        }
    }
}

impl<T> Living<T> {
    fn shard(&self, id: Id) -> &Mutex<Shard<T>> {
        let mut hasher = IdHasher::default();
        id.hash(&mut hasher);
        // Other bits than those by which the table chooses its bucket.
        &self.shards[(hasher.finish() >> 20) as usize % SHARDS]
    }

    /// Notes a task, if fewer than `max` live. One that is known already stays as it is.
    pub(super) fn keep(&self, id: Id, max: usize, task: impl FnOnce() -> T) {
        if self.len.load(Ordering::Relaxed) >= max {
            loss("agent.tasks", "table full", 1);
            return;
        }
        let task = task();
        if let MapEntry::Vacant(vacant) = lock(self.shard(id)).entry(id) {
            vacant.insert(task);
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What is known of a task; nothing of those that there was no room for.
    pub(super) fn get(&self, id: Id) -> Option<T>
    where
        T: Clone,
    {
        lock(self.shard(id)).get(&id).cloned()
    }

    /// Forgets a task that has ended.
    pub(super) fn end(&self, id: Id) -> Option<T> {
        let ended = lock(self.shard(id)).remove(&id);
        if ended.is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        ended
    }

    /// How many live.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let kept = self.shards.iter().map(|shard| lock(shard).len()).sum();
        assert_eq!(self.len.load(Ordering::Relaxed), kept);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Books;

    #[test]
    fn tasks_beyond_the_limit_are_not_known_and_one_that_ends_makes_room() {
        let mut books = Books::open();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let ids = [(); 4].map(|()| runtime.spawn(async {}).id());
        let living = Living::default();
        for id in ids.into_iter().take(3) {
            living.keep(id, 2, || id);
        }
        assert_eq!(
            ids.map(|id| living.get(id)),
            [Some(ids[0]), Some(ids[1]), None, None]
        );
        books.rotate();
        assert_eq!(books.lost("agent.tasks"), 1);
        assert_eq!(living.end(ids[2]), None, "it was never there");
        assert_eq!(living.end(ids[0]), Some(ids[0]));
        living.keep(ids[3], 2, || ids[3]);
        assert_eq!(living.get(ids[3]), Some(ids[3]));
        assert_eq!(living.len(), 2);
        books.rotate();
        assert_eq!(books.lost("agent.tasks"), 1, "there was room again");
    }
}
