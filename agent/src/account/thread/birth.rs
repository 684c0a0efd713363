//! What a thread spends before its first account.

use super::{THREAD, Thread, replace};
use crate::account::{Account, registry};
use crate::state;

/// The most that a thread spends until it gets to its first account, in ns: the kernel starts it, and the library and
/// the runtime set it up, for some 0.1 ms. One that spent more did other work first.
const BIRTH_NS_MAX: i64 = 2_000_000;

impl Thread {
    /// What this thread has spent so far goes to the account that becomes current next. Nothing happens unless it is
    /// known to have begun while the process was measured, and had no account since.
    fn be_born(&self) {
        let generation = state::generation();
        let is_new = generation != 0 && self.generation.get() == 0 && !self.has_owner();
        if is_new && registry::began_within(generation) {
            self.newborn.set(generation);
        }
    }

    /// Takes what was spent until the last reading, the first one of this thread, to the class that becomes current.
    #[cold]
    pub(super) fn book_birth(&self, next: &Account) {
        let spent_ns = self.last_ns.get();
        if spent_ns > BIRTH_NS_MAX {
            return self.booked();
        }
        let sum = &self.total_ns[next.class as usize];
        sum.set(sum.get() + spent_ns);
        self.booked_ns.set(0);
        self.slot().booked(0);
    }
}

/// Call first in a thread that is made for the account that becomes current next: the thread's beginning is its too.
pub(crate) fn be_born_here() {
    let _ = THREAD.try_with(Thread::be_born);
}

/// What no account claims on this thread, which has only just begun, is this account's, from its beginning on.
pub(crate) fn become_new_thread_of(account: Account) {
    be_born_here();
    replace(account);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use weighbridge_wire::{Class, OwnerKind};

    use super::*;
    use crate::account::{enter, leave_thread, owner};
    use crate::clock;
    use crate::testing::{Books, burn, on_thread};

    const BEFORE_NS: i64 = 1_000_000;

    fn named(name: &str) -> Account {
        Account::new(owner(OwnerKind::Background, name), Class::Protocol)
    }

    /// Begins, works a little, gets an account, and ends. Returns what the thread spent in all.
    fn live(name: &str) -> i64 {
        burn(BEFORE_NS);
        become_new_thread_of(named(name));
        burn(100_000);
        let spent = clock::thread_cpu_ns();
        leave_thread();
        spent
    }

    fn booked(books: &mut Books, name: &str) -> i64 {
        books.rotate();
        let row = books.owner(OwnerKind::Background, name);
        assert_eq!(row.class_cpu_ns(Class::Protocol), Some(row.cpu_ns()));
        row.cpu_ns()
    }

    #[test]
    fn a_new_threads_beginning_is_its_first_accounts() {
        let mut books = Books::open();
        let spent = on_thread(|| live("newborn"));
        let booked = booked(&mut books, "newborn");
        assert!(spent >= BEFORE_NS + 100_000);
        assert!(
            (0..BEFORE_NS / 2).contains(&(booked - spent)),
            "{booked} of {spent}"
        );
    }

    #[test]
    fn what_a_thread_spent_before_the_total_began_is_nobodys() {
        let (open, opened) = sync_channel::<()>(0);
        let thread = std::thread::spawn(move || {
            opened.recv().unwrap();
            live("elder")
        });
        let mut books = Books::open();
        open.send(()).unwrap();
        let spent = thread.join().unwrap();
        let booked = booked(&mut books, "elder");
        assert!((100_000..spent - BEFORE_NS).contains(&booked), "{booked}");
    }

    #[test]
    fn a_thread_that_did_other_work_first_is_not_new() {
        let mut books = Books::open();
        on_thread(|| {
            burn(BIRTH_NS_MAX);
            live("worked before");
        });
        let worked = booked(&mut books, "worked before");
        assert!((100_000..BEFORE_NS).contains(&worked), "{worked}");
        on_thread(|| {
            drop(enter(named("first of two")));
            live("second of two");
        });
        let second = booked(&mut books, "second of two");
        assert!((100_000..BEFORE_NS).contains(&second), "{second}");
        let first = booked(&mut books, "first of two");
        assert!(first < BEFORE_NS, "{first}");
    }

    #[test]
    fn a_new_threads_beginning_is_in_progress_until_it_is_booked() {
        let mut books = Books::open();
        let (begun, wait_begun) = sync_channel(0);
        let (end, wait_end) = sync_channel::<()>(0);
        let thread = std::thread::spawn(move || {
            burn(BEFORE_NS);
            become_new_thread_of(named("beginning"));
            begun.send(clock::thread_id()).unwrap();
            wait_end.recv().unwrap();
            leave_thread();
        });
        let id = wait_begun.recv().unwrap();
        let noted = registry::in_progress_of(id).unwrap();
        end.send(()).unwrap();
        thread.join().unwrap();
        assert!(noted >= BEFORE_NS, "{noted}");
        assert!(booked(&mut books, "beginning") >= BEFORE_NS);
    }
}
