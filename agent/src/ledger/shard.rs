//! One of the tables that threads add to. Which shard a cost lands in does not matter: rotation merges them.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use weighbridge_wire::{Histogram, Sketch, side};

use super::cost::Cost;
use super::edge::{Direction, EdgeFigures, EntityFigures, add_known, signed, size_class};
use super::names::{EdgeName, EntityName, OperationRow, OwnerId};
use super::region::RegionCosts;
use crate::entities::{Busiest, Distinct, KEY_SKETCH_HASHES, KeyHash};

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

#[derive(Clone, Debug, Default)]
pub(crate) struct DistributionCell {
    pub(crate) request_cpu: Histogram,
    /// Of requests that got shares of common work.
    pub(crate) shared_request_cpu: Histogram,
    pub(crate) wall: Histogram,
    pub(crate) root_wall: Histogram,
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

impl SizeCell {
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
        self.errors += other.errors;
        self.retries += other.retries;
        self.redelivered += other.redelivered;
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

    /// The cell of a size class.
    fn size(&mut self, direction: Direction, class: u8) -> &mut SizeCell {
        let same = |cell: &SizeCell| cell.direction == direction && cell.class == class;
        let n = self.sizes.iter().position(same).unwrap_or_else(|| {
            self.sizes.push(SizeCell::new(direction, class));
            self.sizes.len() - 1
        });
        &mut self.sizes[n]
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
        self.errors += signed(f.errors);
        self.retries += signed(f.retries);
        self.redelivered += signed(f.redelivered);
        self.http2_weight += f.http2_weight;
        self.add_sizes(caller, f, sizes);
    }

    fn add_sizes(&mut self, caller: bool, f: &EdgeFigures, sizes: &[(Direction, u64)]) {
        // A message without a body still has a head to frame and a socket call to pay.
        const HEAD_BYTES: u64 = 200;
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
        let share = |ns: Option<i64>, bytes: u64, whole: u64| {
            ns.filter(|_| whole > 0)
                .map(|ns| share_of(ns, weight(bytes), whole))
        };
        for &(direction, bytes) in sizes {
            let cell = self.size(direction, size_class(bytes));
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

/// `ns` × `part` ÷ `whole`, rounded towards zero.
fn share_of(ns: i64, part: u64, whole: u64) -> i64 {
    if part == whole {
        return ns;
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

/// Rows and bytes by database and entity.
pub(crate) type EntitySizes = HashMap<(Arc<str>, Arc<str>), (Option<i64>, Option<i64>)>;

/// How many rows of a kind a shard holds before it is emptied into the common table: rows in use stay with
/// their threads, and many rows cost the memory of one table and not of eight.
const ROWS_MAX: usize = 64;
/// As [`ROWS_MAX`] for what has histograms.
const DISTRIBUTIONS_MAX: usize = 16;

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
    pub(crate) losses: HashMap<(&'static str, &'static str), i64>,
    /// Clock readings taken.
    pub(crate) readings: u64,
}

impl Shard {
    pub(crate) fn operation(&mut self, row: &OperationRow) -> &mut OperationCell {
        self.operations.entry(row.id).or_default()
    }

    pub(crate) fn book_owner(&mut self, owner: OwnerId, cost: &Cost) {
        let n = owner.0 as usize;
        if self.owners.len() <= n {
            self.owners.resize(n + 1, Cost::default());
        }
        self.owners[n].add(cost);
    }

    /// The slot of an instant. Instants before the window, of requests that began while it was being
    /// closed, fall into the first slot.
    pub(crate) fn slot(&self, instant_ns: u64) -> u32 {
        u32::try_from(instant_ns.saturating_sub(self.begin_ns) / SLOT_NS).unwrap_or(u32::MAX)
    }

    pub(crate) fn arrive(&mut self, operation: u32, slot: u32, n: i32) {
        self.arrivals.entry(operation).or_default().add(slot, n);
    }

    /// Signed distance of an instant from the begin of the window.
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
        if n > 0 {
            let lost = self.losses.entry((place, reason)).or_default();
            *lost = lost.saturating_add(signed(n));
        }
    }

    /// True when it is to be emptied into the common table.
    pub(super) fn is_full(&self) -> bool {
        self.operations.len() > ROWS_MAX
            || self.edges.len() > ROWS_MAX
            || self.entities.len() > ROWS_MAX
            || self.distributions.len() > DISTRIBUTIONS_MAX
    }

    /// Empties `other` into this one.
    pub(super) fn absorb(&mut self, other: &mut Self) {
        for (id, cell) in other.operations.drain() {
            self.operations.entry(id).or_default().absorb(&cell);
        }
        for (n, cost) in other.owners.drain(..).enumerate() {
            self.book_owner(OwnerId(u32::try_from(n).unwrap_or(u32::MAX)), &cost);
        }
        for (id, cell) in other.distributions.drain() {
            let sum = self.distributions.entry(id).or_default();
            sum.request_cpu.merge(&cell.request_cpu);
            sum.shared_request_cpu.merge(&cell.shared_request_cpu);
            sum.wall.merge(&cell.wall);
            sum.root_wall.merge(&cell.root_wall);
        }
        for (id, arrivals) in other.arrivals.drain() {
            self.arrivals.entry(id).or_default().absorb(&arrivals);
        }
        for (id, cell) in other.edges.drain() {
            self.edges.entry(id).or_default().absorb(&cell);
        }
        for (id, cell) in other.entities.drain() {
            self.entities.entry(id).or_default().absorb(&cell);
        }
        self.entity_sizes.extend(other.entity_sizes.drain());
        for (key, n) in other.losses.drain() {
            let lost = self.losses.entry(key).or_default();
            *lost = lost.saturating_add(n);
        }
        self.regions.merge(&std::mem::take(&mut other.regions));
        self.readings += std::mem::take(&mut other.readings);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_merge_to_the_same_however_they_were_spread(
            touches in prop::collection::vec((0u64..400, 0usize..3, any::<bool>()), 0..600),
        ) {
            // Spread as hashes are: SplitMix64's step.
            let key = |n: u64, shared| KeyHash { hash: n.wrapping_mul(0x9e37_79b9_7f4a_7c15), shared };
            let touch = |cell: &mut KeyCell, n, shared| {
                let key = key(n, shared);
                cell.busiest.touch(key.hash);
                if key.shared {
                    cell.sketch().insert(key.hash);
                }
                cell.requests[usize::from(n > 200)] += 1;
            };
            let mut whole = KeyCell::default();
            let mut parts = [KeyCell::default(), KeyCell::default(), KeyCell::default()];
            for &(n, part, shared) in &touches {
                touch(&mut whole, n, shared);
                touch(&mut parts[part], n, shared);
            }
            let merged = |order: [usize; 3]| {
                let mut sum = KeyCell::default();
                order.iter().for_each(|&n| sum.absorb(&parts[n]));
                sum
            };
            for sum in [merged([0, 1, 2]), merged([2, 0, 1])] {
                prop_assert_eq!(&sum.sketch, &whole.sketch);
                prop_assert_eq!(sum.requests, whole.requests);
                prop_assert_eq!(sum.busiest.touches(), whole.busiest.touches());
            }
        }
    }

    #[test]
    fn a_share_is_the_same_by_the_short_way_and_the_long() {
        assert_eq!(share_of(1_000, 300, 400), 750);
        assert_eq!(share_of(-1_000, 1, 3), -333);
        assert_eq!(share_of(i64::MAX, u64::MAX, u64::MAX), i64::MAX);
        assert_eq!(share_of(i64::MIN + 1, 5, 10), i64::MIN / 2 + 1);
    }
}
