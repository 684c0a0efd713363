//! The disk takes nothing more: here a limit on the size of the collector's files, so that no file system need be
//! filled.

use std::process::Command;

use weighbridge_tests::{Collector, assert_eventually, http, new_dir, rows};
use weighbridge_wire::{Delta, OperationKey, Quality, RowKind, RowValue, column};

const PROTOBUF: &str = "application/x-protobuf";

/// Sets the limit on the size of files of a running process; `None` takes it away.
fn limit_files(id: u32, bytes: Option<u64>) {
    let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let status = Command::new("prlimit")
        .args([
            "--pid",
            &id.to_string(),
            &format!("--fsize={limit}:unlimited"),
        ])
        .status()
        .expect("prlimit (util-linux) starts");
    assert!(status.success());
}

/// A delta of about 100 KiB.
fn large(seq: u64) -> Delta {
    let mut delta = rows::delta("store", 1, seq, 100, 1);
    for n in 0..300 {
        let key = OperationKey {
            component: "".into(),
            operation: format!("GET /{seq}/{n}/{}", "x".repeat(200)).into(),
            class: "".into(),
            caller_service: "".into(),
            caller_operation: "".into(),
            origin_service: "store".into(),
            origin_operation: "".into(),
        };
        delta.rows.add(
            key.row_key(Quality::Measured),
            &RowValue::new().with(column::STARTED, 1),
        );
    }
    delta
}

#[test]
fn a_full_disk_stops_ingest_and_goes_on_serving_reads() {
    let dir = new_dir();
    let plain = Collector::command(dir.path(), "127.0.0.1:0");
    // A write beyond the limit is to fail, and not to end the process by a signal.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .args([
            "--set",
            "weigh_self=false",
            "--set",
            "limits.rows_per_window=60000",
        ]);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let collector = Collector::start_command(dir.path(), &mut command);
    let post = |seq| {
        http::post(
            collector.address(),
            "/v1/ledger",
            PROTOBUF,
            &large(seq).encode(),
        )
    };
    let ended = || {
        let rows = rows::of_service(&collector.range(), "store");
        rows::sum(&rows, RowKind::Operation, column::ENDED)
    };
    assert_eq!(post(0).status, 200);
    let file = dir.path().join("ledger.redb");
    let bytes = std::fs::metadata(&file).expect("the database").len();
    limit_files(collector.id(), Some(bytes + 64 * 1024));
    let mut accepted = 1;
    let refused = loop {
        let answer = post(accepted);
        if answer.status != 200 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 1_000, "the limit has no effect");
    };
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert!(refused.text().contains("free space"), "{}", refused.text());

    // Everything that was acknowledged is read, again and again while the store tries to write.
    for _ in 0..20 {
        let ended = u64::try_from(ended()).expect("a count");
        assert!(
            ended == accepted || ended == accepted + 1,
            "{ended} of {accepted}; the refused one may be on disk"
        );
        let report = http::get(collector.address(), "/api/v1/operations");
        assert_eq!(report.status, 200, "{}", report.text());
    }
    assert_eq!(http::get(collector.address(), "/livez").status, 200);
    let metrics = http::get(collector.address(), "/metrics").text();
    assert!(
        metrics.contains("weighbridge_collector_refused_deltas_total{reason=\"store_failed\"}"),
        "{metrics}"
    );

    limit_files(collector.id(), None);
    assert_eventually!(
        http::get(collector.address(), "/readyz").status == 200,
        "the collector did not take writes again:\n{}",
        collector.stderr()
    );
    // The sender sends again what was not acknowledged.
    assert_eq!(post(accepted).status, 200);
    assert_eq!(post(accepted + 1).status, 200);
    assert_eq!(ended(), i64::try_from(accepted + 2).expect("a count"));
    let losses = rows::of_service(&collector.range(), "store");
    assert_eq!(rows::sum(&losses, RowKind::Loss, column::LOST), 0);
    let end = collector.shut_down();
    assert!(end.status.success(), "{}", end.stderr);
}
