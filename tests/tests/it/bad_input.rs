//! Bad input, and what is said about it: each answer names what is wrong and what to do.

use std::io::Write as _;

use expect_test::{Expect, expect};
use flate2::Compression;
use flate2::write::GzEncoder;
use weighbridge_tests::{Child, Collector, http, new_dir, patience, rows};
use weighbridge_wire::{CONTENT_TYPE, Quality, RowKey, RowValue, VERSION, limits};

fn started() -> (tempfile::TempDir, Collector) {
    let dir = new_dir();
    let collector = Collector::start(&dir.path().join("data"));
    (dir, collector)
}

fn says(answer: &http::Answer, status: u16, text: &Expect) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let shown = answer.text().replace(env!("CARGO_PKG_VERSION"), "VERSION");
    text.assert_eq(shown.trim_end());
}

fn post(collector: &Collector, body: &[u8]) -> http::Answer {
    http::post(collector.address(), "/v1/ledger", CONTENT_TYPE, body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("memory can be written")
}

#[test]
fn a_malformed_delta_is_refused() {
    let (_dir, collector) = started();
    says(
        &post(&collector, b"this is no protobuf"),
        400,
        &expect![
            "the body cannot be taken as a delta: not a valid weighbridge.v1 message: field 14 has wire type 4; send plain protobuf, or name the compression in Content-Encoding. Send what weighbridge-agent VERSION sends, as `Content-Type: application/x-protobuf`; do not send these bytes again"
        ],
    );
    says(
        &post(&collector, b""),
        400,
        &expect![
            "the body cannot be taken as a delta: format version 0 is not supported (this reader takes up to 1); upgrade the older side. Send what weighbridge-agent VERSION sends, as `Content-Type: application/x-protobuf`; do not send these bytes again"
        ],
    );
    // A string that claims to be longer than the body.
    says(
        &post(&collector, &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        400,
        &expect![
            "the body cannot be taken as a delta: not a valid weighbridge.v1 message: field 2 says 4294967295 bytes where 0 are left; send plain protobuf, or name the compression in Content-Encoding. Send what weighbridge-agent VERSION sends, as `Content-Type: application/x-protobuf`; do not send these bytes again"
        ],
    );
    // A valid delta is still taken.
    assert_eq!(
        post(&collector, &rows::delta("store", 1, 0, 5, 10).encode()).status,
        200
    );
}

#[test]
fn a_delta_without_a_service_is_refused() {
    let (_dir, collector) = started();
    says(
        &post(&collector, &rows::delta("", 1, 0, 5, 10).encode()),
        400,
        &expect![
            "the body cannot be taken as a delta: invalid service: empty; set OTEL_SERVICE_NAME in the service. Send what weighbridge-agent VERSION sends, as `Content-Type: application/x-protobuf`; do not send these bytes again"
        ],
    );
}

#[test]
fn an_unknown_version_is_refused() {
    let (_dir, collector) = started();
    // The version is field 1 of the delta: tag 8, then the number.
    let mut bytes = rows::delta("store", 1, 0, 5, 10).encode();
    assert_eq!(bytes[..2], [8, u8::try_from(VERSION).unwrap_or(0)]);
    bytes[1] = 99;
    says(
        &post(&collector, &bytes),
        400,
        &expect![
            "the body cannot be taken as a delta: format version 99 is not supported (this reader takes up to 1); upgrade the older side. Send what weighbridge-agent VERSION sends, as `Content-Type: application/x-protobuf`; do not send these bytes again"
        ],
    );
}

#[test]
fn a_wrong_content_type_is_refused() {
    let (_dir, collector) = started();
    let body = rows::delta("store", 1, 0, 5, 10).encode();
    let json = http::post(collector.address(), "/v1/ledger", "application/json", &body);
    says(
        &json,
        415,
        &expect![
            "unsupported content type; deltas are sent as `Content-Type: application/x-protobuf`"
        ],
    );
    let brotli = http::request(
        collector.address(),
        "POST",
        "/v1/ledger",
        &[("content-type", CONTENT_TYPE), ("content-encoding", "br")],
        &body,
    );
    says(
        &brotli,
        415,
        &expect!["unsupported content encoding; send the body plain, or with gzip or zstd"],
    );
}

#[test]
fn an_oversized_body_is_refused_before_it_is_read() {
    let (_dir, collector) = started();
    let head = format!(
        "POST /v1/ledger HTTP/1.1\r\nhost: {}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: 99999999999\r\n\r\n",
        collector.address()
    );
    says(
        &http::exchange(collector.address(), head.as_bytes()),
        413,
        &expect!["the body is larger than 4194304 bytes; send shorter windows"],
    );
}

#[test]
fn a_small_body_that_inflates_without_end_is_refused() {
    let (_dir, collector) = started();
    let bomb = gzip(&vec![0; limits::DELTA_BYTES_MAX * 8]);
    assert!(bomb.len() < 1 << 20, "the bomb itself is small");
    let answer = http::request(
        collector.address(),
        "POST",
        "/v1/ledger",
        &[("content-type", CONTENT_TYPE), ("content-encoding", "gzip")],
        &bomb,
    );
    says(
        &answer,
        413,
        &expect!["the body is larger than 8388608 bytes; send shorter windows"],
    );
    let broken = http::request(
        collector.address(),
        "POST",
        "/v1/ledger",
        &[("content-type", CONTENT_TYPE), ("content-encoding", "gzip")],
        b"no gzip",
    );
    says(
        &broken,
        400,
        &expect![
            "the body cannot be taken as a delta: decompression failed: unexpected end of file. Send what weighbridge-agent VERSION sends, as `Content-Type: application/x-protobuf`; do not send these bytes again"
        ],
    );
}

#[test]
fn a_foreign_host_is_refused() {
    let (_dir, collector) = started();
    let refusal = expect![
        "the Host `evil.example` is not a name of this collector. Use its address (ADDRESS) or localhost, or add the name to its setting `allowed_hosts`. (Other names are refused so that a web page cannot read from here by DNS rebinding.)"
    ];
    for path in ["/", "/api/v1/services", "/v1/ledger", "/metrics"] {
        let method = if path == "/v1/ledger" { "POST" } else { "GET" };
        let answer = http::request(
            collector.address(),
            method,
            path,
            &[("host", "evil.example")],
            b"",
        );
        let shown = answer
            .text()
            .replace(&collector.address().to_string(), "ADDRESS");
        assert_eq!(answer.status, 403, "{shown}");
        refusal.assert_eq(shown.trim_end());
    }
    let local = http::request(
        collector.address(),
        "GET",
        "/livez",
        &[("host", "localhost")],
        b"",
    );
    assert_eq!(local.status, 200, "{}", local.text());
}

#[test]
fn a_delta_from_last_month_is_refused() {
    let (_dir, collector) = started();
    says(
        &post(
            &collector,
            &rows::delta("store", 1, 0, 30 * 86_400, 10).encode(),
        ),
        400,
        &expect![
            "the window is older than the collector still takes in (its setting `lateness`); check the clock of the sender, and do not send this delta again"
        ],
    );
}

#[test]
fn a_delta_that_comes_twice_counts_once() {
    let (_dir, collector) = started();
    let bytes = rows::delta("store", 1, 0, 5, 10).encode();
    for body in [&bytes, &bytes] {
        assert_eq!(post(&collector, body).status, 200);
    }
    let again = http::request(
        collector.address(),
        "POST",
        "/v1/ledger",
        &[("content-type", CONTENT_TYPE), ("content-encoding", "gzip")],
        &gzip(&bytes),
    );
    assert_eq!(again.status, 200);
    let rows = rows::of_service(&collector.range(), "store");
    assert_eq!(
        rows::sum(
            &rows,
            weighbridge_wire::RowKind::Operation,
            weighbridge_wire::column::ENDED
        ),
        10
    );
}

#[test]
fn a_row_kind_of_a_later_version_survives() {
    let (_dir, collector) = started();
    let key = RowKey {
        kind: 999,
        quality: Quality::Other(9),
        parts: ["a".into(), "b".into()].into(),
    };
    // Columns that this version does not know: 4 × 900 is a sum, 4 × 900 + 1 a maximum.
    let unknown = RowValue::new().with(3_600, 5).with(3_601, 7);
    for seq in 0..2 {
        let mut delta = rows::delta("store", 1, seq, 5, 1);
        delta.rows.add(key.clone(), &unknown);
        assert_eq!(post(&collector, &delta.encode()).status, 200);
    }
    // Over a kill, and over folding with another delta afterwards.
    let collector = collector.kill_and_restart();
    let mut delta = rows::delta("store", 1, 2, 5, 1);
    delta.rows.add(key.clone(), &unknown);
    assert_eq!(post(&collector, &delta.encode()).status, 200);
    let ended = collector.shut_down();
    assert!(ended.status.success(), "{}", ended.stderr);
    let collector = Collector::start(&_dir.path().join("data"));
    let rows = rows::of_service(&collector.range(), "store");
    let kept = rows.get(&key).expect("the row is there");
    assert_eq!((kept.get(3_600), kept.get(3_601)), (Some(15), Some(7)));
}

#[test]
fn a_port_in_use_is_said() {
    let (dir, collector) = started();
    let address = collector.address().to_string();
    let second = Child::start(&mut Collector::command(&dir.path().join("other"), &address));
    let ended = second.wait(patience());
    assert_eq!(ended.status.code(), Some(1));
    expect!["error: cannot listen on ADDRESS: Address already in use (os error 98); stop the process that holds the port, or choose another with --listen-http"].assert_eq(ended.stderr.replace(&address, "ADDRESS").trim_end());
}

#[test]
fn a_directory_that_cannot_be_written_is_said() {
    // A file stands where the directory should be: that refuses even root.
    let dir = new_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").expect("the test's directory can be written");
    let ended =
        Child::start(&mut Collector::command(&file.join("data"), "127.0.0.1:0")).wait(patience());
    assert_eq!(ended.status.code(), Some(1));
    let shown = ended
        .stderr
        .replace(&dir.path().display().to_string(), "DIR");
    expect!["error: cannot use DIR/file/data: Not a directory (os error 20); check that the directory exists and may be read and written"].assert_eq(shown.trim_end());
}

#[test]
fn two_collectors_on_one_directory_are_refused() {
    let (dir, _collector) = started();
    let ended = Child::start(&mut Collector::command(
        &dir.path().join("data"),
        "127.0.0.1:0",
    ))
    .wait(patience());
    assert_eq!(ended.status.code(), Some(1));
    let shown = ended
        .stderr
        .replace(&dir.path().display().to_string(), "DIR");
    expect!["error: DIR/data/ledger.redb is held by another process; if that is a running collector, read from it with `--from URL`, or stop it first"].assert_eq(shown.trim_end());
}

#[test]
fn a_listen_address_beyond_this_machine_needs_a_token() {
    let dir = new_dir();
    let ended = Child::start(&mut Collector::command(dir.path(), "0.0.0.0:0")).wait(patience());
    assert_eq!(ended.status.code(), Some(2));
    expect!["error: refusing to listen on 0.0.0.0:0 without a token: anybody who reaches it could read and write. Give a token (`[[token]]` in the file, or WEIGHBRIDGE_COLLECTOR_TOKEN), listen on 127.0.0.1, or set `insecure_no_auth = true` if the network itself keeps others out"].assert_eq(ended.stderr.trim_end());
}
