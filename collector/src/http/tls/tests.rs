use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::{Collector, Config, Running};

/// An authority and what it signed.
struct Authority {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { directory, issuer }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Files of a certificate for `localhost` and its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert, pem_key) = (
            self.file(&format!("{name}.pem")),
            self.file(&format!("{name}.key")),
        );
        std::fs::write(&cert, certificate.pem()).unwrap();
        std::fs::write(&pem_key, key.serialize_pem()).unwrap();
        (cert, pem_key)
    }

    fn files(&self, client_ca: bool) -> TlsFiles {
        let (cert, key) = self.sign("server");
        TlsFiles {
            cert,
            key,
            client_ca: client_ca.then(|| self.file("ca.pem")),
        }
    }

    /// A client that trusts the authority; with a certificate of its own, or without.
    fn client(&self, known: bool) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&self.file("ca.pem")).unwrap());
        let config = if known {
            let (cert, key) = self.sign("client");
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            builder
                .with_client_auth_cert(certificates(&cert).unwrap(), key)
                .unwrap()
        } else {
            builder.with_no_client_auth()
        };
        TlsConnector::from(Arc::new(config))
    }
}

async fn collector(authority: &Authority, client_ca: bool) -> (Running, SocketAddr) {
    let config = Config {
        data_dir: authority.file("data"),
        listen_http: "127.0.0.1:0".parse().unwrap(),
        listen_https: Some("127.0.0.1:0".parse().unwrap()),
        tls: Some(authority.files(client_ca)),
        weigh_self: false,
        ..Config::default()
    };
    let running = Collector::start(config).await.unwrap();
    let addr = running.https_addr.unwrap();
    (running, addr)
}

async fn ask(client: &TlsConnector, addr: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = client.connect(name, stream).await?;
    let head = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn requests_are_answered_under_tls_and_a_stranger_is_not_trusted() {
    let authority = Authority::new();
    let (running, addr) = collector(&authority, false).await;
    let answer = ask(&authority.client(false), addr).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(ask(&Authority::new().client(false), addr).await.is_err());
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn with_an_authority_of_clients_only_theirs_come_in() {
    let authority = Authority::new();
    let (running, addr) = collector(&authority, true).await;
    let answer = ask(&authority.client(true), addr).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Without a certificate the handshake fails, or the connection right after it.
    let stranger = ask(&authority.client(false), addr).await;
    assert!(stranger.is_err() || stranger.is_ok_and(|answer| answer.is_empty()));
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn s12_failed_and_unfinished_handshakes_do_not_end_the_accepting() {
    let authority = Authority::new();
    let (running, addr) = collector(&authority, false).await;
    let mut unfinished = Vec::new();
    for n in 0..60 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        match n % 3 {
            // Not TLS at all.
            0 => stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap(),
            // The begin of a record that never ends.
            1 => stream.write_all(&[22, 3, 1, 255, 255, 1]).await.unwrap(),
            // Nothing.
            _ => {}
        }
        unfinished.push(stream);
    }
    let answer = ask(&authority.client(false), addr).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    running.shutdown().await.unwrap();
}

#[test]
fn s14_a_wrong_file_is_named_and_not_shown() {
    let authority = Authority::new();
    let files = authority.files(true);
    let secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0IHNlY3JldA==\n-----END PRIVATE KEY-----\n";
    let wrong = authority.file("wrong.pem");
    std::fs::write(&wrong, secret).unwrap();
    let with = |change: fn(&mut TlsFiles, PathBuf)| {
        let mut files = files.clone();
        change(&mut files, wrong.clone());
        server(&files).err().expect("refused").to_string()
    };
    for error in [
        with(|files, wrong| files.cert = wrong),
        with(|files, wrong| files.key = wrong),
        with(|files, wrong| files.client_ca = Some(wrong)),
        with(|files, wrong| files.key = wrong.with_file_name("absent")),
    ] {
        assert!(
            error.contains("wrong.pem") || error.contains("absent"),
            "{error}"
        );
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
    // A key that belongs to another certificate.
    let mut mixed = files.clone();
    mixed.key = authority.sign("other").1;
    assert!(server(&mixed).is_err());
}
