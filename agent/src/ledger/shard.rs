//! One of the tables that threads add to. Which shard a cost lands in does not matter: rotation merges them.

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_wire::{Histogram, OTHER, side};

use super::cost::Cost;
use super::edge::{Direction, EdgeFigures, EdgeId, EntityFigures, add_known, signed, size_class};
use super::names::{OperationRow, OwnerId};
use super::region::RegionCosts;

/// Length of a slot of arrivals.
pub(crate) const SLOT_NS: u64 = 100_000_000;

/// Costs and events of one operation row.
#[derive(Clone, Debug, Default)]
pub(crate) struct OperationCell {
    pub(crate) cost: Cost,
    pub(crate) started: i64,
    pub(crate) ended: i64,
    pub(crate) errors: i64,
    pub(crate) client_errors: i64,
    pub(crate) wall_ns: i64,
    pub(crate) wait_call_ns: i64,
    pub(crate) wait_store_ns: i64,
    pub(crate) late_cpu_ns: i64,
    pub(crate) peak_live_bytes: i64,
    pub(crate) peak_live_sum_bytes: i64,
    /// Σ over starts − Σ over ends of the instant, relative to the begin of the window.
    pub(crate) instants_ns: i128,
    /// Of what HTTP/2 carried, by [`frame_weight`](super::edge::frame_weight).
    pub(crate) http2_weight: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DistributionCell {
    pub(crate) request_cpu: Histogram,
    pub(crate) wall: Histogram,
    pub(crate) root_wall: Histogram,
}

/// Key of an edge row: the edge, the operation and the origin on this side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EdgeRow {
    pub(crate) id: EdgeId,
    pub(crate) operation: u32,
    pub(crate) origin: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SizeCell {
    pub(crate) direction: Direction,
    pub(crate) class: u8,
    pub(crate) messages: i64,
    pub(crate) body_bytes: i64,
    pub(crate) encode_ns: Option<i64>,
    pub(crate) decode_ns: Option<i64>,
    pub(crate) protocol_ns: Option<i64>,
    pub(crate) io_ns: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct EdgeCell {
    pub(crate) request_messages: i64,
    pub(crate) request_body_bytes: i64,
    pub(crate) request_wire_bytes: Option<i64>,
    pub(crate) response_messages: i64,
    pub(crate) response_body_bytes: i64,
    pub(crate) response_wire_bytes: Option<i64>,
    pub(crate) encode_ns: Option<i64>,
    pub(crate) decode_ns: Option<i64>,
    pub(crate) protocol_ns: Option<i64>,
    pub(crate) io_ns: Option<i64>,
    pub(crate) wait_ns: Option<i64>,
    pub(crate) errors: i64,
    pub(crate) retries: i64,
    pub(crate) redelivered: i64,
    pub(crate) sizes: Vec<SizeCell>,
    /// Of the requests that closed, as in [`OperationCell`].
    pub(crate) http2_weight: i64,
}

impl EdgeCell {
    fn add(&mut self, caller: bool, f: &EdgeFigures) {
        self.request_messages += signed(f.request_messages);
        self.request_body_bytes += signed(f.request_body_bytes);
        add_known(
            &mut self.request_wire_bytes,
            f.request_wire_bytes.map(signed),
        );
        self.response_messages += signed(f.response_messages);
        self.response_body_bytes += signed(f.response_body_bytes);
        add_known(
            &mut self.response_wire_bytes,
            f.response_wire_bytes.map(signed),
        );
        add_known(&mut self.encode_ns, f.encode_ns);
        add_known(&mut self.decode_ns, f.decode_ns);
        add_known(&mut self.protocol_ns, f.protocol_ns);
        add_known(&mut self.io_ns, f.io_ns);
        add_known(&mut self.wait_ns, f.wait_ns.map(signed));
        self.errors += signed(f.errors);
        self.retries += signed(f.retries);
        self.redelivered += signed(f.redelivered);
        self.http2_weight += f.http2_weight;
        self.add_sizes(caller, f);
    }

    fn add_sizes(&mut self, caller: bool, f: &EdgeFigures) {
        // A message without a body still has a head to frame and a socket call to pay.
        const HEAD_BYTES: u64 = 200;
        let sent = if caller {
            Direction::Request
        } else {
            Direction::Response
        };
        let weight = |bytes: u64| i128::from(bytes.saturating_add(HEAD_BYTES));
        let total = |wanted: Option<Direction>| -> i128 {
            f.sizes
                .iter()
                .filter(|(d, _)| wanted.is_none_or(|w| w == *d))
                .map(|(_, b)| weight(*b))
                .sum()
        };
        let (of_sent, of_all) = (total(Some(sent)), total(None));
        let of_received = of_all - of_sent;
        let share = |ns: Option<i64>, bytes: u64, whole: i128| {
            ns.filter(|_| whole > 0).map(|ns| {
                // A share of an i64 is an i64.
                i64::try_from(i128::from(ns) * weight(bytes) / whole).unwrap_or(0)
            })
        };
        for &(direction, bytes) in &f.sizes {
            let class = size_class(bytes);
            let cell = match self
                .sizes
                .iter_mut()
                .position(|c| c.direction == direction && c.class == class)
            {
                Some(n) => &mut self.sizes[n],
                None => {
                    self.sizes.push(SizeCell {
                        direction,
                        class,
                        messages: 0,
                        body_bytes: 0,
                        encode_ns: None,
                        decode_ns: None,
                        protocol_ns: None,
                        io_ns: None,
                    });
                    let last = self.sizes.len() - 1;
                    &mut self.sizes[last]
                }
            };
            cell.messages += 1;
            cell.body_bytes += signed(bytes);
            if direction == sent {
                add_known(&mut cell.encode_ns, share(f.encode_ns, bytes, of_sent));
            } else {
                add_known(&mut cell.decode_ns, share(f.decode_ns, bytes, of_received));
            }
            add_known(&mut cell.protocol_ns, share(f.protocol_ns, bytes, of_all));
            add_known(&mut cell.io_ns, share(f.io_ns, bytes, of_all));
        }
    }
}

/// Key of an entity row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntityRow {
    pub(crate) operation: u32,
    pub(crate) database: Arc<str>,
    pub(crate) entity: Arc<str>,
    /// A word of [`weighbridge_wire::access`].
    pub(crate) access: &'static str,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EntityCell {
    pub(crate) statements: i64,
    pub(crate) rows: Option<i64>,
    pub(crate) bytes: Option<i64>,
}

/// Rows and bytes by database and entity.
pub(crate) type EntitySizes = HashMap<(Arc<str>, Arc<str>), (Option<i64>, Option<i64>)>;

/// One shard: everything booked since the last rotation.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// Instant of the last rotation.
    pub(crate) begin_ns: u64,
    pub(crate) operations: HashMap<u32, OperationCell>,
    pub(crate) owners: HashMap<u32, Cost>,
    pub(crate) distributions: HashMap<u32, DistributionCell>,
    /// Arrivals per slot, by operation.
    pub(crate) arrivals: HashMap<u32, HashMap<u32, i64>>,
    pub(crate) edges: HashMap<EdgeRow, EdgeCell>,
    pub(crate) entities: HashMap<EntityRow, EntityCell>,
    pub(crate) entity_sizes: EntitySizes,
    pub(crate) regions: RegionCosts,
    pub(crate) losses: HashMap<(&'static str, &'static str), i64>,
    /// Clock readings taken.
    pub(crate) readings: u64,
}

impl Shard {
    pub(crate) fn operation(&mut self, row: &OperationRow) -> &mut OperationCell {
        self.operations.entry(row.id).or_default()
    }

    pub(crate) fn book_owner(&mut self, owner: OwnerId, cost: &Cost) {
        self.owners.entry(owner.0).or_default().add(cost);
    }

    /// The slot of an instant. Instants before the window, of requests that began while it was being
    /// closed, fall into the first slot.
    pub(crate) fn slot(&self, instant_ns: u64) -> u32 {
        u32::try_from(instant_ns.saturating_sub(self.begin_ns) / SLOT_NS).unwrap_or(u32::MAX)
    }

    pub(crate) fn arrive(&mut self, operation: u32, slot: u32, n: i64) {
        *self
            .arrivals
            .entry(operation)
            .or_default()
            .entry(slot)
            .or_default() += n;
    }

    /// Signed distance of an instant from the begin of the window.
    pub(crate) fn offset_ns(&self, instant_ns: u64) -> i128 {
        i128::from(instant_ns) - i128::from(self.begin_ns)
    }

    /// Adds to the edge's row. True when the table is full and the row is `__other__`.
    pub(crate) fn edge(&mut self, mut row: EdgeRow, figures: &EdgeFigures, max: usize) -> bool {
        let folded = self.edges.len() >= max && !self.edges.contains_key(&row);
        if folded {
            let other: Arc<str> = OTHER.into();
            row.id.peer_service = if row.id.side == side::CALLEE {
                other.clone()
            } else {
                "".into()
            };
            row.id.peer_operation = row.id.peer_service.clone();
            row.id.call_id = other.clone();
            row.id.peer = other.clone();
            row.id.target = other;
            row.operation = u32::MAX;
            row.origin = u32::MAX;
        }
        let caller = row.id.side == side::CALLER;
        self.edges.entry(row).or_default().add(caller, figures);
        folded
    }

    /// Adds to the entity's row. True when the table is full and the row is `__other__`.
    pub(crate) fn entity(
        &mut self,
        mut row: EntityRow,
        figures: EntityFigures,
        max: usize,
    ) -> bool {
        let folded = self.entities.len() >= max && !self.entities.contains_key(&row);
        if folded {
            row.operation = u32::MAX;
            row.database = OTHER.into();
            row.entity = OTHER.into();
        }
        let cell = self.entities.entry(row).or_default();
        cell.statements += signed(figures.statements);
        add_known(&mut cell.rows, figures.rows.map(signed));
        add_known(&mut cell.bytes, figures.bytes.map(signed));
        folded
    }

    pub(crate) fn lose(&mut self, place: &'static str, reason: &'static str, n: u64) {
        let lost = self.losses.entry((place, reason)).or_default();
        *lost = lost.saturating_add(signed(n));
    }
}
