//! How a bill begins.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex};

use super::{Bill, Http2Weight, State};
use crate::ledger::{Cost, EdgeFigures, EdgeId, ledger};
use crate::propagation::TraceContext;
use crate::{account, clock, state};

/// The transport whose bodies are sequences of messages.
pub(crate) const GRPC: &str = "grpc";

/// What is known of a request when it enters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start<'a> {
    /// Declared component; empty means that the service is one component.
    pub(crate) component: &'a str,
    /// `GET /orders/{id}`, `CONSUME topic`, `JOB name`.
    pub(crate) operation: &'a str,
    /// Service and operation that called, as a trusted peer said.
    pub(crate) caller: Option<(&'a str, &'a str)>,
    /// Service and operation at which the chain began; `None` when it begins here.
    pub(crate) origin: Option<(&'a str, &'a str)>,
    /// The trace that the request belongs to.
    pub(crate) trace: Option<TraceContext>,
    /// The edge over which the request came, this side. Recorded when the bill closes; until then
    /// [`Bill::with_callee`] adds to it. Under `serve` the request's protocol and io CPU are filled in.
    pub(crate) callee: Option<(EdgeId, EdgeFigures)>,
    /// True when [`Bill::socket_done`] will be called.
    pub(crate) socket: bool,
    /// True when protocol and io are those of an HTTP/2 connection that other requests share.
    pub(crate) http2: bool,
}

impl Bill {
    /// Opens a bill: `started` is counted now.
    pub(crate) fn start(start: Start<'_>) -> Arc<Self> {
        let ledger = ledger();
        let generation = state::generation();
        let name = ledger.operation(start.component, start.operation, "");
        let (service, operation) = start.caller.unwrap_or_default();
        let caller = ledger.caller(service, operation);
        let origin = match start.origin {
            Some((service, operation)) => ledger.origin(service, operation),
            None => ledger.origin(&ledger.service().service, &name.operation),
        };
        let row = ledger.row(&name, &caller, &origin);
        let start_ns = clock::monotonic_ns();
        let mut arrival = (0, 0);
        if generation != 0 {
            name.arrive();
            let mut shard = ledger.shard(account::shard_here());
            arrival = (shard.slot(start_ns), shard.begin_ns);
            shard.arrive(name.id, arrival.0, 1);
            let offset = shard.offset_ns(start_ns);
            let cell = shard.operation(&row);
            cell.started += 1;
            cell.instants_ns += offset;
        }
        Arc::new(Self {
            generation,
            component: name.component.clone(),
            operation: name.operation.clone(),
            root: start.origin.is_none(),
            origin,
            caller,
            trace: start.trace.unwrap_or_else(TraceContext::new_root),
            start_ns,
            name_id: AtomicU32::new(row.name.id),
            unanswered: AtomicBool::new(false),
            counts_messages: generation != 0
                && matches!(&start.callee, Some((id, _)) if id.transport == GRPC),
            state: Mutex::new(State {
                row,
                arrival_slot: arrival.0,
                arrival_window_ns: arrival.1,
                cost: Cost::default(),
                live_bytes: 0,
                peak_live_bytes: 0,
                wait_call_ns: 0,
                wait_store_ns: 0,
                ended: None,
                socket_open: start.socket,
                socket_seen: start.socket,
                children: 0,
                waiting: false,
                closed: false,
                callee: start.callee,
                http2: start.http2.then(Http2Weight::default),
                messages: [0; 2],
            }),
        })
    }
}
