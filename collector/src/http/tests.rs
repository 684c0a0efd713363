//! The interface, over real connections.

mod advisories;
mod late;
mod losses;
mod otlp;
mod readers;

use std::time::Duration;

use prost::Message as _;
use weighbridge_wire::{FoldedRange, OperationKey, Quality, RowKind, RowValue, column, pb};

use crate::testing::SECOND_NS;
use crate::testing::wire::{Answer, get, raw, request};
use crate::testing::{DeltaSpec, START_UNIX_NS, gzip};
use crate::{Clock, Collector, Config, Limits, Running, Scope, Token};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const SECRET: &str = "0123456789abcdef";

async fn start(change: impl FnOnce(&mut Config)) -> (Running, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config {
        data_dir: directory.path().into(),
        listen_http: "127.0.0.1:0".parse().unwrap(),
        weigh_self: false,
        ..Config::default()
    };
    change(&mut config);
    let clock = Clock::fixed(START_UNIX_NS + 100 * SECOND_NS);
    (
        Collector::start_with_clock(config, clock).await.unwrap(),
        directory,
    )
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// The one message of a call of gRPC, as it stands in the body.
fn framed(is_compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(is_compressed)];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

/// The sum of a column over all rows of a kind.
fn sum(range: &FoldedRange, kind: RowKind, column: u32) -> i64 {
    let windows = range.windows.iter();
    let rows = windows.flat_map(|folded| folded.rows.of_kind(kind));
    rows.filter_map(|(_, row)| row.get(column)).sum()
}

async fn post(running: &Running, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    request(running.http_addr, "POST /v1/ledger", headers, body).await
}

fn ack(answer: &Answer) -> pb::Ack {
    assert_eq!(answer.status, 200, "{}", answer.text());
    pb::Ack::decode(&answer.body[..]).unwrap()
}

#[tokio::test]
async fn a_delta_is_taken_once_in_every_encoding_and_comes_back_as_a_range() {
    let (running, _directory) = start(|_| {}).await;
    let deltas: Vec<_> = (0..3).map(|seq| DeltaSpec::new(1, seq).delta()).collect();
    let plain: Vec<_> = deltas.iter().map(weighbridge_wire::Delta::encode).collect();
    let zstd = zstd(&plain[2]);
    let first = ack(&post(&running, &[PROTOBUF], &plain[0]).await);
    assert!(!first.duplicate);
    let gzipped = gzip(&plain[1]);
    ack(&post(
        &running,
        &[PROTOBUF, ("content-encoding", "gzip")],
        &gzipped,
    )
    .await);
    let third = post(&running, &[PROTOBUF, ("content-encoding", "zstd")], &zstd).await;
    assert_eq!(ack(&third).seq, 2);
    let again = ack(&post(
        &running,
        &[PROTOBUF, ("content-encoding", "gzip")],
        &gzipped,
    )
    .await);
    assert!(again.duplicate);

    let answer = get(running.http_addr, "/api/v1/range").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    let range = FoldedRange::decode(&answer.body).unwrap();
    assert_eq!(range.window.start_unix_ns, START_UNIX_NS);
    assert_eq!(range.window.end_unix_ns, START_UNIX_NS + 3 * SECOND_NS);
    assert_eq!(range.windows.len(), 3);
    for (folded, delta) in range.windows.iter().zip(&deltas) {
        assert_eq!((folded.window, &folded.rows), (delta.window, &delta.rows));
    }
    // Asked for in time before now, which is 100 s after the start.
    let answer = get(running.http_addr, "/api/v1/range?since=99s&until=98s").await;
    let range = FoldedRange::decode(&answer.body).unwrap();
    assert_eq!(range.windows.len(), 1);
    assert_eq!(range.window.len_ns(), SECOND_NS);
    let metrics = get(running.http_addr, "/metrics").await.text();
    assert!(
        metrics.contains("weighbridge_collector_accepted_deltas_total 3\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("weighbridge_collector_duplicate_deltas_total 1\n"),
        "{metrics}"
    );
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_range_of_many_pieces_is_one_message() {
    let (running, _directory) = start(|_| {}).await;
    let mut delta = DeltaSpec::new(1, 0).delta();
    for n in 0..3_000 {
        let name = format!("GET /{n}/with/a/name/of/some/length");
        delta.rows.add(
            crate::testing::operation(&name),
            &RowValue::new().with(column::ENDED, n),
        );
    }
    for seq in 0..3 {
        delta.seq = seq;
        delta.window.start_unix_ns += SECOND_NS;
        delta.window.end_unix_ns += SECOND_NS;
        let sent = i64::try_from(seq).unwrap() + 1;
        delta.cumulative.accounts_cpu_ns = sent * delta.rows.accounts_cpu_ns();
        ack(&post(&running, &[PROTOBUF], &delta.encode()).await);
    }
    let answer = get(running.http_addr, "/api/v1/range").await;
    assert!(
        answer.body.len() > 4 * 64 * 1_024,
        "{} bytes",
        answer.body.len()
    );
    let range = FoldedRange::decode(&answer.body).unwrap();
    assert_eq!(range.windows.len(), 3);
    assert!(range.windows.iter().all(|folded| folded.rows == delta.rows));
}

#[tokio::test]
async fn bad_requests_are_refused_with_what_to_do() {
    let (running, _directory) = start(|config| {
        config.limits = Limits {
            body_bytes: 10_000,
            inflated_bytes: 100_000,
            ..Limits::default()
        };
    })
    .await;
    let delta = DeltaSpec::new(1, 0).delta().encode();
    let bomb = gzip(&vec![0; 4 << 20]);
    assert!(bomb.len() < 10_000);
    let gz = ("content-encoding", "gzip");
    let json = ("content-type", "application/json");
    let mut future = DeltaSpec::new(1, 0).delta();
    future.seq = 1;
    let mut future = future.encode();
    // Field 1, version: 99.
    future[1] = 99;
    for (headers, body, status, says) in [
        (&[json][..], &delta[..], 415, "application/x-protobuf"),
        (&[], &delta, 415, "application/x-protobuf"),
        (
            &[PROTOBUF, ("content-encoding", "br")],
            &delta,
            415,
            "gzip or zstd",
        ),
        (
            &[PROTOBUF],
            b"not protobuf",
            400,
            "cannot be taken as a delta",
        ),
        (&[PROTOBUF], &future, 400, "version 99"),
        (&[PROTOBUF, gz], b"not gzip", 400, "decompression failed"),
        (
            &[PROTOBUF],
            &vec![0; 20_000],
            413,
            "larger than 10000 bytes",
        ),
        (&[PROTOBUF, gz], &bomb, 413, "larger than 100000 bytes"),
    ] {
        let answer = post(&running, headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(says), "{}", answer.text());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    let metrics = get(running.http_addr, "/metrics").await.text();
    for (reason, count) in [
        ("content_type", 2),
        ("content_encoding", 1),
        ("malformed", 3),
        ("too_large", 2),
    ] {
        let line =
            format!("weighbridge_collector_refused_deltas_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert_eq!(get(running.http_addr, "/v1/ledger").await.status, 405);
    let lost = get(running.http_addr, "/..%2f..%2fetc/passwd").await;
    assert_eq!(lost.status, 404);
    assert_eq!(
        get(running.http_addr, "/api/v1/range?since=yesterday")
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn s2_a_chunked_body_beyond_the_limit_is_refused_before_it_is_read_whole() {
    let (running, _directory) = start(|config| config.limits.body_bytes = 10_000).await;
    let mut bytes = format!(
        "POST /v1/ledger HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n",
        running.http_addr
    )
    .into_bytes();
    for _ in 0..20 {
        bytes.extend_from_slice(b"400\r\n");
        bytes.extend_from_slice(&[0; 0x400]);
        bytes.extend_from_slice(b"\r\n");
    }
    assert_eq!(raw(running.http_addr, &bytes).await.status, 413);
}

#[tokio::test]
async fn s3_a_body_that_does_not_come_is_given_up() {
    let (running, _directory) =
        start(|config| config.request_timeout = Duration::from_millis(200)).await;
    let head = format!(
        "POST /v1/ledger HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\nabc",
        running.http_addr
    );
    let answer = raw(running.http_addr, head.as_bytes()).await;
    assert_eq!(answer.status, 408);
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let (running, _directory) =
        start(|config| config.allowed_hosts = vec!["collector.example".into()]).await;
    for host in ["evil.example", "evil.example:4318", ""] {
        let answer = request(running.http_addr, "GET /livez", &[("host", host)], b"").await;
        assert_eq!(answer.status, 403, "{host}");
        assert!(answer.text().contains("allowed_hosts"), "{}", answer.text());
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    for host in ["localhost:1", "collector.example", "127.0.0.1"] {
        let answer = request(running.http_addr, "GET /livez", &[("host", host)], b"").await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn with_tokens_each_scope_opens_its_own_door_and_its_own_tenant() {
    let other = "fedcba9876543210";
    let (running, _directory) = start(|config| {
        config.tokens = vec![
            Token::new("agents", SECRET)
                .unwrap()
                .scopes(vec![Scope::Ingest])
                .tenant("shop"),
            Token::new("people", other).unwrap(),
        ];
    })
    .await;
    let bearer = format!("Bearer {SECRET}");
    let delta = DeltaSpec::new(1, 0).delta().encode();
    let answer = post(&running, &[PROTOBUF], &delta).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    ack(&post(&running, &[PROTOBUF, ("authorization", &bearer)], &delta).await);
    let read = |secret: String| {
        let addr = running.http_addr;
        async move {
            let bearer = format!("Bearer {secret}");
            request(
                addr,
                "GET /api/v1/range",
                &[("Authorization", &bearer)],
                b"",
            )
            .await
        }
    };
    assert_eq!(read(SECRET.into()).await.status, 403);
    let answer = read(other.into()).await;
    // Another tenant's: there is nothing to see.
    assert_eq!(FoldedRange::decode(&answer.body).unwrap().windows.len(), 0);
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(get(running.http_addr, path).await.status, 200, "{path}");
    }
    for path in ["/metrics", "/api/v1/range"] {
        assert_eq!(get(running.http_addr, path).await.status, 401, "{path}");
    }
    // The page says that it is locked, so that its script need not try; to whom it is open it says nothing.
    let locked = get(running.http_addr, "/").await.text();
    assert!(locked.contains("<body data-locked>"), "{locked}");
    let bearer = format!("Bearer {other}");
    let open = request(
        running.http_addr,
        "GET /",
        &[("authorization", &bearer)],
        b"",
    )
    .await;
    assert!(open.text().contains("<body>"), "{}", open.text());
}

#[tokio::test]
async fn the_report_comes_whole_and_in_parts() {
    let (running, _directory) = start(|_| {}).await;
    for seq in 0..3 {
        ack(&post(
            &running,
            &[PROTOBUF],
            &DeltaSpec::new(1, seq).delta().encode(),
        )
        .await);
    }
    let whole = get(running.http_addr, "/api/v1/report.json").await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(whole.header("content-type"), Some("application/json"));
    let whole: serde_json::Value = serde_json::from_slice(&whole.body).unwrap();
    assert_eq!(whole["window"]["windows"], 3);
    for part in [
        "services",
        "origins",
        "edges",
        "entities",
        "conservation",
        "recommendations",
    ] {
        let cut = get(running.http_addr, &format!("/api/v1/{part}")).await;
        let cut: serde_json::Value = serde_json::from_slice(&cut.body).unwrap();
        assert_eq!(cut[part], whole[part], "{part}");
        assert_eq!(cut["window"], whole["window"]);
        assert_eq!(cut.as_object().unwrap().len(), 3);
    }
    let operations = get(running.http_addr, "/api/v1/operations?since=99s&until=98s").await;
    let operations: serde_json::Value = serde_json::from_slice(&operations.body).unwrap();
    assert_eq!(operations["operations"][0]["service"], "store");
    assert_eq!(operations["operations"][0]["operation"], "GET /orders/{id}");
    assert_eq!(operations["window"]["windows"], 1);
    let unknown = get(running.http_addr, "/api/v1/secrets").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("recommendations"));
    let page = get(running.http_addr, "/report.html?since=15m").await;
    assert_eq!(page.status, 200);
    assert!(page.text().starts_with("<!"), "{}", page.text());
}

#[tokio::test]
async fn s5_the_live_page_shows_hostile_names_as_text_and_loads_nothing_foreign() {
    let (running, _directory) = start(|_| {}).await;
    let empty = get(running.http_addr, "/").await;
    assert!(empty.text().contains("No window of the last minute yet"));
    let mut delta = DeltaSpec::new(1, 99).delta();
    delta.identity.service = "<img src=x onerror=alert(1)>".into();
    ack(&post(&running, &[PROTOBUF], &delta.encode()).await);
    let page = get(running.http_addr, "/").await;
    assert!(
        page.text().contains("&lt;img src=x onerror=alert(1)&gt;"),
        "{}",
        page.text()
    );
    assert!(!page.text().contains("<img"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let live = get(running.http_addr, "/api/v1/live").await.text();
    assert!(page.text().contains(&live), "{live}");
    // In-line script and style would be blocked by the policy.
    for not_allowed in ["<style", "style=", " onclick", "<script>"] {
        assert!(!page.text().contains(not_allowed), "{not_allowed}");
    }
    for (path, kind) in [("/live.js", "text/javascript"), ("/live.css", "text/css")] {
        let file = get(running.http_addr, path).await;
        assert!(file.header("content-type").unwrap().starts_with(kind));
    }
}

#[tokio::test]
async fn a_picture_that_cannot_be_made_is_told_of_and_the_next_one_is_made() {
    use axum::extract::{FromRequestParts as _, Query, State};
    use http_body_util::BodyExt as _;

    let (running, _directory) = start(|_| {}).await;
    let app = running.app().clone();
    // Other reports are being made.
    let busy = app
        .documents
        .clone()
        .acquire_many_owned(u32::try_from(app.documents.available_permits()).unwrap());
    let busy = busy.await.unwrap();
    let (mut parts, ()) = http::Request::get("/?last=1m")
        .body(())
        .unwrap()
        .into_parts();
    let query = Query::from_request_parts(&mut parts, &()).await.unwrap();
    let answer = super::live::stream(State(app), http::HeaderMap::new(), query).await;
    let mut body = answer.into_body();
    let mut line = async || {
        let frame = body.frame().await.unwrap().unwrap();
        let line = frame.into_data().unwrap();
        assert!(line.ends_with(b"\n"));
        serde_json::from_slice::<serde_json::Value>(&line).unwrap()
    };
    let first = line().await;
    assert!(first.get("html").is_none(), "{first}");
    let said = first["error"].as_str().unwrap();
    assert!(said.contains("other reports are being made"), "{said}");
    drop(busy);
    let second = line().await;
    assert!(second.get("error").is_none(), "{second}");
    assert!(
        second["html"]
            .as_str()
            .unwrap()
            .contains("No window of the last minute")
    );
}

#[tokio::test]
async fn a_longer_range_of_the_live_page_holds_more_requests() {
    let (running, _directory) = start(|_| {}).await;
    // The clock stands 100 s after the first window: two windows are of the last minute, three are older.
    for (seq, second) in [(0, 0), (1, 10), (2, 30), (3, 60), (4, 90)] {
        let spec = DeltaSpec::new(1, seq).start(START_UNIX_NS + second * SECOND_NS);
        ack(&post(&running, &[PROTOBUF], &spec.delta().encode()).await);
    }
    let ended = async |last: &str| -> u64 {
        let page = get(running.http_addr, &format!("/api/v1/live?last={last}")).await;
        let page = page.text();
        let row = page
            .split("<tr id=operation-")
            .nth(1)
            .expect("an operation");
        let row = row.split("<tr").next().unwrap();
        // Before errors and 4xx, which are the last.
        let cell = row.rsplit("<td").nth(2).unwrap();
        let shown = cell.split_once('>').unwrap().1;
        let digits: String = shown.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{cell} in {row}"))
    };
    assert_eq!(ended("1m").await, 2);
    assert_eq!(ended("5m").await, 5);
}

#[tokio::test]
async fn s6_hostile_names_stay_within_the_labels_of_the_metrics() {
    let (running, _directory) = start(|_| {}).await;
    let mut delta = DeltaSpec::new(1, 99).delta();
    let hostile = "a\"} 1\nforged_metric 7\n# EOF\u{202e}";
    delta.identity.service = hostile.into();
    let key = OperationKey {
        component: "".into(),
        operation: hostile.into(),
        class: "".into(),
        caller_service: "".into(),
        caller_operation: "".into(),
        origin_service: hostile.into(),
        origin_operation: hostile.into(),
    };
    let cost = RowValue::new()
        .with(column::ENDED, 4)
        .with(column::CPU_HANDLER_NS, 2_000_000);
    delta.rows.add(key.row_key(Quality::Measured), &cost);
    ack(&post(&running, &[PROTOBUF], &delta.encode()).await);
    let metrics = get(running.http_addr, "/metrics").await.text();
    let hash = crate::hash::hash64_hex(hostile);
    let label = format!("a\\\"}} 1 forged_metric 7 # EOF\u{fffd}~{hash}");
    let sample = format!(
        "weighbridge_origin_cpu_seconds_per_request{{service=\"{label}\",operation=\"{label}\"}} 0.0005"
    );
    assert!(metrics.contains(&sample), "{sample} is not in {metrics}");
    assert!(
        metrics
            .lines()
            .all(|line| line.starts_with("weighbridge_") || line.starts_with("# ")),
        "{metrics}"
    );
    assert!(metrics.ends_with("\n# EOF\n"), "{metrics}");
    assert_eq!(metrics.lines().filter(|line| *line == "# EOF").count(), 1);
}
