//! The demo is the largest test: real processes, a real broker, and truths that were planted.
//!
//! Its processes need both cores, so the parts run one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
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
    if !args.contains(&"--verify") {
        keep_report(out);
    }
    assert_eq!(
        ended.status.code(),
        Some(0),
        "stdout:\n{}\nstderr:\n{}",
        ended.stdout,
        ended.stderr
    );
    ended
}

/// Leaves the report, and the ledger that it was made from, where `WEIGHBRIDGE_TEST_REPORT_DIR` says, for whoever looks
/// at it in a browser.
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
    let (ledger, to) = (out.join("run").join("collector"), kept.join("ledger"));
    std::fs::create_dir_all(&to).expect("the ledger's directory can be made");
    for file in std::fs::read_dir(ledger)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|file| file.path().is_file())
    {
        std::fs::copy(file.path(), to.join(file.file_name())).expect("the ledger can be copied");
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

/// The short form of `demo --verify`: that it predicts before it measures, measures what it predicts, and sees which
/// way each change goes. How close it comes is for the long form, `cargo xtask evidence verify`.
#[test]
fn predictions_are_sealed_before_other_placements_run_and_have_the_right_sign() {
    let _turn = TURN.lock();
    let dir = new_dir();
    let args = [
        "--verify",
        "--seconds",
        "12",
        "--rounds",
        "1",
        "--only",
        "merged,one,sharded",
    ];
    let ended = run(dir.path(), &args);
    println!("{}", ended.stdout);
    let sealed = std::fs::read(dir.path().join("predictions.json")).expect("sealed");
    let hash: String = Sha256::digest(&sealed)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Said when it was sealed, and again beside what was measured.
    assert!(ended.stdout.contains(&hash), "{hash} in {}", ended.stdout);
    let said = ended.stderr.find(&hash).expect("the hash is printed");
    let run_at = ended.stderr.find("round 1 of 1").expect("rounds are run");
    assert!(said < run_at, "sealed after it was run:\n{}", ended.stderr);

    let sealed: Value = serde_json::from_slice(&sealed).expect("predictions are JSON");
    let figures = sealed["figures"].as_array().expect("figures");
    let predicted = |placement: &str, operation: &str| {
        let of = |figure: &&Value| {
            figure["placement"] == placement && figure["subject"]["origin"] == operation
        };
        figures.iter().find(of).expect("predicted")["predicted"]
            .as_f64()
            .expect("a number")
    };
    let orders = "POST /orders";
    assert!(predicted("merged", orders) < 0.9 * predicted("given", orders));
    assert!(predicted("one", orders) < predicted("merged", orders));
    let read = "GET /products/{id}";
    assert!(predicted("sharded", read) > 1.1 * predicted("given", read));
    let rest = predicted("merged", read) / predicted("given", read);
    assert!(
        (rest - 1.0).abs() < 0.02,
        "what is not touched stays: {rest}"
    );
    // And so it went: the kernel sees each change go the way that was said.
    let measured = std::fs::read(dir.path().join("measured.json")).expect("kept");
    let measured: Value = serde_json::from_slice(&measured).expect("what was measured is JSON");
    let measured = |placement: &str, operation: &str| {
        let of = |figure: &&Value| {
            figure["placement"] == placement && figure["subject"]["origin"] == operation
        };
        let figures = measured["figures"].as_array().expect("figures");
        let rounds = figures.iter().find(of).expect("measured")["measured_ns"]
            .as_array()
            .expect("a figure a round")
            .iter()
            .map(|ns| ns.as_f64().expect("a number"));
        rounds.clone().sum::<f64>() / rounds.count() as f64
    };
    for (placement, operation) in [("merged", orders), ("one", orders), ("sharded", read)] {
        let [before, after] = ["given", placement].map(|placement| measured(placement, operation));
        let less_said = predicted(placement, operation) < predicted("given", operation);
        assert_eq!(
            after < before,
            less_said,
            "{operation} in {placement}: {before:.0} ns before, {after:.0} after"
        );
    }
    // Every origin of every placement was measured beside its prediction.
    for (placement, what) in [
        ("given", "as weighed"),
        ("merged", "direct calls"),
        ("one", "all in one"),
        ("sharded", "behind a router"),
    ] {
        let at = ended
            .stdout
            .find(&format!("\n{placement}: "))
            .expect("a table for each");
        let table = &ended.stdout[at..];
        assert!(table.lines().nth(1).expect("titled").contains(what));
        for origin in ["GET /search", orders, read, "GET /export/{month}"] {
            let row = table
                .lines()
                .find(|line| line.contains(origin))
                .expect("a row");
            assert!(row.contains('%'), "no error in {row}");
        }
    }
    assert!(ended.stdout.contains("beside it: load"), "{}", ended.stdout);
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
