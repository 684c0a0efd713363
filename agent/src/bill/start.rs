//! How a bill begins.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex};

use super::entrance::{Entrance, EntranceNames};
use super::timed::Timed;
use super::{Arrival, Bill, Callee, Http2Weight, State};
use crate::ledger::{Cost, EdgeFigures, EdgeId, ledger};
use crate::propagation::{Trace, TraceContext};
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

/// What else a bill begins with.
#[derive(Debug, Default)]
pub(crate) struct Opening<'a> {
    /// The trace that the request belongs to.
    pub(crate) trace: Trace,
    /// What is known of the callee's side of its edge, taken from where it stands: it is large. `None` is one
    /// message that came.
    pub(crate) figures: Option<&'a mut EdgeFigures>,
    /// When it began, if that is known; else now.
    pub(crate) begun_ns: Option<u64>,
    /// True when [`Bill::socket_done`] will be called.
    pub(crate) socket: bool,
    /// True when protocol and io are those of an HTTP/2 connection that other requests share.
    pub(crate) http2: bool,
}

impl Bill {
    /// Opens a bill: `started` is counted now.
    pub(crate) fn start(start: Start<'_>) -> Arc<Self> {
        let start_ns = clock::monotonic_ns();
        let timed = Timed::begin(start_ns);
        let (edge, mut figures) = start.callee.unzip();
        let names = EntranceNames {
            component: start.component,
            operation: start.operation,
            caller: start.caller,
            origin: start.origin,
            callee: edge.as_ref(),
        };
        let opening = Opening {
            trace: start.trace.map_or_else(Trace::default, Trace::from),
            figures: figures.as_mut(),
            begun_ns: Some(start_ns),
            socket: start.socket,
            http2: start.http2,
        };
        let (entrance, _) = Entrance::find(ledger(), &names);
        let again = || Entrance::find(ledger(), &names).0;
        Timed::end_with(timed, Self::open_at(start_ns, entrance, opening, again))
    }

    /// Opens a bill at an entrance; `again` looks it up when its names were forgotten in this instant.
    pub(crate) fn open(
        entrance: Entrance,
        opening: Opening<'_>,
        again: impl FnOnce() -> Entrance,
    ) -> Arc<Self> {
        let start_ns = opening.begun_ns.unwrap_or_else(clock::monotonic_ns);
        let timed = Timed::begin(start_ns);
        Timed::end_with(timed, Self::open_at(start_ns, entrance, opening, again))
    }

    #[inline]
    fn open_at(
        start_ns: u64,
        entrance: Entrance,
        opening: Opening<'_>,
        again: impl FnOnce() -> Entrance,
    ) -> Arc<Self> {
        let generation = state::generation();
        if generation == 0 {
            return Self::open_unweighed(entrance, opening);
        }
        let ledger = ledger();
        let shard = ledger.shard(account::shard_here());
        let (entrance, mut shard) = if entrance.is_valid(ledger) {
            (entrance, shard)
        } else {
            drop(shard);
            (again(), ledger.shard(account::shard_here()))
        };
        let row = &entrance.row;
        row.name.arrive();
        let arrival = Arrival {
            slot: shard.slot(start_ns),
            window_ns: shard.begin_ns,
        };
        shard.arrive(row.name.id, arrival.slot, 1);
        let offset = shard.offset_ns(start_ns);
        let cell = shard.operation(row);
        cell.started += 1;
        cell.instants_ns += offset;
        drop(shard);
        Arc::new(Self::new(entrance, opening, start_ns, generation, arrival))
    }

    /// Opens a bill that nobody records: for its names.
    pub(crate) fn open_unweighed(entrance: Entrance, opening: Opening<'_>) -> Arc<Self> {
        let start_ns = opening.begun_ns.unwrap_or_else(clock::monotonic_ns);
        Arc::new(Self::new(
            entrance,
            opening,
            start_ns,
            0,
            Arrival::default(),
        ))
    }

    #[inline]
    fn new(
        entrance: Entrance,
        opening: Opening<'_>,
        start_ns: u64,
        generation: u32,
        arrival: Arrival,
    ) -> Self {
        Self {
            generation,
            root: entrance.root,
            trace: opening.trace,
            start_ns,
            unanswered: AtomicBool::new(false),
            name_id: AtomicU32::new(entrance.row.name.id),
            counts_messages: generation != 0
                && matches!(&entrance.callee, Some(name) if name.edge.transport == GRPC),
            http2: opening.http2,
            ended: AtomicBool::new(false),
            waiting: [const { AtomicU32::new(0) }; 2],
            socket_open: AtomicBool::new(opening.socket),
            closed: AtomicBool::new(false),
            row: entrance.row,
            unfolded: entrance.unfolded,
            state: Mutex::new(State {
                declared: None,
                arrival,
                cost: Cost::default(),
                called_ns: [0; 2],
                shared: None,
                live_bytes: 0,
                peak_live_bytes: 0,
                wait_call_ns: 0,
                wait_store_ns: 0,
                left: None,
                calls: None,
                ended: None,
                socket_seen: opening.socket,
                children: 0,
                waiting: false,
                wanted: entrance.wanted,
                callee: entrance
                    .callee
                    .map(|edge| Callee::new(edge, opening.figures.map(std::mem::take))),
                http2: opening.http2.then(Http2Weight::default),
                keys: None,
                messages: [0; 2],
            }),
        }
    }
}
