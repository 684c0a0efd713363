//! Adding up minutes in pieces, beside ingest.
//!
//! A piece is some services. What they sent in the minutes that are due is read and added up from a snapshot, while
//! others change the database; what comes of it is put in its place in one short transaction, in which the services
//! are noted as done. Where one of them was changed meanwhile, the piece is thrown away and done again.

use std::collections::BTreeMap;

use redb::{ReadTransaction, WriteTransaction};
use weighbridge_wire::{RowSet, ServiceId, Window};

use super::sums::{Ahead, DEFLATED, State, decode, deflate, key_window, merged, start_key, table};
use super::{WINDOWS, service_id, window_key};
use crate::store::tiers::{Marks, Tier};

/// Windows as sent up to which further minutes are taken together. Whole minutes, so it may be more.
const TOGETHER: usize = if cfg!(test) { 12 } else { 1_000 };
/// Windows as sent at which a piece has enough services. Few in tests, so that small ones have many pieces.
const PIECE: usize = if cfg!(test) { 2 } else { 96 };

/// Services that were changed since the snapshot, and the earliest window that was.
pub(super) type Touched = BTreeMap<ServiceId, u64>;

/// Some services, added up to an instant.
pub(super) struct Piece {
    until_unix_ns: u64,
    /// Which services were done before.
    after: Option<ServiceId>,
    last: Option<ServiceId>,
    /// True when no service is left.
    pub(super) ends_it: bool,
    /// What is to stand in each tier.
    puts: [Vec<(Window, ServiceId, Vec<u8>)>; 4],
}

impl Piece {
    /// True when there is something to add up.
    pub(super) fn is_due(state: &State, due: Marks) -> bool {
        state.ahead.is_some() || state.marks.summed_unix_ns < due.summed_unix_ns
    }

    /// The next piece of what is due.
    pub(super) fn next(
        read: &ReadTransaction,
        state: &State,
        due: Marks,
        rows_max: usize,
    ) -> Result<Self, redb::Error> {
        let (until_unix_ns, mut services) = due_windows(read, state, due)?;
        let mut windows = 0;
        let beyond = services.iter().find_map(|(service, of)| {
            let is_enough = windows >= PIECE;
            windows += of.len();
            is_enough.then(|| service.clone())
        });
        if let Some(beyond) = &beyond {
            services.split_off(beyond);
        }
        let mut piece = Self {
            until_unix_ns,
            after: state.ahead.as_ref().map(|ahead| ahead.service.clone()),
            last: services.keys().next_back().cloned(),
            ends_it: beyond.is_none(),
            puts: Default::default(),
        };
        for (service, windows) in &services {
            piece.add_up(read, state.marks, service, windows, rows_max)?;
        }
        Ok(piece)
    }

    /// Sums of one service.
    fn add_up(
        &mut self,
        read: &ReadTransaction,
        marks: Marks,
        service: &ServiceId,
        windows: &[Window],
        rows_max: usize,
    ) -> Result<(), redb::Error> {
        let mut sums: [BTreeMap<Window, RowSet>; 3] = Default::default();
        let as_sent = read.open_table(WINDOWS)?;
        for &window in windows {
            let Some(value) = as_sent.get(window_key(window, service))? else {
                continue;
            };
            let rows = decode(value.value())?.rows;
            for (tier, sums) in Tier::SUMS.into_iter().zip(&mut sums) {
                let bucket = tier.bucket(window);
                if tier.holds(window) && marks.keeps(tier, bucket) {
                    crate::fold::merge(sums.entry(bucket).or_default(), &rows, rows_max);
                }
            }
            if value.value().first() != Some(&DEFLATED) {
                self.put(Tier::AsSent, window, service, deflate(value.value())?);
            }
        }
        for (tier, sums) in Tier::SUMS.into_iter().zip(&sums) {
            let table = read.open_table(table(tier))?;
            for (&bucket, rows) in sums {
                let stored = table.get(window_key(bucket, service))?;
                let stored = stored.as_ref().map(redb::AccessGuard::value);
                let bytes = merged(stored, bucket, service, rows, rows_max, true)?;
                self.put(tier, bucket, service, bytes);
            }
        }
        Ok(())
    }

    fn put(&mut self, tier: Tier, window: Window, service: &ServiceId, bytes: Vec<u8>) {
        if let Some(puts) = self.puts.get_mut(tier.index()) {
            puts.push((window, service.clone(), bytes));
        }
    }

    /// True when what it was made of has changed.
    pub(super) fn is_stale(&self, touched: &Touched) -> bool {
        touched.iter().any(|(service, &start_unix_ns)| {
            let is_done = self.after.as_ref().is_some_and(|after| service <= after);
            let is_later = !self.ends_it && Some(service) > self.last.as_ref();
            start_unix_ns < self.until_unix_ns && !is_done && !is_later
        })
    }

    /// Puts everything in its place.
    pub(super) fn apply(
        self,
        write: &WriteTransaction,
        mut state: State,
    ) -> Result<State, redb::Error> {
        for (tier, puts) in Tier::ALL.into_iter().zip(&self.puts) {
            if puts.is_empty() {
                continue;
            }
            let mut table = write.open_table(table(tier))?;
            for (window, service, bytes) in puts {
                let before = table.insert(window_key(*window, service), bytes.as_slice())?;
                let before = before.map_or(0, |value| value.value().len());
                state.replaced(before, bytes.len());
            }
        }
        state.ahead = match self.last {
            Some(service) if !self.ends_it => Some(Ahead {
                until_unix_ns: self.until_unix_ns,
                service,
            }),
            _ => None,
        };
        if state.ahead.is_none() {
            state.marks.summed_unix_ns = self.until_unix_ns;
        }
        state.write(write)?;
        Ok(state)
    }
}

/// Up to where is added up, and what begins until then, of the services that are not done.
fn due_windows(
    read: &ReadTransaction,
    state: &State,
    due: Marks,
) -> Result<(u64, BTreeMap<ServiceId, Vec<Window>>), redb::Error> {
    let from = state.marks.summed_unix_ns;
    let mut until = match &state.ahead {
        Some(ahead) => ahead.until_unix_ns,
        None => due.summed_unix_ns,
    };
    let mut services: BTreeMap<ServiceId, Vec<Window>> = BTreeMap::new();
    let mut taken = 0;
    for entry in read
        .open_table(WINDOWS)?
        .range(start_key(from)..start_key(until))?
    {
        let (key, _) = entry?;
        let key = key.value();
        let window = key_window(&key);
        if window.start_unix_ns >= until {
            break;
        }
        taken += 1;
        if taken == TOGETHER && state.ahead.is_none() {
            // To the end of this minute, and no further.
            until = until.min(Tier::Minutes.bucket(window).end_unix_ns);
        }
        let (_, _, tenant, namespace, environment, service, version) = key;
        let service = service_id([tenant, namespace, environment, service, version]);
        let is_done = state
            .ahead
            .as_ref()
            .is_some_and(|ahead| service <= ahead.service);
        if !is_done {
            services.entry(service).or_default().push(window);
        }
    }
    Ok((until, services))
}

/// The version before added a window of no minute to its hour or day as soon as it came; now it is added with the
/// minute in which it begins. So that none counts twice, minutes are added up to the last one that came so.
pub(super) fn upgrade(
    read: &ReadTransaction,
    write: &WriteTransaction,
    rows_max: usize,
) -> Result<(), redb::Error> {
    let mut state = State::read(read)?;
    let mut services: BTreeMap<ServiceId, Vec<Window>> = BTreeMap::new();
    let mut until_unix_ns = state.marks.summed_unix_ns;
    for entry in read
        .open_table(WINDOWS)?
        .range(start_key(state.marks.summed_unix_ns)..)?
    {
        let folded = decode(entry?.1.value())?;
        let minute = Tier::Minutes.bucket(folded.window);
        if Tier::Minutes.holds(folded.window) {
            services
                .entry(folded.service)
                .or_default()
                .push(folded.window);
        } else {
            until_unix_ns = minute.end_unix_ns;
        }
    }
    let mut piece = Piece {
        until_unix_ns,
        after: None,
        last: None,
        ends_it: true,
        puts: Default::default(),
    };
    for (service, mut windows) in services {
        windows.retain(|window| window.start_unix_ns < until_unix_ns);
        piece.add_up(read, state.marks, &service, &windows, rows_max)?;
    }
    state.ahead = None;
    piece.apply(write, state)?;
    Ok(())
}
