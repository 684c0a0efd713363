//! Messages over the broker so far: the demo's own count, beside the agent's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Messages so far, by topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Messages {
    pub(crate) published: BTreeMap<String, u64>,
    pub(crate) consumed: BTreeMap<String, u64>,
}

/// Counts messages by topic.
#[derive(Debug, Default)]
pub(crate) struct MessageTally {
    messages: Mutex<Messages>,
}

impl MessageTally {
    /// A topic that this process will consume: from now on it must get everything.
    pub(crate) fn subscribed(&self, topic: &str) {
        self.lock().consumed.entry(topic.to_owned()).or_default();
    }

    pub(crate) fn published(&self, topic: &str) {
        count(&mut self.lock().published, topic);
    }

    pub(crate) fn consumed(&self, topic: &str) {
        count(&mut self.lock().consumed, topic);
    }

    pub(crate) fn messages(&self) -> Messages {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(counts: &mut BTreeMap<String, u64>, topic: &str) {
    match counts.get_mut(topic) {
        Some(count) => *count += 1,
        None => {
            counts.insert(topic.to_owned(), 1);
        }
    }
}
