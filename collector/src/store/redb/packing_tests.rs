//! Groups: nothing of what stands in them is lost, counted twice or left behind, and they are small.

use std::time::Duration;

use ::redb::ReadableDatabase as _;
use weighbridge_wire::{FoldedWindow, RowKind, RowSet, column};

use super::*;
use crate::store::Note;
use crate::store::tiers::{Keep, Marks, Tier};
use crate::testing::{DeltaSpec, SECOND_NS, START_UNIX_NS};

const MINUTE_NS: u64 = 60 * SECOND_NS;
const DAY_NS: u64 = 1_440 * MINUTE_NS;
/// START_UNIX_NS is 8:00 UTC.
const MIDNIGHT_UNIX_NS: u64 = START_UNIX_NS + 16 * 60 * MINUTE_NS;
const KEEP: Keep = Keep {
    as_sent: Duration::from_secs(1_800),
    minutes: Duration::from_secs(3 * 3_600),
    hours: Duration::from_secs(2 * 86_400),
    days: Duration::from_secs(60 * 86_400),
};

fn delta(seq: u64, start_unix_ns: u64) -> weighbridge_wire::Delta {
    let mut spec = DeltaSpec::new(1, seq)
        .service(["store", "warehouse", "accounts"][usize::try_from(seq % 3).unwrap()])
        .start(start_unix_ns);
    spec.len_ns = 10 * SECOND_NS;
    spec.delta()
}

fn fold(store: &RedbStore, seqs: std::ops::Range<u64>, start_unix_ns: impl Fn(u64) -> u64) {
    let mut batch = FoldBatch::default();
    for seq in seqs {
        batch.add(&"".into(), &delta(seq, start_unix_ns(seq)), 1_000);
    }
    store.fold(&batch).unwrap();
}

fn age(store: &RedbStore, now_unix_ns: u64) {
    let mut steps = 0;
    while store.age(Marks::due(now_unix_ns, KEEP), 0).unwrap().more {
        steps += 1;
        assert!(steps < 10_000, "it does not end");
    }
}

fn all(store: &RedbStore, finest: Option<Tier>) -> Vec<FoldedWindow> {
    let (_, scan) = store.scan(0, u64::MAX, finest).unwrap();
    let mut found: Vec<FoldedWindow> = scan.map(|folded| folded.unwrap()).collect();
    found.sort_by(|a, b| (a.window, &a.service).cmp(&(b.window, &b.service)));
    let twice = found
        .windows(2)
        .any(|pair| (pair[0].window, &pair[0].service) == (pair[1].window, &pair[1].service));
    assert!(!twice, "{finest:?}");
    found
}

fn cpu_ns(found: &[FoldedWindow]) -> i64 {
    found
        .iter()
        .map(|folded| folded.rows.accounts_cpu_ns())
        .sum()
}

fn expected_ns(deltas: u64) -> i64 {
    (0..deltas)
        .map(|seq| DeltaSpec::new(1, seq).total_cpu_ns())
        .sum()
}

fn state(store: &RedbStore) -> sums::State {
    store.read().memory.windows.clone()
}

/// Windows that stand alone, of all tiers.
fn alone(store: &RedbStore) -> u64 {
    let read = store.begin_read().unwrap();
    let count = |tier| read.open_table(sums::table(tier)).unwrap().len().unwrap();
    Tier::ALL.into_iter().map(count).sum()
}

fn store() -> RedbStore {
    let disk = crate::testing::disk::Disk::default();
    RedbStore::open_backend(1_000, move || disk.open()).unwrap()
}

/// One window of each service each ten seconds for two hours.
const TWO_HOURS: u64 = 3 * 720;
fn even(seq: u64) -> u64 {
    MIDNIGHT_UNIX_NS + seq / 3 * 10 * SECOND_NS
}

#[test]
fn windows_that_are_over_stand_in_groups_and_take_what_comes_late() {
    let store = store();
    fold(&store, 0..TWO_HOURS, even);
    let now_unix_ns = MIDNIGHT_UNIX_NS + 126 * MINUTE_NS;
    let (before, stood_alone) = (all(&store, None), alone(&store));
    age(&store, now_unix_ns);
    let grouped = state(&store).grouped.windows;
    // Half an hour as sent, two hours of minutes; the twelve hours and eight days are not over.
    assert!(
        grouped[0] >= 3 * 140 && grouped[1] == 3 * 120,
        "{grouped:?}"
    );
    assert!(alone(&store) < stood_alone / 20, "{}", alone(&store));
    assert_eq!(cpu_ns(&before), expected_ns(TWO_HOURS));
    for finest in Tier::ALL {
        let found = all(&store, Some(finest));
        assert_eq!(cpu_ns(&found), expected_ns(TWO_HOURS), "{finest:?}");
    }
    // Late, for windows that stand in groups and for some that never were there.
    let late = 3 * 40;
    fold(&store, TWO_HOURS..TWO_HOURS + late, |seq| {
        MIDNIGHT_UNIX_NS + (100 * 60 + seq % 40 * 5 / 10 * 10) * SECOND_NS
    });
    assert!(alone(&store) > 0);
    let beside = Tier::ALL.map(|finest| all(&store, Some(finest)));
    for found in &beside {
        assert_eq!(cpu_ns(found), expected_ns(TWO_HOURS + late));
    }
    // The next time they go into the groups.
    let (stood_alone, bytes) = (alone(&store), store.window_bytes());
    store
        .change(|_, memory| {
            memory.windows.grouped.until_unix_ns -= 5 * MINUTE_NS;
            Ok(())
        })
        .unwrap();
    age(&store, now_unix_ns);
    assert!(alone(&store) < stood_alone && store.window_bytes() < bytes);
    assert_eq!(Tier::ALL.map(|finest| all(&store, Some(finest))), beside);
}

#[test]
fn a_correction_that_comes_late_takes_rows_out_of_groups() {
    let store = store();
    fold(&store, 0..TWO_HOURS, even);
    age(&store, MIDNIGHT_UNIX_NS + 126 * MINUTE_NS);
    let start_unix_ns = MIDNIGHT_UNIX_NS + 110 * MINUTE_NS;
    let first = delta(
        (start_unix_ns - MIDNIGHT_UNIX_NS) / SECOND_NS / 10 * 3,
        start_unix_ns,
    );
    let mut batch = FoldBatch::default();
    let service = Note::of(&"".into(), &first).service;
    let mut rows = RowSet::new();
    for (key, value) in first.rows.of_kind(RowKind::Operation) {
        let mut taken = weighbridge_wire::RowValue::new();
        value
            .columns()
            .for_each(|(column, figure)| taken.add(column, -figure));
        rows.add(key.clone(), &taken);
    }
    assert!(crate::fold::takes_back(&rows), "{rows:?}");
    batch.windows.insert((first.window, service.clone()), rows);
    batch.corrected.insert((first.window, service.clone()));
    store.fold(&batch).unwrap();
    let found = all(&store, Some(Tier::AsSent));
    let window = found
        .iter()
        .find(|folded| folded.window == first.window && folded.service == service)
        .unwrap();
    let left = window.rows.of_kind(RowKind::Operation);
    let ended: i64 = left.filter_map(|(_, value)| value.get(column::ENDED)).sum();
    assert_eq!(ended, 0);
}

#[test]
fn groups_go_with_their_tier_and_leave_nothing() {
    let store = store();
    // Ten days, a window each quarter of an hour.
    let count = 10 * 96;
    fold(&store, 0..count, |seq| {
        MIDNIGHT_UNIX_NS + seq * 15 * MINUTE_NS
    });
    age(&store, MIDNIGHT_UNIX_NS + 9 * DAY_NS);
    let grouped = state(&store).grouped.windows;
    assert!(grouped.iter().all(|&windows| windows > 0), "{grouped:?}");
    for day in 10..14 {
        age(&store, MIDNIGHT_UNIX_NS + day * DAY_NS);
        assert_eq!(cpu_ns(&all(&store, None)), expected_ns(count), "{day}");
    }
    age(&store, MIDNIGHT_UNIX_NS + 90 * DAY_NS);
    assert_eq!(state(&store).grouped.windows, [0; 4]);
    assert_eq!(state(&store).bytes, 0);
    assert_eq!(all(&store, None), []);
}

#[test]
fn a_directory_of_the_format_before_is_read_and_put_into_groups() {
    let directory = tempfile::tempdir().unwrap();
    let now_unix_ns = MIDNIGHT_UNIX_NS + 126 * MINUTE_NS;
    let store = RedbStore::open(directory.path(), 1_000).unwrap();
    fold(&store, 0..TWO_HOURS, even);
    while store.sum_piece(Marks::due(now_unix_ns, KEEP)).unwrap() == Summed::Part {}
    let before = Tier::ALL.map(|finest| all(&store, Some(finest)));
    store
        .change(|handle, _| {
            let write = handle.begin_write()?;
            {
                // What the version before did not know.
                let mut meta = write.open_table(META)?;
                meta.insert(FORMAT_KEY, 3)?;
                meta.retain(|key, _| !key.contains("grouped"))?;
            }
            assert!(write.delete_table(packing::GROUPS)?);
            Ok(write.commit()?)
        })
        .unwrap();
    drop(store);
    let store = RedbStore::open_read_only(directory.path()).unwrap();
    assert_eq!(Tier::ALL.map(|finest| all(&store, Some(finest))), before);
    let stood_alone = alone(&store);
    age(&store, now_unix_ns);
    assert!(alone(&store) < stood_alone / 20);
    for (finest, before) in Tier::ALL.into_iter().zip(&before) {
        assert_eq!(
            cpu_ns(&all(&store, Some(finest))),
            cpu_ns(before),
            "{finest:?}"
        );
    }
    drop(store);
    let database = ::redb::Database::open(directory.path().join(DATABASE_FILE)).unwrap();
    let meta = database.begin_read().unwrap().open_table(META).unwrap();
    let format = meta.get(FORMAT_KEY).unwrap().unwrap().value();
    assert_eq!(format, FORMAT_VERSION);
}
