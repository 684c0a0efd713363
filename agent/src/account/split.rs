//! One piece of work for several requests: what it costs is shared out as it is spent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use weighbridge_wire::ALL_CLASSES;

use crate::alloc::Holder;
use crate::bill::{Bill, Child};
use crate::ledger::{Cost, Shard, Spent};
use crate::sync::lock;

/// The figures of a [`Spent`], in one row.
const FIGURES: usize = ALL_CLASSES.len() + 7;

/// Several requests that share the cost of a piece of work by weights. They stay open as long as it exists.
///
/// Shares are rounded cumulatively: request n gets what lies between the n-th and the next of the marks that the
/// weights make on the whole. So the shares add up to the whole at every moment, each is within one of its exact
/// part, and no rounding gathers over many pieces.
#[derive(Debug)]
pub(crate) struct Split {
    parts: Vec<Part>,
    weight: u128,
    /// The one under whose name calls go out.
    named: usize,
    /// All that was spent so far.
    spent: Mutex<[i64; FIGURES]>,
}

#[derive(Debug)]
struct Part {
    bill: Child,
    /// Sum of the weights before this one, and with it.
    marks: [u128; 2],
}

impl Split {
    /// Shares by these weights; equally when all are 0, and a request without a weight has 0. `None` without
    /// requests.
    pub(crate) fn new(bills: &[&Arc<Bill>], weights: &[u64]) -> Option<Arc<Self>> {
        let given = |n: usize| u128::from(weights.get(n).copied().unwrap_or(0));
        let equal = (0..bills.len()).all(|n| given(n) == 0);
        let mut weight = 0;
        let parts: Vec<Part> = bills
            .iter()
            .enumerate()
            .map(|(n, bill)| {
                let before = weight;
                weight += if equal { 1 } else { given(n) };
                Part {
                    bill: bill.child(),
                    marks: [before, weight],
                }
            })
            .collect();
        if parts.is_empty() {
            return None;
        }
        let named = drawn(&parts, weight);
        Some(Arc::new(Self {
            parts,
            weight,
            named,
            spent: Mutex::new([0; FIGURES]),
        }))
    }

    /// The request under whose name calls go out. It is drawn by the weights, so that over many pieces of work
    /// what the calls cost falls on the requests in their proportion.
    pub(crate) fn named(&self) -> &Arc<Bill> {
        self.parts[self.named].bill.bill()
    }

    /// The operation of all requests, if it is one.
    pub(super) fn holder(&self) -> Holder {
        let id = self.named().name_id();
        let same = self
            .parts
            .iter()
            .all(|part| part.bill.bill().name_id() == id);
        if same {
            Holder::Operation(id)
        } else {
            Holder::Nobody
        }
    }

    /// Books to each request its share. `booked` runs once, with the shard locked.
    pub(crate) fn book(&self, spent: &Spent, shard: usize, booked: impl FnOnce(&mut Shard)) {
        let (before, after) = {
            let mut sum = lock(&self.spent);
            let before = *sum;
            for (sum, figure) in sum.iter_mut().zip(figures(spent)) {
                *sum = sum.saturating_add(figure);
            }
            (before, *sum)
        };
        let mut booked = Some(booked);
        let last = self.parts.len() - 1;
        for (n, part) in self.parts.iter().enumerate() {
            let share = std::array::from_fn(|figure| {
                let of = |sum: &[i64; FIGURES]| self.share(sum[figure], part.marks);
                of(&after) - of(&before)
            });
            let booked = if n == last { booked.take() } else { None };
            part.bill
                .bill()
                .book_share(&spent_of(share), shard, |shard| {
                    if let Some(booked) = booked {
                        booked(shard);
                    }
                });
        }
    }

    /// What lies between two marks.
    fn share(&self, sum: i64, marks: [u128; 2]) -> i64 {
        let [from, to] = marks.map(|mark| at(sum, mark, self.weight));
        to - from
    }
}

/// Where a mark lies on the sum, rounded towards zero.
fn at(sum: i64, mark: u128, weight: u128) -> i64 {
    if mark == weight {
        return sum;
    }
    // The whole weight is at most 2^64 times the number of requests: scaled down it fits, and the marks keep
    // their order.
    let shift = (u128::BITS - weight.leading_zeros()).saturating_sub(63);
    let (mark, weight) = ((mark >> shift) as i128, (weight >> shift).max(1) as i128);
    i64::try_from(i128::from(sum) * mark / weight).unwrap_or(0)
}

/// Draws one by the weights: the marks are met in turn by a sequence that fills the whole evenly (multiples of the
/// golden ratio).
fn drawn(parts: &[Part], weight: u128) -> usize {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let point = NEXT.fetch_add(GOLDEN, Ordering::Relaxed);
    let scaled = (weight >> 64) * u128::from(point)
        + (((weight & u128::from(u64::MAX)) * u128::from(point)) >> 64);
    parts
        .iter()
        .position(|part| scaled < part.marks[1])
        .unwrap_or(0)
}

fn figures(spent: &Spent) -> [i64; FIGURES] {
    let mut figures = [0; FIGURES];
    let (cpu, rest) = figures.split_at_mut(ALL_CLASSES.len());
    cpu.copy_from_slice(&spent.cost.cpu_ns);
    rest.copy_from_slice(&[
        spent.cost.alloc_bytes,
        spent.cost.alloc_count,
        spent.cost.freed_bytes,
        spent.net_bytes,
        spent.net_max_bytes,
        spent.called_ns[0],
        spent.called_ns[1],
    ]);
    figures
}

fn spent_of(figures: [i64; FIGURES]) -> Spent {
    let mut cost = Cost::default();
    let (cpu, rest) = figures.split_at(ALL_CLASSES.len());
    cost.cpu_ns.copy_from_slice(cpu);
    let [
        alloc_bytes,
        alloc_count,
        freed_bytes,
        net_bytes,
        net_max_bytes,
        called_protocol_ns,
        called_io_ns,
    ] = std::array::from_fn(|n| rest[n]);
    Spent {
        cost: Cost {
            alloc_bytes,
            alloc_count,
            freed_bytes,
            ..cost
        },
        net_bytes,
        net_max_bytes,
        called_ns: [called_protocol_ns, called_io_ns],
    }
}
