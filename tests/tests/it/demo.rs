//! The demo is the largest test: real processes, a real broker, and truths that were planted.
//!
//! Its processes need both cores, so the parts run one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use weighbridge_reports::Document;
use weighbridge_tests::{Child, Ended, assert_eventually, new_dir, weighbridge, workspace_root};

/// SIGKILL, SIGINT.
const KILL: i32 = 9;
const INTERRUPT: i32 = 2;

/// One demo at a time.
static TURN: Mutex<()> = Mutex::new(());

/// True for the long form: full length, and twice.
fn long() -> bool {
    std::env::var_os("WEIGHBRIDGE_TEST_LONG").is_some_and(|value| !value.is_empty())
}

fn demo(out: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(weighbridge());
    command
        .env("NO_COLOR", "1")
        .args(["demo", "--out"])
        .arg(out)
        .args(args);
    command
}

fn run(out: &Path, args: &[&str]) -> Ended {
    let ended = Child::start(&mut demo(out, args)).wait(Duration::from_secs(240));
    // Kept even when a truth was missed: what the page looks like is a question of its own.
    keep_report(out);
    assert_eq!(
        ended.status.code(),
        Some(0),
        "stdout:\n{}\nstderr:\n{}",
        ended.stdout,
        ended.stderr
    );
    ended
}

/// Leaves the report where `WEIGHBRIDGE_TEST_REPORT_DIR` says, for whoever looks at it in a browser.
fn keep_report(out: &Path) {
    let Some(kept) = std::env::var_os("WEIGHBRIDGE_TEST_REPORT_DIR").filter(|dir| !dir.is_empty())
    else {
        return;
    };
    let kept = PathBuf::from(kept);
    std::fs::create_dir_all(&kept).expect("the report's directory can be made");
    for name in ["report.html", "report.json"] {
        if out.join(name).exists() {
            std::fs::copy(out.join(name), kept.join(name)).expect("the report can be copied");
        }
    }
}

fn document(out: &Path) -> (Value, Document) {
    let text =
        std::fs::read_to_string(out.join("report.json")).expect("the demo wrote report.json");
    let value: Value = serde_json::from_str(&text).expect("report.json is JSON");
    let document = serde_json::from_value(value.clone()).expect("report.json is a document");
    (value, document)
}

#[test]
fn planted_truths_are_found_and_a_killed_collector_changes_nothing() {
    let _turn = TURN.lock();
    let dir = new_dir();
    let seconds = if long() { "40" } else { "20" };
    let args = [
        "--seconds",
        seconds,
        "--seed",
        "7",
        "--kill-collector-at",
        "6",
    ];
    let ended = run(dir.path(), &args);
    println!("{}", ended.stdout);

    let html = std::fs::read_to_string(dir.path().join("report.html"))
        .expect("the demo wrote report.html");
    assert!(html.contains("Content-Security-Policy"));
    let (value, document) = document(dir.path());
    let schema =
        std::fs::read_to_string(workspace_root().join("reports/schema/report.schema.json"))
            .expect("the schema is checked in");
    let schema: Value = serde_json::from_str(&schema).expect("the schema is JSON");
    let errors: Vec<String> = jsonschema::validator_for(&schema)
        .expect("the schema is a schema")
        .iter_errors(&value)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");

    if long() {
        let second_dir = new_dir();
        run(second_dir.path(), &["--seconds", seconds, "--seed", "7"]);
        let (_, second) = self::document(second_dir.path());
        let difference =
            weighbridge_demo::compare(&document, &second).expect("there is something to compare");
        println!("two runs with one seed: {difference:?}");
        assert!(difference.share <= 0.10, "{difference:?}");
    }
}

#[test]
fn nothing_outlives_a_killed_demo() {
    let _turn = TURN.lock();
    for signal in [KILL, INTERRUPT] {
        let dir = new_dir();
        let child = Child::start(&mut demo(dir.path(), &["--seconds", "60"]));
        let supervisor = child.id();
        // Store, warehouse, accounting, broker, collector, load.
        assert_eventually!(
            children(supervisor).len() >= 6,
            "the demo did not start its processes; it says:\n{}",
            child.stderr()
        );
        let processes = children(supervisor);
        child.signal(signal);
        let ended = child.wait(Duration::from_secs(30));
        assert_ne!(ended.status.code(), Some(0));
        assert_eventually!(
            processes.iter().all(|id| !alive(*id)),
            "processes of the demo outlived it after signal {signal}: {:?}",
            processes
                .iter()
                .filter(|id| alive(**id))
                .collect::<Vec<_>>()
        );
    }
}

/// Fields of `/proc/PID/stat` after the name in parentheses: state, parent, …
fn stat(id: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}

fn alive(id: u32) -> bool {
    stat(id).is_some_and(|fields| {
        fields
            .first()
            .is_some_and(|state| state != "Z" && state != "X")
    })
}

fn children(parent: u32) -> Vec<u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| stat(*id).is_some_and(|fields| fields.get(1) == Some(&parent.to_string())))
        .collect()
}
