//! What a piece of a call spends on this thread.

use super::THREAD;
use crate::account::calls::{MessageNs, OuterCall};

/// What the current owner spends from now on is a call's: shown on the call's edge, and not once more on the edge over
/// which the owner's request came. Taken right after a crossing it is exact.
pub(crate) fn begin_call_here() -> OuterCall {
    THREAD
        .try_with(|thread| {
            if thread.calls.is_under_way() {
                // A call within a call stays in its class, and has crossed nothing.
                thread.read_here();
            }
            thread.calls.begin(thread.message_totals())
        })
        .unwrap_or_default()
}

/// What a piece has spent stands on no call's edge after all.
pub(crate) fn call_was_none_here(ns: MessageNs) {
    let _ = THREAD.try_with(|thread| thread.calls.give_back(ns));
}

/// The call's piece ends: what the current owner spent in it, without what calls within it did.
pub(crate) fn end_call_here(outer: OuterCall) -> MessageNs {
    THREAD
        .try_with(|thread| {
            if outer.is_some() {
                thread.read_here();
            }
            thread.calls.end(outer, thread.message_totals())
        })
        .unwrap_or_default()
}
