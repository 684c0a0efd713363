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
