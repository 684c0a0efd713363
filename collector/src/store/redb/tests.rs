use super::*;
use crate::testing::DeltaSpec;

fn error(directory: &Path) -> String {
    RedbStore::open(directory, 1_000)
        .expect_err("refused")
        .to_string()
}

fn filled(directory: &Path) {
    let store = RedbStore::open(directory, 1_000).unwrap();
    let tenant = "".into();
    let mut batch = FoldBatch::default();
    for seq in 0..50 {
        batch.add(&tenant, &DeltaSpec::new(1, seq).delta(), 1_000);
    }
    store.fold(&batch).unwrap();
}

#[test]
fn a_later_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let database = ::redb::Database::open(directory.path().join(DATABASE_FILE)).unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(META)
        .unwrap()
        .insert(FORMAT_KEY, FORMAT_VERSION + 1)
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let error = error(directory.path());
    assert!(
        error.contains(&format!("data format {}", FORMAT_VERSION + 1))
            && error.contains("a later one"),
        "{error}"
    );
    let error = RedbStore::open_read_only(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { .. }), "{error}");
}

#[test]
fn a_second_opening_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = RedbStore::open(directory.path(), 1_000).unwrap();
    assert!(error(directory.path()).contains("held by another process"));
    let error = RedbStore::open_read_only(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[test]
fn a_truncated_or_foreign_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let path = directory.path().join(DATABASE_FILE);
    let whole = std::fs::read(&path).unwrap();
    for len in [whole.len() / 2, 5_000, 300, 10] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let error = error(directory.path());
        assert!(
            error.contains("damaged") && error.contains("restore a backup"),
            "{len}: {error}"
        );
    }
    std::fs::write(&path, "a letter to a friend ".repeat(1_000)).unwrap();
    assert!(error(directory.path()).contains("not a Weighbridge database"));
}

#[test]
fn windows_come_back_in_order_and_inside_the_range() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path());
    let store = RedbStore::open_read_only(directory.path()).unwrap();
    let start = crate::testing::START_UNIX_NS;
    let second = crate::testing::SECOND_NS;
    let found: Vec<_> = store
        .scan(start + second, start + 4 * second, None)
        .unwrap()
        .1
        .map(|folded| (folded.unwrap().window.start_unix_ns - start) / second)
        .collect();
    assert_eq!(found, [1, 2, 3]);
    assert_eq!(store.scan(9, 3, None).unwrap().1.count(), 0);
}

/// Everything that starts earlier is to go.
fn older_than(unix_ns: u64) -> Marks {
    Marks {
        summed_unix_ns: 0,
        kept_from_unix_ns: [unix_ns; 4],
    }
}

#[test]
fn removing_goes_in_pieces_and_to_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path(), 1_000).unwrap();
    let tenant = "".into();
    let mut batch = FoldBatch::default();
    let count = sums::REMOVE_AT_ONCE as u64 + 7;
    for seq in 0..count {
        batch.add(&tenant, &DeltaSpec::new(1, seq).delta(), 1_000);
    }
    store.fold(&batch).unwrap();
    let due = older_than(crate::testing::START_UNIX_NS + (count - 2) * crate::testing::SECOND_NS);
    let aged = store.age(due, 0).unwrap();
    assert_eq!(
        (aged.windows, aged.more),
        (sums::REMOVE_AT_ONCE as u64, true)
    );
    let aged = store.age(due, 0).unwrap();
    assert_eq!((aged.windows, aged.more), (5, false));
    assert_eq!(store.age(due, 0).unwrap(), Aged::default());
    let scan = store.scan(0, u64::MAX, None).unwrap().1;
    assert_eq!(scan.count(), 2);
    assert_eq!(store.age(due, u64::MAX).unwrap().epochs, 1);
    store
        .epochs(&mut |id, _| panic!("{id:?} remained"))
        .unwrap();
}
