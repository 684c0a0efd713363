//! Sinks for the agent's deltas.

use std::sync::Mutex;
use std::sync::PoisonError;

use weighbridge_agent::{Delivery, Sink};
use weighbridge_wire::Delta;

/// Takes every delta and keeps none.
#[derive(Debug, Default)]
pub struct Forget;

impl Sink for Forget {
    fn deliver(&self, _delta: &[u8]) -> Delivery {
        Delivery::Accepted
    }
}

/// Keeps the deltas for reading.
#[derive(Debug, Default)]
pub struct Keep(Mutex<Vec<Delta>>);

impl Keep {
    /// Takes out what was delivered so far.
    #[must_use]
    pub fn take(&self) -> Vec<Delta> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Keep {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        if let Ok(delta) = Delta::decode(delta) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(delta);
        }
        Delivery::Accepted
    }
}
