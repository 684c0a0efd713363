//! The end of a window: all shards are swapped at one instant, and their contents become rows.

mod apportion;
mod drivers;
mod pages;
mod retained;
mod rows;

use rustc_hash::FxHashMap;
use weighbridge_wire::{
    Class, LossKey, OwnerKey, OwnerKind, ProcessKey, Quality, RowSet, RowValue, Window, column,
};

use super::names::Resolved;
use super::shard::{Common, Merged, OperationCell, Packed, Shard};
use super::{Ledger, Weight, WindowEnd};
use crate::alloc::Retained;
use crate::clock::Setup;
use crate::sync::lock;
use crate::{account, alloc, clock};
use pages::Pages;
use rows::{
    write_distributions, write_edges, write_entities, write_operations, write_owners, write_series,
};

/// What the kernel says of the process at the end of a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessGauges {
    /// Columns of the process row; what is unknown is absent.
    pub(crate) columns: Vec<(u32, i64)>,
    /// CPU of threads that do not book themselves, by owner, in this window.
    pub(crate) foreign: Vec<(OwnerKind, String, i64)>,
}

/// What one rotation hands to the next.
#[derive(Debug)]
pub(crate) struct Rotation {
    key: ProcessKey,
    /// Instant of the last rotation.
    begin_ns: u64,
    process_cpu_at_init_ns: i64,
    process_cpu_ns: i64,
    in_progress_ns: i64,
    setup: &'static Setup,
    /// What the clock had told of itself.
    clock: clock::Totals,
    /// Requests in flight by operation row.
    in_flight: FxHashMap<u32, i64>,
    /// Empty tables that take the place of the threads' at the next rotation.
    empty: Vec<Shard>,
}

impl Rotation {
    /// Begins to count: what was booked before is forgotten.
    pub(crate) fn begin(ledger: &Ledger, key: ProcessKey) -> Self {
        Self::begin_on(&clock::SETUP, ledger, key)
    }

    /// The same on this clock.
    pub(crate) fn begin_on(setup: &'static Setup, ledger: &Ledger, key: ProcessKey) -> Self {
        let begin_ns = clock::monotonic_ns();
        let mut empty = Vec::new();
        let (_, noted, _) = swap(ledger, begin_ns, &mut empty);
        let process_cpu_ns = clock::process_cpu_ns();
        account::note_elders();
        let mut told = clock::Totals::default();
        setup.end_window(&mut told);
        Self {
            key,
            setup,
            clock: told,
            begin_ns,
            process_cpu_at_init_ns: process_cpu_ns,
            process_cpu_ns,
            in_progress_ns: account::in_progress(&noted),
            in_flight: FxHashMap::default(),
            empty,
        }
    }

    /// Ends the window that began with the last rotation. `gauges` runs right after the swap. The rows go to
    /// `take`, some at a time, in the order of their keys; the last ones are those of the process and of losses.
    pub(crate) fn rotate(
        &mut self,
        ledger: &Ledger,
        window: Window,
        gauges: impl FnOnce() -> ProcessGauges,
        take: &mut dyn FnMut(&mut RowSet),
    ) -> WindowEnd {
        // The agent's own costs until here belong to this window.
        account::flush_here();
        let end_ns = clock::monotonic_ns();
        let retained = alloc::retained();
        if let Some(retained) = &retained {
            ledger.names.keep(retained.by_holder.keys());
        }
        let (taken, noted, names) = swap(ledger, end_ns, &mut self.empty);
        let in_progress_ns = account::in_progress(&noted);
        let process_cpu_ns = clock::process_cpu_ns();
        let gauges = gauges();
        let clock = self.setup.end_window(&mut self.clock);
        self.key.clock_mode = clock.mode.name().into();
        let length_ns = end_ns.saturating_sub(self.begin_ns);

        let mut merged = taken.pack(|give| give(&mut lock(&ledger.common)));
        renew(ledger, &mut merged, &names);
        let shares = apportion::http2(&mut merged, &names);
        let requests = self.requests(&merged.operations, &names, length_ns);
        let mut pages = Pages::new(take, clock.scaled);
        write_operations(&mut pages, &merged, &shares, &names, &requests.in_flight);
        let process_ns = process_cpu_ns - self.process_cpu_ns;
        let progress_ns = in_progress_ns - self.in_progress_ns;
        let explained_ns = process_ns - progress_ns;
        let owners = owner_rows(&pages, &merged, retained.as_ref(), &names, &gauges.foreign);
        let unattributed_ns = pass_owners(&mut pages, owners, explained_ns);
        // Owners come last of what conservation counts.
        let accounts_ns = pages.accounts_ns;
        let drivers = drivers::drivers(&merged, &names, &gauges.foreign);
        write_edges(&mut pages, &merged, &shares, &drivers, &names);
        write_entities(&mut pages, &merged, &names);
        let mut regions = RowSet::new();
        let strayed = ledger.regions.write(&mut regions, &merged.regions, end_ns);
        merged.lose("agent.regions", "forgotten", strayed);
        pages.mark(&mut regions);
        pages.pass(regions);
        let (mut shapes, mut last) = (RowSet::new(), RowSet::new());
        let folded = merged.shapes.write(&mut shapes, &mut last, &names);
        merged.lose_shapes(folded);
        pages.pass(shapes);
        write_series(&mut pages, &merged, &names, length_ns);
        write_distributions(&mut pages, &merged, retained.as_ref(), &names);

        let cumulative_ns = process_cpu_ns - self.process_cpu_at_init_ns;
        let mut process = RowValue::new()
            .with(column::CPU_PROCESS_NS, process_ns)
            .with(column::CPU_ACCOUNTS_NS, accounts_ns)
            .with(column::CPU_IN_PROGRESS_NS, progress_ns)
            .with(column::CPU_UNATTRIBUTED_NS, unattributed_ns)
            .with(column::CPU_CUMULATIVE_NS, cumulative_ns)
            .with(column::CPU_AGENT_NS, pages.agent_ns)
            .with(column::CLOCK_READINGS, super::edge::signed(merged.readings))
            .with(column::CPU_HOOKS_NS, super::edge::signed(merged.bills_ns))
            .with(column::OBSERVED_NS, super::edge::signed(length_ns))
            .with(column::CLOCK_REREADS, super::edge::signed(clock.rereads))
            .with(
                column::CLOCK_CORRECTIONS_NS,
                super::edge::signed(clock.corrections_ns),
            )
            .with(
                column::CLOCK_DEGRADATIONS,
                super::edge::signed(clock.degradations),
            );
        for &(column, value) in &gauges.columns {
            process.add(column, value);
            if column == column::RSS_BYTES {
                process.add(column::RSS_SUM_BYTES, value);
                process.add(column::SAMPLES, 1);
            }
        }
        // Steps of shapes come after all other kinds.
        pages.count(&mut last);
        last.add(self.key.clone().row_key(Quality::Measured), &process);
        if let Some(retained) = &retained {
            merged.lose("agent.retained", "table full", retained.lost);
        }
        merged.lose("agent.figures", "out of range", pages.bounded);
        add_losses(&mut last, &merged);
        pages.hand_over(last);

        self.begin_ns = end_ns;
        self.process_cpu_ns = process_cpu_ns;
        self.in_progress_ns = in_progress_ns;
        WindowEnd {
            window,
            started: requests.started,
            ended: requests.ended,
            process_cpu_ns: cumulative_ns,
        }
    }

    /// Counts requests, and carries those in flight over.
    fn requests(
        &mut self,
        cells: &Packed<OperationCell>,
        names: &Resolved,
        length_ns: u64,
    ) -> Requests {
        let (mut started, mut ended) = (0i64, 0i64);
        let carried: Vec<u32> = self
            .in_flight
            .keys()
            .copied()
            .filter(|id| !cells.has(*id))
            .collect();
        let mut in_flight = Vec::with_capacity(cells.len() + carried.len());
        let idle = carried.iter().map(|id| (*id, OperationCell::default()));
        for (id, cell) in cells.iter().chain(idle) {
            if names.row(id).is_none() {
                continue;
            }
            let carry = self.in_flight.remove(&id).unwrap_or(0);
            let left = carry + cell.started - cell.ended;
            if left != 0 {
                self.in_flight.insert(id, left);
            }
            started += cell.started;
            ended += cell.ended;
            // carry·W + Σ(W1 − start) − Σ(W1 − end), with instants counted from W0.
            let in_flight_ns = i128::from(left) * i128::from(length_ns) - cell.instants_ns;
            in_flight.push((id, i64::try_from(in_flight_ns).unwrap_or(i64::MAX)));
        }
        Requests {
            in_flight,
            started: u64::try_from(started).unwrap_or(0),
            ended: u64::try_from(ended).unwrap_or(0),
        }
    }
}

/// The requests of a window.
struct Requests {
    /// By operation row: the integral of those in flight.
    in_flight: Vec<(u32, i64)>,
    started: u64,
    ended: u64,
}

/// Gives places in full tables to those that cost most.
fn renew(ledger: &Ledger, merged: &mut Merged, names: &Resolved) {
    let rows = merged.operations.iter().map(|(id, cell)| {
        let (cpu_ns, times) = (cell.total_ns(), cell.started);
        (id, Weight { cpu_ns, times })
    });
    let edges = merged.edges.iter().map(|(id, cell)| (id, cell.weight()));
    let entities = merged
        .entities
        .iter()
        .map(|(id, cell)| (*id, cell.weight()));
    let replaced = ledger.names.renew(names, rows, edges, entities);
    for (place, n) in replaced {
        merged.lose(place, "replaced by heavier", n as u64);
    }
}

/// The rows of all owners but `unattributed`.
fn owner_rows(
    pages: &Pages<'_>,
    merged: &Merged,
    retained: Option<&Retained>,
    names: &Resolved,
    foreign: &[(OwnerKind, String, i64)],
) -> RowSet {
    let mut rows = RowSet::new();
    write_owners(&mut rows, merged, names);
    if let Some(retained) = retained {
        retained::write_owners(&mut rows, retained, names);
    }
    pages.mark(&mut rows);
    // Read from the clocks of their threads, whatever ours is.
    for (kind, name, cpu_ns) in foreign {
        add_owner_cpu(&mut rows, *kind, name, *cpu_ns);
    }
    rows
}

/// Hands over the rows of owners, with what is left of `explained_ns` as `unattributed`; returns how much that is.
fn pass_owners(pages: &mut Pages<'_>, mut owners: RowSet, explained_ns: i64) -> i64 {
    pages.count(&mut owners);
    let unattributed_ns = explained_ns - pages.accounts_ns;
    add_owner_cpu(
        &mut owners,
        OwnerKind::Unattributed,
        "unattributed",
        unattributed_ns,
    );
    pages.hand_over(owners);
    unattributed_ns
}

fn add_losses(rows: &mut RowSet, merged: &Merged) {
    for ((place, reason), n) in &merged.losses {
        let key = LossKey {
            place: (*place).into(),
            reason: (*reason).into(),
        };
        rows.add(
            key.row_key(Quality::Measured),
            &RowValue::new().with(column::LOST, *n),
        );
    }
}

/// Takes what is in all shards at one instant, notes how far each thread has booked, and what the ids mean. `empty`
/// shards take the place of those that hold something, and are those again afterwards.
fn swap(
    ledger: &Ledger,
    now_ns: u64,
    empty: &mut Vec<Shard>,
) -> (Common, account::InProgress, Resolved) {
    empty.resize_with(ledger.shards.len(), Shard::default);
    let mut guards: Vec<_> = ledger.shards.iter().map(lock).collect();
    // Locks are taken in the order shard, common table.
    let mut common = lock(&ledger.common);
    let noted = account::snapshot();
    for (shard, empty) in guards.iter_mut().zip(&mut *empty) {
        empty.begin_ns = now_ns;
        std::mem::swap(&mut **shard, empty);
    }
    let (mut taken, unneeded) = common.take();
    let names = ledger.names.resolve_and_forget(now_ns);
    drop((common, guards));
    drop(unneeded);
    empty.iter_mut().for_each(|shard| taken.absorb(shard));
    (taken, noted, names)
}

fn add_owner_cpu(rows: &mut RowSet, kind: OwnerKind, name: &str, cpu_ns: i64) {
    let key = OwnerKey {
        owner_kind: kind.as_str().into(),
        name: name.into(),
    };
    // All that a client's own thread does is to carry messages.
    let class = match kind {
        OwnerKind::Driver => Class::Protocol,
        _ => Class::Handler,
    };
    rows.row_mut(key.row_key(Quality::Measured))
        .add(class.column(), cpu_ns);
}
