//! Which threads book, and how far each has booked: what rotation needs to tell CPU in progress.

use std::fs;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::clock::{self, ThreadId};
use crate::ledger::limits::THREADS_MAX;
use crate::ledger::loss;
use crate::state;
use crate::sync::lock;

/// Means that the thread has no current account.
const IDLE: i64 = i64::MIN;

/// One thread that books.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Its kernel id, which changes when it forks and lives on in the child.
    thread: AtomicI32,
    /// Its clock up to which everything is in the tables; [`IDLE`] without a current account.
    booked_ns: AtomicI64,
    /// Its clock at its end; [`IDLE`] while it lives.
    ended_ns: AtomicI64,
}

static SLOTS: Mutex<Vec<Arc<Slot>>> = Mutex::new(Vec::new());

/// The threads that lived when the process's total began to count, in order, and the stretch of measuring in which
/// that was; 0 where the system does not tell.
static ELDERS: Mutex<(u32, Vec<ThreadId>)> = Mutex::new((0, Vec::new()));

impl Slot {
    pub(crate) fn register() -> Arc<Self> {
        let slot = Arc::new(Self {
            thread: AtomicI32::new(clock::thread_id()),
            booked_ns: AtomicI64::new(IDLE),
            ended_ns: AtomicI64::new(IDLE),
        });
        let mut slots = lock(&SLOTS);
        if slots.len() < THREADS_MAX {
            slots.push(slot.clone());
        } else {
            drop(slots);
            loss("agent.threads", "table full", 1);
        }
        slot
    }

    pub(crate) fn thread(&self) -> ThreadId {
        self.thread.load(Ordering::Relaxed)
    }

    /// Everything up to this reading is in the tables. Called with the shard locked.
    #[inline]
    pub(crate) fn booked(&self, now_ns: i64) {
        self.booked_ns.store(now_ns, Ordering::Release);
    }

    /// The thread has no current account; what it does now is nobody's.
    #[inline]
    pub(crate) fn idle(&self) {
        self.booked_ns.store(IDLE, Ordering::Release);
    }

    pub(crate) fn end(self: &Arc<Self>, now_ns: i64) {
        self.ended_ns.store(now_ns, Ordering::Release);
        lock(&SLOTS).retain(|slot| !Arc::ptr_eq(slot, self));
    }
}

/// Keeps the lists locked over a fork.
pub(crate) struct Held {
    slots: MutexGuard<'static, Vec<Arc<Slot>>>,
    _elders: MutexGuard<'static, (u32, Vec<ThreadId>)>,
}

/// Locks the lists.
pub(crate) fn hold() -> Held {
    Held {
        slots: lock(&SLOTS),
        _elders: lock(&ELDERS),
    }
}

impl Held {
    /// In a forked child: this thread is the only one, under a new id.
    pub(crate) fn forget_other_threads(&mut self) {
        let own = super::thread::slot_here();
        self.slots
            .retain(|slot| own.as_ref().is_some_and(|own| Arc::ptr_eq(own, slot)));
        if let Some(own) = own {
            own.thread.store(clock::thread_id(), Ordering::Relaxed);
            own.idle();
        }
    }
}

/// How far each thread had booked at the instant of rotation.
#[derive(Debug, Default)]
pub(crate) struct InProgress(Vec<(Arc<Slot>, i64)>);

/// Notes how far each thread has booked. Called with all shards locked, so it takes no clock reading.
pub(crate) fn snapshot() -> InProgress {
    InProgress(
        lock(&SLOTS)
            .iter()
            .filter_map(|slot| {
                let booked = slot.booked_ns.load(Ordering::Acquire);
                (booked != IDLE).then(|| (slot.clone(), booked))
            })
            .collect(),
    )
}

/// CPU spent since the threads last booked, read from their clocks now: what they book between the snapshot
/// and this reading stands both here and in the next window, and the next change of this figure takes it
/// off again.
pub(crate) fn in_progress(noted: &InProgress) -> i64 {
    noted
        .0
        .iter()
        .map(|(slot, booked)| {
            let clock = clock::other_thread_cpu_ns(slot.thread());
            let ended = slot.ended_ns.load(Ordering::Acquire);
            let now = if ended == IDLE { clock } else { Some(ended) };
            now.map_or(0, |now| now - booked)
        })
        .sum()
}

/// Notes which threads live. Call once the process's total has begun to count: of what they have spent, nobody can
/// tell how much was before it.
pub(crate) fn note_elders() {
    let mut living: Vec<ThreadId> = thread_ids().collect();
    living.sort_unstable();
    // A list without the one who asks is none.
    let told = living.binary_search(&clock::thread_id()).is_ok();
    let generation = if told { state::generation() } else { 0 };
    *lock(&ELDERS) = (generation, living);
}

/// True when this thread is known to have begun after the process's total began to count, in this stretch of measuring.
/// One that got the number of another that lived before is not known to have.
pub(super) fn began_within(generation: u32) -> bool {
    let elders = lock(&ELDERS);
    elders.0 == generation && elders.1.binary_search(&clock::thread_id()).is_err()
}

/// The threads of this process; none where the system does not tell.
pub(crate) fn thread_ids() -> impl Iterator<Item = ThreadId> {
    fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Ids of the threads that book themselves.
pub(crate) fn registered_threads() -> Vec<ThreadId> {
    lock(&SLOTS).iter().map(|slot| slot.thread()).collect()
}

/// CPU of this thread that is not booked yet; `None` without an account.
#[cfg(test)]
pub(super) fn in_progress_of(thread: ThreadId) -> Option<i64> {
    let mut noted = snapshot();
    noted.0.retain(|(slot, _)| slot.thread() == thread);
    (!noted.0.is_empty()).then(|| in_progress(&noted))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use weighbridge_wire::{Class, OwnerKind, RowKind, column};

    use super::*;
    use crate::account::{Account, enter, owner};
    use crate::testing::{Books, WindowLedger, burn, figure};

    const NOBODYS: ThreadId = 0;

    /// Takes all places that are left, for as long as it lives.
    struct Full;

    impl Full {
        fn new() -> Self {
            let mut slots = lock(&SLOTS);
            while slots.len() < THREADS_MAX {
                slots.push(Arc::new(Slot {
                    thread: AtomicI32::new(NOBODYS),
                    booked_ns: AtomicI64::new(IDLE),
                    ended_ns: AtomicI64::new(IDLE),
                }));
            }
            Self
        }
    }

    impl Drop for Full {
        fn drop(&mut self) {
            lock(&SLOTS).retain(|slot| slot.thread() != NOBODYS);
        }
    }

    #[test]
    fn what_a_thread_beyond_the_limit_has_in_progress_is_nobodys_until_it_is_booked() {
        const NS: i64 = 40_000_000;
        let mut books = Books::open();
        let full = Full::new();
        let (burnt, wait_burnt) = sync_channel(0);
        let (end, wait_end) = sync_channel::<()>(0);
        let thread = std::thread::spawn(move || {
            let one_too_many = owner(OwnerKind::Background, "one too many");
            let entered = enter(Account::new(one_too_many, Class::Handler));
            burn(NS);
            burnt.send(clock::thread_id()).unwrap();
            wait_end.recv().unwrap();
            drop(entered);
        });
        let id = wait_burnt.recv().unwrap();
        assert_eq!(in_progress_of(id), None, "nobody reads its clock");
        let nobodys_ns = |window: &WindowLedger| {
            let (_, process) = window.rows.of_kind(RowKind::Process).next().unwrap();
            let [process_ns, accounts_ns, progress_ns, nobodys_ns] = [
                column::CPU_PROCESS_NS,
                column::CPU_ACCOUNTS_NS,
                column::CPU_IN_PROGRESS_NS,
                column::CPU_UNATTRIBUTED_NS,
            ]
            .map(|column| figure(process, column));
            assert_eq!(process_ns, accounts_ns + progress_ns + nobodys_ns);
            nobodys_ns
        };
        // Other tests run meanwhile; what they leave to nobody can only add to it.
        let before_ns = nobodys_ns(&books.rotate());
        assert!(before_ns >= NS / 2, "{before_ns}");
        end.send(()).unwrap();
        thread.join().unwrap();
        drop(full);
        books.rotate();
        let booked_ns = books.owner(OwnerKind::Background, "one too many").cpu_ns();
        assert!(booked_ns >= NS, "{booked_ns}");
        assert!(books.lost("agent.threads") >= 1);
    }
}
