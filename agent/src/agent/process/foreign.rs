//! Threads that the agent does not run on.

use std::collections::HashMap;
use std::fs;

use weighbridge_wire::OwnerKind;

use crate::account::{registered_threads, thread_ids};
use crate::clock::{self, ThreadId};

type Known = (&'static str, OwnerKind, fn() -> String);

/// Threads of clients that have one of their own: prefix, kind of owner, and its name.
const KNOWN: &[Known] = &[
    #[cfg(feature = "lapin-4")]
    ("lapin-io-loop", OwnerKind::Driver, crate::amqp::driver_name),
];

/// Threads that do not book themselves, by the prefix of their name.
#[derive(Debug)]
pub(crate) struct ForeignThreads {
    rules: Vec<(String, OwnerKind, String)>,
    /// Clock of each such thread at the last reading.
    seen_ns: HashMap<ThreadId, i64>,
}

impl ForeignThreads {
    pub(crate) fn new(rules: Vec<(String, OwnerKind, String)>) -> Self {
        let mut threads = Self {
            rules,
            seen_ns: HashMap::new(),
        };
        // What they spent before init is not ours to tell.
        threads.read();
        threads
    }

    /// CPU by owner since the last call.
    pub(crate) fn read(&mut self) -> Vec<(OwnerKind, String, i64)> {
        if self.rules.is_empty() && cfg!(not(feature = "lapin-4")) {
            return Vec::new();
        }
        let ours = registered_threads();
        let mut seen = HashMap::new();
        let mut spent: Vec<(OwnerKind, String, i64)> = Vec::new();
        for thread in thread_ids().filter(|thread| !ours.contains(thread)) {
            let Ok(name) = fs::read_to_string(format!("/proc/self/task/{thread}/comm")) else {
                continue;
            };
            let Some((kind, owner)) = self.owner(&name) else {
                continue;
            };
            let Some(now) = clock::other_thread_cpu_ns(thread) else {
                continue;
            };
            let before = self
                .seen_ns
                .get(&thread)
                .copied()
                .filter(|before| *before <= now)
                .unwrap_or(0);
            seen.insert(thread, now);
            match spent
                .iter_mut()
                .find(|(k, name, _)| *k == kind && *name == owner)
            {
                Some((.., sum)) => *sum += now - before,
                None => spent.push((kind, owner, now - before)),
            }
        }
        self.seen_ns = seen;
        spent
    }

    /// Whose a thread is; the program's own rules go first.
    fn owner(&self, thread: &str) -> Option<(OwnerKind, String)> {
        let mut rules = self.rules.iter();
        if let Some((_, kind, owner)) = rules.find(|(prefix, ..)| matches(thread, prefix)) {
            return Some((*kind, owner.clone()));
        }
        let mut known = KNOWN.iter();
        let (_, kind, owner) = known.find(|(prefix, ..)| matches(thread, prefix))?;
        Some((*kind, owner()))
    }
}

/// The kernel keeps 15 bytes of a name.
fn matches(name: &str, prefix: &str) -> bool {
    const KERNEL_BYTES_MAX: usize = 15;
    let prefix = prefix.as_bytes();
    name.trim_end()
        .as_bytes()
        .starts_with(&prefix[..prefix.len().min(KERNEL_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_by_name_are_read_from_their_own_clocks() {
        let (begun, wait_begun) = std::sync::mpsc::sync_channel(0);
        let (end, wait_end) = std::sync::mpsc::sync_channel::<()>(0);
        let mut foreign = ForeignThreads::new(vec![(
            "foreign-worker-of".into(),
            OwnerKind::Driver,
            "broker".into(),
        )]);
        let thread = std::thread::Builder::new()
            .name("foreign-worker-of-a-test".into())
            .spawn(move || {
                let start = clock::thread_cpu_ns();
                while clock::thread_cpu_ns() - start < 10_000_000 {}
                begun.send(()).unwrap();
                wait_end.recv().unwrap();
            })
            .unwrap();
        wait_begun.recv().unwrap();
        let first = foreign.read();
        assert_eq!(first.len(), 1);
        assert_eq!(
            (first[0].0, first[0].1.as_str()),
            (OwnerKind::Driver, "broker")
        );
        assert!(first[0].2 >= 10_000_000, "{first:?}");
        let second = foreign.read();
        assert!(second[0].2 < 10_000_000, "only what is new: {second:?}");
        end.send(()).unwrap();
        thread.join().unwrap();
        // The kernel lets a thread be joined a moment before it is gone.
        let patience = (0..1_000_000).find(|_| {
            std::thread::yield_now();
            foreign.read().is_empty()
        });
        assert!(patience.is_some(), "a thread that has ended is forgotten");
    }
}
