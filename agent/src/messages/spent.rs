//! CPU of a stretch on one thread.

use weighbridge_wire::Class;

use crate::account::{self, OuterCall};

/// A stretch on one thread whose protocol and io CPU stands on the edge of a call. What other owners spend inside it,
/// and what calls within it cost, is theirs.
pub(crate) struct Spent {
    entered: Option<account::InClass>,
    outer: Option<OuterCall>,
}

impl Spent {
    /// Stays with the owner, in class protocol.
    pub(crate) fn begin_protocol() -> Self {
        let entered = account::enter_class(Class::Protocol);
        Self {
            entered: Some(entered),
            outer: Some(account::begin_call_here()),
        }
    }

    /// CPU of classes protocol and io, in ns.
    pub(crate) fn end(mut self) -> (i64, i64) {
        let [protocol_ns, io_ns] = self.stop();
        (protocol_ns, io_ns)
    }

    fn stop(&mut self) -> account::MessageNs {
        // Crossing books the last piece, so the sums are exact afterwards.
        drop(self.entered.take());
        self.outer
            .take()
            .map(account::end_call_here)
            .unwrap_or_default()
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        // Not ended: a panic, or a call that could not be built. It stands on no edge of its own.
        if self.outer.is_some() {
            let [protocol_ns, io_ns] = self.stop();
            account::call_was_none_here([protocol_ns, io_ns]);
        }
    }
}
