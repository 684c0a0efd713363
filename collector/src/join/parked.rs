//! Halves that wait in memory, by the key of what they wait for.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::Want;

/// Most halves that wait; the ones that waited longest go first.
pub(super) const WAITING_MAX: usize = 262_144;

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
    /// Where the search for the one to give up goes on.
    hand: usize,
}

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Parks a half. Returns how many others had to go.
    pub(super) fn park(&mut self, want: Want, now: Duration) -> u64 {
        let mut given_up = 0;
        if self.len() >= WAITING_MAX {
            given_up = self.give_one_up();
        }
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
        given_up
    }

    /// Slots fill in the order in which halves come, so the hand passes the older ones first.
    fn give_one_up(&mut self) -> u64 {
        let at = self.hand % self.slots.len().max(1);
        self.hand = at + 1;
        let Some(key) = self.slots.get(at).map(|slot| slot.want.key) else {
            return 0;
        };
        let mut gone = Vec::new();
        self.take(key, &mut gone);
        gone.len() as u64
    }

    /// Takes out all that wait for a key.
    #[inline]
    pub(super) fn take(&mut self, key: u64, into: &mut Vec<Want>) {
        if self.heads.is_empty() {
            return;
        }
        let Some(mut at) = self.heads.remove(&key) else {
            return;
        };
        while let Some(slot) = self.slots.get_mut(at as usize) {
            into.push(slot.want);
            slot.is_free = true;
            self.free.push(at);
            at = slot.next;
        }
    }

    /// Takes out what waits since before `since_s`, and returns how many that were.
    pub(super) fn expire(&mut self, since_s: u32) -> u64 {
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
        gone.len() as u64
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
    fn at_most_so_many_wait_and_the_longest_waiting_go_first() {
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
            flags: 0,
            retries: 0,
        };
        let mut parked = Parked::default();
        let most = WAITING_MAX as u64;
        let park = |parked: &mut Parked, key| parked.park(want(key), Duration::from_secs(key));
        assert_eq!((1..=most).map(|key| park(&mut parked, key)).sum::<u64>(), 0);
        assert_eq!(
            (most + 1..=most + 10)
                .map(|key| park(&mut parked, key))
                .sum::<u64>(),
            10
        );
        assert_eq!(parked.len(), WAITING_MAX);
        let mut woken = Vec::new();
        (1..=10).for_each(|key| parked.take(key, &mut woken));
        assert_eq!(woken, []);
        (11..=most + 10).for_each(|key| parked.take(key, &mut woken));
        assert_eq!(woken.len(), WAITING_MAX);
        assert_eq!(parked.len(), 0);
    }
}
