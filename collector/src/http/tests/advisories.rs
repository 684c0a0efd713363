//! What went wrong elsewhere and must not here: the numbers are those of docs/operating.md, "Advisories".

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::http::openapi;
use crate::testing::otlp::{SpanSpec, traces};

pub(super) const READ: &str = "read-read-read-read";
pub(super) const INGEST: &str = "ingest-ingest-ingest";
const ADMIN: &str = "admin-admin-admin-admin";
pub(super) const OTHER: &str = "other-tenant-other-tenant";

pub(super) fn tokens(config: &mut Config) {
    let token = |secret, scope| Token::new("", secret).unwrap().scopes(vec![scope]);
    config.tokens = vec![
        token(READ, Scope::Read).tenant("a"),
        token(INGEST, Scope::Ingest)
            .tenant("a")
            .services(vec!["sto*".to_owned()]),
        token(ADMIN, Scope::Admin),
        Token::new("", OTHER).unwrap().tenant("b"),
    ];
}

async fn ask(running: &Running, line: &str, secret: Option<&str>, content_type: &str) -> Answer {
    let bearer = format!("Bearer {}", secret.unwrap_or_default());
    let mut headers = vec![("content-type", content_type)];
    if secret.is_some() {
        headers.push(("authorization", &bearer));
    }
    request(running.http_addr, line, &headers, b"").await
}

#[tokio::test]
async fn s3_no_way_in_reads_a_large_body_that_it_does_not_want() {
    let (running, _directory) = start(|_| {}).await;
    let large = vec![b'x'; 6 << 20];
    for endpoint in openapi::endpoints() {
        if endpoint.path.ends_with("restore") {
            // An administrator's, and bounded by `retention_size`.
            continue;
        }
        let line = format!("{} {}", endpoint.method.to_uppercase(), endpoint.path);
        let answer = request(running.http_addr, &line, &[PROTOBUF], &large).await;
        let answered = if endpoint.method == "get" {
            // Answered without looking at the body.
            answer.status != 500
        } else {
            // OTLP's limit is larger, and fields that it does not know are nothing wrong.
            answer.status == 413 || (endpoint.path != "/v1/ledger" && answer.status < 500)
        };
        assert!(answered, "{line}: {} {}", answer.status, answer.text());
    }
    let after = get(running.http_addr, "/readyz").await;
    assert_eq!(after.status, 200);
}

#[tokio::test]
async fn s4_nesting_ten_thousand_deep_is_no_deep_call() {
    let (running, _directory) = start(|_| {}).await;
    // Length-delimited fields one in the other, and groups that open and open.
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![7 << 3 | 2];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.append(&mut nested);
        nested = outer;
    }
    let groups = vec![7 << 3 | 3; 10_000];
    for body in [nested, groups] {
        let answer = post(&running, &[PROTOBUF], &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
}

/// Characters that a terminal obeys, or that turn the order of what is read.
fn steers(text: &str) -> bool {
    let steering = |c: char| {
        (c.is_control() && c != '\n')
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    text.chars().any(steering)
}

#[tokio::test]
async fn s7_no_answer_steers_the_terminal_of_who_asked() {
    const OTHER_NAME: &str = "xstore\u{1b}[2J\r\u{202e}evil\u{7}";
    const NAME: &str = "store\u{1b}[2J\r\u{202e}evil\u{7}";
    let (running, _directory) = start(tokens).await;
    let bearer = format!("Bearer {INGEST}");
    let auth = ("authorization", bearer.as_str());
    let mut answers = Vec::new();
    let delta = DeltaSpec::new(1, 0).service(OTHER_NAME).delta();
    answers.push(post(&running, &[PROTOBUF, auth], &delta.encode()).await);
    let mut broken = DeltaSpec::new(1, 1).service(NAME).delta().encode();
    broken.extend_from_slice(NAME.as_bytes());
    answers.push(post(&running, &[PROTOBUF, auth], &broken).await);
    let spans = traces(OTHER_NAME, vec![SpanSpec::server(1).named(NAME)]);
    let line = "POST /v1/traces";
    answers.push(
        request(
            running.http_addr,
            line,
            &[PROTOBUF, auth],
            &spans.encode_to_vec(),
        )
        .await,
    );
    let json = [("content-type", "application/json"), auth];
    let unknown = format!("{{\"resourceSpans\": \"{NAME}\"}}");
    answers.push(request(running.http_addr, line, &json, unknown.as_bytes()).await);
    for answer in &answers {
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    let bearer = format!("Bearer {READ}");
    let auth = ("authorization", bearer.as_str());
    for path in [
        "/api/v1/range?since=%1b%5b2J%e2%80%ae",
        "/api/v1/range?resolution=%1b%5b2J%0d",
        "/?last=%1b%5b2J%07",
        "/api/v1/%1b%5b2J",
    ] {
        let answer = request(running.http_addr, &format!("GET {path}"), &[auth], b"").await;
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        answers.push(answer);
    }
    for answer in answers {
        let text = answer.text();
        // A message of OTLP is no text, but its words are shown by clients.
        let is_text = answer.header("content-type") != Some(PROTOBUF.1);
        let steers = if is_text {
            steers(&text)
        } else {
            text.contains(['\u{1b}', '\r', '\u{202e}'])
        };
        assert!(!steers, "{text:?}");
    }
}

#[tokio::test]
async fn s9_headers_without_end_cost_bounded_work_and_end_nothing() {
    // It weighs itself: what agents do with headers, it does too.
    let (running, _directory) = start(|config| config.weigh_self = true).await;
    let delta = |seq| DeltaSpec::new(1, seq).delta().encode();
    let baggage: Vec<String> = (0..60).map(|n| format!("k{n}=v{n}")).collect();
    let mut many: Vec<(&str, &str)> = vec![PROTOBUF];
    many.extend(baggage.iter().map(|one| ("baggage", one.as_str())));
    for (seq, trace) in ["00-zz-zz-zz", "", "00", "ff-00-00-00-00-00", "\u{ff}\u{fe}"]
        .into_iter()
        .enumerate()
    {
        let headers: Vec<_> = many
            .iter()
            .copied()
            .chain([("traceparent", trace)])
            .collect();
        ack(&post(&running, &headers, &delta(seq as u64)).await);
    }
    // More than a server takes, and longer.
    let baggage: Vec<String> = (0..500).map(|n| format!("k{n}=v{n}")).collect();
    let mut many: Vec<(&str, &str)> = vec![PROTOBUF];
    many.extend(baggage.iter().map(|one| ("baggage", one.as_str())));
    let (long, longest) = ("x".repeat(60_000), "y".repeat(1 << 20));
    let long = [("tracestate", long.as_str()), ("baggage", &long)];
    let longest = [("tracestate", longest.as_str()), ("baggage", &longest)];
    for headers in [&many[..], &long, &longest] {
        let mut head = format!(
            "POST /v1/ledger HTTP/1.1\r\nconnection: close\r\nhost: {}\r\n",
            running.http_addr
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = tokio::net::TcpStream::connect(running.http_addr)
            .await
            .unwrap();
        // It may refuse and close before it has read everything, and what it says may be lost by that.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(b"\r\n").await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    let ready = get(running.http_addr, "/readyz").await;
    assert_eq!(ready.status, 200);
    let metrics = get(running.http_addr, "/metrics").await.text();
    assert!(metrics.contains("handler_panics_total 0\n"), "{metrics}");
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn s19_a_report_holds_nothing_of_the_collector_that_made_it() {
    let (running, directory) = start(tokens).await;
    let bearer = format!("Bearer {INGEST}");
    let auth = ("authorization", bearer.as_str());
    for seq in 0..40 {
        let delta = DeltaSpec::new(1, seq).service("store").delta();
        ack(&post(&running, &[PROTOBUF, auth], &delta.encode()).await);
    }
    let span = SpanSpec::server(1)
        .with("http.route", "/")
        .with("user.email", "somebody@example.org")
        .with("http.request.header.authorization", "Basic c29tZWJvZHk=");
    let body = traces("stories", vec![span]).encode_to_vec();
    let answer = request(
        running.http_addr,
        "POST /v1/traces",
        &[PROTOBUF, auth],
        &body,
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let bearer = format!("Bearer {READ}");
    let auth = ("authorization", bearer.as_str());
    for path in [
        "/api/v1/report.json",
        "/report.html",
        "/api/v1/windows",
        "/api/v1/range",
        "/metrics",
    ] {
        let answer = request(running.http_addr, &format!("GET {path}"), &[auth], b"").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let text = answer.text();
        assert!(text.contains("store"), "{path}: {text}");
        for secret in [READ, INGEST, ADMIN, OTHER] {
            let digest: String = <sha2::Sha256 as sha2::Digest>::digest(secret)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert!(!text.contains(secret) && !text.contains(&digest), "{path}");
        }
        for private in [
            directory.path().to_str().unwrap(),
            "ledger.redb",
            "somebody@example.org",
            "c29tZWJvZHk=",
        ] {
            assert!(!text.contains(private), "{path} holds {private}");
        }
    }
}

#[tokio::test]
async fn s8_a_hundred_thousand_names_from_one_service_stay_within_its_rows() {
    let (running, _directory) = start(|config| config.limits.rows_per_window = 500).await;
    for seq in 0..20 {
        let mut delta = DeltaSpec::new(1, seq).start(START_UNIX_NS).delta();
        for n in 0..5_000 {
            let key = crate::testing::operation(&format!("GET /{seq}/{n}"));
            let value = RowValue::new().with(column::ENDED, 1);
            delta.rows.add(key, &value);
        }
        ack(&post(&running, &[PROTOBUF], &delta.encode()).await);
    }
    let answer = get(running.http_addr, "/api/v1/range").await;
    let range = FoldedRange::decode(&answer.body).unwrap();
    let rows = &range.windows[0].rows;
    assert!(rows.len() < 600, "{} rows", rows.len());
    let ended: i64 = rows
        .of_kind(RowKind::Operation)
        .filter_map(|(_, value)| value.get(column::ENDED))
        .sum();
    assert_eq!(ended, 20 * 5_001, "totals stay");
    let metrics = get(running.http_addr, "/metrics").await.text();
    assert!(!metrics.contains("bounded_rows_total 0\n"), "{metrics}");
}

#[tokio::test]
async fn s11_request_lines_of_any_bytes_end_nothing() {
    let (running, _directory) = start(|_| {}).await;
    let mut state = 7u64;
    for _ in 0..300 {
        let mut line = b"GET /".to_vec();
        for _ in 0..40 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            line.push((state >> 33) as u8);
        }
        line.extend_from_slice(b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = raw(running.http_addr, &line).await;
        assert!(
            [0, 400, 403, 404].contains(&answer.status),
            "{}",
            answer.status
        );
    }
    for line in [
        "GET http://[::1",
        "GET //",
        "GET /api/v1/range?since=%FF%FE",
        "GET /api/v1/range?since=9999999999999999999d",
        "GET *",
        "CONNECT localhost:80",
        "GET /api/v1/range?resolution=%00",
    ] {
        let answer = request(running.http_addr, line, &[], b"").await;
        assert!(answer.status < 500, "{line}: {}", answer.status);
    }
    assert_eq!(get(running.http_addr, "/readyz").await.status, 200);
    let metrics = get(running.http_addr, "/metrics").await.text();
    assert!(metrics.contains("handler_panics_total 0\n"), "{metrics}");
}

#[tokio::test]
async fn s15_nothing_in_a_request_names_a_file() {
    let (running, directory) = start(|config| {
        config.tokens = vec![
            Token::new("", OTHER)
                .unwrap()
                .scopes(vec![Scope::Ingest, Scope::Read, Scope::Admin])
                .tenant("../../tenant"),
        ];
    })
    .await;
    let bearer = format!("Bearer {OTHER}");
    let auth = ("authorization", bearer.as_str());
    for path in [
        "/api/v1/..%2f..%2fetc%2fpasswd",
        "/api/v1/../../etc/passwd",
        "/api/v1/..%5c..%5cledger.redb",
        "/api/v1/%2e%2e/ledger.redb",
        "/ledger.redb",
        "/api/v1//etc/passwd",
        "/api/v1/snapshot/../../../etc/passwd",
    ] {
        let answer = request(running.http_addr, &format!("GET {path}"), &[auth], b"").await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    let delta = DeltaSpec::new(1, 0)
        .service("../../../service/%2e%2e")
        .delta();
    ack(&post(&running, &[PROTOBUF, auth], &delta.encode()).await);
    let answer = request(running.http_addr, "GET /api/v1/snapshot", &[auth], b"").await;
    assert_eq!(answer.status, 200);
    running.shutdown().await.unwrap();
    let files: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(
        files,
        ["ledger.redb"],
        "one file, whatever tenants and services are called"
    );
}

#[tokio::test]
async fn s16_every_way_in_asks_for_its_scope_and_only_health_is_open() {
    let (running, _directory) = start(tokens).await;
    let mut open = Vec::new();
    for endpoint in openapi::endpoints() {
        let line = format!("{} {}", endpoint.method.to_uppercase(), endpoint.path);
        // What is sent in another type than an endpoint takes says nothing about access.
        let content_type = if endpoint.path.starts_with("/v1/") {
            PROTOBUF.1
        } else {
            "text/plain"
        };
        let answer = ask(&running, &line, None, content_type).await;
        let Some(scope) = endpoint.scope else {
            assert_eq!(answer.status, 200, "{line}");
            open.push(endpoint.path);
            continue;
        };
        assert_eq!(answer.status, 401, "{line}");
        let unknown = ask(&running, &line, Some("not-a-known-secret"), content_type).await;
        assert_eq!(unknown.status, 401, "{line}");
        for (secret, its) in [
            (READ, Scope::Read),
            (INGEST, Scope::Ingest),
            (ADMIN, Scope::Admin),
        ] {
            let status = ask(&running, &line, Some(secret), content_type)
                .await
                .status;
            assert_eq!(
                status == 403,
                its != scope,
                "{line} with {}: {status}",
                its.as_str()
            );
        }
    }
    open.sort();
    assert_eq!(
        open,
        ["/api/v1/openapi.json", "/healthz", "/livez", "/readyz"]
    );
}

#[tokio::test]
async fn a_token_of_one_tenant_opens_nothing_of_another_and_sends_only_its_services() {
    let (running, _directory) = start(tokens).await;
    let send = |secret: &'static str, service: &'static str, epoch: u8| {
        let running = &running;
        async move {
            let bearer = format!("Bearer {secret}");
            let body = DeltaSpec::new(epoch, 0).service(service).delta().encode();
            // A tenant that the sender names counts for nothing.
            let headers = [
                PROTOBUF,
                ("authorization", bearer.as_str()),
                ("x-scope-orgid", "b"),
            ];
            post(running, &headers, &body).await
        }
    };
    assert_eq!(send(INGEST, "store", 1).await.status, 200);
    let refused = send(INGEST, "warehouse", 2).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("`services`"), "{}", refused.text());
    // The same for spans.
    let bearer = format!("Bearer {INGEST}");
    for (service, status) in [("store", 200), ("warehouse", 403)] {
        let spans = vec![SpanSpec::server(1).with("http.route", "/")];
        let body = traces(service, spans).encode_to_vec();
        let headers = [PROTOBUF, ("authorization", bearer.as_str())];
        let answer = request(running.http_addr, "POST /v1/traces", &headers, &body).await;
        assert_eq!(answer.status, status, "{service}: {}", answer.text());
    }
    assert_eq!(send(OTHER, "warehouse", 2).await.status, 200);
    for (secret, service) in [(READ, "store"), (OTHER, "warehouse")] {
        let answer = ask(&running, "GET /api/v1/range", Some(secret), "text/plain").await;
        let range = FoldedRange::decode(&answer.body).unwrap();
        let mut names: Vec<_> = range
            .windows
            .iter()
            .map(|w| w.service.service.as_str())
            .collect();
        names.dedup();
        assert_eq!(names, [service]);
    }
}

#[tokio::test]
async fn the_same_range_comes_as_lines_of_json() {
    let (running, _directory) = start(|_| {}).await;
    for seq in 0..3 {
        ack(&post(
            &running,
            &[PROTOBUF],
            &DeltaSpec::new(1, seq).delta().encode(),
        )
        .await);
    }
    let answer = get(running.http_addr, "/api/v1/windows?resolution=as_sent").await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let text = answer.text();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    let row = &lines[1]["rows"][0];
    assert_eq!(row["kind"], "operation");
    assert_eq!(row["key"]["operation"], "GET /orders/{id}");
    assert_eq!(row["figures"]["ended"], 1);
    assert_eq!(row["figures"].get("errors"), None, "unknown is not zero");
    let wrong = get(running.http_addr, "/api/v1/windows?resolution=week").await;
    assert_eq!(wrong.status, 400);
    assert!(
        wrong.text().contains("as_sent, minute, hour, day"),
        "{}",
        wrong.text()
    );
}

#[tokio::test]
async fn a_snapshot_goes_out_and_comes_back_over_the_interface() {
    let (running, directory) = start(|_| {}).await;
    let url = format!("http://{}", running.http_addr);
    ack(&post(
        &running,
        &[PROTOBUF],
        &DeltaSpec::new(1, 0).delta().encode(),
    )
    .await);
    let file = directory.path().join("backup");
    crate::fetch_snapshot(&url, &crate::Access::default(), &file)
        .await
        .unwrap();
    ack(&post(
        &running,
        &[PROTOBUF],
        &DeltaSpec::new(1, 1).delta().encode(),
    )
    .await);
    // Not by accident, and not by a web page.
    let restore = "POST /api/v1/restore";
    let snapshot_type = "application/vnd.weighbridge.snapshot";
    assert_eq!(
        ask(&running, restore, None, snapshot_type).await.status,
        409
    );
    let replace = "POST /api/v1/restore?replace=true";
    assert_eq!(ask(&running, replace, None, "text/plain").await.status, 415);
    assert_eq!(
        ask(&running, replace, None, snapshot_type).await.status,
        400
    );
    crate::send_restore(&url, &crate::Access::default(), &file)
        .await
        .unwrap();
    let answer = get(running.http_addr, "/api/v1/range").await;
    assert_eq!(FoldedRange::decode(&answer.body).unwrap().windows.len(), 1);
    running.shutdown().await.unwrap();
    // Elsewhere, while no collector runs.
    let other = tempfile::tempdir().unwrap();
    crate::restore_dir(&file, other.path(), false).unwrap();
    let error = crate::restore_dir(&file, other.path(), false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("--replace"), "{error}");
    crate::restore_dir(&file, other.path(), true).unwrap();
    let range = crate::read_range(other.path(), crate::Span::default()).unwrap();
    assert_eq!(range.windows.len(), 1);
    let again = directory.path().join("again");
    crate::snapshot_dir(other.path(), &again).unwrap();
    assert!(again.is_file());
}

#[tokio::test]
async fn the_health_is_told_over_grpc_without_a_token() {
    let (running, _directory) = start(tokens).await;
    let check = |name: &'static str| {
        let addr = running.http_addr;
        async move {
            let mut question = vec![0, 0, 0, 0, 0];
            if !name.is_empty() {
                question[4] = u8::try_from(name.len() + 2).unwrap();
                question.extend([0x0a, u8::try_from(name.len()).unwrap()]);
                question.extend(name.as_bytes());
            }
            let headers = [("content-type", "application/grpc")];
            request(
                addr,
                "POST /grpc.health.v1.Health/Check",
                &headers,
                &question,
            )
            .await
        }
    };
    for name in ["", "opentelemetry.proto.collector.trace.v1.TraceService"] {
        let answer = check(name).await;
        assert_eq!(answer.status, 200);
        // SERVING.
        let serving = [0, 0, 0, 0, 2, 0x08, 1];
        assert!(
            answer.body.windows(7).any(|part| part == serving),
            "{name}: {:?}",
            answer.body
        );
    }
    let answer = check("somebody.Else").await;
    assert_eq!(answer.header("grpc-status"), Some("5"), "{}", answer.head);
}
