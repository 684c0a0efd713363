//! OTLP over power cuts and failing disks: spans, their joins and metrics, each once.

use prost::Message as _;
use serde_json::json;
use weighbridge_wire::{OperationKey, ProcessKey};

use super::*;
use crate::otlp::{Format, Outcome, Signal};
use crate::testing::otlp::{SpanSpec, traces};

/// Traces of a request at shop that calls stock, and processes of stock.
const TRACES: u64 = 5;
const PROCESSES: u64 = 3;

/// One request of a client. Its name stands in a row as soon as it counts.
struct Sent {
    signal: Signal,
    format: Format,
    body: Vec<u8>,
    name: String,
}

/// The two halves of each trace apart, and the CPU of each process as a difference.
fn requests() -> Vec<Sent> {
    let mut sent = Vec::new();
    for n in 0..TRACES {
        let of_trace = |mut span: SpanSpec| {
            span.trace = u128::from(n) + 1;
            // Some share a window.
            span.end_unix_ns += n / 2 * 10 * SECOND_NS;
            span.start_unix_ns = span.end_unix_ns - 1_000_000 - n;
            span.with("http.request.method", "GET")
        };
        let (orders, stock) = (format!("/orders/v{n}"), format!("/stock/v{n}"));
        let request = of_trace(SpanSpec::server(1).with("http.route", &orders));
        let call = of_trace(SpanSpec::client(2).child_of(1)).with("server.address", "stock");
        let answer = of_trace(SpanSpec::server(3).child_of(2).with("http.route", &stock));
        for (service, spans, route) in [
            ("shop", vec![request, call], orders),
            ("stock", vec![answer], stock),
        ] {
            sent.push(Sent {
                signal: Signal::Traces,
                format: Format::Protobuf,
                body: traces(service, spans).encode_to_vec(),
                name: format!("GET {route}"),
            });
        }
    }
    for n in 0..PROCESSES {
        let name = format!("process {n}");
        let attribute =
            |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let body = json!({"resourceMetrics": [{
            "resource": {"attributes": [
                attribute("service.name", "stock"), attribute("service.instance.id", &name),
            ]},
            "scopeMetrics": [{"metrics": [{"name": "process.cpu.time", "unit": "s", "sum": {
                "aggregationTemporality": 1, "isMonotonic": true,
                "dataPoints": [{
                    "timeUnixNano": (START_UNIX_NS + 10 * SECOND_NS).to_string(),
                    "asDouble": 0.25 * (n + 1) as f64,
                }],
            }}]}],
        }]});
        sent.push(Sent {
            signal: Signal::Metrics,
            format: Format::Json,
            body: serde_json::to_vec(&body).unwrap(),
            name,
        });
    }
    sent
}

async fn send(engine: &Engine, sent: &Sent) -> Result<Outcome, Refusal> {
    let body = sent.body.clone().into();
    engine
        .ingest_otlp(
            &"".into(),
            sent.signal,
            sent.format,
            Encoding::Identity,
            body,
            &|_| true,
        )
        .await
}

/// What an engine holds that was sent these, each once, and to which nothing happened.
async fn undisturbed(requests: &[Sent], ids: &BTreeSet<usize>) -> Totals {
    let engine = start(Arc::new(MemoryStore::new(1_000)));
    for &i in ids {
        send(&engine, &requests[i]).await.expect("accepted");
    }
    totals(&engine).0
}

/// Which requests stand in totals.
fn counted(requests: &[Sent], totals: &Totals) -> BTreeSet<usize> {
    let names: BTreeSet<String> = totals
        .values()
        .flat_map(RowSet::iter)
        .filter_map(|(key, _)| {
            let operation = OperationKey::read(key).map(|key| key.operation.to_string());
            operation.or_else(|| Some(ProcessKey::read(key)?.instance.to_string()))
        })
        .collect();
    let is_there = |(i, sent): (usize, &Sent)| names.contains(&sent.name).then_some(i);
    requests.iter().enumerate().filter_map(is_there).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn power_cuts_and_failing_disks_lose_no_span_and_no_join(
        steps in proptest::collection::vec(disk_step(13), 0..25),
    ) {
        runtime().block_on(async {
            let requests = requests();
            assert_eq!(requests.len(), 13);
            let disk = Disk::default();
            let mut process = Process::on_disk(&disk);
            let mut answered = Answered::default();
            for step in &steps {
                let resend = async |engine: &Engine, i: usize| {
                    send(engine, &requests[i]).await.map(|outcome| outcome.is_repeated)
                };
                answered.step(&mut process, &disk, step, resend).await;
                let (found, _) = totals(&process.engine);
                let ids = counted(&requests, &found);
                answered.hold(&ids, step);
                assert_eq!(found, undisturbed(&requests, &ids).await, "after {step:?}");
            }
            for sent in &requests {
                send(&process.engine, sent).await.expect("accepted");
            }
            process.engine.fold_now().await.expect("folded");
            let all = (0..requests.len()).collect();
            assert_eq!(totals(&process.engine).0, undisturbed(&requests, &all).await);
        });
    }
}
