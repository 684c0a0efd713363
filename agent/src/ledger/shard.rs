//! One of the tables that threads add to. Which shard a cost lands in does not matter: rotation merges them.

mod common;
mod distribution;
mod exchange;
mod packed;
mod paged;

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use weighbridge_wire::{Sketch, side};

use super::cost::Cost;
use super::edge::{
    Direction, EdgeFigures, EntityFigures, add_known, signed, size_class, sum_known,
};
use super::names::{EdgeName, EntityName, OperationRow, OwnerId, Weight};
use super::region::RegionCosts;
use super::shapes::{ShapeCell, Shapes};
use crate::entities::{Busiest, Distinct, KEY_SKETCH_HASHES, KeyHash};
use crate::shape::Shape;
pub(crate) use common::{Common, Losses, Merged};
pub(crate) use distribution::DistributionCell;
pub(crate) use exchange::{Exchange, Socket};
pub(crate) use packed::Packed;
use packed::{Figures, Show};
use paged::Cell;

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
    /// Shares of work that was done for several requests; not in the other columns.
    pub(crate) shared: Option<Box<SharedCell>>,
}

/// Shares of work that was done for several requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedCell {
    pub(crate) cost: Cost,
    pub(crate) late_cpu_ns: i64,
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
    pub(crate) wall_ns: Option<i64>,
    pub(crate) errors: i64,
    pub(crate) retries: i64,
    pub(crate) redelivered: i64,
    pub(crate) redelivered_bytes: i64,
    /// Known once the bill of a request that called has closed.
    pub(crate) critical_ns: Option<i64>,
    pub(crate) sizes: Vec<SizeCell>,
    /// Of the requests that closed, as in [`OperationCell`].
    pub(crate) http2_weight: i64,
}

impl OperationCell {
    fn absorb(&mut self, other: &Self) {
        self.cost.add(&other.cost);
        self.started += other.started;
        self.ended += other.ended;
        self.errors += other.errors;
        self.client_errors += other.client_errors;
        self.wall_ns += other.wall_ns;
        self.wait_call_ns += other.wait_call_ns;
        self.wait_store_ns += other.wait_store_ns;
        self.late_cpu_ns += other.late_cpu_ns;
        self.peak_live_bytes = self.peak_live_bytes.max(other.peak_live_bytes);
        self.peak_live_sum_bytes += other.peak_live_sum_bytes;
        self.instants_ns += other.instants_ns;
        self.http2_weight += other.http2_weight;
        if let Some(other) = &other.shared {
            let shared = self.shared.get_or_insert_default();
            shared.cost.add(&other.cost);
            shared.late_cpu_ns += other.late_cpu_ns;
        }
    }

    /// CPU over all classes, shares included.
    pub(crate) fn total_ns(&self) -> i64 {
        let shared = self.shared.as_ref();
        self.cost.total_ns() + shared.map_or(0, |shared| shared.cost.total_ns())
    }
}

fn show_cost(cost: &mut Cost, to: &mut impl Show) {
    cost.cpu_ns.iter_mut().for_each(|ns| to.int(ns));
    to.ints([
        &mut cost.alloc_bytes,
        &mut cost.alloc_count,
        &mut cost.freed_bytes,
    ]);
}

impl Figures for OperationCell {
    fn show(&mut self, to: &mut impl Show) {
        show_cost(&mut self.cost, to);
        to.ints([
            &mut self.started,
            &mut self.ended,
            &mut self.errors,
            &mut self.client_errors,
            &mut self.wall_ns,
            &mut self.wait_call_ns,
            &mut self.wait_store_ns,
            &mut self.late_cpu_ns,
            &mut self.peak_live_bytes,
            &mut self.peak_live_sum_bytes,
            &mut self.http2_weight,
        ]);
        to.wide(&mut self.instants_ns);
        to.rare(&mut self.shared, |to, shared| {
            show_cost(&mut shared.cost, to);
            to.int(&mut shared.late_cpu_ns);
        });
    }
}

impl Cell for OperationCell {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Default for SizeCell {
    fn default() -> Self {
        Self::new(Direction::Request, 0)
    }
}

impl SizeCell {
    fn show(&mut self, to: &mut impl Show) {
        let mut kind = i64::from(self.class) * 2 + i64::from(self.direction == Direction::Response);
        to.int(&mut kind);
        // A class is below 12.
        self.class = u8::try_from(kind / 2).unwrap_or(0);
        self.direction = if kind % 2 == 0 {
            Direction::Request
        } else {
            Direction::Response
        };
        to.ints([&mut self.messages, &mut self.body_bytes]);
        to.known([
            &mut self.encode_ns,
            &mut self.decode_ns,
            &mut self.protocol_ns,
            &mut self.io_ns,
        ]);
    }

    fn new(direction: Direction, class: u8) -> Self {
        Self {
            direction,
            class,
            messages: 0,
            body_bytes: 0,
            encode_ns: None,
            decode_ns: None,
            protocol_ns: None,
            io_ns: None,
        }
    }
}

impl Figures for EdgeCell {
    fn show(&mut self, to: &mut impl Show) {
        to.ints([
            &mut self.request_messages,
            &mut self.request_body_bytes,
            &mut self.response_messages,
            &mut self.response_body_bytes,
            &mut self.errors,
            &mut self.retries,
            &mut self.redelivered,
            &mut self.redelivered_bytes,
            &mut self.http2_weight,
        ]);
        to.known([
            &mut self.request_wire_bytes,
            &mut self.response_wire_bytes,
            &mut self.encode_ns,
            &mut self.decode_ns,
            &mut self.protocol_ns,
            &mut self.io_ns,
            &mut self.wait_ns,
            &mut self.wall_ns,
            &mut self.critical_ns,
        ]);
        to.list(&mut self.sizes, |to, size| size.show(to));
    }
}

impl Cell for EdgeCell {
    fn reset(&mut self) {
        let mut sizes = std::mem::take(&mut self.sizes);
        sizes.clear();
        *self = Self {
            sizes,
            ..Self::default()
        };
    }
}

impl EdgeCell {
    fn absorb(&mut self, other: &Self) {
        self.request_messages += other.request_messages;
        self.request_body_bytes += other.request_body_bytes;
        add_known(&mut self.request_wire_bytes, other.request_wire_bytes);
        self.response_messages += other.response_messages;
        self.response_body_bytes += other.response_body_bytes;
        add_known(&mut self.response_wire_bytes, other.response_wire_bytes);
        add_known(&mut self.encode_ns, other.encode_ns);
        add_known(&mut self.decode_ns, other.decode_ns);
        add_known(&mut self.protocol_ns, other.protocol_ns);
        add_known(&mut self.io_ns, other.io_ns);
        add_known(&mut self.wait_ns, other.wait_ns);
        add_known(&mut self.wall_ns, other.wall_ns);
        self.errors += other.errors;
        self.retries += other.retries;
        self.redelivered += other.redelivered;
        self.redelivered_bytes += other.redelivered_bytes;
        add_known(&mut self.critical_ns, other.critical_ns);
        self.http2_weight += other.http2_weight;
        for cell in &other.sizes {
            let sum = self.size(cell.direction, cell.class);
            sum.messages += cell.messages;
            sum.body_bytes += cell.body_bytes;
            add_known(&mut sum.encode_ns, cell.encode_ns);
            add_known(&mut sum.decode_ns, cell.decode_ns);
            add_known(&mut sum.protocol_ns, cell.protocol_ns);
            add_known(&mut sum.io_ns, cell.io_ns);
        }
    }

    /// What it cost on this side.
    pub(crate) fn weight(&self) -> Weight {
        let cpu_ns = [self.encode_ns, self.decode_ns, self.protocol_ns, self.io_ns];
        Weight {
            cpu_ns: sum_known(cpu_ns),
            times: self.request_messages.saturating_add(self.response_messages),
        }
    }

    /// The cell of a size class.
    #[inline]
    fn size(&mut self, direction: Direction, class: u8) -> &mut SizeCell {
        let same = |cell: &SizeCell| cell.direction == direction && cell.class == class;
        let n = match self.sizes.iter().position(same) {
            Some(n) => n,
            None => self.new_size(direction, class),
        };
        &mut self.sizes[n]
    }

    #[cold]
    fn new_size(&mut self, direction: Direction, class: u8) -> usize {
        // Most edges have one request and one response of a size each.
        self.sizes.reserve_exact(1);
        self.sizes.push(SizeCell::new(direction, class));
        self.sizes.len() - 1
    }

    fn add(&mut self, caller: bool, f: &EdgeFigures, sizes: &[(Direction, u64)]) {
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
        add_known(&mut self.wall_ns, f.wall_ns.map(signed));
        self.errors += signed(f.errors);
        self.retries += signed(f.retries);
        self.redelivered += signed(f.redelivered);
        self.redelivered_bytes += signed(f.redelivered_bytes);
        self.http2_weight += f.http2_weight;
        self.add_sizes(caller, f, sizes);
    }

    fn add_sizes(&mut self, caller: bool, f: &EdgeFigures, sizes: &[(Direction, u64)]) {
        if sizes.is_empty() {
            return;
        }
        let sent = if caller {
            Direction::Request
        } else {
            Direction::Response
        };
        let weight = |bytes: u64| bytes.saturating_add(HEAD_BYTES);
        let (mut of_sent, mut of_received) = (0u64, 0u64);
        for (direction, bytes) in sizes {
            let sum = if *direction == sent {
                &mut of_sent
            } else {
                &mut of_received
            };
            *sum = sum.saturating_add(weight(*bytes));
        }
        let of_all = of_sent.saturating_add(of_received);
        let mut encode = Rest(f.encode_ns, of_sent);
        let mut decode = Rest(f.decode_ns, of_received);
        let mut protocol = Rest(f.protocol_ns, of_all);
        let mut io = Rest(f.io_ns, of_all);
        for &(direction, bytes) in sizes {
            let cell = self.size(direction, size_class(bytes));
            cell.messages += 1;
            cell.body_bytes += signed(bytes);
            let weight = weight(bytes);
            if direction == sent {
                add_known(&mut cell.encode_ns, encode.take(weight));
            } else {
                add_known(&mut cell.decode_ns, decode.take(weight));
            }
            add_known(&mut cell.protocol_ns, protocol.take(weight));
            add_known(&mut cell.io_ns, io.take(weight));
        }
    }
}

/// A message without a body still has a head to frame and a socket call to pay.
const HEAD_BYTES: u64 = 200;

/// A cost that is shared out by weight, and the weight of those that have not had their share.
struct Rest(Option<i64>, u64);

impl Rest {
    /// The next share. The last one is what is left, so that nothing is lost by rounding.
    fn take(&mut self, weight: u64) -> Option<i64> {
        let ns = self.0?;
        let share = share_of(ns, weight, self.1);
        self.0 = Some(ns - share);
        self.1 = self.1.saturating_sub(weight);
        Some(share)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct EntityCell {
    pub(crate) statements: i64,
    pub(crate) errors: i64,
    pub(crate) rows: Option<i64>,
    pub(crate) bytes: Option<i64>,
    pub(crate) store_ns: Option<i64>,
    pub(crate) wait_ns: Option<i64>,
    /// Present once a key was touched.
    pub(crate) keys: Option<Box<KeyCell>>,
}

/// Keys of an entity.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyCell {
    /// Requests that touched one, two, more.
    pub(crate) requests: [i64; 3],
    pub(crate) busiest: Busiest,
    /// Of hashes that mean the same in other instances.
    pub(crate) sketch: Option<Sketch>,
}

impl KeyCell {
    fn absorb(&mut self, other: &Self) {
        for (sum, n) in self.requests.iter_mut().zip(other.requests) {
            *sum += n;
        }
        self.busiest.absorb(&other.busiest);
        if let Some(sketch) = &other.sketch {
            self.sketch().merge(sketch);
        }
    }

    fn sketch(&mut self) -> &mut Sketch {
        self.sketch.get_or_insert_with(|| {
            Sketch::new(u32::try_from(KEY_SKETCH_HASHES).unwrap_or(Sketch::K_MAX))
        })
    }
}

impl EntityCell {
    fn absorb(&mut self, other: &Self) {
        self.statements += other.statements;
        self.errors += other.errors;
        add_known(&mut self.rows, other.rows);
        add_known(&mut self.bytes, other.bytes);
        add_known(&mut self.store_ns, other.store_ns);
        add_known(&mut self.wait_ns, other.wait_ns);
        if let Some(keys) = &other.keys {
            self.keys.get_or_insert_default().absorb(keys);
        }
    }
}

impl EntityCell {
    /// What it cost on this side.
    pub(crate) fn weight(&self) -> Weight {
        Weight {
            cpu_ns: self.store_ns.unwrap_or(0),
            times: self.statements,
        }
    }
}

impl Cell for EntityCell {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// `ns` × `part` ÷ `whole`, rounded towards zero.
#[inline]
fn share_of(ns: i64, part: u64, whole: u64) -> i64 {
    if part == whole || ns == 0 {
        return if part == whole { ns } else { 0 };
    }
    // Nearly always small enough for the processor's own division.
    let narrow = || {
        let product = ns.checked_mul(i64::try_from(part).ok()?)?;
        product.checked_div(i64::try_from(whole).ok()?)
    };
    narrow().unwrap_or_else(|| {
        // A share of an i64 is an i64.
        i64::try_from(i128::from(ns) * i128::from(part) / i128::from(whole.max(1))).unwrap_or(0)
    })
}

/// Arrivals of one operation by slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals(Vec<(u32, i32)>);

impl Arrivals {
    fn add(&mut self, slot: u32, n: i32) {
        // The slot of the last arrival, in nearly all cases.
        match self.0.iter_mut().rev().find(|(at, _)| *at == slot) {
            Some((_, sum)) => *sum = sum.saturating_add(n),
            None => self.0.push((slot, n)),
        }
    }

    fn absorb(&mut self, other: &Self) {
        for &(slot, n) in &other.0 {
            self.add(slot, n);
        }
    }

    /// How many arrived in each slot that is not empty.
    pub(crate) fn counts(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|&(_, n)| i64::from(n))
    }
}

impl Figures for Arrivals {
    fn show(&mut self, to: &mut impl Show) {
        to.list(&mut self.0, |to, (slot, n)| {
            let (mut at, mut count) = (i64::from(*slot), i64::from(*n));
            to.ints([&mut at, &mut count]);
            // What was packed from these types fits them.
            *slot = u32::try_from(at).unwrap_or(0);
            *n = i32::try_from(count).unwrap_or(0);
        });
    }
}

impl Cell for Arrivals {
    fn reset(&mut self) {
        self.0.clear();
    }
}

/// Rows and bytes by database and entity.
pub(crate) type EntitySizes = HashMap<(Arc<str>, Arc<str>), (Option<i64>, Option<i64>)>;

/// How many rows of a kind a shard holds before it is emptied into the common table: rows in use stay with
/// their threads, and many rows cost the memory of one table and not of eight. A hash table of 64 places takes
/// 56, and one visit may add some.
const ROWS_MAX: usize = 52;
/// As [`ROWS_MAX`] for what has histograms: 16 places take 14.
const DISTRIBUTIONS_MAX: usize = 12;
/// As [`ROWS_MAX`] for call shapes.
const SHAPES_HELD_MAX: usize = 32;

/// One of the tables that threads add to: everything booked since the last rotation or emptying.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// Instant of the last rotation.
    pub(crate) begin_ns: u64,
    pub(crate) operations: FxHashMap<u32, OperationCell>,
    /// By number of the owner; a handful.
    pub(crate) owners: Vec<Cost>,
    pub(crate) distributions: FxHashMap<u32, DistributionCell>,
    /// By operation.
    pub(crate) arrivals: FxHashMap<u32, Arrivals>,
    pub(crate) edges: FxHashMap<u32, EdgeCell>,
    pub(crate) entities: FxHashMap<u32, EntityCell>,
    pub(crate) entity_sizes: EntitySizes,
    pub(crate) regions: RegionCosts,
    /// By operation.
    pub(crate) shapes: Shapes,
    pub(crate) losses: Losses,
    /// Clock readings taken.
    pub(crate) readings: u64,
    /// What opening and closing bills took, from samples.
    pub(crate) bills_ns: u64,
}

impl Shard {
    #[inline]
    pub(crate) fn operation(&mut self, row: &OperationRow) -> &mut OperationCell {
        self.operations.entry(row.id).or_default()
    }

    #[inline]
    pub(crate) fn book_owner(&mut self, owner: OwnerId, cost: &Cost) {
        let n = owner.0 as usize;
        if self.owners.len() <= n {
            self.owners.resize(n + 1, Cost::default());
        }
        self.owners[n].add(cost);
    }

    /// The slot of an instant. Instants before the window, of requests that began while it was being
    /// closed, fall into the first slot.
    #[inline]
    pub(crate) fn slot(&self, instant_ns: u64) -> u32 {
        u32::try_from(instant_ns.saturating_sub(self.begin_ns) / SLOT_NS).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(crate) fn arrive(&mut self, operation: u32, slot: u32, n: i32) {
        self.arrivals.entry(operation).or_default().add(slot, n);
    }

    /// Signed distance of an instant from the begin of the window.
    #[inline]
    pub(crate) fn offset_ns(&self, instant_ns: u64) -> i128 {
        i128::from(instant_ns) - i128::from(self.begin_ns)
    }

    /// Adds to the edge's row. `sizes` are the body sizes of its messages.
    pub(crate) fn edge(
        &mut self,
        name: &EdgeName,
        figures: &EdgeFigures,
        sizes: &[(Direction, u64)],
    ) {
        let caller = name.edge.side == side::CALLER;
        let cell = self.edges.entry(name.id).or_default();
        cell.add(caller, figures, sizes);
    }

    /// Adds the time that calls of an edge were on the critical path of their request.
    pub(crate) fn edge_critical(&mut self, name: &EdgeName, ns: u64) {
        let cell = self.edges.entry(name.id).or_default();
        add_known(&mut cell.critical_ns, Some(signed(ns)));
    }

    /// Adds the shape of a request.
    pub(crate) fn shape(&mut self, operation: u32, shape: Shape, wall_ns: u64) {
        let (signature, cell) = ShapeCell::of(shape, wall_ns);
        let folded = self.shapes.add(operation, signature, cell);
        self.lose(common::LOST_SHAPES, "table full", folded);
    }

    /// Adds to the entity's row.
    pub(crate) fn entity(&mut self, name: &EntityName, figures: EntityFigures) {
        self.entities
            .entry(name.id)
            .or_default()
            .absorb(&EntityCell {
                statements: signed(figures.statements),
                errors: signed(figures.errors),
                rows: figures.rows.map(signed),
                bytes: figures.bytes.map(signed),
                store_ns: figures.store_ns,
                wait_ns: figures.wait_ns.map(signed),
                keys: None,
            });
    }

    /// A key was touched.
    pub(crate) fn key(&mut self, name: &EntityName, key: KeyHash) {
        let cell = self.keys_of(name);
        cell.busiest.touch(key.hash);
        if key.shared {
            cell.sketch().insert(key.hash);
        }
    }

    /// A request that touched keys has closed.
    pub(crate) fn keys(&mut self, name: &EntityName, keys: Distinct) {
        self.keys_of(name).requests[keys.class()] += 1;
    }

    fn keys_of(&mut self, name: &EntityName) -> &mut KeyCell {
        let cell = self.entities.entry(name.id).or_default();
        cell.keys.get_or_insert_default()
    }

    pub(crate) fn lose(&mut self, place: &'static str, reason: &'static str, n: u64) {
        common::lose(&mut self.losses, place, reason, n);
    }

    /// True when it is to be emptied into the common table.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.operations.len() >= ROWS_MAX
            || self.edges.len() >= ROWS_MAX
            || self.entities.len() >= ROWS_MAX
            || self.distributions.len() >= DISTRIBUTIONS_MAX
            || self.shapes.len() > SHAPES_HELD_MAX
    }
}

#[cfg(test)]
mod tests;
