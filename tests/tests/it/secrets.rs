//! What users send reaches neither the collector's disk nor the report, and forged headers move no cost.

#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use weighbridge_tests::{Collector, http, new_dir, rows, weighbridge};
use weighbridge_wire::{OperationKey, RowKind, column};

use crate::weigh::fixture;

const SECRET: &str = "s3cr3t4711";
/// What must be found: the same search would have found the secret.
const TEMPLATE: &str = "/vault/{token}";

/// Passes connections on to the collector, and keeps what agents send.
struct Wire {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Wire {
    fn to(collector: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let kept = Arc::clone(&sent);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(collector).unwrap());
                let (mut answers, mut back) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    let (mut near, mut far) = (near, far);
                    let (mut all, mut piece) = (Vec::new(), vec![0; 1 << 16]);
                    while let Ok(n @ 1..) = near.read(&mut piece) {
                        all.extend_from_slice(&piece[..n]);
                        if far.write_all(&piece[..n]).is_err() {
                            break;
                        }
                    }
                    kept.lock().unwrap().push(all);
                    let _ = far.shutdown(std::net::Shutdown::Both);
                });
                std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
            }
        });
        Self { address, sent }
    }

    /// Everything that was sent, and what is packed in it.
    fn unpacked(&self) -> Vec<Vec<u8>> {
        let sent = self.sent.lock().unwrap();
        sent.iter().flat_map(|bytes| unpacked(bytes)).collect()
    }
}

/// Bytes, and what is packed in them.
fn unpacked(bytes: &[u8]) -> Vec<Vec<u8>> {
    let starts = bytes.windows(3).enumerate();
    let packed = starts
        .filter(|(_, window)| **window == [0x1f, 0x8b, 8])
        .map(|(at, _)| {
            let mut text = Vec::new();
            // Up to its end, or to where it turns out to be nothing packed.
            let _ = flate2::read::GzDecoder::new(&bytes[at..]).read_to_end(&mut text);
            text
        });
    packed.chain([bytes.to_vec()]).collect()
}

/// What a service said, without what its own panics say: that is the program's, not the agent's.
fn without_panics(stderr: &str) -> String {
    let mut kept = String::new();
    let mut lines = stderr.lines();
    while let Some(line) = lines.next() {
        if line.contains("panicked at") {
            lines.next();
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn what_users_send_reaches_neither_disk_nor_report_and_forged_headers_move_no_cost() {
    let (dir, out) = (new_dir(), new_dir());
    let collector = Collector::start(dir.path());
    let wire = Wire::to(collector.address());
    let url = format!("http://{}", wire.address);
    let settings = [
        ("WEIGHBRIDGE_ENDPOINT", url.as_str()),
        ("WEIGHBRIDGE_TRUST", "key:0123456789abcdef"),
        ("WEIGHBRIDGE_KEY_SECRET", "0123456789abcdef"),
        ("RUST_BACKTRACE", "0"),
    ];
    let vault = fixture("vault", &[], &settings);
    let (path, lost) = (
        format!("/vault/{SECRET}?q={SECRET}"),
        format!("/nowhere/{SECRET}"),
    );
    let forged = format!("1;{SECRET};{SECRET};0123456789abcdef;s;1");
    let coded = format!("{forged};0123456789abcdef");
    let baggage = format!("weighbridge.origin={SECRET}%3B{SECRET},user={SECRET}");
    let common = [
        ("x-token", SECRET),
        ("user-agent", SECRET),
        ("baggage", &*baggage),
    ];
    for hop in [None, Some(&*forged), Some(&*coded)] {
        let mut headers = common.to_vec();
        headers.extend(hop.map(|hop| ("weighbridge-hop", hop)));
        let answer = http::request(vault.address(), "GET", &path, &headers, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            http::request(vault.address(), "GET", &lost, &headers, b"").status,
            404
        );
        // A method that is nobody's.
        let _ = http::request(vault.address(), SECRET, &path, &headers, b"");
    }
    let vault = vault.end();
    assert_eq!(vault.get("topics"), 9, "the broker had its messages");
    assert!(
        vault.stderr.contains("panicked at"),
        "and one broke its handler"
    );
    let said = without_panics(&vault.stderr);
    assert!(!said.contains(SECRET), "{said}");

    // Each request began here, whatever its headers say, and so did all that followed from it.
    let range = collector.range();
    let found = rows::of_service(&range, "vault");
    for (key, _) in found.of_kind(RowKind::Operation) {
        let key = OperationKey::read(key).unwrap();
        assert_eq!(&*key.origin_service, "vault", "{key:?}");
        if &*key.operation == "GET /inner/{token}" || &*key.operation == "CONSUME vault/+" {
            assert_eq!(&*key.origin_operation, "GET /vault/{token}", "{key:?}");
        }
    }
    let lost = |reason: &str| -> i64 {
        found
            .of_kind(RowKind::Loss)
            .filter(|(key, _)| key.parts.iter().any(|part| &**part == "agent.trust"))
            .filter(|(key, _)| key.parts.iter().any(|part| &**part == reason))
            .filter_map(|(_, row)| row.get(column::LOST))
            .sum()
    };
    // One by HTTP with each request, and one by MQTT.
    assert_eq!([lost("no code"), lost("wrong code")], [3 + 3, 3]);
    let forged = found.of_kind(RowKind::Operation).filter(|(key, row)| {
        &*key.parts[1] == "CONSUME forged/+" && row.get(column::ENDED).is_some()
    });
    assert!(forged.count() > 0, "the forged messages were handled");

    let shown = format!("{range:?}");
    assert!(shown.contains(TEMPLATE) && !shown.contains(SECRET));
    assert!(shown.contains("card"), "the statements were followed");
    assert!(!collector.stderr().contains(SECRET));
    assert!(collector.shut_down().status.success());
    // Kept when a connection ends.
    weighbridge_tests::assert_eventually!(
        wire.unpacked().iter().any(|bytes| holds(bytes, TEMPLATE)),
        "what was sent cannot be read"
    );
    let sent = wire.unpacked();
    assert!(
        !sent.iter().any(|bytes| holds(bytes, SECRET)),
        "the agent sent it"
    );
    let mut found = false;
    for (name, bytes) in files(dir.path()) {
        for bytes in unpacked(&bytes) {
            found |= holds(&bytes, TEMPLATE);
            assert!(!holds(&bytes, SECRET), "{name}");
        }
    }
    assert!(found, "the disk cannot be read");
    let status = Command::new(weighbridge())
        .env("NO_COLOR", "1")
        .args(["report", "--format", "html,json,csv,md", "--from"])
        .arg(dir.path())
        .arg("--out")
        .arg(out.path())
        .status();
    assert!(status.unwrap().success());
    let report = files(out.path());
    assert!(report.len() >= 4, "{report:?}");
    assert!(report.iter().any(|(_, bytes)| holds(bytes, TEMPLATE)));
    for (name, bytes) in report {
        assert!(!holds(&bytes, SECRET), "{name}");
    }
}
