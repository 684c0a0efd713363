//! What went wrong elsewhere and must not here, seen from outside of the process.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::process::Command;

use weighbridge_tests::{Collector, assert_eventually, http, new_dir, rows};

const PROTOBUF: &str = "application/x-protobuf";

/// Sets the limit on the open files of a running process.
fn limit_open_files(id: u32, files: u64) {
    let status = Command::new("prlimit")
        .args(["--pid", &id.to_string(), &format!("--nofile={files}:")])
        .status()
        .expect("prlimit (util-linux) starts");
    assert!(status.success());
}

#[test]
fn s12_without_file_descriptors_it_goes_on_accepting_afterwards() {
    let dir = new_dir();
    let collector = Collector::start(dir.path());
    let open = std::fs::read_dir(format!("/proc/{}/fd", collector.id()))
        .expect("its files")
        .count();
    limit_open_files(collector.id(), open as u64 + 8);
    // More connections than it may open; the system takes them, and they wait.
    let waiting: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(collector.address()).expect("a connection"))
        .collect();
    drop(waiting);
    assert_eventually!(
        http::try_get(collector.address(), "/readyz").is_some_and(|answer| answer.status == 200),
        "it accepts no more:\n{}",
        collector.stderr()
    );
    let delta = rows::delta("store", 1, 0, 10, 1);
    assert_eventually!(
        http::post(collector.address(), "/v1/ledger", PROTOBUF, &delta.encode()).status == 200,
        "it takes nothing in:\n{}",
        collector.stderr()
    );
    assert!(collector.shut_down().status.success());
}

/// The inodes of the sockets of a process.
fn sockets(id: u32) -> BTreeSet<String> {
    let files = std::fs::read_dir(format!("/proc/{id}/fd")).expect("its files");
    files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect()
}

#[test]
fn s17_it_asks_nobody_for_anything() {
    let dir = new_dir();
    let collector = Collector::start(dir.path());
    // Names that look like something to fetch.
    for (seq, service) in ["http://127.0.0.1:9/latest/meta-data", "//169.254.169.254/"]
        .into_iter()
        .enumerate()
    {
        let delta = rows::delta(service, u8::try_from(seq).expect("few"), 0, 10, 5);
        let answer = http::post(collector.address(), "/v1/ledger", PROTOBUF, &delta.encode());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for path in [
        "/",
        "/report.html",
        "/api/v1/report.json",
        "/api/v1/services",
    ] {
        assert_eq!(http::get(collector.address(), path).status, 200, "{path}");
    }
    let mine = sockets(collector.id());
    let mut listens = 0;
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = std::fs::read_to_string(format!("/proc/{}/net/{table}", collector.id()))
            .unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(inode)) = (fields.get(1), fields.get(9)) else {
                continue;
            };
            if !mine.contains(*inode) {
                continue;
            }
            // Its own port, listening or asked by somebody: nothing that it opened itself.
            let port = format!(":{:04X}", collector.address().port());
            assert!(local.ends_with(&port), "{table}: {line}");
            listens += 1;
        }
    }
    assert!(listens > 0, "the sockets were not found");
}

#[test]
fn s14_no_secret_stands_in_the_log_or_in_what_is_printed() {
    let dir = new_dir();
    let secret = "very-secret-very-secret";
    let file = dir.path().join("collector.toml");
    let text = format!("log_format = 'json'\n[[token]]\nname = 'agents'\nsecret = '{secret}'\n");
    std::fs::write(&file, text).expect("written");
    let printed = Command::new(weighbridge_tests::weighbridge())
        .args(["print-config", "--config"])
        .arg(&file)
        .output()
        .expect("it starts");
    let mut command = Collector::command(&dir.path().join("data"), "127.0.0.1:0");
    command
        .env("WEIGHBRIDGE_LOG", "trace")
        .arg("--config")
        .arg(&file);
    let collector = Collector::start_command(&dir.path().join("data"), &mut command);
    let bearer = format!("Bearer {secret}");
    let request = format!(
        "GET /api/v1/range HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(
        http::exchange(collector.address(), request.as_bytes()).status,
        200
    );
    let end = collector.shut_down();
    for text in [
        String::from_utf8_lossy(&printed.stdout).into_owned(),
        end.stdout,
        end.stderr,
    ] {
        assert!(!text.contains(secret), "{text}");
    }
}
