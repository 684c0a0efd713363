//! From a service to a report, all of it under TLS with certificates on both sides.
#![allow(clippy::unwrap_used)] // the helpers of a test

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use weighbridge_agent::tls::TlsFiles;
use weighbridge_collector::{Access, Collector, Config, TlsFiles as ServerFiles, fetch_range};

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
