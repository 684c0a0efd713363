use crate::testing::SECOND_NS;
use crate::testing::{DeltaSpec, START_UNIX_NS, wire};
use crate::{Collector, Config, Running};

use super::*;

async fn collector(directory: &Path) -> Running {
    let mut config = Config {
        data_dir: directory.into(),
        listen_http: "127.0.0.1:0".parse().unwrap(),
        weigh_self: false,
        ..Config::default()
    };
    config.limits.fold_every = std::time::Duration::from_secs(3_600);
    let clock = Clock::fixed(START_UNIX_NS + 100 * SECOND_NS);
    Collector::start_with_clock(config, clock).await.unwrap()
}

async fn send(running: &Running, seq: u64) {
    let body = DeltaSpec::new(1, seq).delta().encode();
    let headers = [("content-type", "application/x-protobuf")];
    let answer = wire::request(running.http_addr, "POST /v1/ledger", &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn directory_and_url_give_the_same_range() {
    let directory = tempfile::tempdir().unwrap();
    let running = collector(directory.path()).await;
    for seq in 0..3 {
        send(&running, seq).await;
    }
    let url = format!("http://{}", running.http_addr);
    let fetched = fetch_range(&url, &Access::default(), None, None)
        .await
        .unwrap();
    assert_eq!(fetched.windows.len(), 3);
    let error = read_range(directory.path(), Span::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("--from URL"), "{error}");
    running.shutdown().await.unwrap();
    assert_eq!(
        read_range(directory.path(), Span::default()).unwrap(),
        fetched
    );
    let span = Span {
        since_unix_ns: START_UNIX_NS + 1,
        until_unix_ns: u64::MAX,
    };
    assert_eq!(read_range(directory.path(), span).unwrap().windows.len(), 2);
}

#[tokio::test]
async fn what_a_killed_collector_had_only_committed_is_read_too() {
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let running = collector(directory.path()).await;
    send(&running, 0).await;
    // A copy of the file of a running process is what kill -9 leaves behind.
    let file = crate::store::DATABASE_FILE;
    std::fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
    let range = read_range(copy.path(), Span::default()).unwrap();
    assert_eq!(range.windows.len(), 1);
    assert_eq!(range.windows[0].rows, DeltaSpec::new(1, 0).delta().rows);
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let absent = read_range(directory.path(), Span::default()).unwrap_err();
    assert!(matches!(absent, StoreError::Absent { .. }), "{absent}");
    for (url, says) in [
        ("127.0.0.1:4318", "http://127.0.0.1:4318"),
        ("ftp://127.0.0.1:4318", "http:// or https://"),
        ("http://127.0.0.1:4318/report", "path"),
        ("http://127.0.0.1:1", "check that the collector runs"),
    ] {
        let error = fetch_range(url, &Access::default(), None, None)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
    }
    let running = collector(directory.path()).await;
    let url = format!("http://{}", running.http_addr);
    let error = fetch_range(&url, &Access::default(), Some("yester day&"), None)
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("400") && error.contains("`yester day&`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_a_damaged_database_which_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let snapshot = elsewhere.path().join("backup");
    let running = collector(directory.path()).await;
    send(&running, 0).await;
    running.shutdown().await.unwrap();
    snapshot_dir(directory.path(), &snapshot).unwrap();
    let file = directory.path().join(crate::store::DATABASE_FILE);
    let names = || {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let damage = |with: &str| std::fs::write(&file, with.repeat(1_000)).unwrap();
    damage("first ");
    // Only where that is wanted, and only by what is whole.
    let error = restore_dir(&snapshot, directory.path(), false).unwrap_err();
    assert!(error.to_string().contains("--replace"), "{error}");
    let no_snapshot = elsewhere.path().join("letter");
    std::fs::write(&no_snapshot, "a letter to a friend").unwrap();
    let error = restore_dir(&no_snapshot, directory.path(), true).unwrap_err();
    assert!(
        error.to_string().contains("the snapshot is damaged"),
        "{error}"
    );
    assert_eq!(names(), ["ledger.redb"]);
    assert!(std::fs::read(&file).unwrap().starts_with(b"first"));

    for (with, kept) in [
        ("first ", "ledger.redb.damaged"),
        ("second ", "ledger.redb.damaged-2"),
    ] {
        damage(with);
        let aside = restore_dir(&snapshot, directory.path(), true).unwrap();
        let aside = aside.expect("it was damaged");
        assert_eq!(aside, directory.path().join(kept));
        assert!(std::fs::read(&aside).unwrap().starts_with(with.as_bytes()));
        let range = read_range(directory.path(), Span::default()).unwrap();
        assert_eq!(range.windows.len(), 1);
    }
    let kept = [
        "ledger.redb",
        "ledger.redb.damaged",
        "ledger.redb.damaged-2",
    ];
    assert_eq!(names(), kept);
    // One that is whole is replaced without a copy.
    let aside = restore_dir(&snapshot, directory.path(), true).unwrap();
    assert_eq!(aside, None);
}
