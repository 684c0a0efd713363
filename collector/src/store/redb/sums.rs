//! Sums by the minute, the hour and the day in the database, and what is removed when.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition,
    WriteTransaction,
};
use weighbridge_wire::{FoldedWindow, RowSet, ServiceId, Window, limits};

use super::packing::{self, ZoneScan};
use super::{META, WINDOWS, WindowKey, failed, service_id, window_key};
use crate::store::tiers::{Marks, Plan, Tier, Zone};
use crate::store::{FoldBatch, Scan, StoreError};

const MINUTES: TableDefinition<'_, WindowKey, &[u8]> = TableDefinition::new("minutes");
const HOURS: TableDefinition<'_, WindowKey, &[u8]> = TableDefinition::new("hours");
const DAYS: TableDefinition<'_, WindowKey, &[u8]> = TableDefinition::new("days");

type AheadValue<'a> = (u64, &'a str, &'a str, &'a str, &'a str, &'a str);
/// [`State::ahead`]: one entry, or none.
pub(super) const AHEAD: TableDefinition<'_, u64, AheadValue<'static>> =
    TableDefinition::new("ahead");

const SUMMED_KEY: &str = "summed_unix_ns";
const KEPT_KEYS: [&str; 4] = [
    "as_sent_from_unix_ns",
    "minutes_from_unix_ns",
    "hours_from_unix_ns",
    "days_from_unix_ns",
];
const BYTES_KEY: &str = "window_bytes";
const GROUPED_KEY: &str = "grouped_until_unix_ns";
const GROUPED_KEYS: [&str; 4] = [
    "as_sent_grouped",
    "minutes_grouped",
    "hours_grouped",
    "days_grouped",
];

/// Windows removed in one transaction, so that ingest does not wait long.
pub(super) const REMOVE_AT_ONCE: usize = 500;
/// Most windows of a range that is read as finely as it is kept; a longer one is read from sums.
const FINE_WINDOWS_MAX: u64 = 100_000;

/// First byte of a compressed window; no protobuf message begins with it.
pub(super) const DEFLATED: u8 = 0;

pub(super) fn table(tier: Tier) -> TableDefinition<'static, WindowKey, &'static [u8]> {
    match tier {
        Tier::AsSent => WINDOWS,
        Tier::Minutes => MINUTES,
        Tier::Hours => HOURS,
        Tier::Days => DAYS,
    }
}

/// What is kept about the windows beside them.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) marks: Marks,
    /// While minutes are added up: which services are done.
    pub(super) ahead: Option<Ahead>,
    /// Bytes of all windows as stored.
    pub(super) bytes: u64,
    pub(super) grouped: Grouped,
}

/// What stands in groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grouped {
    /// Spans that end until then were looked at.
    pub(super) until_unix_ns: u64,
    /// How many windows, by tier.
    pub(super) windows: [u64; 4],
    /// How many came late, and stand alone, since then. Not kept over a restart.
    pub(super) late: u64,
}

/// Services whose sums reach further than those of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// How far.
    pub(super) until_unix_ns: u64,
    /// The last of them; they are done in order.
    pub(super) service: ServiceId,
}

impl State {
    pub(super) fn read(read: &ReadTransaction) -> Result<Self, redb::Error> {
        let meta = read.open_table(META)?;
        let number = |key| -> Result<u64, redb::Error> {
            Ok(meta.get(key)?.map_or(0, |value| value.value()))
        };
        let mut state = Self::default();
        state.marks.summed_unix_ns = number(SUMMED_KEY)?;
        for (mark, key) in state.marks.kept_from_unix_ns.iter_mut().zip(KEPT_KEYS) {
            *mark = number(key)?;
        }
        state.bytes = number(BYTES_KEY)?;
        state.grouped.until_unix_ns = number(GROUPED_KEY)?;
        for (windows, key) in state.grouped.windows.iter_mut().zip(GROUPED_KEYS) {
            *windows = number(key)?;
        }
        // Absent before format 3.
        if let Ok(table) = read.open_table(AHEAD) {
            state.ahead = table.get(0)?.map(|value| {
                let (until_unix_ns, tenant, namespace, environment, service, version) =
                    value.value();
                Ahead {
                    until_unix_ns,
                    service: service_id([tenant, namespace, environment, service, version]),
                }
            });
        }
        Ok(state)
    }

    /// A value took the place of another, which had 0 bytes when there was none.
    pub(super) fn replaced(&mut self, before: usize, after: usize) {
        self.bytes = (self.bytes + after as u64).saturating_sub(before as u64);
    }

    /// Up to where a service is added up.
    pub(super) fn summed_for(&self, service: &ServiceId) -> u64 {
        match &self.ahead {
            Some(ahead) if *service <= ahead.service => ahead.until_unix_ns,
            _ => self.marks.summed_unix_ns,
        }
    }

    pub(super) fn write(&self, write: &WriteTransaction) -> Result<(), redb::Error> {
        let mut meta = write.open_table(META)?;
        meta.insert(SUMMED_KEY, self.marks.summed_unix_ns)?;
        for (mark, key) in self.marks.kept_from_unix_ns.iter().zip(KEPT_KEYS) {
            meta.insert(key, mark)?;
        }
        meta.insert(BYTES_KEY, self.bytes)?;
        meta.insert(GROUPED_KEY, self.grouped.until_unix_ns)?;
        for (windows, key) in self.grouped.windows.iter().zip(GROUPED_KEYS) {
            meta.insert(key, windows)?;
        }
        let mut table = write.open_table(AHEAD)?;
        match &self.ahead {
            Some(Ahead {
                until_unix_ns,
                service: id,
            }) => {
                let value: AheadValue<'_> = (
                    *until_unix_ns,
                    &id.tenant,
                    &id.namespace,
                    &id.environment,
                    &id.service,
                    &id.version,
                );
                table.insert(0, value)?;
            }
            None => {
                table.remove(0)?;
            }
        }
        Ok(())
    }
}

/// Makes the tables. What an earlier version left is added up like what came since.
pub(super) fn prepare(write: &WriteTransaction) -> Result<(), redb::Error> {
    for tier in Tier::ALL {
        write.open_table(table(tier))?;
    }
    write.open_table(packing::GROUPS)?;
    let mut state = State::default();
    for entry in write.open_table(WINDOWS)?.iter()? {
        state.bytes += entry?.1.value().len() as u64;
    }
    state.write(write)
}

type Rows = BTreeMap<(Window, ServiceId), RowSet>;

/// Merges folded rows into the windows as sent, and into the sums where their minute has been added up.
pub(super) fn fold(
    write: &WriteTransaction,
    mut state: State,
    batch: &FoldBatch,
    rows_max: usize,
) -> Result<State, redb::Error> {
    {
        let mut as_sent = write.open_table(WINDOWS)?;
        for ((window, service), rows) in &batch.windows {
            if state.marks.keeps_as_sent(*window) {
                merge(&mut as_sent, *window, service, rows, rows_max, &mut state)?;
            }
        }
    }
    let mut late: BTreeMap<Tier, Rows> = BTreeMap::new();
    for ((window, service), rows) in &batch.windows {
        let summed_unix_ns = state.summed_for(service);
        for tier in state.marks.added_at_once(*window, summed_unix_ns) {
            let into = late.entry(tier).or_default();
            let key = (tier.bucket(*window), service.clone());
            crate::fold::merge(into.entry(key).or_default(), rows, rows_max);
        }
    }
    for (tier, rows) in &late {
        add(write, *tier, rows, rows_max, &mut state)?;
        state.grouped.late += rows.len() as u64;
    }
    state.write(write)?;
    Ok(state)
}

fn add(
    write: &WriteTransaction,
    tier: Tier,
    rows: &Rows,
    rows_max: usize,
    state: &mut State,
) -> Result<(), redb::Error> {
    let mut table = write.open_table(table(tier))?;
    for ((bucket, service), rows) in rows {
        merge(&mut table, *bucket, service, rows, rows_max, state)?;
    }
    Ok(())
}

/// Merges rows into a stored window. Sums are compressed; windows as sent are not until they are added up, since
/// they change every few seconds.
fn merge(
    table: &mut Table<'_, WindowKey, &'static [u8]>,
    window: Window,
    service: &ServiceId,
    rows: &RowSet,
    rows_max: usize,
    state: &mut State,
) -> Result<(), redb::Error> {
    let key = window_key(window, service);
    let is_packed = window.start_unix_ns < state.summed_for(service)
        || Tier::SUMS
            .into_iter()
            .any(|tier| tier.bucket(window) == window);
    let (bytes, before) = {
        let stored = table.get(key)?;
        let stored = stored.as_ref().map(redb::AccessGuard::value);
        let bytes = merged(stored, window, service, rows, rows_max, is_packed)?;
        (bytes, stored.map_or(0, <[u8]>::len))
    };
    state.replaced(before, bytes.len());
    table.insert(key, bytes.as_slice())?;
    Ok(())
}

/// What the version before did with a window of no minute.
#[cfg(test)]
pub(super) fn put_at_once(
    write: &WriteTransaction,
    tier: Tier,
    window: Window,
    service: &ServiceId,
    rows: &RowSet,
    state: &mut State,
) -> Result<(), redb::Error> {
    if !tier.holds(window) {
        return Ok(());
    }
    let mut table = write.open_table(table(tier))?;
    merge(&mut table, tier.bucket(window), service, rows, 1_000, state)
}

/// A stored window with more rows in it, as it is to be stored.
pub(super) fn merged(
    stored: Option<&[u8]>,
    window: Window,
    service: &ServiceId,
    rows: &RowSet,
    rows_max: usize,
    is_packed: bool,
) -> Result<Vec<u8>, redb::Error> {
    let mut merged = match stored {
        Some(bytes) => decode(bytes)?.rows,
        None => RowSet::new(),
    };
    crate::fold::merge(&mut merged, rows, rows_max);
    if crate::fold::takes_back(rows) {
        crate::fold::prune(&mut merged);
    }
    let folded = FoldedWindow {
        service: service.clone(),
        window,
        rows: merged,
    };
    let bytes = folded.encode();
    if is_packed {
        return deflate(&bytes);
    }
    Ok(bytes)
}

/// Removes what is older than its tier is kept. Returns how many windows, and whether there are more.
pub(super) fn remove(
    write: &WriteTransaction,
    mut state: State,
    due: Marks,
) -> Result<(State, u64, bool), redb::Error> {
    let mut marks = due.max(state.marks);
    // What has not been added up is not removed, unless everything of its age is.
    let [as_sent, .., days] = &mut marks.kept_from_unix_ns;
    *as_sent = (*as_sent).min(state.marks.summed_unix_ns.max(*days));
    marks.summed_unix_ns = state.marks.summed_unix_ns;
    state.marks = marks;
    let mut removed = 0;
    let mut more = false;
    for tier in Tier::ALL {
        let mut windows = write.open_table(table(tier))?;
        let before = marks.kept_from_unix_ns[tier.index()];
        let mut old = windows.extract_from_if(..start_key(before), |key, _| {
            tier != Tier::AsSent || !marks.keeps_as_sent(key_window(&key))
        })?;
        for entry in old.by_ref().take(REMOVE_AT_ONCE) {
            let (_, value) = entry?;
            state.bytes = state.bytes.saturating_sub(value.value().len() as u64);
            removed += 1;
        }
        drop(old);
        drop(windows);
        let (grouped, pieces) =
            packing::remove_old(write, tier, before, REMOVE_AT_ONCE, &mut state)?;
        removed += grouped;
        more |= removed >= REMOVE_AT_ONCE as u64 || pieces >= REMOVE_AT_ONCE;
    }
    state.write(write)?;
    Ok((state, removed, more))
}

/// Reads a range; where `finest` is not said, as finely as it is kept and not too long.
pub(super) fn scan(
    read: ReadTransaction,
    since_unix_ns: u64,
    until_unix_ns: u64,
    finest: Option<Tier>,
    rows_max: usize,
) -> Result<(Plan, Scan), StoreError> {
    let State {
        marks,
        ahead,
        grouped,
        ..
    } = State::read(&read).map_err(failed)?;
    let plan = |tier| Plan::new(tier, marks, since_unix_ns, until_unix_ns);
    let plan = match finest {
        Some(tier) => plan(tier),
        None => {
            let mut chosen = plan(Tier::Days);
            for tier in [Tier::AsSent, Tier::Minutes, Tier::Hours] {
                let about = estimate(&read, &plan(tier), grouped).map_err(failed)?;
                if about <= FINE_WINDOWS_MAX {
                    chosen = plan(tier);
                    break;
                }
            }
            chosen
        }
    };
    // Read when they are asked for: who asks for the plan may keep others waiting meanwhile.
    let mut before: Option<Zone> = None;
    let parts = plan.zones().into_iter().flat_map(move |zone| {
        let counted = ahead.clone().zip(before);
        before = Some(zone);
        let scan = zone_scan(&read, plan, zone, rows_max)
            .unwrap_or_else(|error| Box::new(std::iter::once(Err(error))));
        match counted {
            Some((ahead, sums)) if zone.tier == Tier::AsSent => without(scan, ahead, sums),
            _ => scan,
        }
    });
    Ok((plan, Box::new(parts)))
}

/// Windows as sent, but for those that stand already in a bucket before them, since their service is added up further
/// than others are.
fn without(scan: Scan, ahead: Ahead, sums: Zone) -> Scan {
    Box::new(scan.filter(move |found| {
        let Ok(FoldedWindow {
            window, service, ..
        }) = found
        else {
            return true;
        };
        let is_ahead = window.start_unix_ns < ahead.until_unix_ns && *service <= ahead.service;
        let bucket = sums.tier.bucket(*window).start_unix_ns;
        let is_shown = (sums.since_unix_ns..sums.until_unix_ns).contains(&bucket);
        !(is_ahead && is_shown && sums.tier.holds(*window))
    }))
}

/// About how many windows a plan reads, as if they were spread evenly.
fn estimate(read: &ReadTransaction, plan: &Plan, grouped: Grouped) -> Result<u64, redb::Error> {
    let mut windows = 0;
    for zone in plan.zones() {
        let table = read.open_table(table(zone.tier))?;
        let first_alone = table.first()?.map(|(key, _)| key.value().0);
        let last_alone = table.last()?.map(|(key, _)| key.value().0);
        let first_grouped = packing::first_start(read, zone.tier)?;
        let Some(first) = first_alone.into_iter().chain(first_grouped).min() else {
            continue;
        };
        // What stands in groups is over.
        let last_grouped = first_grouped.map(|_| grouped.until_unix_ns);
        let last = last_alone.into_iter().chain(last_grouped).max();
        let last = last.unwrap_or(first).max(first).saturating_add(1);
        let from = zone.since_unix_ns.max(first);
        let until = zone.until_unix_ns.min(last);
        let count = table.len()? + grouped.windows[zone.tier.index()];
        let share = u128::from(count) * u128::from(until.saturating_sub(from));
        windows += u64::try_from(share / u128::from(last - first)).unwrap_or(u64::MAX);
    }
    Ok(windows)
}

/// One zone: buckets of its tier, and windows as sent that no bucket holds.
fn zone_scan(
    read: &ReadTransaction,
    plan: Plan,
    zone: Zone,
    rows_max: usize,
) -> Result<Scan, StoreError> {
    let buckets = ZoneScan::begin(read, plan, zone, rows_max)?;
    if zone.tier == Tier::AsSent {
        return Ok(Box::new(buckets));
    }
    // None of these stands in a group.
    let range = start_key(zone.since_unix_ns)..start_key(zone.until_unix_ns);
    let as_sent = read.open_table(WINDOWS).map_err(failed)?;
    let of_no_bucket = as_sent
        .range_owned(range)
        .map_err(failed)?
        .filter_map(move |entry| match entry {
            Ok((key, _)) if zone.tier.holds(key_window(&key.value())) => None,
            Ok((_, value)) => Some(decode(value.value()).map_err(failed)),
            Err(error) => Some(Err(failed(error))),
        });
    Ok(Box::new(buckets.chain(of_no_bucket)))
}

pub(super) fn start_key(
    unix_ns: u64,
) -> (
    u64,
    u64,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
) {
    (unix_ns, 0, "", "", "", "", "")
}

pub(super) fn key_window(key: &(u64, u64, &str, &str, &str, &str, &str)) -> Window {
    Window {
        start_unix_ns: key.0,
        end_unix_ns: key.1,
    }
}

pub(super) fn deflate(bytes: &[u8]) -> Result<Vec<u8>, redb::Error> {
    let mut into = Vec::with_capacity(bytes.len() / 2 + 16);
    into.push(DEFLATED);
    let mut encoder = flate2::write::DeflateEncoder::new(into, flate2::Compression::new(3));
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<FoldedWindow, redb::Error> {
    let damaged = |why: String| redb::Error::Corrupted(format!("a folded window: {why}"));
    let folded = match bytes.split_first() {
        Some((&DEFLATED, deflated)) => {
            let mut inflated = Vec::with_capacity(deflated.len() * 3);
            flate2::read::DeflateDecoder::new(deflated)
                .take(limits::RANGE_BYTES_MAX as u64)
                .read_to_end(&mut inflated)?;
            FoldedWindow::decode(&inflated)
        }
        _ => FoldedWindow::decode(bytes),
    };
    folded.map_err(|error| damaged(error.to_string()))
}
