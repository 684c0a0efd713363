//! Tiers: the order of arrival leaves no trace, and no tier loses what another keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use weighbridge_wire::{FoldedWindow, RowKind, column};

use super::*;
use crate::store::tiers::{Keep, Marks, Tier};
use crate::testing::{DeltaSpec, SECOND_NS, START_UNIX_NS};

const HOUR_NS: u64 = 3_600 * SECOND_NS;
const DAY_NS: u64 = 24 * HOUR_NS;
const KEEP: Keep = Keep {
    as_sent: Duration::from_secs(1_800),
    minutes: Duration::from_secs(6 * 3_600),
    hours: Duration::from_secs(2 * 86_400),
    days: Duration::from_secs(60 * 86_400),
};

/// One delta: where its window lies in five days, and how long it is.
#[derive(Clone, Debug)]
struct Piece {
    start_unix_ns: u64,
    len_ns: u64,
}

fn piece() -> impl Strategy<Value = Piece> {
    // On the raster of its length, as agents send it, or across boundaries, as a spool merges it.
    let len_s = prop_oneof![
        4 => Just(10u64), 1 => Just(1), 1 => Just(60), 1 => Just(70), 1 => Just(300), 1 => Just(7_200),
        1 => Just(86_400),
    ];
    (0..5 * 86_400u64, len_s, any::<bool>(), any::<bool>()).prop_map(
        |(at, len, aligned, recent)| {
            // Most of what is interesting is in the last hours.
            let at = if recent { 5 * 86_400 - at % 30_000 } else { at };
            let at = if aligned { at - at % len } else { at };
            Piece {
                start_unix_ns: START_UNIX_NS + at * SECOND_NS,
                len_ns: len * SECOND_NS,
            }
        },
    )
}

fn store() -> RedbStore {
    let disk = crate::testing::disk::Disk::default();
    RedbStore::open_backend(1_000, move || disk.open()).unwrap()
}

fn now() -> u64 {
    START_UNIX_NS + 5 * DAY_NS + 2 * HOUR_NS
}

fn fold(store: &RedbStore, pieces: &[(usize, &Piece)]) {
    let mut batch = FoldBatch::default();
    for (n, piece) in pieces {
        let service = if n % 3 == 0 { "store" } else { "warehouse" };
        let mut spec = DeltaSpec::new(1, *n as u64)
            .service(service)
            .start(piece.start_unix_ns);
        spec.len_ns = piece.len_ns;
        batch.add(&"".into(), &spec.delta(), 1_000);
    }
    store.fold(&batch).unwrap();
}

fn age(store: &RedbStore, now_unix_ns: u64) {
    while store.age(Marks::due(now_unix_ns, KEEP), 0).unwrap().more {}
}

fn all(store: &RedbStore, finest: Option<Tier>) -> Vec<FoldedWindow> {
    let (_, scan) = store.scan(0, u64::MAX, finest).unwrap();
    let mut found: Vec<FoldedWindow> = scan.map(|folded| folded.unwrap()).collect();
    found.sort_by(|a, b| (a.window, &a.service).cmp(&(b.window, &b.service)));
    found
}

fn ended(windows: &[FoldedWindow]) -> i64 {
    windows
        .iter()
        .flat_map(|folded| folded.rows.of_kind(RowKind::Operation))
        .filter_map(|(_, value)| value.get(column::ENDED))
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn tiers_do_not_tell_in_which_order_deltas_came(
        pieces in proptest::collection::vec(piece(), 1..40),
        order in Just(()).prop_perturb(|(), mut random| random.next_u64()),
        chunk in 1usize..9,
    ) {
        // One store takes them by time while it ages, the other in any order with a clock of its own.
        let mut by_time: Vec<(usize, &Piece)> = pieces.iter().enumerate().collect();
        by_time.sort_by_key(|(_, piece)| piece.start_unix_ns);
        let mut shuffled = by_time.clone();
        shuffled.sort_by_key(|(n, _)| (*n as u64 + 1).wrapping_mul(order | 1));
        let (on_time, late) = (store(), store());
        for chunk in by_time.chunks(chunk) {
            let (_, last) = chunk.last().unwrap();
            fold(&on_time, chunk);
            age(&on_time, (last.start_unix_ns + last.len_ns).min(now()));
        }
        for (i, chunk) in shuffled.chunks(chunk).enumerate() {
            if i == 1 {
                age(&late, START_UNIX_NS + 3 * DAY_NS);
            }
            if i == 3 {
                age(&late, now());
            }
            fold(&late, chunk);
        }
        age(&on_time, now());
        age(&late, now());
        for finest in [None, Some(Tier::AsSent), Some(Tier::Minutes), Some(Tier::Hours), Some(Tier::Days)] {
            let found = all(&on_time, finest);
            prop_assert_eq!(&found, &all(&late, finest), "{:?}", finest);
            // Nothing is lost and nothing counts twice, at any resolution.
            prop_assert_eq!(ended(&found), pieces.len() as i64, "{:?}", finest);
            let order: Vec<_> = found.iter().map(|f| (f.window, f.service.clone())).collect();
            prop_assert!(order.is_sorted_by(|a, b| a < b), "{:?}: {:?}", finest, order);
        }
    }
}

#[test]
fn windows_grow_coarser_with_age_and_no_window_is_kept_twice() {
    let store = store();
    let pieces: Vec<Piece> = (0..5 * 24 * 6)
        .map(|n| Piece {
            start_unix_ns: START_UNIX_NS + n * 600 * SECOND_NS,
            len_ns: 10 * SECOND_NS,
        })
        .collect();
    for chunk in pieces.iter().enumerate().collect::<Vec<_>>().chunks(100) {
        fold(&store, chunk);
    }
    let before = store.window_bytes();
    age(&store, now());
    assert!(store.window_bytes() < before, "{before}");
    let mut lengths: BTreeMap<u64, usize> = BTreeMap::new();
    for folded in all(&store, None) {
        *lengths
            .entry((folded.window.end_unix_ns - folded.window.start_unix_ns) / SECOND_NS)
            .or_default() += 1;
    }
    // Three days, then hours, then minutes; START_UNIX_NS is 8:00 UTC.
    assert_eq!(
        lengths.keys().copied().collect::<Vec<_>>(),
        [60, 3_600, 86_400]
    );
    assert_eq!(ended(&all(&store, None)), pieces.len() as i64);
    // The last day ends where sums end, not at midnight.
    let days = all(&store, Some(Tier::Days));
    let last = days.last().unwrap().window;
    assert!(
        last.end_unix_ns <= now() && last.end_unix_ns.is_multiple_of(60 * SECOND_NS),
        "{last:?}"
    );
}

#[test]
fn a_database_of_the_format_before_is_read_and_summed() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path(), 1_000).unwrap();
    let piece = |start_s: u64, len_s: u64| Piece {
        start_unix_ns: START_UNIX_NS + start_s * SECOND_NS,
        len_ns: len_s * SECOND_NS,
    };
    fold(
        &store,
        &[
            (0, &piece(0, 10)),
            (1, &piece(55, 10)),
            (2, &piece(100, 300)),
        ],
    );
    drop(store);
    // What the version before did not know.
    let database = ::redb::Database::open(directory.path().join(DATABASE_FILE)).unwrap();
    let write = database.begin_write().unwrap();
    for tier in Tier::SUMS {
        assert!(write.delete_table(sums::table(tier)).unwrap());
    }
    write
        .open_table(META)
        .unwrap()
        .insert(FORMAT_KEY, 1)
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let store = RedbStore::open(directory.path(), 1_000).unwrap();
    assert_eq!(ended(&all(&store, None)), 3);
    age(&store, now());
    for tier in Tier::ALL {
        assert_eq!(ended(&all(&store, Some(tier))), 3, "{tier:?}");
    }
}
