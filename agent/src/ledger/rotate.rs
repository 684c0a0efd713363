//! The end of a window: all shards are swapped at one instant, and their contents become rows.

mod apportion;
mod retained;
mod rows;

use rustc_hash::FxHashMap;
use weighbridge_wire::{
    Class, LossKey, OperationKey, OwnerKey, OwnerKind, ProcessKey, Quality, RowKind, RowSet,
    RowValue, Window, column,
};

use super::names::Resolved;
use super::shard::{OperationCell, Shard};
use super::{Ledger, OperationRow, WindowLedger};
use crate::sync::lock;
use crate::{account, alloc, clock};
use rows::{
    apportion_cpu, bound_figures, write_distributions, write_edges, write_entities, write_owners,
    write_series,
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
    /// What the clock had told of itself.
    clock: clock::Totals,
    /// Requests in flight by operation row.
    in_flight: FxHashMap<u32, i64>,
}

impl Rotation {
    /// Begins to count: what was booked before is forgotten.
    pub(crate) fn begin(ledger: &Ledger, key: ProcessKey) -> Self {
        let begin_ns = clock::monotonic_ns();
        let (_, noted, _) = swap(ledger, begin_ns);
        let process_cpu_ns = clock::process_cpu_ns();
        let mut told = clock::Totals::default();
        clock::end_window(&mut told);
        Self {
            key,
            clock: told,
            begin_ns,
            process_cpu_at_init_ns: process_cpu_ns,
            process_cpu_ns,
            in_progress_ns: account::in_progress(&noted),
            in_flight: FxHashMap::default(),
        }
    }

    /// Ends the window that began with the last rotation. `gauges` runs right after the swap.
    pub(crate) fn rotate(
        &mut self,
        ledger: &Ledger,
        window: Window,
        gauges: impl FnOnce() -> ProcessGauges,
    ) -> WindowLedger {
        // The agent's own costs until here belong to this window.
        account::flush_here();
        let end_ns = clock::monotonic_ns();
        let retained = alloc::retained();
        if let Some(retained) = &retained {
            ledger.names.keep(retained.by_holder.keys());
        }
        let (shards, noted, names) = swap(ledger, end_ns);
        let in_progress_ns = account::in_progress(&noted);
        let process_cpu_ns = clock::process_cpu_ns();
        let gauges = gauges();
        let clock = clock::end_window(&mut self.clock);
        self.key.clock_mode = clock.mode.name().into();
        let length_ns = end_ns.saturating_sub(self.begin_ns);

        let mut merged = merged(shards);
        let costs = merged
            .operations
            .iter()
            .map(|(id, cell)| (*id, cell.cost.total_ns(), cell.started));
        for (place, n) in ledger.names.renew(&names, costs) {
            if n > 0 {
                let lost = merged.losses.entry((place, "replaced by heavier"));
                *lost.or_default() += i64::try_from(n).unwrap_or(i64::MAX);
            }
        }
        let mut rows = RowSet::new();
        let shares = apportion::http2(&mut merged, &names);
        shares.write_operations(&mut rows, &names);
        let (started, ended) = self.operations(&mut rows, &merged.operations, &names, length_ns);
        write_owners(&mut rows, &merged, &names);
        write_distributions(&mut rows, &merged, &names);
        write_series(&mut rows, &merged, &names, length_ns);
        write_edges(&mut rows, &merged, &shares, &names);
        write_entities(&mut rows, &merged, &names);
        if let Some(retained) = &retained {
            retained::write_retained(&mut rows, retained, &names);
            merged.lose("agent.retained", "table full", retained.lost);
        }
        let strayed = ledger.regions.write(&mut rows, &merged.regions, end_ns);
        merged.lose("agent.regions", "forgotten", strayed);
        if clock.scaled {
            rows = apportion_cpu(&rows);
        }
        // Read from the clocks of their threads, whatever ours is.
        for (kind, name, cpu_ns) in &gauges.foreign {
            add_owner_cpu(&mut rows, *kind, name, *cpu_ns);
        }
        let bounded = bound_figures(&mut rows);
        if bounded > 0 {
            let figures = merged.losses.entry(("agent.figures", "out of range"));
            *figures.or_default() += bounded;
        }
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

        let agent_ns = rows
            .of_kind(RowKind::Owner)
            .filter(|(key, _)| {
                key.parts
                    .first()
                    .is_some_and(|kind| **kind == *OwnerKind::Agent.as_str())
            })
            .map(|(_, row)| row.cpu_ns())
            .sum();
        let accounts_ns = rows.accounts_cpu_ns();
        let process_ns = process_cpu_ns - self.process_cpu_ns;
        let progress_ns = in_progress_ns - self.in_progress_ns;
        let unattributed_ns = process_ns - accounts_ns - progress_ns;
        add_owner_cpu(
            &mut rows,
            OwnerKind::Unattributed,
            "unattributed",
            unattributed_ns,
        );
        let cumulative_ns = process_cpu_ns - self.process_cpu_at_init_ns;
        let mut process = RowValue::new()
            .with(column::CPU_PROCESS_NS, process_ns)
            .with(column::CPU_ACCOUNTS_NS, accounts_ns)
            .with(column::CPU_IN_PROGRESS_NS, progress_ns)
            .with(column::CPU_UNATTRIBUTED_NS, unattributed_ns)
            .with(column::CPU_CUMULATIVE_NS, cumulative_ns)
            .with(column::CPU_AGENT_NS, agent_ns)
            .with(column::CLOCK_READINGS, super::edge::signed(merged.readings))
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
        rows.add(self.key.clone().row_key(Quality::Measured), &process);

        self.begin_ns = end_ns;
        self.process_cpu_ns = process_cpu_ns;
        self.in_progress_ns = in_progress_ns;
        WindowLedger {
            window,
            rows,
            started,
            ended,
            process_cpu_ns: cumulative_ns,
        }
    }

    /// Operation rows, with in-flight requests carried over. Returns started and ended.
    fn operations(
        &mut self,
        rows: &mut RowSet,
        cells: &FxHashMap<u32, OperationCell>,
        names: &Resolved,
        length_ns: u64,
    ) -> (u64, u64) {
        let (mut started, mut ended) = (0i64, 0i64);
        let carried: Vec<u32> = self
            .in_flight
            .keys()
            .copied()
            .filter(|id| !cells.contains_key(id))
            .collect();
        let memory = alloc::is_installed();
        let idle = OperationCell::default();
        for (id, cell) in cells.iter().chain(carried.iter().map(|id| (id, &idle))) {
            let Some(name) = names.row(*id) else { continue };
            let carry = self.in_flight.remove(id).unwrap_or(0);
            let left = carry + cell.started - cell.ended;
            if left != 0 {
                self.in_flight.insert(*id, left);
            }
            started += cell.started;
            ended += cell.ended;
            // carry·W + Σ(W1 − start) − Σ(W1 − end), with instants counted from W0.
            let in_flight_ns = i128::from(left) * i128::from(length_ns) - cell.instants_ns;
            let row = rows.row_mut(operation_key(name).row_key(Quality::Measured));
            cell.cost.write(row, memory);
            row.add(column::STARTED, cell.started);
            row.add(column::ENDED, cell.ended);
            row.add(column::ERRORS, cell.errors);
            row.add(column::CLIENT_ERRORS, cell.client_errors);
            row.add(
                column::IN_FLIGHT_NS,
                i64::try_from(in_flight_ns).unwrap_or(i64::MAX),
            );
            row.add(column::WALL_NS, cell.wall_ns);
            row.add(column::WAIT_CALL_NS, cell.wait_call_ns);
            row.add(column::WAIT_STORE_NS, cell.wait_store_ns);
            row.add(column::LATE_CPU_NS, cell.late_cpu_ns);
            if memory {
                row.add(column::PEAK_LIVE_BYTES, cell.peak_live_bytes);
                row.add(column::PEAK_LIVE_SUM_BYTES, cell.peak_live_sum_bytes);
            }
        }
        (
            u64::try_from(started).unwrap_or(0),
            u64::try_from(ended).unwrap_or(0),
        )
    }
}

fn operation_key(row: &OperationRow) -> OperationKey {
    OperationKey {
        component: row.name.component.clone(),
        operation: row.name.operation.clone(),
        class: row.name.class.clone(),
        caller_service: row.caller.service.clone(),
        caller_operation: row.caller.operation.clone(),
        origin_service: row.origin.service.clone(),
        origin_operation: row.origin.operation.clone(),
    }
}

/// Swaps all shards at one instant, notes how far each thread has booked, and what the ids mean.
fn swap(ledger: &Ledger, now_ns: u64) -> (Vec<Shard>, account::InProgress, Resolved) {
    let mut guards: Vec<_> = ledger.shards.iter().map(lock).collect();
    // Locks are taken in the order shard, common table.
    guards.push(lock(&ledger.common));
    let noted = account::snapshot();
    let taken = guards
        .iter_mut()
        .map(|shard| {
            let fresh = Shard {
                begin_ns: now_ns,
                ..Shard::default()
            };
            std::mem::replace(&mut **shard, fresh)
        })
        .collect();
    let names = ledger.names.resolve_and_forget(now_ns);
    (taken, noted, names)
}

/// The shards of one window, added up.
fn merged(shards: Vec<Shard>) -> Shard {
    // The last is the common table, the largest.
    let mut shards = shards.into_iter().rev();
    let mut sum = shards.next().unwrap_or_default();
    for mut shard in shards {
        sum.absorb(&mut shard);
    }
    sum
}

fn add_owner_cpu(rows: &mut RowSet, kind: OwnerKind, name: &str, cpu_ns: i64) {
    let key = OwnerKey {
        owner_kind: kind.as_str().into(),
        name: name.into(),
    };
    rows.row_mut(key.row_key(Quality::Measured))
        .add(Class::Handler.column(), cpu_ns);
}
