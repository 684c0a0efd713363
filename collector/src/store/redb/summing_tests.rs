//! Minutes are added up in pieces while others change the database: at no moment is anything missing or twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use weighbridge_wire::{FoldedWindow, RowKind, column};

use super::*;
use crate::store::Note;
use crate::store::tiers::{Keep, Marks, Tier};
use crate::testing::{DeltaSpec, SECOND_NS, START_UNIX_NS};

const SERVICES: [&str; 6] = ["accounts", "broker", "cart", "depot", "errands", "freight"];
const HOUR_NS: u64 = 3_600 * SECOND_NS;
const KEEP: Keep = Keep {
    as_sent: Duration::from_secs(1_800),
    minutes: Duration::from_secs(6 * 3_600),
    hours: Duration::from_secs(2 * 86_400),
    days: Duration::from_secs(60 * 86_400),
};
const RESOLUTIONS: [Option<Tier>; 5] = [
    None,
    Some(Tier::AsSent),
    Some(Tier::Minutes),
    Some(Tier::Hours),
    Some(Tier::Days),
];

fn now() -> u64 {
    START_UNIX_NS + 26 * HOUR_NS
}

fn store() -> RedbStore {
    let disk = crate::testing::disk::Disk::default();
    RedbStore::open_backend(1_000, move || disk.open()).unwrap()
}

/// A window: of which service, when, how long.
type Piece = (usize, u64, u64);

fn piece() -> impl Strategy<Value = Piece> {
    let len_s = prop_oneof![6 => Just(10u64), 1 => Just(60), 1 => Just(70), 1 => Just(7_200)];
    // Around a few instants, so that services meet in minutes, hours and days.
    let at = prop_oneof![
        4 => 26 * 3_600 - 400..26 * 3_600 - 100u64,
        2 => 15 * 3_600 + 3_000..15 * 3_600 + 3_900u64,
        1 => 0..26 * 3_600u64,
    ];
    (0..SERVICES.len(), at, len_s, any::<bool>()).prop_map(|(service, at, len, aligned)| {
        let at = if aligned { at - at % len } else { at };
        (service, at, len)
    })
}

fn fold(store: &RedbStore, seq: u64, (service, at, len): Piece) {
    let mut spec = DeltaSpec::new(1, seq)
        .service(SERVICES[service])
        .start(START_UNIX_NS + at * SECOND_NS);
    spec.len_ns = len * SECOND_NS;
    let mut batch = FoldBatch::default();
    batch.add(&"".into(), &spec.delta(), 1_000);
    store.fold(&batch).unwrap();
}

fn all(store: &RedbStore, finest: Option<Tier>) -> Vec<FoldedWindow> {
    let (_, scan) = store.scan(0, u64::MAX, finest).unwrap();
    let mut found: Vec<FoldedWindow> = scan.map(|folded| folded.unwrap()).collect();
    found.sort_by(|a, b| (a.window, &a.service).cmp(&(b.window, &b.service)));
    found
}

/// Which deltas are in the range, by the CPU that only each of them has, and in order.
fn is_whole(store: &RedbStore, deltas: u64) {
    for finest in RESOLUTIONS {
        let found = all(store, finest);
        let cpu: i64 = found
            .iter()
            .map(|folded| folded.rows.accounts_cpu_ns())
            .sum();
        let expected: i64 = (0..deltas)
            .map(|seq| DeltaSpec::new(1, seq).total_cpu_ns())
            .sum();
        assert_eq!(cpu, expected, "{finest:?} of {deltas}");
        let order: Vec<_> = found.iter().map(|f| (f.window, &f.service)).collect();
        assert!(order.is_sorted_by(|a, b| a < b), "{finest:?}: {order:?}");
    }
}

fn age(store: &RedbStore) -> u64 {
    let mut steps = 0;
    while store.age(Marks::due(now(), KEEP), 0).unwrap().more {
        steps += 1;
        assert!(steps < 10_000, "it does not end");
    }
    steps
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_while_minutes_are_added_up_counts_once_at_every_moment(
        before in proptest::collection::vec(piece(), 1..40),
        meanwhile in proptest::collection::vec(piece(), 1..30),
    ) {
        let interrupted = Arc::new(store());
        let mut seq = 0;
        for &window in &before {
            fold(&interrupted, seq, window);
            seq += 1;
        }
        let come = Arc::new(Mutex::new((seq, meanwhile.clone().into_iter())));
        let (folded, into) = (come.clone(), Arc::downgrade(&interrupted));
        interrupted.while_summing(move || {
            let store = into.upgrade().unwrap();
            let (seq, rest) = &mut *folded.lock().unwrap();
            is_whole(&store, *seq);
            // Some pieces are made in peace.
            let in_peace = seq.is_multiple_of(3) && rest.len() % 2 != 0;
            if !in_peace && let Some(window) = rest.next() {
                fold(&store, *seq, window);
                *seq += 1;
                is_whole(&store, *seq);
            }
        });
        age(&interrupted);
        interrupted.while_summing(|| {});
        let (mut seq, rest) = std::mem::replace(&mut *come.lock().unwrap(), (0, Vec::new().into_iter()));
        for window in rest {
            fold(&interrupted, seq, window);
            seq += 1;
        }
        age(&interrupted);
        let at_rest = store();
        for (seq, &window) in before.iter().chain(&meanwhile).enumerate() {
            fold(&at_rest, seq as u64, window);
        }
        age(&at_rest);
        for finest in RESOLUTIONS {
            prop_assert_eq!(all(&interrupted, finest), all(&at_rest, finest), "{:?}", finest);
        }
        is_whole(&interrupted, (before.len() + meanwhile.len()) as u64);
    }
}

#[test]
fn a_process_that_ends_between_two_pieces_leaves_nothing_missing_or_twice() {
    let disk = crate::testing::disk::Disk::default();
    let open = || {
        let disk = disk.clone();
        RedbStore::open_backend(1_000, move || disk.open()).unwrap()
    };
    let mut store = open();
    let windows: Vec<Piece> = (0..60)
        .map(|n| (n as usize % SERVICES.len(), 26 * 3_600 - 400 + 5 * n, 10))
        .collect();
    for (seq, &window) in windows.iter().enumerate() {
        fold(&store, seq as u64, window);
    }
    let mut starts = 0;
    loop {
        is_whole(&store, windows.len() as u64);
        let more = store.age(Marks::due(now(), KEEP), 0).unwrap().more;
        drop(store);
        store = open();
        starts += 1;
        if !more {
            break;
        }
    }
    assert!(starts > 5, "only {starts} pieces");
    is_whole(&store, windows.len() as u64);
    let minutes = all(&store, Some(Tier::Minutes));
    let ended = |folded: &FoldedWindow| -> i64 {
        let rows = folded.rows.of_kind(RowKind::Operation);
        rows.filter_map(|(_, value)| value.get(column::ENDED)).sum()
    };
    assert!(
        minutes.iter().any(|minute| ended(minute) > 1),
        "{minutes:?}"
    );
}

#[test]
fn a_database_of_the_format_before_has_each_window_of_no_minute_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path(), 1_000).unwrap();
    age(&store);
    let summed_s = 26 * 3_600 - 60;
    let windows: [Piece; 4] = [
        (0, summed_s, 10),
        // Across the end of a minute, and of two.
        (0, summed_s + 55, 10),
        (1, summed_s + 65, 70),
        (1, summed_s + 200, 10),
    ];
    for (seq, &window) in windows.iter().enumerate() {
        fold(&store, seq as u64, window);
    }
    // As the version before left it: those were added to their hour and day at once.
    store
        .change(|handle, memory| {
            let write = handle.begin_write()?;
            let mut state = memory.windows.clone();
            for (window, service) in [(&windows[1], 1), (&windows[2], 2)].map(|(w, seq)| {
                let mut spec = DeltaSpec::new(1, seq)
                    .service(SERVICES[w.0])
                    .start(START_UNIX_NS + w.1 * SECOND_NS);
                spec.len_ns = w.2 * SECOND_NS;
                let delta = spec.delta();
                (
                    (delta.window, delta.rows),
                    Note::of(&"".into(), &spec.delta()).service,
                )
            }) {
                for tier in [Tier::Hours, Tier::Days] {
                    sums::put_at_once(&write, tier, window.0, &service, &window.1, &mut state)?;
                }
            }
            write.open_table(META)?.insert(FORMAT_KEY, 2)?;
            assert!(write.delete_table(sums::AHEAD)?);
            Ok(write.commit()?)
        })
        .unwrap();
    drop(store);
    let store = RedbStore::open(directory.path(), 1_000).unwrap();
    is_whole(&store, 4);
    let later = Marks::due(now() + HOUR_NS, KEEP);
    while store.age(later, 0).unwrap().more {}
    is_whole(&store, 4);
}
