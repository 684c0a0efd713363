//! The record of one call: made when it starts, written once when it is dropped.

use std::sync::Arc;

use hyper_util::client::legacy::connect::CaptureConnection;

use super::meter::{Carried, Meter};
use crate::bill::{Bill, CallToken};
use crate::clock;
use crate::ledger::{Direction, EdgeFigures, EdgeId, record_edge};
use crate::messages::Spent;

/// Gathers the figures of a call. Dropping it records them, so that no way out forgets to.
#[derive(Debug)]
pub(super) struct CallRecord {
    /// The call among those of its request.
    token: Option<CallToken>,
    edge: EdgeId,
    request_body_bytes: u64,
    encode_ns: Option<i64>,
    decode_ns: Option<i64>,
    protocol_ns: i64,
    io_ns: i64,
    captured: CaptureConnection,
    start_ns: u64,
    answered: bool,
    failed: bool,
    response_body_bytes: u64,
    /// The end of the exchange: its time, and what the connection carried.
    ended: Option<(u64, Option<Carried>)>,
}

impl CallRecord {
    pub(super) fn begin(
        bill: Option<Arc<Bill>>,
        edge: EdgeId,
        request_body_bytes: u64,
        encode_ns: Option<i64>,
        captured: CaptureConnection,
    ) -> Self {
        let start_ns = clock::monotonic_ns();
        let token = bill.map(|bill| bill.call_began(&edge.call_id, true, start_ns));
        Self {
            token,
            edge,
            request_body_bytes,
            encode_ns,
            decode_ns: None,
            protocol_ns: 0,
            io_ns: 0,
            captured,
            start_ns,
            answered: false,
            failed: false,
            response_body_bytes: 0,
            ended: None,
        }
    }

    /// The request is built: what that cost belongs to the call.
    pub(super) fn built(&mut self, building: Spent) {
        let (protocol_ns, io_ns) = building.end();
        self.protocol_ns += protocol_ns;
        self.io_ns += io_ns;
    }

    /// Runs a poll of the call in class `protocol`.
    pub(super) fn poll<R>(
        &mut self,
        poll: impl FnOnce() -> std::task::Poll<R>,
    ) -> std::task::Poll<R> {
        let spent = Spent::begin_protocol();
        let result = poll();
        let (protocol_ns, io_ns) = spent.end();
        self.protocol_ns += protocol_ns;
        self.io_ns += io_ns;
        result
    }

    /// The head of the response is there.
    pub(super) fn answered(&mut self, server_error: bool) {
        self.answered = true;
        self.failed = server_error;
    }

    /// A piece of the response body is there.
    pub(super) fn received(&mut self, bytes: usize) {
        self.response_body_bytes += bytes as u64;
    }

    /// Bytes of the response body so far.
    pub(super) fn received_bytes(&self) -> u64 {
        self.response_body_bytes
    }

    /// The call failed, with or without an answer.
    pub(super) fn failed(&mut self) {
        self.failed = true;
        self.exchange_ended();
    }

    /// CPU of decoding the body.
    pub(super) fn decoded(&mut self, cpu_ns: i64) {
        self.decode_ns = Some(self.decode_ns.unwrap_or(0) + cpu_ns);
    }

    /// The last byte was read, or none will be: the connection may serve the next request from here on.
    pub(super) fn exchange_ended(&mut self) {
        if self.ended.is_none() {
            let carried = self.meter().map(|meter| meter.claim());
            let now_ns = clock::monotonic_ns();
            self.ended = Some((now_ns, carried));
            if let Some(token) = &mut self.token {
                token.end(now_ns, true);
            }
        }
    }

    /// The meter of the connection that the request was given, if it was given one.
    fn meter(&self) -> Option<Meter> {
        let connected = self.captured.connection_metadata();
        let mut extras = http::Extensions::new();
        connected.as_ref()?.get_extras(&mut extras);
        extras.get::<Meter>().cloned()
    }

    fn figures(&self, ended_ns: u64, carried: Option<Carried>) -> EdgeFigures {
        let sent = self.answered || carried.is_some_and(|carried| carried.begun);
        let mut figures = EdgeFigures {
            encode_ns: self.encode_ns,
            decode_ns: self.decode_ns,
            protocol_ns: Some(self.protocol_ns + carried.map_or(0, |c| c.protocol_ns)),
            io_ns: Some(self.io_ns + carried.map_or(0, |c| c.io_ns)),
            wait_ns: Some(ended_ns.saturating_sub(self.start_ns)),
            errors: u64::from(self.failed),
            ..EdgeFigures::default()
        };
        if sent {
            figures.request_messages = 1;
            figures.request_body_bytes = self.request_body_bytes;
            // Given up before they were counted: unknown.
            figures.request_wire_bytes = carried
                .map(|carried| carried.written_bytes)
                .filter(|&bytes| bytes > 0);
            figures
                .sizes
                .push((Direction::Request, self.request_body_bytes));
        }
        if self.answered {
            figures.response_messages = 1;
            figures.response_body_bytes = self.response_body_bytes;
            figures.response_wire_bytes = carried.map(|carried| carried.read_bytes);
            figures
                .sizes
                .push((Direction::Response, self.response_body_bytes));
        }
        figures
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        self.exchange_ended();
        let Some((ended_ns, carried)) = self.ended else {
            return;
        };
        let figures = self.figures(ended_ns, carried);
        #[cfg(test)]
        super::tests::observe(&self.edge, &figures);
        let bill = self.token.as_ref().map(|token| &**token.bill());
        let edge = record_edge(bill, &self.edge, &figures);
        if let Some(token) = &mut self.token {
            token.recorded(edge);
        }
    }
}
