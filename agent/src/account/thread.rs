//! The state of one thread: its current account, the last reading, and what was spent since it last booked.

mod birth;
mod call;
mod class;
mod scheduler;

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use birth::{be_born_here, become_new_thread_of};
pub(crate) use call::{begin_call_here, call_was_none_here, end_call_here};
pub(super) use class::{
    come_back_soon, come_back_to_class, enter_class, enter_class_of, have_come_back, was_in_class,
};
use scheduler::may_sleep;
pub(crate) use scheduler::{
    become_runtime_thread, is_runtime, leave_thread, on_park, on_unpark, runtime_owner,
};
#[cfg(tokio_unstable)]
pub(crate) use scheduler::{become_seen_runtime_thread, seen_runtime_owner};
use weighbridge_wire::{ALL_CLASSES, Class};

use super::calls::{MessageNs, OF_CALLS, OfCalls};
use super::mark::{Kept, Left, Mark, Rest, Rests, Running, Totals};
use super::pending::{PENDING_NS_MAX, Pending};
use super::registry::Slot;
use super::{Account, OwnerRef, Whose};
use crate::alloc::Holder;
use crate::bill::{Bill, Stretch};
use crate::clock::{self, Leaving, Setup, ThreadClock};
use crate::ledger::{Cost, OwnerId, Shard, Spent, ledger};
use crate::{alloc, regions, state};

const CLASSES: usize = ALL_CLASSES.len();

struct Thread {
    owner: Cell<Option<OwnerRef>>,
    /// Tells it without taking it out.
    whose: Cell<Whose>,
    /// Without meaning while there is no owner.
    class: Cell<Class>,
    /// To which the running piece will be booked: the class before, where that was [left soon](come_back_soon).
    booking: Cell<Class>,
    /// Stretch of measuring that `last_ns` belongs to.
    generation: Cell<u32>,
    /// The one in which this thread began, as long as its beginning waits for an account; else 0.
    newborn: Cell<u32>,
    clock: ThreadClock,
    last_ns: Cell<i64>,
    /// CPU by class since the thread started.
    total_ns: [Cell<i64>; CLASSES],
    /// `total_ns` when something was last taken for an owner.
    taken_ns: [Cell<i64>; CLASSES],
    /// What the thread had allocated then.
    counted: Cell<alloc::Counts>,
    /// The totals at which the current owner had spent nothing in its stretch.
    zero: Cell<Totals>,
    /// Number of the current stretch, and of the last one that began.
    stretch: Cell<u64>,
    last_stretch: Cell<u64>,
    /// What a reading has to know of the current owner.
    leaving: Cell<Leaving>,
    /// The scheduler's owner that was current last.
    runtime: Cell<OwnerId>,
    /// The instant at which the current owner, a request with calls under way, became current; else 0.
    entered_ns: Cell<u64>,
    calls: OfCalls,
    rests: Rests,
    readings: Cell<u64>,
    pending: RefCell<Pending>,
    /// The reading up to which everything is in the tables.
    booked_ns: Cell<i64>,
    slot: OnceCell<Arc<Slot>>,
    shard: Cell<usize>,
}

const NO_SHARD: usize = usize::MAX;

/// True once somebody took a mark: from then on each change of the owner keeps count of stretches.
static MARKING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static THREAD: Thread = const { Thread::new(&clock::SETUP) };
}

impl Thread {
    const fn new(setup: &'static Setup) -> Self {
        Self {
            owner: Cell::new(None),
            whose: Cell::new(Whose::NOBODY),
            class: Cell::new(Class::Handler),
            booking: Cell::new(Class::Handler),
            generation: Cell::new(0),
            newborn: Cell::new(0),
            clock: ThreadClock::new(setup),
            last_ns: Cell::new(0),
            total_ns: [const { Cell::new(0) }; CLASSES],
            taken_ns: [const { Cell::new(0) }; CLASSES],
            counted: Cell::new(alloc::Counts::NONE),
            zero: Cell::new(Totals::NONE),
            stretch: Cell::new(0),
            last_stretch: Cell::new(0),
            leaving: Cell::new(Leaving::Other),
            runtime: Cell::new(OwnerId(0)),
            entered_ns: Cell::new(0),
            calls: OfCalls::new(),
            rests: Rests::new(),
            readings: Cell::new(0),
            pending: RefCell::new(Pending::new()),
            booked_ns: Cell::new(0),
            slot: OnceCell::new(),
            shard: Cell::new(NO_SHARD),
        }
    }

    /// Looks at the current owner without touching its count of references.
    fn with_owner<R>(&self, f: impl FnOnce(Option<&OwnerRef>) -> R) -> R {
        let owner = self.owner.take();
        let result = f(owner.as_ref());
        self.owner.set(owner);
        result
    }

    fn has_owner(&self) -> bool {
        self.whose.get() != Whose::NOBODY
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

    /// Reads the clock at a boundary. See [`Self::pass`].
    #[inline]
    fn read(&self, in_account: bool, generation: u32) -> bool {
        self.pass(self.clock.read(self.leaving.get()), in_account, generation)
    }

    /// Books the piece between the last reading and `now` to the current class, if there is an account to be
    /// left. It may be negative: a correction of the clock stays with the account in which it was found, so
    /// that the pieces add up. After a change of the stretch of measuring there is no piece: false.
    #[inline]
    fn pass(&self, now: i64, in_account: bool, generation: u32) -> bool {
        self.readings.set(self.readings.get() + 1);
        let mut piece = now - self.last_ns.replace(now);
        let put_off = self.clock.take_put_off();
        if self.generation.replace(generation) == generation {
            if put_off != 0 {
                self.book_put_off(put_off);
                piece -= put_off;
            }
            if in_account {
                let sum = &self.total_ns[self.booking.get() as usize];
                sum.set(sum.get() + piece);
            }
            self.booking.set(self.class.get());
            true
        } else {
            self.begin(piece);
            false
        }
    }

    /// The scheduler's, from before the current owner.
    #[cold]
    fn book_put_off(&self, cpu_ns: i64) {
        let mut cost = Cost::default();
        cost.cpu_ns[Class::Handler as usize] = cpu_ns;
        // Should there be no room, the next one to wait finds that out.
        self.pending.borrow_mut().add(self.runtime.get(), &cost);
        let mut zero = self.zero.get();
        zero.cpu_ns += cpu_ns;
        self.zero.set(zero);
    }

    /// The first reading of a stretch of measuring: what came before is nobody's.
    #[cold]
    fn begin(&self, gap_ns: i64) {
        self.drop_spent();
        self.pending.borrow_mut().forget();
        regions::forget();
        let mut zero = self.zero.get();
        zero.cpu_ns += gap_ns;
        self.zero.set(zero);
        // Registering takes locks and memory, before the owner's first piece begins.
        self.slot();
    }

    fn drop_spent(&self) {
        for (taken, total) in self.taken_ns.iter().zip(&self.total_ns) {
            taken.set(total.get());
        }
        self.calls.forget();
        self.counted.set(alloc::restart_peak());
    }

    /// What was spent since the last call.
    #[inline]
    fn take_spent(&self) -> Spent {
        let mut cost = Cost::default();
        for ((sum, taken), total) in cost
            .cpu_ns
            .iter_mut()
            .zip(&self.taken_ns)
            .zip(&self.total_ns)
        {
            *sum = total.get() - taken.replace(total.get());
        }
        let called_ns = self.calls.take(|| self.message_totals());
        let now = alloc::restart_peak();
        let before = self.counted.replace(now);
        cost.alloc_bytes = now.alloc_bytes - before.alloc_bytes;
        cost.alloc_count = now.alloc_count - before.alloc_count;
        cost.freed_bytes = now.freed_bytes - before.freed_bytes;
        Spent {
            cost,
            net_bytes: now.net_bytes() - before.net_bytes(),
            net_max_bytes: now.net_peak_bytes - before.net_bytes(),
            called_ns,
        }
    }

    /// CPU of the classes that stand on a call's edge when its polls spend it.
    fn message_totals(&self) -> MessageNs {
        OF_CALLS.map(|class| self.total_ns[class as usize].get())
    }

    /// Books what was spent up to the last reading to its owner. A named owner's may wait, unless the thread
    /// is about to do nothing more.
    #[inline]
    fn book(&self, owner: &OwnerRef, resting: bool) {
        let spent = self.take_spent();
        match owner {
            OwnerRef::Named(id) => {
                let full = self.pending.borrow_mut().add(*id, &spent.cost);
                let waited = self.last_ns.get() - self.booked_ns.get();
                if resting || full || waited > PENDING_NS_MAX {
                    self.settle(&mut ledger().shard(self.shard()));
                }
            }
            OwnerRef::Bill(bill) => {
                let entered_ns = self.entered_ns.get();
                let stretch = (entered_ns != 0 || bill.is_calling()).then(|| Stretch {
                    entered_ns,
                    left_ns: self.clock.last_instant_ns(),
                });
                bill.book(&spent, stretch, self.shard(), |shard| self.settle(shard));
            }
            OwnerRef::Split(split) => {
                split.book(&spent, self.shard(), |shard| self.settle(shard));
            }
        }
    }

    /// Puts everything that waits into the tables. Nothing may be spent and not taken.
    #[inline]
    fn settle(&self, shard: &mut Shard) {
        self.pending.borrow_mut().book(shard);
        regions::settle(shard);
        shard.readings += self.readings.take();
        self.booked();
    }

    /// Everything up to the last reading is in the tables. Called with the shard locked, or with nothing
    /// spent.
    #[inline]
    fn booked(&self) {
        self.booked_ns.set(self.last_ns.get());
        self.slot().booked(self.last_ns.get());
    }

    /// Changes the owner. `stretch` is that of the next one when it comes back to it; else somebody may come back to
    /// the one before if `keeps`.
    fn turn(&self, next: Option<Account>, stretch: Option<Running>, keeps: bool) -> Left {
        let owner = self.owner.take();
        let class = self.class.get();
        let generation = state::generation();
        if generation == 0 {
            return self.turn_unmeasured(owner, class, next, keeps);
        }
        if owner.is_some() || next.is_some() {
            let measured = if next.is_none() && self.clock.has_put_off() {
                // Nobody would come to book it.
                self.pass(self.clock.settle(), true, generation)
            } else {
                self.read(owner.is_some(), generation)
            };
            match &owner {
                Some(owner) if measured => self.book(owner, next.is_none()),
                // Nobody's memory until now.
                _ => self.drop_spent(),
            }
            match &next {
                Some(next) if !measured && self.newborn.take() == generation => {
                    self.book_birth(next);
                }
                Some(_) if owner.is_none() || !measured => self.booked(),
                Some(_) => {}
                None => self.slot().idle(),
            }
        }
        let marking = MARKING.load(Ordering::Relaxed);
        let rest = Rest {
            stretch: marking.then(|| self.running(self.counted.get())),
            call_ns: self.calls.leave(),
        };
        let rest = self.keep(keeps, rest);
        if marking {
            self.go_on(stretch, self.counted.get());
        }
        let calls = match &next {
            Some(next) => matches!(&next.owner, OwnerRef::Bill(bill) if bill.is_calling()),
            None => false,
        };
        let entered_ns = if calls {
            self.clock.last_instant_ns()
        } else {
            0
        };
        self.become_current(next);
        self.entered_ns.set(entered_ns);
        Left {
            account: owner.map(|owner| Account { owner, class }),
            rest,
        }
    }

    /// Keeps what is seldom there until somebody comes back. Room for it is nobody's memory.
    #[inline]
    fn keep(&self, keeps: bool, rest: Rest) -> Kept {
        if !keeps {
            return Kept::default();
        }
        self.rests
            .keep(rest, || self.counted.set(alloc::restart_peak()))
    }

    /// Changes the owner while nothing is measured. Stretches that were left do not go on: nothing is known of them
    /// any more.
    fn turn_unmeasured(
        &self,
        owner: Option<OwnerRef>,
        class: Class,
        next: Option<Account>,
        keeps: bool,
    ) -> Left {
        self.stop();
        self.last_stretch.set(self.last_stretch.get() + 1);
        self.stretch.set(self.last_stretch.get());
        self.entered_ns.set(0);
        self.become_current(next);
        Left {
            account: owner.map(|owner| Account { owner, class }),
            rest: self.keep(
                keeps,
                Rest {
                    stretch: None,
                    call_ns: self.calls.leave(),
                },
            ),
        }
    }

    /// Nothing is measured any more: nothing of ours stays with the kernel.
    fn stop(&self) {
        if self.generation.replace(0) != 0 {
            self.clock.stop();
        }
    }

    #[inline]
    fn become_current(&self, next: Option<Account>) {
        let (mut holder, mut leaving) = (Holder::Nobody, Leaving::Other);
        if let Some(next) = &next {
            holder = next.owner.holder();
            if let OwnerRef::Named(id) = next.owner
                && may_sleep(id)
            {
                leaving = Leaving::Runtime;
                self.runtime.set(id);
            }
        }
        alloc::set_owner(holder.tag());
        self.leaving.set(leaving);
        self.whose.set(match next {
            Some(next) => {
                let whose = next.owner.whose();
                self.class.set(next.class);
                self.booking.set(next.class);
                self.owner.set(Some(next.owner));
                whose
            }
            None => Whose::NOBODY,
        });
    }

    /// How far the current owner's stretch has come, up to the last reading.
    fn running(&self, counts: alloc::Counts) -> Running {
        let totals = Totals::new(self.last_ns.get(), counts);
        Running {
            stretch: self.stretch.get(),
            totals: totals.since(self.zero.get()),
        }
    }

    /// Goes on with a stretch, or begins one: what passed until now is not in its totals.
    fn go_on(&self, stretch: Option<Running>, counts: alloc::Counts) {
        let stretch = stretch.unwrap_or_else(|| {
            self.last_stretch.set(self.last_stretch.get() + 1);
            Running {
                stretch: self.last_stretch.get(),
                totals: Totals::NONE,
            }
        });
        self.stretch.set(stretch.stretch);
        let totals = Totals::new(self.last_ns.get(), counts);
        self.zero.set(totals.since(stretch.totals));
    }

    fn mark(&self) -> Option<Mark> {
        let generation = state::generation();
        if generation == 0 || !self.has_owner() {
            return None;
        }
        let followed = MARKING.load(Ordering::Relaxed) || MARKING.swap(true, Ordering::Relaxed);
        let measured = self.read(true, generation);
        if !measured {
            self.booked();
        }
        if !measured || !followed {
            self.go_on(None, alloc::snapshot());
        }
        Some(self.mark_of_last_reading())
    }

    fn mark_of_last_reading(&self) -> Mark {
        let Running { stretch, totals } = self.running(alloc::snapshot());
        Mark { stretch, totals }
    }

    /// Changes the class and keeps the owner.
    #[inline]
    fn turn_class(&self, next: Class) {
        // The piece of a class that was left soon goes on.
        if self.booking.get() != next {
            let generation = state::generation();
            if generation != 0 && !self.read(true, generation) {
                self.booked();
            }
            self.booking.set(next);
        }
        self.class.set(next);
    }

    /// Takes a reading without crossing anything.
    fn read_here(&self) {
        let generation = state::generation();
        if generation != 0 && self.has_owner() && !self.read(true, generation) {
            self.booked();
        }
    }

    /// Books up to a reading that is taken now, if anything is measured.
    fn flush(&self, read: impl FnOnce(&ThreadClock) -> i64) {
        let generation = state::generation();
        if generation == 0 {
            self.stop();
        } else if self.has_owner() {
            if self.pass(read(&self.clock), true, generation) {
                if regions::is_inside_any() {
                    let mark = self.mark_of_last_reading();
                    regions::book_so_far(&mark, &mut ledger().shard(self.shard()));
                }
                let owner = self.owner.take();
                if let Some(owner) = &owner {
                    self.book(owner, true);
                }
                self.owner.set(owner);
            } else {
                self.booked();
            }
        }
    }

    fn end(&self) {
        // The last reading is the kernel's own, so that nothing of the thread is left over.
        self.flush(ThreadClock::settle);
        regions::leave_thread(|| self.shard());
        self.clock.stop();
        self.whose.set(Whose::NOBODY);
        drop(self.owner.take());
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

/// Crosses from the current account to one of another owner. On a thread whose storage is gone nothing
/// happens.
#[inline]
pub(super) fn cross(next: Option<Account>) -> Option<Left> {
    THREAD.try_with(|thread| thread.turn(next, None, true)).ok()
}

/// Crosses from the current account to one of another owner, and nobody comes back.
#[inline]
pub(super) fn replace(next: Account) {
    let _ = THREAD.try_with(|thread| drop(thread.turn(Some(next), None, false)));
}

/// Comes back to what was left.
#[inline]
pub(super) fn come_back(left: Left) {
    let _ = THREAD.try_with(|thread| {
        let rest = thread.rests.take(left.rest);
        drop(thread.turn(left.account, rest.stretch, false));
        if let Some(call_ns) = rest.call_ns {
            thread.calls.come_back(call_ns, thread.message_totals());
        }
    });
}

/// Who is current.
#[inline]
pub(super) fn whose() -> Whose {
    THREAD
        .try_with(|thread| thread.whose.get())
        .unwrap_or(Whose::NOBODY)
}

/// Looks at the current owner.
#[inline]
pub(super) fn with_owner<R>(f: impl FnOnce(Option<&OwnerRef>) -> R) -> Option<R> {
    THREAD.try_with(|thread| thread.with_owner(f)).ok()
}

pub(super) fn current() -> Option<Account> {
    THREAD
        .try_with(|thread| {
            thread.with_owner(|owner| {
                owner.map(|owner| Account {
                    owner: owner.clone(),
                    class: thread.class.get(),
                })
            })
        })
        .ok()
        .flatten()
}

pub(super) fn mark() -> Option<Mark> {
    THREAD.try_with(Thread::mark).ok().flatten()
}

/// CPU booked to each class on this thread up to the last crossing. Takes no reading: right after a crossing
/// it is exact.
pub(crate) fn class_totals_here() -> [i64; CLASSES] {
    THREAD
        .try_with(|thread| std::array::from_fn(|class| thread.total_ns[class].get()))
        .unwrap_or_default()
}

/// How many readings this thread took since its sums went to the tables.
#[cfg(test)]
pub(crate) fn readings_here() -> u64 {
    THREAD.with(|thread| thread.readings.get())
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
#[inline]
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
#[inline]
pub(crate) fn shard_here() -> usize {
    THREAD.try_with(Thread::shard).unwrap_or(0)
}

/// Books what this thread has spent so far; its current account goes on.
pub(crate) fn flush_here() {
    let _ = THREAD.try_with(|thread| thread.flush(|clock| clock.read(thread.leaving.get())));
}

/// Makes a request's account current in place of that of `from`, if this is current, whose costs since it last
/// booked are the request's: reading and parsing the head of a request that did not exist before.
#[inline]
pub(super) fn hand_over_here(from: Whose, bill: &Arc<Bill>, class: Class) {
    let _ = THREAD.try_with(|thread| {
        if thread.whose.get() != from {
            return;
        }
        let owner = OwnerRef::Bill(bill.clone());
        alloc::set_owner(owner.holder().tag());
        thread.whose.set(owner.whose());
        drop(thread.owner.replace(Some(owner)));
        thread.leaving.set(Leaving::Other);
        thread.entered_ns.set(0);
        // The totals since the last taking are what the next booking takes; there is nothing to move. What runs
        // is parsing before and after, most often: no reading.
        thread.turn_class(class);
    });
}

/// Starts measuring on this thread, whose account may have become current before `init`.
pub(crate) fn start_here() {
    flush_here();
}

#[cfg(test)]
mod tests;
