//! What is not acknowledged yet.

mod pending;
mod piece;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use weighbridge_wire::{
    Delta, Epoch, Identity, LossKey, Quality, RowSet, Tombstone, Totals, column,
};

use crate::ledger::WindowEnd;
use pending::Pending;
pub(crate) use piece::{Encoder, Form};

/// The place in loss rows.
const PLACE: &str = "agent.spool";

/// Why a delta was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GivenUp {
    /// The spool was full and nothing more could be merged.
    Full,
    /// The collector refused it.
    Refused,
}

impl GivenUp {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Refused => "refused",
        }
    }
}

/// Windows and CPU given up, by reason, that no delta has carried to the collector yet.
type Losses = BTreeMap<GivenUp, (i64, i64)>;

/// The delta under way.
#[derive(Clone, Debug)]
struct InFlight {
    seq: u64,
    body: Bytes,
    windows: i64,
    ended: u64,
    cpu_ns: i64,
    /// What it carries about others; returns to the spool when this one is given up too.
    tombstones: Vec<Tombstone>,
    losses: Losses,
}

/// Everything that is not acknowledged, bounded.
#[derive(Debug)]
pub(super) struct Spool {
    identity: Identity,
    epoch: Epoch,
    form: Form,
    windows_max: usize,
    bytes_max: usize,
    next_seq: u64,
    totals: Totals,
    pending: VecDeque<Pending>,
    in_flight: Option<InFlight>,
    tombstones: Vec<Tombstone>,
    losses: Losses,
}

impl Spool {
    /// An empty spool.
    pub(super) fn new(
        identity: Identity,
        epoch: Epoch,
        form: Form,
        windows_max: usize,
        bytes_max: usize,
    ) -> Self {
        Self {
            identity,
            epoch,
            form,
            windows_max: windows_max.max(1),
            bytes_max,
            next_seq: 0,
            totals: Totals::default(),
            pending: VecDeque::new(),
            in_flight: None,
            tombstones: Vec::new(),
            losses: Losses::new(),
        }
    }

    /// True when everything is acknowledged or given up.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.in_flight.is_none()
    }

    /// What the rows of a window are written into.
    pub(super) fn encoder(&self) -> Encoder {
        Encoder::new(self.form)
    }

    /// Takes a window, and merges or gives up older ones if there is no room.
    pub(super) fn offer(&mut self, end: WindowEnd, rows: Encoder) {
        let (parts, last) = rows.finish();
        for part in parts {
            self.pending.push_back(Pending::part(end.window, part));
        }
        self.pending.push_back(Pending::new(end, last));
        while self.pending.len() > self.windows_max || self.bytes() > self.bytes_max {
            if !self.merge_neighbours() && !self.give_up_oldest() {
                break;
            }
        }
    }

    /// The delta to send: its number and its bytes, the same until it is acknowledged or given up.
    pub(super) fn next(&mut self) -> Option<(u64, Bytes)> {
        if self.in_flight.is_none() {
            let pending = self.pending.pop_front()?;
            let in_flight = self.encode(&pending);
            self.in_flight = Some(in_flight);
        }
        self.in_flight
            .as_ref()
            .map(|delta| (delta.seq, delta.body.clone()))
    }

    /// The delta `seq` is safe.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        self.in_flight.take_if(|delta| delta.seq == seq);
    }

    /// The delta `seq` will never be taken.
    pub(super) fn give_up(&mut self, seq: u64, why: GivenUp) {
        let Some(delta) = self.in_flight.take_if(|delta| delta.seq == seq) else {
            return;
        };
        self.tombstones.splice(..0, delta.tombstones);
        for (why, (windows, cpu_ns)) in delta.losses {
            self.lose(why, windows, cpu_ns);
        }
        self.bury(seq, delta.ended, delta.cpu_ns);
        self.lose(why, delta.windows, delta.cpu_ns);
    }

    fn bytes(&self) -> usize {
        let pending: usize = self.pending.iter().map(Pending::bytes).sum();
        pending + self.in_flight.as_ref().map_or(0, |delta| delta.body.len())
    }

    /// Merges the two neighbours that together cover the fewest windows, the oldest first: resolution is
    /// lost evenly and where it is missed least.
    fn merge_neighbours(&mut self) -> bool {
        let windows = |n: usize| {
            let pair = self.pending.get(n).zip(self.pending.get(n + 1));
            pair.map_or(u32::MAX, |(a, b)| a.windows().saturating_add(b.windows()))
        };
        let mut pairs: Vec<usize> = (1..self.pending.len()).map(|n| n - 1).collect();
        pairs.sort_by_key(|&n| windows(n));
        for n in pairs {
            let merged = match (self.pending.get(n), self.pending.get(n + 1)) {
                (Some(a), Some(b)) => a.merged(b, self.form),
                _ => None,
            };
            if let Some(merged) = merged {
                self.pending.remove(n + 1);
                if let Some(slot) = self.pending.get_mut(n) {
                    *slot = merged;
                }
                return true;
            }
        }
        false
    }

    /// Gives up the oldest window that was never sent. It gets a number all the same, so that the gap is
    /// explained.
    fn give_up_oldest(&mut self) -> bool {
        let Some(pending) = self.pending.pop_front() else {
            return false;
        };
        let seq = self.take_seq();
        let cpu_ns = pending.accounts_cpu_ns();
        self.totals = pending.add_to(self.totals);
        self.bury(seq, pending.ended(), cpu_ns);
        self.lose(GivenUp::Full, i64::from(pending.windows()), cpu_ns);
        true
    }

    fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// Notes a tombstone. Numbers that follow each other become one: between two acknowledgements that is
    /// all of them, so the list stays far below the limit of the wire.
    fn bury(&mut self, seq: u64, ended: u64, cpu_ns: i64) {
        self.tombstones.push(Tombstone {
            seq_first: seq,
            seq_last: seq,
            ended,
            cpu_ns,
        });
        self.tombstones.sort_by_key(|tombstone| tombstone.seq_first);
        self.tombstones.dedup_by(|later, earlier| {
            let follows = earlier.seq_last + 1 == later.seq_first;
            if follows {
                earlier.seq_last = later.seq_last;
                earlier.ended = earlier.ended.saturating_add(later.ended);
                earlier.cpu_ns = earlier.cpu_ns.saturating_add(later.cpu_ns);
            }
            follows
        });
    }

    fn lose(&mut self, why: GivenUp, windows: i64, cpu_ns: i64) {
        let sum = self.losses.entry(why).or_default();
        sum.0 = sum.0.saturating_add(windows);
        sum.1 = sum.1.saturating_add(cpu_ns);
    }

    /// Gives the oldest window its number.
    fn encode(&mut self, pending: &Pending) -> InFlight {
        let losses = std::mem::take(&mut self.losses);
        let tombstones = std::mem::take(&mut self.tombstones);
        let seq = self.take_seq();
        self.totals = pending.add_to(self.totals);
        let bare = Delta {
            identity: self.identity.clone(),
            epoch: self.epoch,
            seq,
            window: pending.window(),
            rows: RowSet::new(),
            cumulative: self.totals,
            tombstones: tombstones.clone(),
        };
        InFlight {
            seq,
            body: pending.rows().body(&bare, &loss_rows(&losses)),
            windows: i64::from(pending.windows()),
            ended: pending.ended(),
            cpu_ns: pending.accounts_cpu_ns(),
            tombstones,
            losses,
        }
    }
}

fn loss_rows(losses: &Losses) -> RowSet {
    let mut rows = RowSet::new();
    for (why, &(windows, cpu_ns)) in losses {
        let key = LossKey {
            place: PLACE.into(),
            reason: why.as_str().into(),
        };
        let row = rows.row_mut(key.row_key(Quality::Measured));
        row.add(column::LOST, windows);
        row.add(column::LOST_CPU_NS, cpu_ns);
    }
    rows
}

#[cfg(test)]
mod tests;
