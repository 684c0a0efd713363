//! Putting the windows of one service that are over into groups, beside ingest.
//!
//! A span is some windows of a tier: what a group holds. Once all of a span is added up, its windows are taken from a
//! snapshot, some services at a time, written as groups, and removed from where they stood alone, in one short
//! transaction. What comes later for a window in a group stands alone again and is merged by readers, until the next
//! time puts it into the group.

use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;

use redb::{OwnedRange, ReadOnlyTable, ReadTransaction, Table, TableDefinition, WriteTransaction};
use weighbridge_wire::{FoldedWindow, ServiceId, Window};

use super::group::{self, Group};
use super::summing::Touched;
use super::sums::{State, decode, key_window, start_key, table};
use super::{Handle, RedbStore, WindowKey, closed, failed, service_id, window_key};
use crate::store::StoreError;
use crate::store::tiers::{Plan, Tier, Zone};

/// Tier, begin of the span, service, and which piece of the group.
type GroupKey = (
    u64,
    u64,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    u64,
);
/// Groups, in pieces that fill a page each.
pub(super) const GROUPS: TableDefinition<'_, GroupKey, &[u8]> = TableDefinition::new("groups");

const MINUTE_NS: u64 = 60_000_000_000;
/// How often windows are put into groups.
const EVERY_NS: u64 = 5 * MINUTE_NS;
/// Windows that come late at which it is not waited for: what an outage held back should not fill the disk first.
const LATE_MAX: u64 = 20_000;
/// Windows at which a transaction has enough of them.
const PIECE: usize = if cfg!(test) { 2 } else { 256 };
/// A larger window fills pages by itself, and many of them would be too much to hold in memory.
const WINDOW_BYTES_MAX: usize = 32 << 10;
/// Bytes of a page of the file, and what is left of it beside a key and a value.
const PAGE_BYTES: usize = 4_096;
const PAGE_REST_BYTES: usize = 96;

/// The span in which a window of a tier begins.
fn span(tier: Tier, unix_ns: u64) -> Window {
    let len_ns = MINUTE_NS
        * match tier {
            Tier::AsSent => 5,
            Tier::Minutes => 30,
            Tier::Hours => 12 * 60,
            Tier::Days => 8 * 24 * 60,
        };
    let start_unix_ns = unix_ns - unix_ns % len_ns;
    Window {
        start_unix_ns,
        end_unix_ns: start_unix_ns.saturating_add(len_ns),
    }
}

/// True for windows that may stand in a group. One across the end of a minute is looked for among those that stand
/// alone.
fn may_be_grouped(tier: Tier, window: Window) -> bool {
    tier != Tier::AsSent || Tier::Minutes.holds(window)
}

/// Where putting windows into groups stands.
pub(super) struct Cursor {
    /// Only what is over by then.
    until_unix_ns: u64,
    /// The tiers to come, the next one last.
    tiers: Vec<Tier>,
    from_unix_ns: u64,
    span: Window,
    /// What is left of that span.
    services: BTreeMap<ServiceId, Vec<Window>>,
}

impl Cursor {
    /// Begins, if it is time.
    fn due(state: &State) -> Option<Self> {
        let until_unix_ns = state.marks.summed_unix_ns - state.marks.summed_unix_ns % EVERY_NS;
        let is_due = until_unix_ns > state.grouped.until_unix_ns || state.grouped.late >= LATE_MAX;
        is_due.then(|| Self {
            until_unix_ns,
            tiers: Tier::ALL.into_iter().rev().collect(),
            from_unix_ns: 0,
            span: span(Tier::AsSent, 0),
            services: BTreeMap::new(),
        })
    }

    /// The next windows that stand alone and are over.
    fn next(
        &mut self,
        read: &ReadTransaction,
        state: &State,
        rows_max: usize,
    ) -> Result<Piece, redb::Error> {
        let mut piece = Piece {
            until_unix_ns: self.until_unix_ns,
            ends_it: false,
            puts: Vec::new(),
        };
        let mut windows = 0;
        while windows < PIECE {
            let Some(&tier) = self.tiers.last() else {
                piece.ends_it = true;
                break;
            };
            let Some((service, of)) = self.services.pop_first() else {
                if !piece.puts.is_empty() {
                    break;
                }
                if !self.find(read, state, tier)? {
                    self.tiers.pop();
                    self.from_unix_ns = 0;
                }
                continue;
            };
            windows += of.len();
            let put = Put::make(read, tier, self.span, service, of, rows_max)?;
            piece.puts.extend(put);
        }
        Ok(piece)
    }

    /// Looks for the next span of a tier in which windows stand alone.
    fn find(
        &mut self,
        read: &ReadTransaction,
        state: &State,
        tier: Tier,
    ) -> Result<bool, redb::Error> {
        let kept_from = state.marks.kept_from_unix_ns[tier.index()];
        let from = self.from_unix_ns.max(kept_from);
        let alone = read.open_table(table(tier))?;
        for entry in alone.range(start_key(from)..start_key(self.until_unix_ns.max(from)))? {
            let (key, value) = entry?;
            let key = key.value();
            let window = key_window(&key);
            if self.services.is_empty() {
                self.span = span(tier, window.start_unix_ns);
            }
            if self.span.end_unix_ns > self.until_unix_ns
                || window.start_unix_ns >= self.span.end_unix_ns
            {
                break;
            }
            if may_be_grouped(tier, window) && value.value().len() <= WINDOW_BYTES_MAX {
                let (_, _, tenant, namespace, environment, service, version) = key;
                let service = service_id([tenant, namespace, environment, service, version]);
                self.services.entry(service).or_default().push(window);
            }
        }
        self.from_unix_ns = self.span.end_unix_ns;
        Ok(!self.services.is_empty())
    }
}

/// Some windows that go into groups together.
struct Piece {
    until_unix_ns: u64,
    /// True when nothing is left.
    ends_it: bool,
    puts: Vec<Put>,
}

/// A group that is to stand in the place of windows that stand alone, and of the group as it was.
struct Put {
    tier: Tier,
    span: Window,
    service: ServiceId,
    windows: Vec<Window>,
    bytes: Vec<u8>,
    count: u64,
}

impl Put {
    fn make(
        read: &ReadTransaction,
        tier: Tier,
        span: Window,
        service: ServiceId,
        windows: Vec<Window>,
        rows_max: usize,
    ) -> Result<Option<Self>, redb::Error> {
        let groups = read.open_table(GROUPS)?;
        let mut before = Vec::new();
        for piece in groups.range(pieces(tier, span, &service))? {
            before.extend_from_slice(piece?.1.value());
        }
        let mut group = if before.is_empty() {
            Group::new()
        } else {
            group::decode(&before)?
        };
        let alone = read.open_table(table(tier))?;
        for &window in &windows {
            if let Some(value) = alone.get(window_key(window, &service))? {
                add(&mut group, &decode(value.value())?, rows_max);
            }
        }
        let count = group.len() as u64;
        Ok(group::encode(&group)?.map(|bytes| Self {
            tier,
            span,
            service,
            windows,
            bytes,
            count,
        }))
    }

    fn apply(
        &self,
        alone: &mut Table<'_, WindowKey, &'static [u8]>,
        groups: &mut Table<'_, GroupKey, &'static [u8]>,
        state: &mut State,
    ) -> Result<(), redb::Error> {
        for &window in &self.windows {
            if let Some(value) = alone.remove(window_key(window, &self.service))? {
                state.replaced(value.value().len(), 0);
            }
        }
        remove(
            groups,
            pieces(self.tier, self.span, &self.service),
            usize::MAX,
            state,
        )?;
        let service = &self.service;
        let names = [
            &service.tenant,
            &service.namespace,
            &service.environment,
            &service.service,
            &service.version,
        ];
        let rest = PAGE_REST_BYTES + names.iter().map(|name| name.len()).sum::<usize>();
        let most = PAGE_BYTES.saturating_sub(rest).max(PAGE_BYTES / 4);
        // Of one length, so that none is left that shares its page with nothing.
        let count = self.bytes.len().div_ceil(most).max(1);
        let len = self.bytes.len().div_ceil(count).max(1);
        for (n, piece) in self.bytes.chunks(len).enumerate() {
            groups.insert(key(self.tier, self.span, service, n as u64), piece)?;
            state.replaced(0, piece.len());
        }
        state.grouped.windows[self.tier.index()] += self.count;
        Ok(())
    }
}

impl Piece {
    fn apply(
        &self,
        write: &WriteTransaction,
        mut state: State,
        touched: &Touched,
    ) -> Result<State, redb::Error> {
        {
            let mut groups = write.open_table(GROUPS)?;
            for put in &self.puts {
                // Changed meanwhile: the next time will do it.
                let is_stale = touched
                    .get(&put.service)
                    .is_some_and(|earliest| *earliest < put.span.end_unix_ns);
                if !is_stale {
                    let mut alone = write.open_table(table(put.tier))?;
                    put.apply(&mut alone, &mut groups, &mut state)?;
                }
            }
        }
        if self.ends_it {
            state.grouped.until_unix_ns = self.until_unix_ns;
            state.grouped.late = 0;
        }
        state.write(write)?;
        Ok(state)
    }
}

/// Merges a window that stands alone into its group.
fn add(group: &mut Group, alone: &FoldedWindow, rows_max: usize) {
    let rows = group.entry(alone.window).or_default();
    crate::fold::merge(rows, &alone.rows, rows_max);
    if crate::fold::takes_back(&alone.rows) {
        crate::fold::prune(rows);
    }
}

impl RedbStore {
    /// Puts some of the windows that are over into groups. True when there are more. Others wait for it while that is
    /// written, and not while it is made.
    pub(super) fn pack_piece(&self) -> Result<bool, StoreError> {
        let _one_at_a_time = self.summing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cursor = self.packing.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, state) = {
            let mut inner = self.write();
            if let Some(why) = &inner.rescued {
                return Err(StoreError::Failed(why.clone()));
            }
            if cursor.is_none() {
                *cursor = Cursor::due(&inner.memory.windows);
            }
            if cursor.is_none() {
                return Ok(false);
            }
            let read = inner.handle.as_ref().ok_or_else(closed)?.begin_read();
            inner.memory.touched = Some(Touched::new());
            (read.map_err(failed)?, inner.memory.windows.clone())
        };
        let Some(at) = cursor.as_mut() else {
            return Ok(false);
        };
        let piece = at.next(&read, &state, self.rows_max).map_err(failed)?;
        drop(read);
        #[cfg(test)]
        self.call_while_summing();
        let more = self.change(|handle: &Handle, memory| {
            // Absent: a snapshot took the place of everything, or the file was opened again.
            let Some(touched) = memory.touched.take() else {
                return Ok(None);
            };
            let write = handle.begin_write()?;
            let state = piece.apply(&write, memory.windows.clone(), &touched)?;
            write.commit()?;
            memory.windows = state;
            Ok(Some(!piece.ends_it))
        });
        if !matches!(more, Ok(Some(true))) {
            *cursor = None;
        }
        more.map(|more| more.unwrap_or(true))
    }
}

/// Removes groups of which nothing is kept. Returns how many windows and how many pieces.
pub(super) fn remove_old(
    write: &WriteTransaction,
    tier: Tier,
    kept_from_unix_ns: u64,
    most: usize,
    state: &mut State,
) -> Result<(u64, usize), redb::Error> {
    let mut groups = write.open_table(GROUPS)?;
    // Readers begin at what is kept, so that a group of which some pieces are gone is never read.
    let last = span(tier, kept_from_unix_ns).start_unix_ns;
    let range = tier_key(tier, 0)..tier_key(tier, last);
    remove(&mut groups, range, most, state)
}

fn remove<'k>(
    groups: &mut Table<'_, GroupKey, &'static [u8]>,
    range: impl std::ops::RangeBounds<Borrowed<'k>> + 'k,
    most: usize,
    state: &mut State,
) -> Result<(u64, usize), redb::Error> {
    let (mut windows, mut pieces) = (0, 0);
    for entry in groups.extract_from_if(range, |_, _| true)?.take(most) {
        let (key, value) = entry?;
        let (tier, .., piece) = key.value();
        if piece == 0 {
            let count = group::count(value.value());
            let of_tier = usize::try_from(tier)
                .ok()
                .and_then(|tier| state.grouped.windows.get_mut(tier));
            if let Some(of_tier) = of_tier {
                *of_tier = of_tier.saturating_sub(count);
            }
            windows += count;
        }
        state.replaced(value.value().len(), 0);
        pieces += 1;
    }
    Ok((windows, pieces))
}

type Borrowed<'a> = (u64, u64, &'a str, &'a str, &'a str, &'a str, &'a str, u64);

fn key(tier: Tier, span: Window, service: &ServiceId, piece: u64) -> Borrowed<'_> {
    (
        tier.index() as u64,
        span.start_unix_ns,
        &service.tenant,
        &service.namespace,
        &service.environment,
        &service.service,
        &service.version,
        piece,
    )
}

/// All pieces of a group.
fn pieces(tier: Tier, span: Window, service: &ServiceId) -> std::ops::RangeInclusive<Borrowed<'_>> {
    key(tier, span, service, 0)..=key(tier, span, service, u64::MAX)
}

fn tier_key(tier: Tier, start_unix_ns: u64) -> Borrowed<'static> {
    (tier.index() as u64, start_unix_ns, "", "", "", "", "", 0)
}

/// When the first span of a tier begins that has a group.
pub(super) fn first_start(read: &ReadTransaction, tier: Tier) -> Result<Option<u64>, redb::Error> {
    let groups = read.open_table(GROUPS)?;
    let first = groups
        .range(tier_key(tier, 0)..tier_key(tier, u64::MAX))?
        .next();
    Ok(first.transpose()?.map(|(key, _)| key.value().1))
}

/// One zone of one tier: groups, with what stands alone beside them, and then the other windows that stand alone.
/// Each window once, in no order.
pub(super) struct ZoneScan {
    plan: Plan,
    zone: Zone,
    rows_max: usize,
    groups: OwnedRange<GroupKey, &'static [u8]>,
    of_group: Vec<FoldedWindow>,
    /// For looking into.
    alone: ReadOnlyTable<WindowKey, &'static [u8]>,
    /// The last span that was looked at, and whether windows of it stand alone.
    span: Option<(u64, bool)>,
    /// Windows that stand alone and were merged into one of a group.
    merged: HashSet<(Window, ServiceId)>,
    all_alone: OwnedRange<WindowKey, &'static [u8]>,
}

impl ZoneScan {
    pub(super) fn begin(
        read: &ReadTransaction,
        plan: Plan,
        zone: Zone,
        rows_max: usize,
    ) -> Result<Self, StoreError> {
        let groups = read.open_table(GROUPS).map_err(failed)?;
        let first = span(zone.tier, zone.since_unix_ns).start_unix_ns;
        let groups = groups
            .range_owned(tier_key(zone.tier, first)..tier_key(zone.tier, zone.until_unix_ns))
            .map_err(failed)?;
        let alone = read.open_table(table(zone.tier)).map_err(failed)?;
        let range = start_key(zone.since_unix_ns)..start_key(zone.until_unix_ns);
        let all_alone = alone.range_owned(range).map_err(failed)?;
        Ok(Self {
            plan,
            zone,
            rows_max,
            groups,
            of_group: Vec::new(),
            alone,
            span: None,
            merged: HashSet::new(),
            all_alone,
        })
    }

    /// Reads the next group; false when there is none.
    fn read_group(&mut self) -> Result<bool, redb::Error> {
        let Some(first) = self.groups.next().transpose()? else {
            return Ok(false);
        };
        let mut bytes = first.1.value().to_vec();
        let whole = group::length(&bytes).unwrap_or_default();
        while bytes.len() < whole {
            let Some((_, piece)) = self.groups.next().transpose()? else {
                break;
            };
            bytes.extend_from_slice(piece.value());
        }
        let (_, start_unix_ns, tenant, namespace, environment, service, version, _) =
            first.0.value();
        let id = service_id([tenant, namespace, environment, service, version]);
        let within = self.zone.since_unix_ns..self.zone.until_unix_ns;
        let mut group = group::decode(&bytes)?;
        group.retain(|window, _| within.contains(&window.start_unix_ns));
        if self.has_alone(start_unix_ns)? {
            let windows: Vec<Window> = group.keys().copied().collect();
            for window in windows {
                if let Some(value) = self.alone.get(window_key(window, &id))? {
                    add(&mut group, &decode(value.value())?, self.rows_max);
                    self.merged.insert((window, id.clone()));
                }
            }
        }
        // The last one first, since they are taken from the end.
        self.of_group = group
            .into_iter()
            .rev()
            .map(|(window, rows)| FoldedWindow {
                service: id.clone(),
                window,
                rows,
            })
            .collect();
        Ok(true)
    }

    /// True when windows of a span stand alone.
    fn has_alone(&mut self, start_unix_ns: u64) -> Result<bool, redb::Error> {
        if let Some((start, has_alone)) = self.span
            && start == start_unix_ns
        {
            return Ok(has_alone);
        }
        let span = span(self.zone.tier, start_unix_ns);
        let range = start_key(span.start_unix_ns)..start_key(span.end_unix_ns);
        let has_alone = self.alone.range(range)?.next().is_some();
        self.span = Some((start_unix_ns, has_alone));
        Ok(has_alone)
    }

    fn next_any(&mut self) -> Result<Option<FoldedWindow>, redb::Error> {
        loop {
            if let Some(folded) = self.of_group.pop() {
                return Ok(Some(folded));
            }
            if !self.read_group()? {
                break;
            }
        }
        for entry in self.all_alone.by_ref() {
            let folded = decode(entry?.1.value())?;
            if self.merged.is_empty() {
                return Ok(Some(folded));
            }
            let key = (folded.window, folded.service);
            if !self.merged.contains(&key) {
                let (window, service) = key;
                return Ok(Some(FoldedWindow {
                    service,
                    window,
                    rows: folded.rows,
                }));
            }
        }
        Ok(None)
    }
}

impl Iterator for ZoneScan {
    type Item = Result<FoldedWindow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_any().map_err(failed).transpose()?;
        Some(next.map(|mut folded| {
            folded.window = self.plan.shown(self.zone.tier, folded.window);
            folded
        }))
    }
}
