//! How the collector is operated: signals and logs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use weighbridge_tests::{Collector, assert_eventually, http, new_dir, patience, rows};
use weighbridge_wire::{RowKind, column};

/// SIGTERM.
const TERMINATE: i32 = 15;

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = new_dir();
    let mut command = Collector::command(dir.path(), "127.0.0.1:0");
    command.args(["--set", "drain_timeout=1h"]);
    let collector = Collector::start_command(dir.path(), &mut command);
    // A request that never ends keeps the drain waiting.
    let mut open = TcpStream::connect(collector.address()).expect("a connection");
    let head = "POST /v1/ledger HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\n";
    open.write_all(head.as_bytes()).expect("sent");
    assert_eventually!(
        {
            collector.signal(TERMINATE);
            collector.stderr().contains("stopping")
        },
        "it did not hear the signal"
    );
    collector.signal(TERMINATE);
    let end = collector.wait();
    assert_eq!(end.status.code(), Some(1), "{}", end.stderr);
    assert!(end.stderr.contains("terminate again"), "{}", end.stderr);
}

#[test]
fn a_request_that_is_open_when_it_is_told_to_stop_is_answered_and_kept() {
    let dir = new_dir();
    let collector = Collector::start(dir.path());
    let body = rows::delta("shop", 1, 0, 20, 7).encode();
    let mut open = TcpStream::connect(collector.address()).expect("a connection");
    open.set_read_timeout(Some(patience())).expect("a timeout");
    let head = format!(
        "POST /v1/ledger HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    open.write_all(head.as_bytes()).expect("sent");
    // It reads the body, so the request has begun.
    let mut said = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    open.read_exact(&mut said).expect("an interim answer");
    assert!(said.starts_with(b"HTTP/1.1 100"), "{said:?}");
    let (first, rest) = body.split_at(body.len() / 2);
    open.write_all(first).expect("sent");
    collector.signal(TERMINATE);
    assert_eventually!(
        collector.stderr().contains("stopping"),
        "it did not hear the signal"
    );
    // Nobody new is sent here.
    let ready = http::try_get(collector.address(), "/readyz");
    assert!(ready.is_none_or(|answer| answer.status == 503));
    open.write_all(rest).expect("sent");
    let mut answer = Vec::new();
    open.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let end = collector.wait();
    assert_eq!(end.status.code(), Some(0), "{}", end.stderr);
    let again = Collector::start(dir.path());
    let kept = rows::of_service(&again.range(), "shop");
    assert_eq!(rows::sum(&kept, RowKind::Operation, column::ENDED), 7);
}

#[test]
fn the_log_may_be_json_one_object_per_line() {
    let dir = new_dir();
    let mut command = Collector::command(dir.path(), "127.0.0.1:0");
    command.args(["--set", "log_format=json"]);
    let end = Collector::start_command(dir.path(), &mut command).shut_down();
    let events: Vec<serde_json::Value> = end
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let said = |event: &&serde_json::Value| event["message"] == "collecting";
    let event = events.iter().find(said).expect(&end.stderr);
    assert_eq!(event["level"], "INFO");
    assert!(event["data_dir"].is_string(), "{event}");
}
