//! Edges and entities as they are recorded.

use std::sync::Arc;

use weighbridge_wire::direction;

use super::Weight;

/// Body-size classes by log4; the last holds everything larger.
pub(crate) const SIZE_CLASSES: u32 = 12;

/// The size class of a body: class n holds sizes below 4^(n+1) bytes.
pub(crate) fn size_class(body_bytes: u64) -> u8 {
    let bits = u64::BITS - body_bytes.leading_zeros();
    // 0..=3 (2 bits) is class 0, 4..=15 (4 bits) class 1, and so on.
    u8::try_from((bits.max(1) - 1) / 2)
        .unwrap_or(u8::MAX)
        .min(SIZE_CLASSES as u8 - 1)
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// From caller to callee.
    Request,
    /// From callee to caller.
    Response,
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Request => direction::REQUEST,
            Self::Response => direction::RESPONSE,
        }
    }
}

/// One side of one call. The operation, class, component and origin are those of the bill.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EdgeId {
    /// A word of [`weighbridge_wire::side`].
    pub(crate) side: &'static str,
    /// A word of [`weighbridge_wire::mode`].
    pub(crate) mode: &'static str,
    /// `http`, `grpc`, `mqtt`, `local`.
    pub(crate) transport: &'static str,
    /// Callee's side: the service that called; otherwise empty.
    pub(crate) peer_service: Arc<str>,
    /// Callee's side: the operation that called; otherwise empty.
    pub(crate) peer_operation: Arc<str>,
    /// Made by the caller; empty when the caller has no agent.
    pub(crate) call_id: Arc<str>,
    /// The peer as the caller names it.
    pub(crate) peer: Arc<str>,
    /// Method and client-side template, or topic.
    pub(crate) target: Arc<str>,
}

/// Figures of one or more messages over an edge. `None` means unknown, which is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EdgeFigures {
    pub(crate) request_messages: u64,
    pub(crate) request_body_bytes: u64,
    pub(crate) request_wire_bytes: Option<u64>,
    pub(crate) response_messages: u64,
    pub(crate) response_body_bytes: u64,
    pub(crate) response_wire_bytes: Option<u64>,
    /// CPU on this side, signed as all CPU figures are.
    pub(crate) encode_ns: Option<i64>,
    pub(crate) decode_ns: Option<i64>,
    pub(crate) protocol_ns: Option<i64>,
    pub(crate) io_ns: Option<i64>,
    /// Wall time from send to end of response; a consumer's lag since publishing.
    pub(crate) wait_ns: Option<u64>,
    /// Callee's side: wall time of the request, known once it has closed.
    pub(crate) wall_ns: Option<u64>,
    pub(crate) errors: u64,
    pub(crate) retries: u64,
    pub(crate) redelivered: u64,
    pub(crate) redelivered_bytes: u64,
    /// The body size of each message, for the size classes. Encoding is shared out over the messages that
    /// this side sent and decoding over those it received; protocol and io over all, by bytes.
    pub(crate) sizes: Vec<(Direction, u64)>,
    /// What HTTP/2 carried of it, by [`frame_weight`]; 0 where protocol and io are measured.
    pub(crate) http2_weight: i64,
}

impl EdgeFigures {
    /// What it costs on this side.
    pub(crate) fn weight(&self) -> Weight {
        let cpu_ns = [self.encode_ns, self.decode_ns, self.protocol_ns, self.io_ns];
        Weight {
            cpu_ns: sum_known(cpu_ns),
            times: signed(self.request_messages.saturating_add(self.response_messages)),
        }
    }
}

/// The sum of what is known.
pub(crate) fn sum_known<const N: usize>(figures: [Option<i64>; N]) -> i64 {
    figures.into_iter().flatten().fold(0, i64::saturating_add)
}

/// What a header frame weighs when the cost of an HTTP/2 connection is apportioned; a byte of a body weighs 1.
const HEADER_FRAME_WEIGHT: u64 = 50;

/// The weight of frames that an HTTP/2 connection carried.
pub(crate) fn frame_weight(header_frames: u64, body_bytes: u64) -> i64 {
    signed(
        header_frames
            .saturating_mul(HEADER_FRAME_WEIGHT)
            .saturating_add(body_bytes),
    )
}

/// Figures of one statement on an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntityFigures {
    pub(crate) statements: u64,
    pub(crate) errors: u64,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
    /// CPU in class `store`, signed as all CPU figures are.
    pub(crate) store_ns: Option<i64>,
    pub(crate) wait_ns: Option<u64>,
}

impl EntityFigures {
    /// What it costs on this side.
    pub(crate) fn weight(&self) -> Weight {
        Weight {
            cpu_ns: self.store_ns.unwrap_or(0),
            times: signed(self.statements),
        }
    }
}

/// Adds an optional figure: unknown plus known is known.
pub(crate) fn add_known(sum: &mut Option<i64>, figure: Option<i64>) {
    if let Some(figure) = figure {
        *sum = Some(sum.unwrap_or(0).saturating_add(figure));
    }
}

/// A count as a column holds it.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_begin_at_powers_of_four() {
        assert_eq!([0, 1, 3].map(size_class), [0, 0, 0]);
        assert_eq!([4, 15, 16, 63, 64].map(size_class), [1, 1, 2, 2, 3]);
        assert_eq!(size_class(4u64.pow(11) - 1), 10);
        assert_eq!([4u64.pow(11), u64::MAX].map(size_class), [11, 11]);
    }
}
