//! CPU of services without the agent: what their process metrics say, shared out to their operations.
//!
//! A range is looked at as a whole when it is asked for: a counter tells only differences, and a late reading changes
//! the windows before it. The rows are of quality `estimated` and carry the interval within which the truth lies
//! (`CPU_LOW_NS`, `CPU_HIGH_NS`); where the data cannot carry a figure there is none, and a loss row of place
//! `collector.estimate` says why.

mod law;
mod regression;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{
    FoldedWindow, LossKey, OperationKey, OwnerKey, OwnerKind, ProcessKey, Quality, RowKey, RowKind,
    RowSet, RowValue, ServiceId, Window, column,
};

use crate::store::StoreError;

/// Place of the loss rows that say why there is no figure.
pub(crate) const PLACE: &str = "collector.estimate";
/// How far before a range readings are looked for.
pub(crate) const LOOK_BACK_NS: u64 = 600_000_000_000;
/// Longest time between two readings of a counter that is shared out; in sums by the hour or day, two of these.
const GAP_NS_MAX: u64 = 300_000_000_000;
/// How the clock mode of a process row begins whose figures came as metrics.
const MODE: &str = "otlp ";
/// Sources of metrics, the best first.
const SOURCES: [&str; 3] = ["process", "runtime", "container"];

/// Most readings, and most rows of operations, that are gathered for one range: about 100 MB.
const GATHERED_MAX: usize = if cfg!(test) { 1_000 } else { 400_000 };

/// Rows that are added to windows.
pub(crate) type Added = BTreeMap<(Window, ServiceId), RowSet>;

/// What is gathered of a service.
#[derive(Default)]
struct Service {
    /// Its CPU is measured by an agent.
    is_measured: bool,
    /// By source and process: readings of the counter by the end of their window, and CPU that came as differences.
    counters: BTreeMap<(usize, RowKey), BTreeMap<Window, i64>>,
    deltas: BTreeMap<(usize, RowKey), BTreeMap<Window, i64>>,
    demand: BTreeMap<Window, Vec<Demand>>,
    /// Readings, then rows of operations, that are held.
    gathered: usize,
    /// Set when there were more of them than may be held: the window that was too much.
    cut_at: Option<Window>,
}

/// One operation row: how many ended, and how long they took together.
struct Demand {
    key: RowKey,
    operation: String,
    ended: i64,
    wall_ns: i64,
}

/// The rows for all windows that `read` hands out, in any order. It is asked once for readings of CPU, and only where
/// there are some a second time, for the operations of those services.
pub(crate) fn estimate<W>(read: impl Fn() -> Result<W, StoreError>) -> Result<Added, StoreError>
where
    W: Iterator<Item = Result<FoldedWindow, StoreError>>,
{
    let mut services: BTreeMap<ServiceId, Service> = BTreeMap::new();
    let mut gathered = 0;
    for folded in read()? {
        let folded = folded?;
        if folded.rows.of_kind(RowKind::Process).next().is_some() {
            let service = services.entry(folded.service.clone()).or_default();
            gathered += service.add_readings(&folded);
            gathered -= bound(&mut services, gathered, folded.window);
        }
    }
    services.retain(|_, of| !of.is_measured && (of.has_readings() || of.cut_at.is_some()));
    // The operations are counted anew.
    services
        .values_mut()
        .for_each(|service| service.gathered = 0);
    if services.values().any(Service::has_readings) {
        let mut gathered = 0;
        for folded in read()? {
            let folded = folded?;
            if let Some(service) = services.get_mut(&folded.service) {
                gathered += service.add_demand(&folded);
                gathered -= bound(&mut services, gathered, folded.window);
            }
        }
    }
    let mut added = Added::new();
    for (id, service) in services {
        service.estimate(&id, &mut added);
    }
    Ok(added)
}

/// When too much was gathered: gives up the service of which most is held, and returns how much that was.
fn bound(services: &mut BTreeMap<ServiceId, Service>, gathered: usize, window: Window) -> usize {
    if gathered <= GATHERED_MAX {
        return 0;
    }
    let most = services.values_mut().max_by_key(|of| of.gathered);
    most.map_or(0, |service| {
        let gathered = service.gathered;
        *service = Service {
            is_measured: service.is_measured,
            cut_at: Some(window),
            ..Service::default()
        };
        gathered
    })
}

impl Service {
    fn has_readings(&self) -> bool {
        !self.counters.is_empty() || !self.deltas.is_empty()
    }

    /// Takes the readings of a window, and returns how many.
    fn add_readings(&mut self, folded: &FoldedWindow) -> usize {
        let before = self.gathered;
        for (key, value) in folded.rows.of_kind(RowKind::Process) {
            let Some(process) = ProcessKey::read(key) else {
                continue;
            };
            let source = process.clock_mode.strip_prefix(MODE);
            let Some(rank) = source.and_then(|s| SOURCES.iter().position(|known| *known == s))
            else {
                self.is_measured = true;
                continue;
            };
            if self.cut_at.is_some() {
                continue;
            }
            for (column, into) in [
                (column::CPU_CUMULATIVE_NS, &mut self.counters),
                (column::CPU_TOLD_NS, &mut self.deltas),
            ] {
                if let Some(ns) = value.get(column) {
                    into.entry((rank, key.clone()))
                        .or_default()
                        .insert(folded.window, ns);
                    self.gathered += 1;
                }
            }
        }
        self.gathered - before
    }

    /// Takes the operations of a window, and returns how many rows.
    fn add_demand(&mut self, folded: &FoldedWindow) -> usize {
        if self.cut_at.is_some() {
            return 0;
        }
        let before = self.gathered;
        for (key, value) in folded.rows.of_kind(RowKind::Operation) {
            let Some(operation) = OperationKey::read(key) else {
                continue;
            };
            if let (Some(ended), Some(wall_ns)) =
                (value.get(column::ENDED), value.get(column::WALL_NS))
            {
                self.demand.entry(folded.window).or_default().push(Demand {
                    key: key.clone(),
                    operation: operation.operation.to_string(),
                    ended,
                    wall_ns: wall_ns.max(0),
                });
                self.gathered += 1;
            }
        }
        self.gathered - before
    }

    fn estimate(self, id: &ServiceId, added: &mut Added) {
        if let Some(window) = self.cut_at {
            let why =
                "too much to estimate at once: ask for a shorter range, or a coarser resolution";
            refuse(id, window, why, added);
            return;
        }
        let ranks = self.counters.keys().chain(self.deltas.keys());
        let Some(best) = ranks.map(|(rank, _)| *rank).min() else {
            return;
        };
        let mut refused: BTreeSet<&'static str> = BTreeSet::new();
        let mut cpu: BTreeMap<Window, i64> = BTreeMap::new();
        for ((_, process), readings) in self.counters.iter().filter(|((rank, _), _)| *rank == best)
        {
            for (window, ns) in self.differences(readings, &mut refused) {
                *cpu.entry(window).or_default() += ns;
                put_process(id, window, process, ns, added);
            }
        }
        for ((_, process), parts) in self.deltas.iter().filter(|((rank, _), _)| *rank == best) {
            for (&window, &ns) in parts {
                *cpu.entry(window).or_default() += ns;
                put_process(id, window, process, ns, added);
            }
        }
        // A reason stands in the last window that anything is known of.
        let readings = self.counters.values().flat_map(BTreeMap::keys);
        let last = self.demand.keys().chain(cpu.keys()).chain(readings).max();
        let last = last.copied();
        let fit = regression::fit(&self.samples(&cpu, best));
        if let Err(why) = &fit {
            refused.insert(why);
        }
        let nothing = Vec::new();
        for (&window, &ns) in &cpu {
            let demand = self.demand.get(&window).unwrap_or(&nothing);
            self.share_out(id, window, ns, demand, fit.as_ref().ok(), added);
        }
        if cpu.is_empty() {
            refused.insert("only one reading of the CPU counter: a difference needs two");
        }
        for why in refused {
            let Some(window) = last else { continue };
            refuse(id, window, why, added);
        }
    }

    /// CPU between each two readings, in the windows between them: as the walls of their requests are, or evenly
    /// where nothing was asked.
    fn differences(
        &self,
        readings: &BTreeMap<Window, i64>,
        refused: &mut BTreeSet<&'static str>,
    ) -> Vec<(Window, i64)> {
        let mut parts = Vec::new();
        let pairs = readings.iter().zip(readings.iter().skip(1));
        for ((before, from_ns), (after, to_ns)) in pairs {
            let len_ns = after.len_ns().max(1);
            let spent_ns = to_ns - from_ns;
            if spent_ns < 0 {
                refused.insert("a CPU counter went back");
                continue;
            }
            if after.end_unix_ns - before.end_unix_ns > GAP_NS_MAX.max(2 * len_ns) {
                refused.insert("more than five minutes between two readings of the CPU counter");
                continue;
            }
            let mut windows = Vec::new();
            let mut end_unix_ns = before.end_unix_ns + len_ns;
            while end_unix_ns <= after.end_unix_ns {
                windows.push(Window {
                    start_unix_ns: end_unix_ns - len_ns,
                    end_unix_ns,
                });
                end_unix_ns += len_ns;
            }
            let walls: Vec<i64> = windows
                .iter()
                .map(|window| {
                    let demand = self.demand.get(window).into_iter().flatten();
                    demand.map(|demand| demand.wall_ns).sum()
                })
                .collect();
            parts.extend(windows.into_iter().zip(law::shares(spent_ns, &walls)));
        }
        parts
    }

    /// What a regression is made of: CPU of a window, and what ended in it.
    fn samples(&self, cpu: &BTreeMap<Window, i64>, best: usize) -> regression::Samples {
        let names: BTreeSet<&str> = self
            .demand
            .values()
            .flatten()
            .map(|demand| demand.operation.as_str())
            .collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        // A difference over several windows is one sample: what it was shared out by is no evidence. Neither is a
        // window in which some process says less often what it spent, or has just begun or ended.
        let of_best =
            |((rank, _), readings): (&(usize, RowKey), _)| (*rank == best).then_some(readings);
        let counters = self.counters.iter().filter_map(of_best);
        let deltas = self.deltas.iter().filter_map(of_best);
        let processes: Vec<Told> = counters.chain(deltas).filter_map(Told::of).collect();
        let is_whole = |window: &Window| processes.iter().all(|told| told.is_whole(*window));
        let rows = cpu
            .iter()
            .filter(|(window, _)| is_whole(window))
            .map(|(window, ns)| {
                let mut ended = vec![0.0; names.len()];
                for demand in self.demand.get(window).into_iter().flatten() {
                    if let Ok(at) = names.binary_search(&demand.operation) {
                        ended[at] += demand.ended as f64;
                    }
                }
                (*ns as f64, ended)
            })
            .collect();
        regression::Samples { names, rows }
    }

    fn share_out(
        &self,
        id: &ServiceId,
        window: Window,
        cpu_ns: i64,
        demand: &[Demand],
        fit: Option<&regression::Fit>,
        added: &mut Added,
    ) {
        let rows = added.entry((window, id.clone())).or_default();
        let mut booked_ns = 0;
        if let Some(fit) = fit {
            for of in demand {
                let Some(each) = fit.operations.get(&of.operation) else {
                    continue;
                };
                let times = |ns: f64| (ns * of.ended as f64).round() as i64;
                let ns = times(each.ns);
                booked_ns += ns;
                put_operation(rows, &of.key, ns, times(each.low_ns), times(each.high_ns));
            }
            let background_ns = fit.background_ns.round() as i64;
            booked_ns += background_ns;
            put_owner(rows, OwnerKind::Background, "by regression", background_ns);
        } else if !demand.is_empty() {
            let walls: Vec<i64> = demand.iter().map(|of| of.wall_ns).collect();
            for (of, ns) in demand.iter().zip(law::shares(cpu_ns, &walls)) {
                booked_ns += ns;
                // Nothing but the sum is known: it may all have been any of them.
                put_operation(rows, &of.key, ns, 0, cpu_ns);
            }
        }
        put_owner(
            rows,
            OwnerKind::Unattributed,
            "unattributed",
            cpu_ns - booked_ns,
        );
    }
}

/// When a process told its CPU.
struct Told {
    ends: BTreeSet<u64>,
    /// Between which instants it is there, as far as can be told by how often it told something.
    since_unix_ns: u64,
    until_unix_ns: u64,
}

impl Told {
    fn of(readings: &BTreeMap<Window, i64>) -> Option<Self> {
        let ends: BTreeSet<u64> = readings.keys().map(|window| window.end_unix_ns).collect();
        let (&first, &last) = ends.first().zip(ends.last())?;
        let gaps = ends.iter().zip(ends.iter().skip(1));
        let gap = gaps.map(|(a, b)| b - a).max().unwrap_or(GAP_NS_MAX);
        Some(Self {
            since_unix_ns: first.saturating_sub(gap),
            until_unix_ns: last.saturating_add(gap),
            ends,
        })
    }

    /// True when it told its CPU before and after a window, or was not there.
    fn is_whole(&self, window: Window) -> bool {
        let is_away =
            window.end_unix_ns <= self.since_unix_ns || window.start_unix_ns >= self.until_unix_ns;
        is_away
            || (self.ends.contains(&window.start_unix_ns)
                && self.ends.contains(&window.end_unix_ns))
    }
}

/// Says why there is no figure.
fn refuse(id: &ServiceId, window: Window, why: &str, added: &mut Added) {
    let key = LossKey {
        place: PLACE.into(),
        reason: why.into(),
    };
    let rows = added.entry((window, id.clone())).or_default();
    rows.add(
        key.row_key(Quality::Measured),
        &RowValue::new().with(column::LOST, 1),
    );
}

fn put_process(id: &ServiceId, window: Window, process: &RowKey, ns: i64, added: &mut Added) {
    let key = RowKey {
        quality: Quality::Estimated,
        ..process.clone()
    };
    let rows = added.entry((window, id.clone())).or_default();
    let value = RowValue::new().with(column::CPU_PROCESS_NS, ns).with(
        column::OBSERVED_NS,
        i64::try_from(window.len_ns()).unwrap_or(0),
    );
    rows.add(key, &value);
}

fn put_operation(rows: &mut RowSet, key: &RowKey, ns: i64, low_ns: i64, high_ns: i64) {
    let key = RowKey {
        quality: Quality::Estimated,
        ..key.clone()
    };
    let value = RowValue::new()
        .with(column::CPU_HANDLER_NS, ns)
        .with(column::CPU_LOW_NS, low_ns)
        .with(column::CPU_HIGH_NS, high_ns);
    rows.add(key, &value);
}

fn put_owner(rows: &mut RowSet, kind: OwnerKind, name: &str, ns: i64) {
    if ns == 0 {
        return;
    }
    let key = OwnerKey {
        owner_kind: kind.as_str().into(),
        name: name.into(),
    };
    let value = RowValue::new().with(column::CPU_HANDLER_NS, ns);
    rows.add(key.row_key(Quality::Estimated), &value);
}
