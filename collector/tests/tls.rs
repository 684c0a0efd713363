//! From a service to a report, all of it under TLS with certificates on both sides.
#![allow(clippy::unwrap_used)] // the helpers of a test

use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use weighbridge_agent::tls::TlsFiles;
use weighbridge_collector::{
    Access, Collector, Config, Running, Scope, TlsFiles as ServerFiles, Token, fetch_range,
};
use weighbridge_wire::{RowKind, column};

/// Makes an authority in a directory, and a certificate of it for `localhost`.
fn authority(directory: &Path) -> (PathBuf, PathBuf, PathBuf) {
    std::fs::create_dir_all(directory).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    (
        write("ca.pem", issuer.pem()),
        write("cert.pem", signed.pem()),
        write("cert.key", key.serialize_pem()),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_and_a_report_reach_a_collector_that_asks_for_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, cert, key) = authority(&directory.path().join("ours"));
    let config = Config {
        data_dir: directory.path().join("data"),
        listen_http: "127.0.0.1:0".parse().unwrap(),
        listen_https: Some("127.0.0.1:0".parse().unwrap()),
        tls: Some(ServerFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: Some(ca.clone()),
        }),
        weigh_self: false,
        ..Config::default()
    };
    let running = Collector::start(config).await.unwrap();
    let url = format!("https://localhost:{}", running.https_addr.unwrap().port());
    let agent = weighbridge_agent::builder()
        .service("shop")
        .endpoint(&url)
        .tls_ca(&ca)
        .tls_identity(&cert, &key)
        .try_init()
        .unwrap();
    // Ends the window and sends it.
    tokio::task::spawn_blocking(move || drop(agent))
        .await
        .unwrap();
    let access = Access {
        tls: TlsFiles {
            ca: Some(ca.clone()),
            cert: Some(cert),
            key: Some(key),
        },
        ..Access::default()
    };
    let range = fetch_range(&url, &access, None, None).await.unwrap();
    assert!(
        range
            .windows
            .iter()
            .any(|window| window.service.service == "shop"),
        "{range:?}"
    );
    // Without a certificate, and with another authority.
    let stranger = Access {
        tls: TlsFiles {
            ca: Some(ca),
            ..TlsFiles::default()
        },
        ..Access::default()
    };
    let why = fetch_range(&url, &stranger, None, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(why.contains("WEIGHBRIDGE_TLS_CERT"), "{why}");
    let (other, _, _) = authority(&directory.path().join("other"));
    let mistaken = Access {
        tls: TlsFiles {
            ca: Some(other),
            ..access.tls
        },
        ..Access::default()
    };
    let why = fetch_range(&url, &mistaken, None, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(why.contains("WEIGHBRIDGE_TLS_CA"), "{why}");
    running.shutdown().await.unwrap();
}

const SECRET: &str = "0123456789abcdef";

/// A collector that asks for a token, and for a certificate too where `client_ca` is set.
async fn with_token(directory: &Path, tls: ServerFiles) -> (Running, String) {
    let token = Token::new("spans", SECRET)
        .unwrap()
        .scopes(vec![Scope::Ingest]);
    let config = Config {
        data_dir: directory.join("data"),
        listen_http: "127.0.0.1:0".parse().unwrap(),
        listen_https: Some("127.0.0.1:0".parse().unwrap()),
        tls: Some(tls),
        tokens: vec![token],
        weigh_self: false,
        ..Config::default()
    };
    let running = Collector::start(config).await.unwrap();
    let url = format!("https://localhost:{}", running.https_addr.unwrap().port());
    (running, url)
}

#[allow(clippy::disallowed_methods)] // the collector's clock is the machine's here
fn one_span(id: u8) -> ExportTraceServiceRequest {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let span = Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: u64::try_from(now.as_nanos()).unwrap() - 1_000_000,
        end_time_unix_nano: u64::try_from(now.as_nanos()).unwrap(),
        ..Span::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

async fn export(
    url: &str,
    tls: ClientTlsConfig,
    token: Option<&str>,
    id: u8,
) -> Result<(), tonic::Code> {
    let channel = Channel::from_shared(url.to_owned())
        .unwrap()
        .tls_config(tls)
        .unwrap();
    let mut request = tonic::Request::new(one_span(id));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    TraceServiceClient::new(channel.connect_lazy())
        .export(request)
        .await
        .map(drop)
        .map_err(|status| status.code())
}

fn ended(running: &Running) -> i64 {
    let view = running.engine().view("", 0, u64::MAX).unwrap();
    view.map(|folded| {
        let rows = folded.unwrap().rows;
        let ended = rows.of_kind(RowKind::Operation);
        ended
            .filter_map(|(_, row)| row.get(column::ENDED))
            .sum::<i64>()
    })
    .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_comes_in_under_tls_with_and_without_certificates_of_the_clients() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, cert, key) = authority(&directory.path().join("ours"));
    let read = |path: &Path| std::fs::read(path).unwrap();
    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&ca)));
    for client_ca in [None, Some(ca.clone())] {
        let is_mutual = client_ca.is_some();
        let data = tempfile::tempdir().unwrap();
        let files = ServerFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca,
        };
        let (running, url) = with_token(data.path(), files).await;
        let tls = || match is_mutual {
            true => trusting().identity(Identity::from_pem(read(&cert), read(&key))),
            false => trusting(),
        };
        export(&url, tls(), Some(SECRET), 1).await.unwrap();
        assert_eq!(ended(&running), 1);
        let denied = export(&url, tls(), None, 2).await;
        assert_eq!(denied, Err(tonic::Code::Unauthenticated));
        if is_mutual {
            // The handshake fails, or the connection right after it.
            let stranger = export(&url, trusting(), Some(SECRET), 3).await;
            assert!(stranger.is_err());
        }
        assert_eq!(ended(&running), 1);
        running.shutdown().await.unwrap();
    }
}
