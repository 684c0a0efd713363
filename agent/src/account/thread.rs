//! The state of one thread: its current account, the last reading, and what was spent since it last booked.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use weighbridge_wire::{ALL_CLASSES, Class, OwnerKind};

use super::mark::{Left, Mark, Running, Stretch, Totals, bill_of};
use super::registry::Slot;
use super::{Account, OwnerRef, owner};
use crate::alloc::Holder;
use crate::bill::Bill;
use crate::clock::{self, Leaving, ThreadClock};
use crate::ledger::{Cost, OwnerId, Spent, ledger};
use crate::{alloc, state};

const CLASSES: usize = ALL_CLASSES.len();

struct Thread {
    current: Cell<Option<Account>>,
    /// Stretch of measuring that `last_ns` belongs to.
    generation: Cell<u32>,
    clock: ThreadClock,
    last_ns: Cell<i64>,
    /// CPU by class since the last flush.
    spent_ns: [Cell<i64>; CLASSES],
    /// CPU by class since the thread started.
    total_ns: [Cell<i64>; CLASSES],
    readings: Cell<u64>,
    /// The current owner's stretch, and the number of the last one that began.
    stretch: Cell<Stretch>,
    last_stretch: Cell<u64>,
    /// What the thread had allocated when it last booked.
    counted: Cell<alloc::Counts>,
    slot: OnceCell<Arc<Slot>>,
    shard: Cell<usize>,
}

const NO_SHARD: usize = usize::MAX;

thread_local! {
    static THREAD: Thread = const {
        Thread {
            current: Cell::new(None),
            generation: Cell::new(0),
            clock: ThreadClock::new(&clock::SETUP),
            last_ns: Cell::new(0),
            spent_ns: [const { Cell::new(0) }; CLASSES],
            total_ns: [const { Cell::new(0) }; CLASSES],
            readings: Cell::new(0),
            stretch: Cell::new(Stretch::NONE),
            last_stretch: Cell::new(0),
            counted: Cell::new(alloc::Counts::NONE),
            slot: OnceCell::new(),
            shard: Cell::new(NO_SHARD),
        }
    };
}

impl Thread {
    fn peek(&self) -> Option<Account> {
        let account = self.current.take();
        self.current.set(account.clone());
        account
    }

    fn is_nobodys(&self) -> bool {
        let account = self.current.take();
        let none = account.is_none();
        self.current.set(account);
        none
    }

    fn shard(&self) -> usize {
        if self.shard.get() == NO_SHARD {
            self.shard.set(ledger().assign_shard());
        }
        self.shard.get()
    }

    fn slot(&self) -> &Arc<Slot> {
        self.slot.get_or_init(Slot::register)
    }

    /// Reads the clock at a boundary, and books.
    fn read(&self, leaving: Option<&Account>, generation: u32) -> i64 {
        let whose = match leaving.map(|account| &account.owner) {
            Some(OwnerRef::Named(id)) if may_sleep(*id) => Leaving::Runtime,
            _ => Leaving::Other,
        };
        self.book(self.clock.read(whose), leaving, generation)
    }

    /// Books the piece since the last reading to a class of the account being left. It may be negative: a correction
    /// of the clock stays with the account in which it was found, so that the pieces add up. After a change
    /// of the stretch of measuring there is no piece.
    fn book(&self, now: i64, leaving: Option<&Account>, generation: u32) -> i64 {
        self.readings.set(self.readings.get() + 1);
        if self.generation.replace(generation) == generation {
            if let Some(account) = leaving {
                let piece = now - self.last_ns.get();
                for sums in [&self.spent_ns, &self.total_ns] {
                    let sum = &sums[account.class as usize];
                    sum.set(sum.get() + piece);
                }
            }
        } else {
            self.spent_ns.iter().for_each(|spent| spent.set(0));
            self.counted.set(alloc::restart_peak());
            // Registering takes locks and memory, before the owner's first piece begins.
            self.slot();
        }
        self.last_ns.set(now);
        now
    }

    fn take_spent(&self) -> Spent {
        let mut cost = Cost::default();
        for (sum, spent) in cost.cpu_ns.iter_mut().zip(&self.spent_ns) {
            *sum = spent.replace(0);
        }
        let now = alloc::restart_peak();
        let before = self.counted.replace(now);
        cost.alloc_bytes = now.alloc_bytes - before.alloc_bytes;
        cost.alloc_count = now.alloc_count - before.alloc_count;
        cost.freed_bytes = now.freed_bytes - before.freed_bytes;
        Spent {
            cost,
            net_bytes: now.net_bytes() - before.net_bytes(),
            net_max_bytes: now.net_peak_bytes - before.net_bytes(),
        }
    }

    /// Books what was spent to its owner. `now_ns` is the last reading.
    fn flush(&self, owner: &OwnerRef, now_ns: i64) {
        let spent = self.take_spent();
        let readings = self.readings.replace(0);
        match owner {
            OwnerRef::Named(id) => {
                let mut shard = ledger().shard(self.shard());
                shard.book_owner(*id, &spent.cost);
                shard.readings += readings;
                self.slot().booked(now_ns);
            }
            OwnerRef::Bill(bill) => bill.book(&spent, self.shard(), |shard| {
                shard.readings += readings;
                self.slot().booked(now_ns);
            }),
        }
    }

    /// Returns what was current, and how far its owner's stretch had come when the owner changed.
    fn cross(&self, next: Option<Account>) -> Left {
        let mut stretch = None;
        let previous = self.current.take();
        let generation = state::generation();
        if generation == 0 && self.generation.get() != 0 {
            // Nothing is measured any more: nothing of ours stays with the kernel.
            self.generation.set(0);
            self.clock.stop();
        }
        if generation != 0 && (previous.is_some() || next.is_some()) {
            let fresh = self.generation.get() != generation;
            let now = self.read(previous.as_ref(), generation);
            match (&previous, &next) {
                (Some(left), Some(entered)) if left.owner.same(&entered.owner) && !fresh => {}
                (left, entered) => {
                    stretch = Some(self.running());
                    self.begin_stretch();
                    match left {
                        Some(left) if !fresh => self.flush(&left.owner, now),
                        // Nobody's memory until now.
                        _ => drop(self.take_spent()),
                    }
                    match entered {
                        Some(_) => self.slot().booked(now),
                        None => self.slot().idle(),
                    }
                }
            }
        }
        let holder = next
            .as_ref()
            .map_or(Holder::Nobody, |next| next.owner.holder());
        alloc::set_owner(holder.tag());
        self.current.set(next);
        Left {
            account: previous,
            stretch,
        }
    }

    /// Everything that the thread has booked or allocated since it started.
    fn totals(&self) -> Totals {
        Totals::new(self.total_ns.iter().map(Cell::get).sum(), alloc::snapshot())
    }

    fn begin_stretch(&self) {
        let id = self.last_stretch.get() + 1;
        self.last_stretch.set(id);
        let excluded = self.stretch.get().excluded;
        self.stretch.set(Stretch { id, excluded });
    }

    /// The running totals of the current owner, and its stretch.
    fn running(&self) -> Running {
        let stretch = self.stretch.get();
        Running {
            stretch: stretch.id,
            totals: self.totals().since(stretch.excluded),
        }
    }

    /// An owner's stretch goes on: what passed since it was left is not its.
    fn resume(&self, left: Running) {
        self.stretch.set(Stretch {
            id: left.stretch,
            excluded: self.totals().since(left.totals),
        });
    }

    fn mark(&self) -> Option<Mark> {
        let generation = state::generation();
        if generation == 0 {
            return None;
        }
        let account = self.peek()?;
        let fresh = self.generation.get() != generation;
        let now = self.read(Some(&account), generation);
        if fresh {
            self.begin_stretch();
            self.slot().booked(now);
        }
        let Running { stretch, totals } = self.running();
        Some(Mark {
            stretch,
            totals,
            bill: bill_of(&account.owner),
        })
    }

    /// Books up to a reading that is taken now, if anything is measured.
    fn flush_at(&self, read: impl FnOnce(&ThreadClock) -> i64) {
        let generation = state::generation();
        if generation == 0 {
            return;
        }
        if let Some(account) = self.peek() {
            let fresh = self.generation.get() != generation;
            let now = self.book(read(&self.clock), Some(&account), generation);
            if fresh {
                self.slot().booked(now);
            } else {
                self.flush(&account.owner, now);
            }
        }
    }

    fn end(&self) {
        // The last reading is the kernel's own, so that nothing of the thread is left over.
        self.flush_at(ThreadClock::settle);
        self.clock.stop();
        drop(self.current.take());
        if let Some(slot) = self.slot.get() {
            slot.idle();
            slot.end(self.last_ns.get());
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.end();
    }
}

/// Crosses from the current account to another. On a thread whose storage is gone nothing happens.
pub(super) fn cross(next: Option<Account>) -> Left {
    THREAD
        .try_with(|thread| thread.cross(next))
        .unwrap_or_default()
}

/// Crosses back to what was left.
pub(super) fn cross_back(left: Left) {
    let _ = THREAD.try_with(|thread| {
        drop(thread.cross(left.account));
        if let Some(stretch) = left.stretch {
            thread.resume(stretch);
        }
    });
}

pub(super) fn mark() -> Option<Mark> {
    THREAD.try_with(Thread::mark).ok().flatten()
}

pub(super) fn current() -> Option<Account> {
    THREAD.try_with(Thread::peek).ok().flatten()
}

/// CPU booked to each class on this thread up to the last crossing. Takes no reading: right after a crossing
/// it is exact.
pub(crate) fn class_totals_here() -> [i64; CLASSES] {
    THREAD
        .try_with(|thread| std::array::from_fn(|class| thread.total_ns[class].get()))
        .unwrap_or_default()
}

/// The entry of this thread among those that book, if it has one.
pub(super) fn slot_here() -> Option<Arc<Slot>> {
    THREAD
        .try_with(|thread| thread.slot.get().cloned())
        .ok()
        .flatten()
}

/// The instant of the last crossing of this thread on the clock of [`clock::monotonic_ns`]. Right after one it is
/// now, and costs no further reading.
pub(crate) fn instant_here_ns() -> u64 {
    THREAD
        .try_with(|thread| match state::generation() {
            0 => None,
            generation => {
                (thread.generation.get() == generation).then(|| thread.clock.last_instant_ns())
            }
        })
        .ok()
        .flatten()
        .unwrap_or_else(clock::monotonic_ns)
}

/// The shard that this thread adds to.
pub(crate) fn shard_here() -> usize {
    THREAD.try_with(Thread::shard).unwrap_or(0)
}

/// Books what this thread has spent so far; its current account goes on.
pub(crate) fn flush_here() {
    let _ = THREAD.try_with(|thread| thread.flush_at(|clock| clock.read(Leaving::Other)));
}

/// Books to this bill what the thread has spent for its current owner and not yet booked: reading and parsing
/// the head of a request that did not exist before.
pub(crate) fn book_spent_here_to(bill: &Bill) {
    let _ = THREAD.try_with(|thread| {
        let generation = state::generation();
        if let Some(account) = thread.peek()
            && generation != 0
            && thread.generation.get() == generation
        {
            let now = thread.read(Some(&account), generation);
            let spent = thread.take_spent();
            bill.book(&spent, thread.shard(), |_| thread.slot().booked(now));
        }
    });
}

/// Starts measuring on this thread, whose account may have become current before `init`.
pub(crate) fn start_here() {
    flush_here();
}

/// The name of scheduler time where it contains tasks that nothing wrapped.
pub(crate) const RUNTIME_OR_UNWRAPPED: &str = "runtime or unwrapped";
/// Its name where the poll hooks see each task.
#[cfg(tokio_unstable)]
pub(crate) const RUNTIME: &str = "runtime";

/// Numbers of the owners of scheduler time, whose pieces may contain sleep; the largest number before there is one.
static RUNTIME_ID: AtomicU32 = AtomicU32::new(u32::MAX);
#[cfg(tokio_unstable)]
static SEEN_RUNTIME_ID: AtomicU32 = AtomicU32::new(u32::MAX);

fn noted(owner: OwnerRef, number: &AtomicU32) -> OwnerRef {
    if let OwnerRef::Named(id) = owner {
        number.store(id.0, Ordering::Relaxed);
    }
    owner
}

/// True for the number of an owner of scheduler time.
fn may_sleep(id: OwnerId) -> bool {
    #[cfg(tokio_unstable)]
    if id.0 == SEEN_RUNTIME_ID.load(Ordering::Relaxed) {
        return true;
    }
    id.0 == RUNTIME_ID.load(Ordering::Relaxed)
}

/// The owner of scheduler time on threads where tasks may run unseen.
pub(crate) fn runtime_owner() -> OwnerRef {
    static OWNER: LazyLock<OwnerRef> =
        LazyLock::new(|| noted(owner(OwnerKind::Runtime, RUNTIME_OR_UNWRAPPED), &RUNTIME_ID));
    OWNER.clone()
}

/// The owner of scheduler time on threads where the poll hooks see each task.
#[cfg(tokio_unstable)]
pub(crate) fn seen_runtime_owner() -> OwnerRef {
    static OWNER: LazyLock<OwnerRef> =
        LazyLock::new(|| noted(owner(OwnerKind::Runtime, RUNTIME), &SEEN_RUNTIME_ID));
    OWNER.clone()
}

/// True for the owners of scheduler time.
pub(crate) fn is_runtime(named: &OwnerRef) -> bool {
    #[cfg(tokio_unstable)]
    if named.same(&seen_runtime_owner()) {
        return true;
    }
    named.same(&runtime_owner())
}

/// Makes everything outside accounts on this thread the runtime's.
pub(crate) fn become_runtime_thread() {
    let runtime = Account::new(runtime_owner(), Class::Handler);
    let _ = THREAD.try_with(|thread| drop(thread.cross(Some(runtime))));
}

/// Makes everything outside accounts on this thread the scheduler's alone: the poll hooks see its tasks.
#[cfg(tokio_unstable)]
pub(crate) fn become_seen_runtime_thread() {
    let _ = THREAD.try_with(|thread| {
        let unseen = match thread.peek() {
            Some(account) => account.owner.same(&runtime_owner()),
            None => true,
        };
        if unseen {
            let seen = Account::new(seen_runtime_owner(), Class::Handler);
            drop(thread.cross(Some(seen)));
        }
    });
}

/// A runtime thread is about to sleep: its sums go to the tables, so that an idle thread holds nothing back.
/// A thread that drives a runtime without having been started by it has no account so far.
pub(crate) fn on_park() {
    let _ = THREAD.try_with(|thread| {
        if thread.is_nobodys() {
            become_runtime_thread();
        } else {
            thread.flush_at(ThreadClock::park);
        }
    });
}

/// A runtime thread woke up.
pub(crate) fn on_unpark() {
    let _ = THREAD.try_with(|thread| {
        if thread.is_nobodys() {
            become_runtime_thread();
        }
    });
}

/// A runtime thread ends.
pub(crate) fn leave_thread() {
    let _ = THREAD.try_with(Thread::end);
}
