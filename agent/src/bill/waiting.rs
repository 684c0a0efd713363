//! Ended requests whose children still run. The agent's thread looks at them now and then.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::Bill;
use crate::ledger::limits::WAITING_BILLS_MAX;
use crate::ledger::loss;
use crate::sync::lock;

static WAITING: Mutex<Vec<Weak<Bill>>> = Mutex::new(Vec::new());

/// Keeps the list locked over a fork.
pub(crate) struct Held(
    #[expect(dead_code, reason = "only held")] MutexGuard<'static, Vec<Weak<Bill>>>,
);

/// Locks the list.
pub(crate) fn hold() -> Held {
    Held(lock(&WAITING))
}

/// Notes a bill for the sweep. False when there are too many: it closes without its children.
pub(super) fn add(bill: &Arc<Bill>) -> bool {
    let mut waiting = lock(&WAITING);
    if waiting.len() >= WAITING_BILLS_MAX {
        drop(waiting);
        loss("agent.waiting_bills", "table full", 1);
        return false;
    }
    waiting.push(Arc::downgrade(bill));
    true
}

/// Closes the bills whose children have had their time at this instant.
pub(crate) fn sweep(now_ns: u64) {
    let noted = std::mem::take(&mut *lock(&WAITING));
    let mut still = Vec::new();
    for weak in noted {
        if let Some(bill) = weak.upgrade() {
            bill.try_close(now_ns);
            if !bill.is_closed() {
                still.push(weak);
            }
        }
    }
    lock(&WAITING).append(&mut still);
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{Class, column};

    use super::*;
    use crate::account::{Account, OwnerRef, enter};
    use crate::bill::{Outcome, Start};
    use crate::testing::{Books, burn, figure, on_thread};

    #[test]
    fn a_bill_beyond_the_limit_closes_without_its_children_and_what_they_cost_is_late() {
        const NS: i64 = 1_000_000;
        let mut books = Books::open();
        let bill = Bill::start(Start {
            operation: "WAITS IN VAIN",
            ..Start::default()
        });
        let child = bill.child();
        // Bills that are gone take a place until the next sweep.
        let places = WAITING_BILLS_MAX - lock(&WAITING).len();
        lock(&WAITING).extend(std::iter::repeat_n(Weak::new(), places));
        bill.end(Outcome::Ok);
        lock(&WAITING).retain(|weak| weak.strong_count() > 0);
        assert!(bill.is_closed());
        on_thread(|| {
            let _entered = enter(Account::new(OwnerRef::Bill(bill.clone()), Class::Handler));
            burn(NS);
        });
        drop(child);
        books.rotate();
        let row = books.operation("WAITS IN VAIN", "");
        assert_eq!(figure(&row, column::ENDED), 1, "once");
        assert!(row.cpu_ns() >= NS, "it is the request's all the same");
        assert!(figure(&row, column::LATE_CPU_NS) >= NS);
        assert!(books.lost("agent.waiting_bills") >= 1);
    }
}
