//! How a bill closes: once.

use std::sync::Arc;

use weighbridge_wire::Class;

use super::{Bill, Outcome, State, waiting};
use crate::account::{self, OwnerRef};
use crate::ledger::limits::CHILD_PATIENCE_NS;
use crate::ledger::{Direction, EdgeRow, ledger};
use crate::sync::lock;

impl Bill {
    /// Closes the bill if nothing holds it open.
    pub(super) fn try_close(self: &Arc<Self>, now_ns: u64) {
        if self.must_wait(now_ns) {
            return;
        }
        // What this thread has spent for the request belongs into its histograms.
        if let Some(OwnerRef::Bill(current)) = account::current().map(|account| account.owner)
            && Arc::ptr_eq(&current, self)
        {
            account::flush_here();
        }
        let mut state = lock(&self.state);
        if !state.closed && state.ended.is_some() && !state.socket_open {
            close(self.is_recorded(), self.root, self.start_ns, &mut state);
        }
    }

    fn must_wait(self: &Arc<Self>, now_ns: u64) -> bool {
        let mut state = lock(&self.state);
        let Some((ended_ns, _)) = state.ended else {
            return true;
        };
        if state.closed || state.socket_open {
            return true;
        }
        if state.children == 0 || now_ns.saturating_sub(ended_ns) >= CHILD_PATIENCE_NS {
            return false;
        }
        // The sweep looks again; when it is full, the children's costs will be late.
        if !state.waiting {
            state.waiting = waiting::add(self);
            return state.waiting;
        }
        true
    }
}

/// Records histograms, `ended` and the callee's edge row. The caller holds the bill's lock.
pub(super) fn close(recorded: bool, root: bool, start_ns: u64, state: &mut State) {
    state.closed = true;
    let Some((ended_ns, outcome)) = state.ended else {
        return;
    };
    if !recorded {
        return;
    }
    let wall_ns = ended_ns.saturating_sub(start_ns);
    let edges_max = ledger().limits().edges_max;
    let mut shard = ledger().shard(account::shard_here());
    let end = shard.offset_ns(ended_ns);
    let weight = state.take_http2_weight();
    let cell = shard.operation(&state.row);
    cell.http2_weight += weight;
    cell.ended += 1;
    cell.instants_ns -= end;
    match outcome {
        Outcome::Ok => {}
        Outcome::ClientError => cell.client_errors += 1,
        Outcome::Error => cell.errors += 1,
    }
    cell.wall_ns += i64::try_from(wall_ns).unwrap_or(i64::MAX);
    cell.wait_call_ns += state.wait_call_ns;
    cell.wait_store_ns += state.wait_store_ns;
    cell.peak_live_bytes = cell.peak_live_bytes.max(state.peak_live_bytes);
    cell.peak_live_sum_bytes += state.peak_live_bytes;
    let distribution = shard.distributions.entry(state.row.name.id).or_default();
    // A negative sum (a clock's correction larger than the request) has no bucket but the lowest.
    distribution
        .request_cpu
        .record(u64::try_from(state.cost.own_ns()).unwrap_or(0));
    distribution.wall.record(wall_ns);
    if root {
        distribution.root_wall.record(wall_ns);
    }
    if let Some((id, mut figures)) = state.callee.take() {
        // Encoding and decoding of the request's own messages were added as they happened: the class columns
        // also hold those of messages that the request sent on. Without our socket the rest is unknown.
        if state.socket_seen {
            figures.protocol_ns = Some(state.cost.class_ns(Class::Protocol));
            figures.io_ns = Some(state.cost.class_ns(Class::Io));
        }
        if state.http2.is_some() {
            // Its socket calls are the connection's.
            figures.io_ns = None;
            figures.http2_weight = state.take_edge_weight();
        }
        if outcome == Outcome::Error {
            figures.errors = figures.errors.max(1);
        }
        // What was counted message by message has its sizes.
        let counted = state.messages;
        if figures.sizes.is_empty() || counted != [0; 2] {
            for (direction, counted, messages, bytes) in [
                (
                    Direction::Request,
                    counted[0],
                    figures.request_messages,
                    figures.request_body_bytes,
                ),
                (
                    Direction::Response,
                    counted[1],
                    figures.response_messages,
                    figures.response_body_bytes,
                ),
            ] {
                if counted == 0 && messages == 1 {
                    figures.sizes.push((direction, bytes));
                }
            }
        }
        let row = EdgeRow {
            id,
            operation: state.row.name.id,
            origin: state.row.origin.id,
        };
        if shard.edge(row, &figures, edges_max) {
            shard.lose("agent.edges", "table full", 1);
        }
    }
}
