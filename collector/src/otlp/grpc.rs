//! OTLP over gRPC: three unary calls, framed here.
//!
//! A unary call is one length-prefixed message each way over HTTP/2. Reading the prefix here keeps the whole message
//! in one piece without a copy, lets one bounded inflate serve all transports (zstd without a C compiler), and says
//! RESOURCE_EXHAUSTED where a generated server says OUT_OF_RANGE, which OTLP's clients would send again.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};

use super::status::{Status, code, success};
use super::{Format, Signal, receive};
use crate::auth::Scope;
use crate::http::App;
use crate::ingest::Refusal;
use crate::store::Encoding;

/// Paths of the three services.
pub(crate) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub(crate) const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
pub(crate) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// The call of `grpc.health.v1` that asks once; who watches asks again.
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// The services of which the health may be asked; the empty name is the collector as a whole.
const SERVICES: [&[u8]; 4] = [
    b"",
    b"opentelemetry.proto.collector.trace.v1.TraceService",
    b"opentelemetry.proto.collector.metrics.v1.MetricsService",
    b"opentelemetry.proto.collector.logs.v1.LogsService",
];

/// Largest question about health, bytes.
const QUESTION_BYTES_MAX: usize = 1 << 10;

/// Flag and length before a message.
const PREFIX_BYTES: usize = 5;

pub(crate) async fn traces(State(app): State<App>, request: Request) -> Response {
    take(&app, Signal::Traces, request).await
}

pub(crate) async fn metrics(State(app): State<App>, request: Request) -> Response {
    take(&app, Signal::Metrics, request).await
}

pub(crate) async fn logs(State(app): State<App>, request: Request) -> Response {
    take(&app, Signal::Logs, request).await
}

/// SERVING while deltas and telemetry are taken in, as `/readyz` says it.
pub(crate) async fn health(State(app): State<App>, request: Request) -> Response {
    let asked = Limited::new(request.into_body(), QUESTION_BYTES_MAX)
        .collect()
        .await
        .ok()
        .and_then(|body| message(body.to_bytes(), None).ok());
    if !asked.is_some_and(|(_, asked)| knows(&asked)) {
        return refused(&Status {
            http: StatusCode::OK,
            code: code::NOT_FOUND,
            message: "no such service; ask for the empty name, or for one of OTLP's services"
                .into(),
            retry_after_seconds: None,
        });
    }
    // HealthCheckResponse: field 1, SERVING or NOT_SERVING.
    answered(&[0x08, if app.is_ready() { 1 } else { 2 }])
}

/// True for a `HealthCheckRequest` about a service that is here: one string, its name, in field 1.
pub(crate) fn knows(asked: &[u8]) -> bool {
    match asked.split_first() {
        None => true,
        Some((0x0a, rest)) => rest
            .split_first()
            .is_some_and(|(len, name)| usize::from(*len) == name.len() && SERVICES.contains(&name)),
        Some(_) => false,
    }
}

async fn take(app: &App, signal: Signal, request: Request) -> Response {
    if !is_grpc(request.headers()) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    match taken(app, signal, request).await {
        Ok(message) => answered(&message),
        Err(status) => refused(&status),
    }
}

async fn taken(app: &App, signal: Signal, request: Request) -> Result<Vec<u8>, Status> {
    let counters = &app.metrics.otlp;
    let grant = app.grant(request.headers(), Scope::Ingest).map_err(|denied| {
        counters.unauthorized(&app.tenant_of(request.headers()), signal);
        Status {
            http: denied.status(),
            code: match denied.status() {
                StatusCode::FORBIDDEN => code::PERMISSION_DENIED,
                _ => code::UNAUTHENTICATED,
            },
            message: "no token that may send here; set the metadata `authorization: Bearer …` (with \
                      OpenTelemetry's SDKs: OTEL_EXPORTER_OTLP_HEADERS=\"Authorization=Bearer%20…\")"
                .into(),
            retry_after_seconds: None,
        }
    })?;
    let count = |refusal: &Refusal| {
        counters.refused(&grant.tenant, signal, refusal);
        Status::from(refusal)
    };
    let compressed = compression(request.headers());
    let limit_bytes = app.engine.limits().otlp_body_bytes;
    let read = receive::body(
        app,
        request.into_body(),
        limit_bytes.saturating_add(PREFIX_BYTES),
        |first| {
            let len = first.get(1..PREFIX_BYTES)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*len) as usize + PREFIX_BYTES)
        },
    )
    .await
    .map_err(|refusal| match refusal {
        Refusal::TooLarge { .. } => count(&Refusal::TooLarge { limit_bytes }),
        refusal => count(&refusal),
    })?;
    let (encoding, message) = message(read.body, compressed).map_err(|refusal| count(&refusal))?;
    let outcome = receive::take(app, &grant, signal, Format::Protobuf, encoding, message)
        .await
        .map_err(|refusal| count(&refusal))?;
    drop(read.permits);
    Ok(success(signal, Format::Protobuf, &outcome.tally))
}

/// Takes the one message out of its frame.
pub(crate) fn message(
    mut body: Bytes,
    compressed: Option<Encoding>,
) -> Result<(Encoding, Bytes), Refusal> {
    if body.len() < PREFIX_BYTES {
        return Err(Refusal::NotOtlp("the call holds no message".into()));
    }
    let flag = body.get_u8();
    let len = body.get_u32() as usize;
    if body.len() != len {
        return Err(Refusal::NotOtlp(
            "the call holds something else than one whole message".into(),
        ));
    }
    match flag {
        0 => Ok((Encoding::Identity, body)),
        1 => Ok((compressed.ok_or(Refusal::ContentEncoding)?, body)),
        _ => Err(Refusal::NotOtlp("the message has an unknown flag".into())),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn compression(headers: &HeaderMap) -> Option<Encoding> {
    match headers.get("grpc-encoding")?.as_bytes() {
        b"identity" => Some(Encoding::Identity),
        b"gzip" => Some(Encoding::Gzip),
        b"zstd" => Some(Encoding::Zstd),
        _ => None,
    }
}

fn answered(message: &[u8]) -> Response {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(0));
    framed.put_slice(message);
    let trailers = async {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Some(Ok(trailers))
    };
    let body = Full::new(framed.freeze()).with_trailers(trailers);
    with_headers(Response::new(Body::new(body)))
}

/// An answer of headers alone.
pub(super) fn refused(status: &Status) -> Response {
    let mut response = with_headers(Response::new(Body::empty()));
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(status.code));
    let message: String = status.message.bytes().map(percent).collect();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
    let details = base64::engine::general_purpose::STANDARD_NO_PAD.encode(status.encode());
    if let Ok(details) = HeaderValue::try_from(details) {
        headers.insert("grpc-status-details-bin", details);
    }
    response
}

/// A byte of `grpc-message`: visible ASCII but `%` as it is.
fn percent(byte: u8) -> String {
    match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    headers.insert(
        "grpc-accept-encoding",
        HeaderValue::from_static("identity,gzip,zstd"),
    );
    response
}

/// What a gRPC client is told that calls something else here.
pub(crate) fn unimplemented(headers: &HeaderMap) -> Option<Response> {
    is_grpc(headers).then(|| {
        refused(&Status {
            http: StatusCode::OK,
            code: code::UNIMPLEMENTED,
            message:
                "no such call; OTLP's Export calls for traces, metrics and logs are served here"
                    .into(),
            retry_after_seconds: None,
        })
    })
}
