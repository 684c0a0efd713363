//! Whole processes: the table at the end, the signal, the switch. Each test runs this binary again as its
//! subject, so that the environment and standard error are its own.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use support::burn;

/// Names the role of a process that was started by a test.
const ROLE: &str = "WEIGHBRIDGE_TEST_ROLE";

fn subject(role: &str, test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, role);
    command.env("OTEL_SERVICE_NAME", "subject");
    command
}

fn is_subject(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|value| value == role)
}

fn run(mut command: Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    (output, text)
}

#[weighbridge_agent::main(worker_threads = 2)]
async fn work() {
    let _agent = weighbridge_agent::init();
    weighbridge_agent::job("nightly", async {
        burn(Duration::from_millis(3));
        weighbridge_agent::spawn(async { burn(Duration::from_millis(3)) })
            .await
            .unwrap();
    })
    .await;
}

#[test]
fn without_a_collector_the_table_is_printed_at_the_end() {
    if is_subject("table") {
        return work();
    }
    let (output, text) = run(subject(
        "table",
        "without_a_collector_the_table_is_printed_at_the_end",
    ));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("what `subject` cost"), "{text}");
    let row = text
        .lines()
        .find(|line| line.starts_with("JOB nightly"))
        .unwrap();
    assert_eq!(row.split_whitespace().nth(2), Some("1"), "{row}");
    assert!(
        text.contains("accounts ") && text.contains("in progress "),
        "{text}"
    );
}

#[weighbridge_agent::main(flavor = "current_thread")]
async fn work_until_input_ends() {
    let _agent = weighbridge_agent::init();
    weighbridge_agent::job("once", async { burn(Duration::from_millis(1)) }).await;
    // Tells the test that the agent listens by now.
    let wait = tokio::task::spawn_blocking(|| {
        std::io::stderr().write_all(b"ready\n").unwrap();
        std::io::stdin().lock().lines().for_each(drop);
    });
    wait.await.unwrap();
}

/// Starts a subject whose input stays open, and waits until its agent runs. Returns what it prints after that.
#[cfg(target_os = "linux")]
fn start(mut command: Command) -> (Child, impl Iterator<Item = String>) {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    lines.find(|line| line == "ready").unwrap();
    (child, lines)
}

/// Sends SIGUSR1 once the agent listens for it. Before that the process would die of it: asks until the kernel
/// says that the signal is caught.
#[cfg(target_os = "linux")]
fn ask_for_the_table(child: &Child) {
    let status = format!("/proc/{}/status", child.id());
    let caught = || {
        let text = std::fs::read_to_string(&status).unwrap();
        let mask = text
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .unwrap()
            .trim()
            .to_owned();
        u64::from_str_radix(&mask, 16).unwrap() & (1 << 9) != 0
    };
    let mut patience = support::PATIENCE.as_millis();
    while !caught() {
        patience = patience.checked_sub(1).expect("the signal is never caught");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert!(
        Command::new("kill")
            .args(["-USR1", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn with_a_collector_the_signal_harms_nobody() {
    if is_subject("signal with endpoint") {
        return work_until_input_ends();
    }
    let mut command = subject(
        "signal with endpoint",
        "with_a_collector_the_signal_harms_nobody",
    );
    command.env("WEIGHBRIDGE_ENDPOINT", "http://127.0.0.1:1");
    // The lines are kept, so that the pipe stays open.
    let (mut child, _lines) = start(command);
    ask_for_the_table(&child);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_prints_the_table_and_the_process_goes_on() {
    if is_subject("signal") {
        return work_until_input_ends();
    }
    let (mut child, mut lines) = start(subject(
        "signal",
        "a_signal_prints_the_table_and_the_process_goes_on",
    ));
    ask_for_the_table(&child);
    lines
        .find(|line| line.starts_with("JOB once"))
        .expect("the table");
    assert_eq!(child.try_wait().unwrap(), None, "it goes on");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    lines
        .find(|line| line.starts_with("JOB once"))
        .expect("the table again, at the end");
}

#[test]
fn one_variable_switches_everything_off() {
    if is_subject("off") {
        let agent = weighbridge_agent::init();
        assert!(!weighbridge_agent::is_enabled());
        assert!(!agent.flush(Duration::from_millis(1)));
        assert_eq!(agent.identity().service, "subject");
        drop(agent);
        return work();
    }
    for (name, value) in [
        ("WEIGHBRIDGE_ENABLED", "false"),
        ("OTEL_SDK_DISABLED", "true"),
    ] {
        let mut command = subject("off", "one_variable_switches_everything_off");
        command.env(name, value);
        let (output, text) = run(command);
        assert!(output.status.success(), "{name}: {text}");
        assert!(!text.contains("weighbridge"), "{name}: {text}");
    }
}

#[test]
fn bad_settings_never_stop_the_host_and_a_second_agent_is_refused() {
    if is_subject("bad") {
        let problem = weighbridge_agent::try_init().unwrap_err().to_string();
        assert!(problem.contains("WEIGHBRIDGE_"), "{problem}");
        let agent = weighbridge_agent::init();
        assert!(weighbridge_agent::is_enabled(), "defaults are in force");
        let twice = weighbridge_agent::builder()
            .window(Duration::from_secs(1))
            .init();
        assert!(!twice.flush(Duration::from_millis(1)));
        drop(twice);
        assert!(weighbridge_agent::is_enabled(), "the first goes on");
        drop(agent);
        assert!(!weighbridge_agent::is_enabled());
        return;
    }
    let mut command = subject(
        "bad",
        "bad_settings_never_stop_the_host_and_a_second_agent_is_refused",
    );
    command
        .env("WEIGHBRIDGE_WINDOW", "soon")
        .env("WEIGHBRIDGE_TRUST", "everybody")
        .env("WEIGHBRIDGE_OWNERS_MAX", "-1");
    command.env("WEIGHBRIDGE_CLOCK", "sundial");
    let (output, text) = run(command);
    assert!(output.status.success(), "{text}");
}
