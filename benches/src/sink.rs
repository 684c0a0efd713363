//! Sinks for the agent's deltas, and what stands in them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use weighbridge_agent::{Delivery, Sink};
use weighbridge_wire::{Delta, OwnerKey, RowKind, column};

/// Takes every delta and keeps none.
#[derive(Debug, Default)]
pub struct Forget;

impl Sink for Forget {
    fn deliver(&self, _delta: &[u8]) -> Delivery {
        Delivery::Accepted
    }
}

/// Keeps the deltas from the first time they are asked for.
#[derive(Debug, Default)]
pub struct Keep {
    asked: AtomicBool,
    deltas: Mutex<Vec<Delta>>,
}

impl Keep {
    /// Takes out what was delivered since it was asked before.
    #[must_use]
    pub fn take(&self) -> Vec<Delta> {
        self.asked.store(true, Ordering::Relaxed);
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Delta>> {
        self.deltas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Keep {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        if self.asked.load(Ordering::Relaxed)
            && let Ok(delta) = Delta::decode(delta)
        {
            self.lock().push(delta);
        }
        Delivery::Accepted
    }
}

/// Where the CPU of a process went, by the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// CPU of the process by the kernel.
    pub process_ns: i64,
    /// What was in progress at the end less what was at the beginning.
    pub in_progress_ns: i64,
    /// CPU of all requests.
    pub requests_ns: i64,
    /// Requests that ended.
    pub ended: i64,
    /// CPU by kind of owner.
    pub owners_ns: BTreeMap<String, i64>,
}

impl Shares {
    /// Sums deltas.
    #[must_use]
    pub fn of(deltas: &[Delta]) -> Self {
        let mut shares = Self::default();
        for delta in deltas {
            for (_, row) in delta.rows.of_kind(RowKind::Process) {
                shares.process_ns += row.get(column::CPU_PROCESS_NS).unwrap_or(0);
                shares.in_progress_ns += row.get(column::CPU_IN_PROGRESS_NS).unwrap_or(0);
            }
            for (_, row) in delta.rows.of_kind(RowKind::Operation) {
                shares.requests_ns += row.cpu_ns();
                shares.ended += row.get(column::ENDED).unwrap_or(0);
            }
            for (key, row) in delta.rows.of_kind(RowKind::Owner) {
                let kind = OwnerKey::read(key).map_or_else(
                    || "unreadable".to_owned(),
                    |owner| owner.owner_kind.to_string(),
                );
                *shares.owners_ns.entry(kind).or_default() += row.cpu_ns();
            }
        }
        shares
    }

    /// CPU of a kind of owner in percent of the process; absent kinds cost nothing.
    #[must_use]
    pub fn percent(&self, owner_kind: &str) -> f64 {
        let spent = self.owners_ns.get(owner_kind).copied().unwrap_or(0);
        spent as f64 * 100.0 / self.process_ns as f64
    }
}
