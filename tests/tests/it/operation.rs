//! How the collector is operated: signals and logs.

use std::io::Write as _;
use std::net::TcpStream;

use weighbridge_tests::{Collector, assert_eventually, new_dir};

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
