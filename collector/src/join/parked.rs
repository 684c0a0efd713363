//! Halves that wait in memory, by the key of what they wait for.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Want;

/// Halves that wait in memory beyond which the ones that waited longest go to disk.
pub(super) const WAITING_MAX: usize = if cfg!(test) { 4_096 } else { 262_144 };

const NOBODY: u32 = u32::MAX;

struct Slot {
    want: Want,
    since_s: u32,
    /// The next that waits for the same key.
    next: u32,
    is_free: bool,
    /// What is on disk was asked.
    is_checked: bool,
}

/// A list of slots, and the first of each key.
#[derive(Default)]
pub(super) struct Parked {
    slots: Vec<Slot>,
    free: Vec<u32>,
    heads: FxHashMap<u64, u32>,
}

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Parks a half.
    pub(super) fn park(&mut self, want: Want, now: Duration) {
        let head = self.heads.get(&want.key).copied().unwrap_or(NOBODY);
        let slot = Slot {
            want,
            since_s: u32::try_from(now.as_secs()).unwrap_or(u32::MAX),
            next: head,
            is_free: false,
            is_checked: false,
        };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let at = u32::try_from(self.slots.len()).unwrap_or(NOBODY);
                self.slots.push(Slot {
                    is_free: true,
                    ..slot
                });
                at
            }
        };
        let key = slot.want.key;
        if let Some(place) = self.slots.get_mut(at as usize) {
            *place = slot;
            self.heads.insert(key, at);
        }
    }

    /// Takes out about so many, and since when they wait: first those that were looked for on disk, the ones that
    /// waited longest before the others.
    pub(super) fn spill(&mut self, about: usize) -> Vec<(Want, u32)> {
        let mut order: Vec<(bool, u32, u64)> = self
            .slots
            .iter()
            .filter(|slot| !slot.is_free)
            .map(|slot| (!slot.is_checked, slot.since_s, slot.want.key))
            .collect();
        order.sort_unstable();
        let mut taken = Vec::new();
        for (_, _, key) in order {
            if taken.len() >= about {
                break;
            }
            self.each_of(key, |slot| taken.push((slot.want, slot.since_s)));
        }
        taken
    }

    /// Takes out all that wait for a key.
    #[inline]
    pub(super) fn take(&mut self, key: u64, into: &mut Vec<Want>) {
        if self.heads.is_empty() {
            return;
        }
        self.each_of(key, |slot| into.push(slot.want));
    }

    /// Takes out all that wait for a key.
    fn each_of(&mut self, key: u64, mut taken: impl FnMut(&Slot)) {
        let Some(mut at) = self.heads.remove(&key) else {
            return;
        };
        while let Some(slot) = self.slots.get_mut(at as usize) {
            taken(slot);
            slot.is_free = true;
            self.free.push(at);
            at = slot.next;
        }
    }

    /// Takes out what waits since before `since_s`.
    pub(super) fn expire(&mut self, since_s: u32) -> Vec<Want> {
        let old: Vec<u64> = self
            .slots
            .iter()
            .filter(|slot| !slot.is_free && slot.since_s < since_s)
            .map(|slot| slot.want.key)
            .collect();
        let mut gone = Vec::new();
        for key in old {
            // Those who wait for the same key wait for it about equally long.
            self.take(key, &mut gone);
        }
        gone
    }

    /// All that wait.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Want> {
        self.slots
            .iter()
            .filter(|slot| !slot.is_free)
            .map(|slot| &slot.want)
    }

    /// Up to `most` keys that wait since before `since_s` and were not looked for on disk; they count as looked for
    /// now. Sorted.
    pub(super) fn unchecked(&mut self, since_s: u32, most: usize) -> Vec<u64> {
        let mut keys: Vec<u64> = self
            .slots
            .iter_mut()
            .filter(|slot| !slot.is_free && !slot.is_checked && slot.since_s <= since_s)
            .take(most)
            .map(|slot| {
                slot.is_checked = true;
                slot.want.key
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::derived::NONE;

    #[test]
    fn the_longest_waiting_go_first_and_those_looked_for_before_the_others() {
        let want = |key| Want {
            key,
            root: 1,
            subject: 0,
            op: NONE,
            call: NONE,
            window_s: 0,
            wall_ns: 1,
            start_unix_ns: 0,
            request_bytes: NONE,
            response_bytes: NONE,
            count: 1,
            flags: 0,
            retries: 0,
        };
        let mut parked = Parked::default();
        // The third and the first of three were not looked for.
        for (key, since_s) in [(3, 30), (1, 10)] {
            parked.park(want(key), Duration::from_secs(since_s));
        }
        parked.unchecked(10, 9);
        for (key, since_s) in [(2, 5), (4, 40), (4, 41)] {
            parked.park(want(key), Duration::from_secs(since_s));
        }
        let keys = |taken: Vec<(Want, u32)>| -> Vec<(u64, u32)> {
            taken
                .iter()
                .map(|(want, since_s)| (want.key, *since_s))
                .collect()
        };
        assert_eq!(keys(parked.spill(1)), [(1, 10)]);
        assert_eq!(keys(parked.spill(2)), [(2, 5), (3, 30)]);
        // All that wait for the same go together.
        assert_eq!(keys(parked.spill(1)), [(4, 41), (4, 40)]);
        assert_eq!(parked.len(), 0);
        let mut woken = Vec::new();
        (1..=4).for_each(|key| parked.take(key, &mut woken));
        assert_eq!(woken, []);
    }
}
