//! The harness itself: tests that rest on it are worth as much as it is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use weighbridge_tests::{Child, Patience, assert_eventually, http};

fn shell(script: &str) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Child::start(&mut command)
}

/// Answers one connection with these bytes.
fn answer_with(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    std::thread::spawn(move || {
        if let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn a_dropped_child_is_dead() {
    let child = shell("sleep 1000");
    let stat = format!("/proc/{}", child.id());
    assert!(std::path::Path::new(&stat).exists());
    drop(child);
    assert!(!std::path::Path::new(&stat).exists());
}

#[test]
fn the_output_of_a_child_is_kept_to_its_last_line() {
    let mut child = shell("echo ready; echo wrong >&2; cat >/dev/null; echo end");
    let found = child.wait_for("word", |stdout, _| stdout.contains("ready").then_some(7));
    assert_eq!(found, 7);
    child.end_input();
    let ended = child.wait(Duration::from_secs(20));
    assert!(ended.status.success());
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("ready\nend\n", "wrong\n")
    );
}

#[test]
#[should_panic(expected = "no word from a process that ended")]
fn waiting_for_a_child_that_ended_fails_at_once() {
    shell("echo something else")
        .wait_for("word", |stdout, _| stdout.contains("ready").then_some(()));
}

#[test]
fn a_condition_that_comes_true_is_waited_for() {
    let mut asked = 0;
    assert_eventually!(
        {
            asked += 1;
            asked == 3
        },
        "asked {asked} times"
    );
    assert!(!Patience::of(Duration::ZERO).breathe(), "patience ends");
}

#[test]
fn answers_are_read_in_both_lengths() {
    let plain = answer_with(b"HTTP/1.1 200 OK\r\nX-One: 1\r\ncontent-length: 2\r\n\r\nhi");
    let answer = http::get(plain, "/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
    assert_eq!(answer.header("x-one"), Some("1"));
    let chunked = answer_with(
        b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    let answer = http::get(chunked, "/");
    assert_eq!((answer.status, answer.text().as_str()), (503, "abcde"));
    assert_eq!(http::get(answer_with(b""), "/").status, 0);
}
