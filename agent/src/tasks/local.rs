//! A call inside one process: an edge without a message.

use std::future::Future;

use weighbridge_wire::{mode, side};

use super::in_bill;
use crate::account::instant_here_ns;
use crate::bill::{Bill, CallToken, Start};
use crate::clock;
use crate::ledger::{EdgeFigures, EdgeId, ledger, record_edge};
use crate::propagation::{CallId, CallSite};

const TRANSPORT: &str = "local";

/// Runs a future as a call to another component of this process: a bill of its own, whose caller is the
/// current operation. Both sides of the edge are counted, with messages of zero bytes: what a split would
/// turn into real ones.
pub async fn local_call<F: Future>(
    component: &'static str,
    operation: &'static str,
    future: F,
) -> F::Output {
    let own = ledger().service();
    let call_id = CallId::of(CallSite {
        namespace: &own.namespace,
        service: &own.service,
        transport: TRANSPORT,
        peer: component,
        target: operation,
    })
    .to_arc();
    let caller = Bill::current();
    let caller_operation = caller
        .as_ref()
        .map_or_else(|| "".into(), |bill| bill.operation().clone());
    let empty = EdgeFigures {
        request_messages: 1,
        response_messages: 1,
        request_wire_bytes: Some(0),
        response_wire_bytes: Some(0),
        encode_ns: Some(0),
        decode_ns: Some(0),
        protocol_ns: Some(0),
        io_ns: Some(0),
        ..EdgeFigures::default()
    };
    let callee_edge = EdgeId {
        side: side::CALLEE,
        mode: mode::SYNC,
        transport: TRANSPORT,
        peer_service: own.service.clone(),
        peer_operation: caller_operation.clone(),
        call_id: call_id.clone(),
        peer: "".into(),
        target: "".into(),
    };
    let callee = Bill::start(Start {
        component,
        operation,
        caller: Some((&own.service, &caller_operation)),
        origin: caller.as_ref().map(|bill| {
            let (service, operation) = bill.origin();
            (&**service, &**operation)
        }),
        trace: caller.as_ref().map(|bill| bill.trace()),
        callee: Some((callee_edge, empty.clone())),
        socket: false,
        http2: false,
    });
    let caller_edge = EdgeId {
        side: side::CALLER,
        mode: mode::SYNC,
        transport: TRANSPORT,
        peer_service: "".into(),
        peer_operation: "".into(),
        call_id,
        peer: component.into(),
        target: operation.into(),
    };
    // Dropped after the call, also when that is cancelled: both sides count it or neither does.
    let begun_ns = clock::monotonic_ns();
    let _caller_side = CallerSide {
        caller: caller.map(|bill| bill.call_began(&caller_edge.call_id, true, begun_ns)),
        edge: caller_edge,
        figures: empty,
        begun_ns,
    };
    in_bill(callee, future).await
}

/// Records the caller's side of the edge when dropped.
struct CallerSide {
    caller: Option<CallToken>,
    edge: EdgeId,
    figures: EdgeFigures,
    begun_ns: u64,
}

impl Drop for CallerSide {
    fn drop(&mut self) {
        // The callee's account was left just now.
        let now_ns = instant_here_ns();
        self.figures.wait_ns = Some(now_ns.saturating_sub(self.begun_ns));
        let bill = self.caller.as_ref().map(|token| &**token.bill());
        let edge = record_edge(bill, &self.edge, &self.figures);
        if let Some(token) = &mut self.caller {
            token.end_recorded(now_ns, true, edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use weighbridge_wire::{RowKind, RowValue, column};

    use super::*;
    use crate::tasks::job;
    use crate::testing::{Books, burn, figure};

    #[test]
    fn both_sides_count_a_call_that_ends_and_one_that_is_cancelled() {
        let mut books = Books::open();
        // Long enough that what a host takes away in the middle of a piece, and gives back later, is little beside it.
        const WORK_NS: i64 = 20_000_000;
        let ended = local_call("pricing", "price local", async { burn(WORK_NS) });
        job("calls local", ended).now_or_never().unwrap();
        let hanging = local_call("pricing", "price local", std::future::pending::<()>());
        assert!(job("calls local", hanging).now_or_never().is_none());
        books.rotate();
        let edge = |side: &str, operation: &str| {
            let mut sum = RowValue::new();
            for (key, row) in books.rows.of_kind(RowKind::Edge) {
                if &*key.parts[0] == side && &*key.parts[4] == operation {
                    sum.merge(row);
                }
            }
            sum
        };
        let caller = edge(side::CALLER, "JOB calls local");
        let callee = edge(side::CALLEE, "price local");
        assert_eq!(figure(&caller, column::REQUEST_MESSAGES), 2);
        assert_eq!(figure(&callee, column::REQUEST_MESSAGES), 2);
        assert_eq!(figure(&caller, column::REQUEST_BODY_BYTES), 0);
        // The work is the callee's; the caller only waited.
        assert!(books.operation("price local", "").cpu_ns() >= WORK_NS);
        let calls = books.operation("JOB calls local", "");
        assert!(calls.cpu_ns() < WORK_NS / 2);
        assert!(figure(&calls, column::WAIT_CALL_NS) >= WORK_NS);
    }
}
