//! What holds for the whole process: whether the agent measures, and whom it trusts.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, RwLock, RwLockWriteGuard};

use crate::sync::{read, write};
use crate::trust::Trust;

/// 0 = nothing is measured; otherwise the number of the current stretch of measuring. A thread whose last
/// stamp comes from another stretch starts afresh instead of booking the gap.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static LAST_GENERATION: AtomicU32 = AtomicU32::new(0);

/// The current stretch of measuring; 0 while nothing is measured.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// True while costs are measured.
#[inline]
pub(crate) fn measuring() -> bool {
    generation() != 0
}

/// Begins a stretch of measuring.
pub(crate) fn start_measuring() {
    let next = LAST_GENERATION
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_add(1)
        .max(1);
    GENERATION.store(next, Ordering::Release);
    crate::alloc::set_counting(true);
}

/// Ends it. Names are still tracked, so that propagation goes on.
pub(crate) fn stop_measuring() {
    GENERATION.store(0, Ordering::Release);
    crate::alloc::set_counting(false);
}

/// Grows with each rule of trust.
static TRUST_GENERATION: AtomicU32 = AtomicU32::new(1);
static TRUST: LazyLock<RwLock<Arc<Trust>>> = LazyLock::new(RwLock::default);

/// Whose headers are believed, and to whom ours are sent. Holds also while nothing is measured.
pub(crate) fn trust() -> Arc<Trust> {
    read(&TRUST).clone()
}

/// Keeps the rule locked over a fork.
pub(crate) struct Held(
    #[expect(dead_code, reason = "only held")] RwLockWriteGuard<'static, Arc<Trust>>,
);

/// Locks what stands here.
pub(crate) fn hold() -> Held {
    Held(write(&TRUST))
}

thread_local! {
    /// The rule as this thread last saw it: requests do not share a lock.
    static TRUST_HERE: RefCell<(u32, Option<Arc<Trust>>)> = const { RefCell::new((0, None)) };
}

/// Looks at the rule of trust.
pub(crate) fn with_trust<R>(f: impl FnOnce(&Trust) -> R) -> R {
    let rule = TRUST_HERE.try_with(|here| {
        let mut here = here.try_borrow_mut().ok()?;
        let generation = TRUST_GENERATION.load(Ordering::Acquire);
        if here.0 != generation {
            *here = (generation, Some(trust()));
        }
        here.1.take()
    });
    let Ok(Some(rule)) = rule else {
        return f(&trust());
    };
    let result = f(&rule);
    let _ = TRUST_HERE.try_with(|here| {
        if let Ok(mut here) = here.try_borrow_mut() {
            here.1.get_or_insert(rule);
        }
    });
    result
}

pub(crate) fn set_trust(trust: Trust) {
    *write(&TRUST) = Arc::new(trust);
    TRUST_GENERATION.fetch_add(1, Ordering::Release);
}

/// True while costs are measured: after `init`, unless a variable switches the agent off.
#[must_use]
pub fn is_enabled() -> bool {
    measuring()
}
