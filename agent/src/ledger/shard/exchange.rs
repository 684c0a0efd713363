//! A request and its answer, one message each: what nearly every request adds to its edge.
//!
//! It adds what [`Shard::edge`] would, in a quarter of the instructions: a service pays for this with each request.

use super::super::edge::{Direction, add_known, signed, size_class};
use super::super::names::EdgeName;
use super::{EdgeCell, HEAD_BYTES, Shard, share_of};

/// A request and its answer, as the callee saw them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    /// Of the bodies.
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    /// Known where the socket was ours.
    pub(crate) socket: Option<Socket>,
    pub(crate) wall_ns: u64,
    pub(crate) is_error: bool,
}

/// CPU between the socket and the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    pub(crate) protocol_ns: i64,
    pub(crate) io_ns: i64,
}

impl Shard {
    /// Adds to the edge's row, whose side is the callee's.
    #[inline]
    pub(crate) fn exchange(&mut self, name: &EdgeName, exchange: &Exchange) {
        self.edges.entry(name.id).or_default().exchange(exchange);
    }
}

impl EdgeCell {
    #[inline]
    fn exchange(&mut self, e: &Exchange) {
        self.request_messages += 1;
        self.response_messages += 1;
        self.request_body_bytes += signed(e.request_bytes);
        self.response_body_bytes += signed(e.response_bytes);
        self.errors += i64::from(e.is_error);
        add_known(&mut self.wall_ns, Some(signed(e.wall_ns)));
        // The request's share by weight; the answer's is what is left, so that nothing is lost by rounding.
        let shares = e.socket.map(|whole| {
            add_known(&mut self.protocol_ns, Some(whole.protocol_ns));
            add_known(&mut self.io_ns, Some(whole.io_ns));
            let weight = e.request_bytes.saturating_add(HEAD_BYTES);
            let of_all = weight.saturating_add(e.response_bytes.saturating_add(HEAD_BYTES));
            let first = Socket {
                protocol_ns: share_of(whole.protocol_ns, weight, of_all),
                io_ns: share_of(whole.io_ns, weight, of_all),
            };
            let rest = Socket {
                protocol_ns: whole.protocol_ns - first.protocol_ns,
                io_ns: whole.io_ns - first.io_ns,
            };
            (first, rest)
        });
        let (first, rest) = shares.unzip();
        self.one(Direction::Request, e.request_bytes, first);
        self.one(Direction::Response, e.response_bytes, rest);
    }

    #[inline]
    fn one(&mut self, direction: Direction, bytes: u64, share: Option<Socket>) {
        let cell = self.size(direction, size_class(bytes));
        cell.messages += 1;
        cell.body_bytes += signed(bytes);
        if let Some(share) = share {
            add_known(&mut cell.protocol_ns, Some(share.protocol_ns));
            add_known(&mut cell.io_ns, Some(share.io_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{EdgeCell, EdgeFigures};
    use super::*;

    proptest! {
        #[test]
        fn an_exchange_adds_what_its_figures_would(
            exchanges in prop::collection::vec(
                (0u64..1_000_000, 0u64..1_000_000, prop::option::of((-50_000i64..1 << 40, -50_000i64..1 << 40)), 0u64..1 << 40, any::<bool>()),
                1..8,
            ),
        ) {
            let (mut short, mut long) = (EdgeCell::default(), EdgeCell::default());
            for (request_bytes, response_bytes, socket, wall_ns, is_error) in exchanges {
                short.exchange(&Exchange {
                    request_bytes,
                    response_bytes,
                    socket: socket.map(|(protocol_ns, io_ns)| Socket { protocol_ns, io_ns }),
                    wall_ns,
                    is_error,
                });
                let figures = EdgeFigures {
                    request_messages: 1,
                    request_body_bytes: request_bytes,
                    response_messages: 1,
                    response_body_bytes: response_bytes,
                    protocol_ns: socket.map(|(ns, _)| ns),
                    io_ns: socket.map(|(_, ns)| ns),
                    wall_ns: Some(wall_ns),
                    errors: u64::from(is_error),
                    ..EdgeFigures::default()
                };
                let sizes = [
                    (Direction::Request, request_bytes),
                    (Direction::Response, response_bytes),
                ];
                long.add(false, &figures, &sizes);
            }
            prop_assert_eq!(format!("{short:?}"), format!("{long:?}"));
        }
    }
}
