//! What every OTLP receiver owes its clients (opentelemetry-proto, docs/specification.md), as cases that can be run
//! against any endpoint:
//!
//!     WEIGHBRIDGE_CONFORMANCE_HTTP=127.0.0.1:4318 WEIGHBRIDGE_CONFORMANCE_GRPC=127.0.0.1:4317 \
//!         cargo test -p weighbridge-tests --test it -- otlp_conformance
//!
//! Without the variables they run against a collector of their own.

use std::io::Write as _;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use weighbridge_collector::{Collector, Config, Running};
use weighbridge_tests::http::{self, Answer};
use weighbridge_tests::new_dir;
use weighbridge_wire::FoldedRange;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

/// Beyond what any receiver should take by default: the specification recommends 20 MiB, and up to 64 MiB for gRPC.
const TOO_LARGE_BYTES: usize = 65 << 20;

struct Endpoint {
    http: SocketAddr,
    grpc: SocketAddr,
}

type Case = fn(&Endpoint) -> Result<(), String>;

const CASES: &[(&str, Case)] = &[
    ("protobuf is taken, and answered in protobuf", |to| {
        for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
            let body = if path == "/v1/traces" {
                traces(1).encode_to_vec()
            } else {
                Vec::new()
            };
            let answer = post(to, path, &[PROTOBUF], &body);
            expect(&answer, 200)?;
            content_type(&answer, PROTOBUF.1)?;
            // All three answers have one shape.
            let told =
                ExportTraceServiceResponse::decode(&answer.body[..]).map_err(|e| e.to_string())?;
            if told
                .partial_success
                .is_some_and(|partial| partial.rejected_spans != 0)
            {
                return Err(format!("{path} rejects what is right"));
            }
        }
        Ok(())
    }),
    (
        "JSON is taken on the same port, and answered in JSON",
        |to| {
            let body = serde_json::to_vec(&traces(2)).map_err(|e| e.to_string())?;
            let answer = post(to, "/v1/traces", &[JSON], &body);
            expect(&answer, 200)?;
            content_type(&answer, JSON.1)?;
            serde_json::from_slice::<serde_json::Value>(&answer.body).map_err(|e| e.to_string())?;
            Ok(())
        },
    ),
    ("gzip is taken for both", |to| {
        let protobuf = gzip(&traces(3).encode_to_vec());
        expect(&post(to, "/v1/traces", &[PROTOBUF, GZIP], &protobuf), 200)?;
        let json = gzip(&serde_json::to_vec(&traces(4)).map_err(|e| e.to_string())?);
        expect(&post(to, "/v1/traces", &[JSON, GZIP], &json), 200)
    }),
    ("an empty request succeeds", |to| {
        for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
            expect(&post(to, path, &[PROTOBUF], b""), 200)?;
            expect(&post(to, path, &[JSON], b"{}"), 200)?;
        }
        Ok(())
    }),
    (
        "JSON: ids in either case, 64-bit integers quoted or not, unknown fields and nulls",
        |to| {
            let now = now_unix_ns();
            let body = format!(
                r#"{{"future":[{{}}],"resourceSpans":[{{"resource":null,"scopeSpans":[{{"spans":[
                {{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","name":"a","kind":2,
                  "startTimeUnixNano":"{now}","endTimeUnixNano":{now},"future":1,
                  "attributes":[{{"key":"n","value":{{"intValue":"7"}}}},{{"key":"m","value":{{"intValue":7}}}},
                                {{"key":"e","value":{{}}}}]}}]}}]}}]}}"#
            );
            let answer = post(to, "/v1/traces", &[JSON], body.as_bytes());
            expect(&answer, 200)?;
            match answer.text().contains("rejectedSpans") {
                true => Err(format!("a right span is rejected: {}", answer.text())),
                false => Ok(()),
            }
        },
    ),
    ("unknown fields of protobuf are skipped", |to| {
        let mut body = traces(5).encode_to_vec();
        // Field 1000, a text.
        body.extend_from_slice(&[0xc2, 0x3e, 3, b'n', b'e', b'w']);
        expect(&post(to, "/v1/traces", &[PROTOBUF], &body), 200)
    }),
    (
        "what cannot be read is 400 with a Status, and not to be sent again",
        |to| {
            let answer = post(to, "/v1/traces", &[PROTOBUF], &[0x0a, 0xff, 0x01, 0x00]);
            expect(&answer, 400)?;
            content_type(&answer, PROTOBUF.1)?;
            if answer.header("retry-after").is_some() {
                return Err("it asks to send wrong bytes again".into());
            }
            // google.rpc.Status: code, then message.
            let code = answer.body.first() == Some(&0x08);
            if !code || answer.body.is_empty() {
                return Err(format!("no Status in the body: {:?}", answer.body));
            }
            let answer = post(to, "/v1/traces", &[JSON], b"{\"resourceSpans\":7}");
            expect(&answer, 400)?;
            content_type(&answer, JSON.1)
        },
    ),
    ("a broken gzip is 400", |to| {
        let mut broken = gzip(&traces(6).encode_to_vec());
        broken.truncate(broken.len() / 2);
        expect(&post(to, "/v1/traces", &[PROTOBUF, GZIP], &broken), 400)
    }),
    ("too much after decompression is 413", |to| {
        let bomb = gzip(&vec![0; TOO_LARGE_BYTES]);
        expect(&post(to, "/v1/traces", &[PROTOBUF, GZIP], &bomb), 413)
    }),
    ("only POST", |to| {
        let answer = http::get(to.http, "/v1/traces");
        expect(&answer, 405)
    }),
    (
        "gRPC: traces, metrics and logs, plain and with gzip, also empty",
        |to| {
            block_on(async {
                let channel = channel(to).await?;
                let says = |e: tonic::Status| format!("{e:?}");
                let mut plain = TraceServiceClient::new(channel.clone());
                plain.export(traces(7)).await.map_err(says)?;
                plain
                    .export(ExportTraceServiceRequest::default())
                    .await
                    .map_err(says)?;
                let mut gzip = TraceServiceClient::new(channel.clone())
                    .send_compressed(CompressionEncoding::Gzip);
                gzip.export(traces(8)).await.map_err(says)?;
                let mut metrics = MetricsServiceClient::new(channel.clone());
                metrics
                    .export(ExportMetricsServiceRequest::default())
                    .await
                    .map_err(says)?;
                let mut logs = LogsServiceClient::new(channel);
                logs.export(ExportLogsServiceRequest::default())
                    .await
                    .map_err(says)?;
                Ok(())
            })
        },
    ),
    (
        "gRPC: too much after decompression is RESOURCE_EXHAUSTED, and not to be sent again",
        |to| {
            block_on(async {
                let mut client = TraceServiceClient::new(channel(to).await?)
                    .send_compressed(CompressionEncoding::Gzip);
                let mut large = traces(9);
                large.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(TOO_LARGE_BYTES);
                let status = match client.export(large).await {
                    Ok(_) => return Err("it was taken".to_owned()),
                    Err(status) => status,
                };
                if status.code() != tonic::Code::ResourceExhausted {
                    return Err(format!("{status:?}"));
                }
                if String::from_utf8_lossy(status.details()).contains("RetryInfo") {
                    return Err("it asks to send the same again".into());
                }
                Ok(())
            })
        },
    ),
    ("gRPC: a call that is not there is UNIMPLEMENTED", |to| {
        block_on(async {
            let mut grpc = tonic::client::Grpc::new(channel(to).await?);
            grpc.ready().await.map_err(|e| e.to_string())?;
            let codec = tonic_prost::ProstCodec::<
                ExportTraceServiceRequest,
                ExportTraceServiceResponse,
            >::default();
            let path = tonic::codegen::http::uri::PathAndQuery::from_static("/nothing.Here/Export");
            let request = tonic::Request::new(ExportTraceServiceRequest::default());
            match grpc.unary(request, path, codec).await {
                Err(status) if status.code() == tonic::Code::Unimplemented => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
    }),
];

/// A collector in this process.
pub(crate) struct Own {
    runtime: tokio::runtime::Runtime,
    running: Running,
}

impl Own {
    pub(crate) fn start(dir: &tempfile::TempDir) -> Self {
        let config = Config {
            data_dir: dir.path().into(),
            listen_http: SocketAddr::from(([127, 0, 0, 1], 0)),
            weigh_self: false,
            ..Config::default()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let running = runtime
            .block_on(Collector::start(config))
            .expect("a collector");
        Self { runtime, running }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.http_addr
    }

    /// Everything that it took in.
    pub(crate) fn range(&self) -> FoldedRange {
        self.runtime.block_on(async {
            let view = self.running.engine().view("", 0, u64::MAX).expect("a view");
            let windows: Result<Vec<_>, _> = view.collect();
            FoldedRange {
                window: weighbridge_wire::Window {
                    start_unix_ns: 0,
                    end_unix_ns: u64::MAX,
                },
                windows: windows.expect("windows"),
            }
        })
    }
}

#[test]
fn otlp_conformance() {
    let given = |name| -> Option<SocketAddr> { std::env::var(name).ok()?.parse().ok() };
    let dir = new_dir();
    let (_own, endpoint) = match given("WEIGHBRIDGE_CONFORMANCE_HTTP") {
        Some(http) => {
            let grpc = given("WEIGHBRIDGE_CONFORMANCE_GRPC").unwrap_or(http);
            (None, Endpoint { http, grpc })
        }
        None => {
            let own = Own::start(&dir);
            let address = own.address();
            let endpoint = Endpoint {
                http: address,
                grpc: address,
            };
            (Some(own), endpoint)
        }
    };
    let failed: Vec<String> = CASES
        .iter()
        .filter_map(|(name, case)| {
            let outcome = case(&endpoint);
            println!(
                "{} {name}",
                if outcome.is_ok() { "ok    " } else { "FAILED" }
            );
            outcome.err().map(|why| format!("{name}: {why}"))
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} cases:\n{}",
        failed.len(),
        CASES.len(),
        failed.join("\n")
    );
}

fn now_unix_ns() -> u64 {
    weighbridge_tests::unix_ns()
}

fn traces(n: u8) -> ExportTraceServiceRequest {
    let now = now_unix_ns();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![KeyValue {
                    key: "service.name".into(),
                    value: Some(AnyValue {
                        value: Some(any_value::Value::StringValue("conformance".into())),
                    }),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: vec![Span {
                    trace_id: vec![n; 16],
                    span_id: vec![n; 8],
                    name: "case".into(),
                    kind: 2,
                    start_time_unix_nano: now - 1_000_000,
                    end_time_unix_nano: now,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

fn post(to: &Endpoint, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    http::request(to.http, "POST", path, headers, body)
}

fn expect(answer: &Answer, status: u16) -> Result<(), String> {
    if answer.status == status {
        return Ok(());
    }
    Err(format!(
        "{} instead of {status}: {}",
        answer.status,
        answer.text()
    ))
}

fn content_type(answer: &Answer, wanted: &str) -> Result<(), String> {
    match answer.header("content-type") {
        Some(found) if found.starts_with(wanted) => Ok(()),
        found => Err(format!("content type {found:?} instead of {wanted}")),
    }
}

async fn channel(to: &Endpoint) -> Result<Channel, String> {
    Channel::from_shared(format!("http://{}", to.grpc))
        .map_err(|e| e.to_string())?
        .connect()
        .await
        .map_err(|e| e.to_string())
}

fn block_on(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?
        .block_on(work)
}
