//! How a bill closes: once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use weighbridge_wire::Class;

use super::{Bill, Outcome, State, waiting};
use crate::account;
use crate::clock;
use crate::ledger::limits::CHILD_PATIENCE_NS;
use crate::ledger::{Cost, Direction, Exchange, Shard, Socket, Wanted, Weight, ledger};
use crate::sync::lock;

impl Bill {
    /// Closes the bill if nothing holds it open.
    pub(super) fn try_close(self: &Arc<Self>, now_ns: u64) {
        if self.must_wait(now_ns) {
            return;
        }
        // What this thread has spent for the request belongs into its histograms.
        if account::is_current_bill(self) {
            account::flush_here();
        }
        let mut state = lock(&self.state);
        if self.is_closed() || state.ended.is_none() || self.is_socket_open() {
            return;
        }
        if self.is_recorded() {
            let mut shard = ledger().shard(account::shard_here());
            self.close(&mut state, &mut shard, None);
        } else {
            self.closed.store(true, Ordering::Release);
        }
    }

    /// After [`Bill::leave_socket`] and a booking, which closes the bill in most cases.
    pub(crate) fn close_if_complete(self: &Arc<Self>) {
        if !self.is_closed() {
            self.try_close(clock::monotonic_ns());
        }
    }

    fn must_wait(self: &Arc<Self>, now_ns: u64) -> bool {
        let mut state = lock(&self.state);
        let Some((ended_ns, _)) = state.ended else {
            return true;
        };
        if self.is_closed() || self.is_socket_open() {
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

    /// Records the histograms, `ended` and the callee's edge row. The caller holds the bill's lock. `last` is the
    /// last cost where it is not in the row yet.
    pub(super) fn close(&self, state: &mut State, shard: &mut Shard, last: Option<&Cost>) {
        self.closed.store(true, Ordering::Release);
        let Some((ended_ns, outcome)) = state.ended else {
            // Complete means ended.
            return;
        };
        let mut wanted_edge = None;
        if let Some(wanted) = state.wanted.take() {
            let (edge, rest) = wanted.split_edge();
            let cpu_ns = state.cost.total_ns();
            ledger().names().weigh(&rest, Weight { cpu_ns, times: 1 });
            wanted_edge = edge;
        }
        let wall_ns = ended_ns.saturating_sub(self.start_ns);
        let end = shard.offset_ns(ended_ns);
        let weight = state.take_http2_weight();
        let row = state.declared.as_ref().unwrap_or(&self.row);
        let cell = shard.operation(row);
        if let Some(last) = last {
            cell.cost.add(last);
        }
        cell.http2_weight += weight;
        cell.ended += 1;
        cell.instants_ns -= end;
        match outcome {
            Outcome::Ok => {}
            Outcome::ClientError => cell.client_errors += 1,
            Outcome::Error => cell.errors += 1,
        }
        let wall = i64::try_from(wall_ns).unwrap_or(i64::MAX);
        cell.wall_ns += wall;
        // Threads that were blocked side by side waited for longer than the request.
        let wait_call_ns = state.wait_call_ns.min(wall);
        cell.wait_call_ns += wait_call_ns;
        cell.wait_store_ns += state.wait_store_ns.min(wall - wait_call_ns);
        cell.peak_live_bytes = cell.peak_live_bytes.max(state.peak_live_bytes);
        cell.peak_live_sum_bytes += state.peak_live_bytes;
        let distribution = shard.distributions.entry(row.name.id).or_default();
        // A negative sum (a clock's correction larger than the request) has no bucket but the lowest.
        let own_ns = u64::try_from(state.cost.own_ns()).unwrap_or(0);
        distribution.record_cpu(own_ns, state.shared.is_some());
        distribution.record_wall(wall_ns, self.root);
        let operation = row.name.id;
        if let Some(keys) = state.keys.take() {
            keys.close(shard);
        }
        if let Some(calls) = state.calls.take() {
            calls.close(shard, operation, self.start_ns, ended_ns);
        }
        close_edge(outcome, wall_ns, state, shard, wanted_edge);
    }
}

impl State {
    /// Protocol and io of the request's own exchange: what its calls cost stands on their edges.
    fn own_message_ns(&self) -> [i64; 2] {
        let [called_protocol_ns, called_io_ns] = self.called_ns;
        [
            self.cost.class_ns(Class::Protocol) - called_protocol_ns,
            self.cost.class_ns(Class::Io) - called_io_ns,
        ]
    }
}

#[inline]
fn close_edge(
    outcome: Outcome,
    wall_ns: u64,
    state: &mut State,
    shard: &mut Shard,
    wanted: Option<Wanted>,
) {
    let http2_weight = state.take_edge_weight();
    let [protocol_ns, io_ns] = state.own_message_ns();
    let Some(callee) = &mut state.callee else {
        return;
    };
    if let Some((request_bytes, response_bytes)) = callee.plain()
        && state.http2.is_none()
        && wanted.is_none()
        && state.messages == [0; 2]
    {
        let socket = state.socket_seen.then_some(Socket { protocol_ns, io_ns });
        shard.exchange(
            &callee.edge,
            &Exchange {
                request_bytes,
                response_bytes,
                socket,
                wall_ns,
                is_error: outcome == Outcome::Error,
            },
        );
        return;
    }
    let figures = &mut callee.take();
    figures.wall_ns = Some(wall_ns);
    // Encoding and decoding of the request's own messages were added as they happened: the class columns
    // also hold those of messages that the request sent on. Without our socket the rest is unknown.
    if state.socket_seen {
        figures.protocol_ns = Some(protocol_ns);
        figures.io_ns = Some(io_ns);
    }
    if state.http2.is_some() {
        // Its socket calls are the connection's.
        figures.io_ns = None;
        figures.http2_weight = http2_weight;
    }
    if outcome == Outcome::Error {
        figures.errors = figures.errors.max(1);
    }
    if let Some(wanted) = wanted {
        ledger().names().weigh(&wanted, figures.weight());
    }
    // What was counted message by message has its sizes; else there is one message each way, of the whole size.
    let request = (Direction::Request, figures.request_body_bytes);
    let response = (Direction::Response, figures.response_body_bytes);
    if state.messages != [0; 2] {
        if state.messages[0] == 0 && figures.request_messages == 1 {
            figures.sizes.push(request);
        }
        if state.messages[1] == 0 && figures.response_messages == 1 {
            figures.sizes.push(response);
        }
    }
    if !figures.sizes.is_empty() {
        shard.edge(&callee.edge, figures, &figures.sizes);
        return;
    }
    let both = [request, response];
    let sizes = match (figures.request_messages, figures.response_messages) {
        _ if state.messages != [0; 2] => &[],
        (1, 1) => &both[..],
        (1, _) => &both[..1],
        (_, 1) => &both[1..],
        _ => &[],
    };
    shard.edge(&callee.edge, figures, sizes);
}
