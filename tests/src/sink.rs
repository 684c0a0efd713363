//! A sink that keeps what an agent delivers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use weighbridge_agent::{Delivery, Sink};
use weighbridge_wire::{Delta, Epoch, RowSet};

/// Keeps each delta once, by (epoch, seq), as a collector would. While it is busy it takes none.
#[derive(Debug, Default)]
pub struct CaptureSink {
    busy: AtomicBool,
    deltas: Mutex<BTreeMap<(Epoch, u64), Delta>>,
}

impl CaptureSink {
    /// A sink that takes everything.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes it refuse to take anything for now, or take again.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::SeqCst);
    }

    /// All deltas so far, in the order (epoch, seq).
    #[must_use]
    pub fn deltas(&self) -> Vec<Delta> {
        self.deltas
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// The rows of all deltas of a service, merged.
    #[must_use]
    pub fn rows(&self, service: &str) -> RowSet {
        let mut rows = RowSet::default();
        for delta in self
            .deltas()
            .iter()
            .filter(|delta| delta.identity.service == service)
        {
            rows.merge(&delta.rows);
        }
        rows
    }
}

impl Sink for CaptureSink {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        if self.busy.load(Ordering::SeqCst) {
            return Delivery::Busy {
                retry_after: None,
                reason: "the test says so".into(),
            };
        }
        match Delta::decode(delta) {
            Ok(delta) => {
                self.deltas
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert((delta.epoch, delta.seq), delta);
                Delivery::Accepted
            }
            Err(error) => Delivery::Refused {
                reason: error.to_string(),
            },
        }
    }
}
