//! Against a server of rustls with certificates made here.
#![allow(clippy::unwrap_used)] // the helpers of a test

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::TlsFiles;
use crate::config::Endpoint;
use crate::export::{Delivery, HttpTarget};

/// An authority and what it signed.
struct Authority {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // No two authorities have the same name.
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    /// What a client needs to trust it, with a certificate of its own or without.
    fn files(&self, known: bool) -> TlsFiles {
        let file = |name: &str| self.directory.path().join(name);
        let mut files = TlsFiles {
            ca: Some(file("ca.pem")),
            ..TlsFiles::default()
        };
        if known {
            let (chain, key) = self.sign();
            std::fs::write(file("client.pem"), chain).unwrap();
            std::fs::write(file("client.key"), key).unwrap();
            files.cert = Some(file("client.pem"));
            files.key = Some(file("client.key"));
        }
        files
    }

    /// A certificate for `localhost` and its key.
    fn sign(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn acceptor(&self, asks_for_certificates: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks_for_certificates {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(self.issuer.pem().as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = self.sign();
        let config = builder
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Answers 200 to whoever gets through the handshake, and tells what it was sent.
async fn server(acceptor: TlsAcceptor) -> (SocketAddr, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = Vec::new();
            while !request.ends_with(b"a delta") {
                if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
                    break;
                }
            }
            let _ = told
                .send(String::from_utf8_lossy(&request).into_owned())
                .await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    (address, heard)
}

async fn deliver(url: &str, files: &TlsFiles) -> Delivery {
    let endpoint = Endpoint::parse(url).unwrap();
    let target = HttpTarget::new(endpoint, None, files).unwrap();
    target.deliver(Bytes::from_static(b"a delta")).await
}

/// Why it was not delivered; it is kept and sent again.
fn reason(delivery: Delivery) -> String {
    match delivery {
        Delivery::Busy { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_delta_is_delivered_under_tls_to_whom_the_authority_vouches_for() {
    let authority = Authority::new();
    let (address, mut heard) = server(authority.acceptor(false)).await;
    let url = format!("https://localhost:{}", address.port());
    let delivered = deliver(&url, &authority.files(false)).await;
    assert!(matches!(delivered, Delivery::Accepted), "{delivered:?}");
    let request = heard.recv().await.unwrap();
    assert!(request.starts_with("POST /v1/ledger HTTP/1.1"), "{request}");
    assert!(request.ends_with("a delta"), "{request}");
}

#[tokio::test]
async fn a_collector_of_another_authority_hears_nothing_and_the_error_says_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (address, mut heard) = server(other.acceptor(false)).await;
    let url = format!("https://localhost:{}", address.port());
    let why = reason(deliver(&url, &authority.files(false)).await);
    assert!(why.contains("UnknownIssuer"), "{why}");
    assert!(why.contains("WEIGHBRIDGE_TLS_CA"), "{why}");
    // Nor one that has the right authority and another name.
    let (address, _) = server(authority.acceptor(false)).await;
    let url = format!("https://127.0.0.1:{}", address.port());
    let why = reason(deliver(&url, &authority.files(false)).await);
    assert!(why.contains("use a name for which"), "{why}");
    assert!(heard.try_recv().is_err(), "something was sent");
}

#[tokio::test]
async fn a_certificate_is_shown_where_one_is_asked_for() {
    let authority = Authority::new();
    let (address, mut heard) = server(authority.acceptor(true)).await;
    let url = format!("https://localhost:{}", address.port());
    let delivered = deliver(&url, &authority.files(true)).await;
    assert!(matches!(delivered, Delivery::Accepted), "{delivered:?}");
    assert!(heard.recv().await.is_some());
    let why = reason(deliver(&url, &authority.files(false)).await);
    assert!(why.contains("WEIGHBRIDGE_TLS_CERT"), "{why}");
    assert!(heard.try_recv().is_err(), "something was taken");
}

#[tokio::test]
async fn an_address_without_tls_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let why = reason(deliver(&url, &Authority::new().files(false)).await);
    assert!(why.contains("speaks no TLS"), "{why}");
}

#[test]
fn files_that_cannot_be_used_are_named_and_nothing_is_sent_instead() {
    let authority = Authority::new();
    let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0IHNlY3JldA==\n-----END PRIVATE KEY-----\n";
    let wrong = authority.directory.path().join("wrong.pem");
    std::fs::write(&wrong, secret).unwrap();
    let good = authority.files(true);
    let with = |change: fn(&mut TlsFiles, std::path::PathBuf), variable: &str| {
        let mut files = good.clone();
        change(&mut files, wrong.clone());
        let mut builder = crate::builder().endpoint("https://localhost:1");
        builder = match (files.cert, files.key) {
            (Some(cert), Some(key)) => builder.tls_identity(cert, key),
            _ => builder,
        };
        let error = builder.tls_ca(files.ca.unwrap()).try_init().unwrap_err();
        let error = error.to_string();
        assert!(error.contains(variable), "{error}");
        assert!(
            error.contains("wrong.pem") || error.contains("absent"),
            "{error}"
        );
        assert!(!error.contains("c2VjcmV0"), "{error}");
    };
    with(|files, wrong| files.ca = Some(wrong), "WEIGHBRIDGE_TLS_CA");
    with(
        |files, wrong| files.ca = Some(wrong.with_file_name("absent")),
        "WEIGHBRIDGE_TLS_CA",
    );
    with(
        |files, wrong| files.cert = Some(wrong),
        "WEIGHBRIDGE_TLS_CERT",
    );
    with(
        |files, wrong| files.key = Some(wrong),
        "WEIGHBRIDGE_TLS_KEY",
    );
    let half = TlsFiles {
        key: None,
        ..good.clone()
    };
    let endpoint = Endpoint::parse("https://localhost:1").unwrap();
    let error = HttpTarget::new(endpoint, None, &half).unwrap_err();
    assert_eq!(error.setting(), "WEIGHBRIDGE_TLS_CERT");
}
