//! Reading from a disk that takes no more writes.
//!
//! After a failed write redb wants to be opened again, and opening may want to write: it repairs what was
//! not closed. Here those writes stay in memory, over the file as it is. What is read is the last commit that
//! can be seen; whether one whose sync failed is on disk is decided when the file is opened for writing again.

use std::collections::HashMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

/// Unit in which writes are kept, bytes.
const BLOCK_BYTES: u64 = 4 << 10;
/// Most memory for writes, bytes. A repair writes the header and tables about the file's regions.
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// A storage whose writes stay in memory.
#[derive(Debug)]
pub(super) struct Overlay<B> {
    below: B,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The length as set; `None`: that of the storage below.
    len: Option<u64>,
    /// How much of the storage below may still be seen: what was cut off stays cut off.
    below_len: Option<u64>,
    /// Written blocks by number.
    blocks: HashMap<u64, Box<[u8]>>,
}

impl<B: StorageBackend> Overlay<B> {
    pub(super) fn new(below: B) -> Self {
        Self {
            below,
            kept: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from below; what lies beyond its end is zero.
    fn read_below(&self, kept: &Kept, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut end = self.below.len()?;
        if let Some(cut) = kept.below_len {
            end = end.min(cut);
        }
        let there = usize::try_from(end.saturating_sub(offset))
            .unwrap_or(usize::MAX)
            .min(out.len());
        let (from_below, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if from_below.is_empty() {
            return Ok(());
        }
        self.below.read(offset, from_below)
    }
}

/// The parts of `[offset, offset + len)` by block: number, place in the block, place in the span, length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let at = offset + done as u64;
        let in_block = usize::try_from(at % BLOCK_BYTES).unwrap_or_default();
        let block_len = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
        let length = (block_len - in_block).min(len - done);
        let part = (at / BLOCK_BYTES, in_block, done, length);
        done += length;
        Some(part)
    })
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        match self.lock().len {
            Some(len) => Ok(len),
            None => self.below.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let kept = self.lock();
        let len = match kept.len {
            Some(len) => len,
            None => self.below.len()?,
        };
        if offset.saturating_add(out.len() as u64) > len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_below(&kept, offset, out)?;
        for (block, in_block, in_span, length) in parts(offset, out.len()) {
            if let Some(block) = kept.blocks.get(&block) {
                out[in_span..in_span + length].copy_from_slice(&block[in_block..in_block + length]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let below = self.below.len()?;
        let mut kept = self.lock();
        kept.below_len = Some(kept.below_len.unwrap_or(below).min(len));
        let first_beyond = len.div_ceil(BLOCK_BYTES);
        kept.blocks.retain(|&block, _| block < first_beyond);
        if let Some(last) = kept.blocks.get_mut(&(len / BLOCK_BYTES)) {
            let end = usize::try_from(len % BLOCK_BYTES).unwrap_or_default();
            last[end..].fill(0);
        }
        kept.len = Some(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let below = self.below.len()?;
        let mut kept = self.lock();
        for (number, in_block, in_span, length) in parts(offset, data.len()) {
            if !kept.blocks.contains_key(&number) {
                if kept.blocks.len() as u64 * BLOCK_BYTES >= KEPT_BYTES_MAX {
                    return Err(io::Error::other("more writes than are kept in memory"));
                }
                let mut block = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or_default()];
                self.read_below(&kept, number * BLOCK_BYTES, &mut block)?;
                kept.blocks.insert(number, block.into());
            }
            if let Some(block) = kept.blocks.get_mut(&number) {
                block[in_block..in_block + length]
                    .copy_from_slice(&data[in_span..in_span + length]);
            }
        }
        let end = offset.saturating_add(data.len() as u64);
        kept.len = Some(kept.len.unwrap_or(below).max(end));
        Ok(())
    }

    // The locks are those of the file: nobody else may use it meanwhile.

    fn close(&self) -> io::Result<()> {
        self.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.below.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.below.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::disk::Disk;

    proptest! {
        /// It behaves like the bytes it stands for, and the disk below keeps its own.
        #[test]
        fn reads_what_was_written_over_and_writes_nothing_below(
            first in proptest::collection::vec(any::<u8>(), 1..9_000),
            changes in proptest::collection::vec(
                (any::<bool>(), 0u64..20_000, proptest::collection::vec(any::<u8>(), 1..6_000)),
                0..8,
            ),
        ) {
            let disk = Disk::default();
            let below = disk.open();
            below.write(0, &first).unwrap();
            let overlay = Overlay::new(disk.open());
            let mut model = first.clone();
            for (cut, place, data) in changes {
                let at = usize::try_from(place).unwrap();
                if cut {
                    overlay.set_len(place).unwrap();
                    model.resize(at, 0);
                } else {
                    overlay.write(place, &data).unwrap();
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..at + data.len()].copy_from_slice(&data);
                }
                prop_assert_eq!(overlay.len().unwrap(), model.len() as u64);
                let mut found = vec![1; model.len()];
                overlay.read(0, &mut found).unwrap();
                prop_assert_eq!(&found, &model);
            }
            let mut found = vec![0; first.len()];
            below.read(0, &mut found).unwrap();
            prop_assert_eq!(&found, &first);
            prop_assert!(overlay.read(model.len() as u64, &mut [0]).is_err());
        }
    }
}
