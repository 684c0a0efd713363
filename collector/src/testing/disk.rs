//! A disk that forgets what was not synced, and fails when it is told to.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// A disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What survives a loss of power.
    durable: Vec<u8>,
    /// What a running process sees.
    volatile: Vec<u8>,
    /// Changes since the last sync.
    unsynced: Vec<Change>,
    /// Changes and syncs until the disk fails; `None` for never.
    budget: Option<u32>,
    /// Which power-on this is; handles of earlier ones are dead.
    power_on: u64,
}

#[derive(Debug)]
enum Change {
    Len(u64),
    Write(u64, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Len(len) => bytes.resize(usize::try_from(*len).unwrap(), 0),
            Self::Write(offset, data) => {
                let from = usize::try_from(*offset).unwrap();
                let to = from + data.len();
                if bytes.len() < to {
                    bytes.resize(to, 0);
                }
                bytes[from..to].copy_from_slice(data);
            }
        }
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Fails for good after this many changes and syncs.
    pub(crate) fn fail_after(&self, changes: u32) {
        self.lock().budget = Some(changes);
    }

    /// Works again, with everything that was written.
    pub(crate) fn repair(&self) {
        self.lock().budget = None;
    }

    /// Cuts the power: of the changes that were not synced, those remain whose bit in `survivors` is set.
    pub(crate) fn cut_power(&self, survivors: u64) {
        let mut state = self.lock();
        let unsynced = std::mem::take(&mut state.unsynced);
        for (i, change) in unsynced.iter().enumerate() {
            if survivors >> (i % 64) & 1 == 1 {
                change.apply(&mut state.durable);
            }
        }
        state.volatile = state.durable.clone();
        state.budget = None;
        state.power_on += 1;
    }

    /// A handle as a process opens it.
    pub(crate) fn open(&self) -> Handle {
        Handle {
            power_on: self.lock().power_on,
            disk: self.clone(),
        }
    }
}

/// What a process holds; dead after the power was cut.
#[derive(Debug)]
pub(crate) struct Handle {
    disk: Disk,
    power_on: u64,
}

impl Handle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.lock();
        if state.power_on == self.power_on {
            Ok(state)
        } else {
            Err(io::Error::other("this process is dead"))
        }
    }

    fn spend(state: &mut State) -> io::Result<()> {
        match &mut state.budget {
            None => Ok(()),
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.state()?;
        Self::spend(&mut state)?;
        change.apply(&mut state.volatile);
        state.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.volatile.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state()?;
        let from = usize::try_from(offset).unwrap();
        let bytes = state
            .volatile
            .get(from..from + out.len())
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        Self::spend(&mut state)?;
        state.durable = state.volatile.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, data.to_vec()))
    }
}
