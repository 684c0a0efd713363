//! The samples that are alive: by address, in a table of fixed size that never waits.
//!
//! Whoever holds an allocation is the only one to insert, move or remove its address, and hands it to other
//! threads by means that order memory; so operations on one address never run side by side, and an address
//! that was inserted is seen by whoever frees it. Different addresses meet only in the slots of a bucket, which
//! are taken by one compare-and-swap each.

use std::sync::atomic::{AtomicU64, Ordering};

/// Slots. Those of a bucket lie in two cache lines.
const SLOTS_MAX: usize = 16_384;
const WAYS: usize = 8;
const BUCKETS: usize = SLOTS_MAX / WAYS;
const BUCKET_BITS: u32 = BUCKETS.trailing_zeros();

/// How many samples of retained memory are kept: enough for 8 GiB of live bytes at the default mean. One
/// that finds no room is lost. Not adjustable.
pub const RETAINED_SAMPLES_MAX: usize = SLOTS_MAX;

/// No address.
const FREE: u64 = 0;
/// A slot that is being filled. No allocation has this address.
const TAKEN: u64 = 1;

/// The samples of the process. Untouched pages of it take no memory.
pub(super) static LIVE: Live = Live::new();

/// What is known of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// To whom it belongs.
    pub(crate) owner: u32,
    /// Its size. Above 64 MiB to 26 significant bits.
    pub(crate) size_bytes: u64,
}

impl Sample {
    const DIGITS: u32 = 26;

    /// In one word, so that it is read whole.
    fn pack(self) -> u64 {
        let shift = (u64::BITS - self.size_bytes.leading_zeros()).saturating_sub(Self::DIGITS);
        let digits = self.size_bytes >> shift;
        u64::from(self.owner) << 32 | digits << 6 | u64::from(shift)
    }

    fn unpack(word: u64) -> Self {
        let digits = (word >> 6) & ((1 << Self::DIGITS) - 1);
        Self {
            owner: (word >> 32) as u32,
            size_bytes: digits << (word & 63),
        }
    }
}

struct Slot {
    address: AtomicU64,
    sample: AtomicU64,
}

pub(super) struct Live {
    /// One word per bucket: 16 counters of 4 bits, of the samples whose address falls to each. A counter can't
    /// overflow, because a bucket has only 8 slots.
    filter: [AtomicU64; BUCKETS],
    slots: [[Slot; WAYS]; BUCKETS],
    /// Samples without room.
    lost: AtomicU64,
}

/// Where an address belongs.
#[derive(Clone, Copy)]
struct Place {
    bucket: usize,
    /// Position of its counter in the filter's word.
    shift: u32,
}

#[inline]
fn place(address: u64) -> Place {
    let hash = address.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Place {
        bucket: (hash >> (u64::BITS - BUCKET_BITS)) as usize,
        shift: ((hash >> (u64::BITS - BUCKET_BITS - 4)) as u32 & 15) * 4,
    }
}

impl Live {
    pub(super) const fn new() -> Self {
        Self {
            filter: [const { AtomicU64::new(0) }; BUCKETS],
            slots: [const {
                [const {
                    Slot {
                        address: AtomicU64::new(FREE),
                        sample: AtomicU64::new(0),
                    }
                }; WAYS]
            }; BUCKETS],
            lost: AtomicU64::new(0),
        }
    }

    /// Inserts an address that is not in the table. Without room the sample is lost, and counted.
    pub(super) fn insert(&self, address: u64, sample: Sample) {
        let place = place(address);
        for slot in &self.slots[place.bucket] {
            let free =
                slot.address
                    .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed);
            if free.is_ok() {
                slot.sample.store(sample.pack(), Ordering::Relaxed);
                self.filter[place.bucket].fetch_add(1 << place.shift, Ordering::Relaxed);
                slot.address.store(address, Ordering::Release);
                return;
            }
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether an address may be in the table: almost always false when it is not.
    #[inline]
    pub(super) fn may_hold(&self, address: u64) -> bool {
        let place = place(address);
        self.filter[place.bucket].load(Ordering::Relaxed) >> place.shift & 15 != 0
    }

    /// Removes an address.
    pub(super) fn remove(&self, address: u64) -> Option<Sample> {
        let place = place(address);
        for slot in &self.slots[place.bucket] {
            if slot.address.load(Ordering::Acquire) != address {
                continue;
            }
            let sample = Sample::unpack(slot.sample.load(Ordering::Relaxed));
            let left =
                slot.address
                    .compare_exchange(address, TAKEN, Ordering::Acquire, Ordering::Relaxed);
            // Only `clear` can have been faster.
            left.ok()?;
            // While the slot is taken, so that a counter never exceeds the slots.
            self.filter[place.bucket].fetch_sub(1 << place.shift, Ordering::Relaxed);
            slot.address.store(FREE, Ordering::Release);
            return Some(sample);
        }
        None
    }

    /// Forgets all samples.
    pub(super) fn clear(&self) {
        for slot in self.slots.iter().flatten() {
            let address = slot.address.load(Ordering::Acquire);
            if address > TAKEN {
                let _ = self.remove(address);
            }
        }
        self.take_lost();
    }

    /// All samples, each as it is at some instant of the call.
    pub(super) fn for_each(&self, mut each: impl FnMut(Sample)) {
        for slot in self.slots.iter().flatten() {
            let address = slot.address.load(Ordering::Acquire);
            if address <= TAKEN {
                continue;
            }
            let sample = Sample::unpack(slot.sample.load(Ordering::Acquire));
            if slot.address.load(Ordering::Relaxed) == address {
                each(sample);
            }
        }
    }

    /// How many samples were lost since the last call.
    pub(super) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
impl Live {
    pub(super) fn is_empty(&self) -> bool {
        let mut live = 0;
        self.for_each(|_| live += 1);
        live == 0
            && self
                .filter
                .iter()
                .all(|word| word.load(Ordering::Relaxed) == 0)
    }
}

#[cfg(test)]
mod tests;
