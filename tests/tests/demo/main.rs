//! The demo is the largest test: real processes, a real broker, and truths that were planted.
//!
//! Its processes need both cores, so it is a binary of its own, and the parts run one after the other.

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
    let ended = finish(out, args);
    assert_found_all(&ended);
    ended
}

fn finish(out: &Path, args: &[&str]) -> Ended {
    let ended = Child::start(&mut demo(out, args)).wait(Duration::from_secs(240));
    // Kept even when a truth was missed: what the page looks like is a question of its own.
    if !args.contains(&"--verify") {
        keep_report(out);
    }
    ended
}

fn assert_found_all(ended: &Ended) {
    assert_eq!(
        ended.status.code(),
        Some(0),
        "stdout:\n{}\nstderr:\n{}",
        ended.stdout,
        ended.stderr
    );
}

/// True when truths were missed, and each only because its interval is too wide to say: the machine was disturbed, and the
/// report asks to weigh for longer.
fn asks_for_longer(ended: &Ended) -> bool {
    let missed: Vec<String> = ended
        .stdout
        .split("\n|---")
        .filter(|row| row.contains("✗ missed"))
        .map(|row| {
            let evidence = row.lines().filter_map(|line| line.split('|').nth(4));
            evidence.map(str::trim).collect::<Vec<_>>().join(" ")
        })
        .collect();
    let asks = |why: &String| why.contains("The interval of") && why.contains("weigh for longer");
    !missed.is_empty() && missed.iter().all(asks)
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
    let mut dir = new_dir();
    let args = |seconds| {
        [
            "--seconds",
            seconds,
            "--seed",
            "7",
            "--kill-collector-at",
            "6",
        ]
    };
    let mut ended = finish(dir.path(), &args("40"));
    if asks_for_longer(&ended) {
        println!("{}\nweighing for longer, as it asks", ended.stdout);
        dir = new_dir();
        ended = finish(dir.path(), &args("100"));
    }
    assert_found_all(&ended);
    println!("{}", ended.stdout);

    let html = std::fs::read_to_string(dir.path().join("report.html"))
        .expect("the demo wrote report.html");
    assert!(html.contains("Content-Security-Policy"));
    let (value, document) = document(dir.path());
    // A copy that the next run does not replace, by the end of the range.
    let copies: Vec<String> = std::fs::read_dir(dir.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("report-"))
        .collect();
    let stamp = document.window.end.split('.').next().expect("seconds");
    let stamp = stamp.trim_end_matches('Z').replace(['-', ':'], "");
    assert_eq!(copies, [format!("report-{stamp}Z.html")]);
    let copy = std::fs::read_to_string(dir.path().join(&copies[0])).expect("text");
    assert_eq!(copy, html);
    answers_the_four_questions(&html, &document);
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
        run(second_dir.path(), &["--seconds", "40", "--seed", "7"]);
        let (_, second) = self::document(second_dir.path());
        let difference =
            weighbridge_demo::compare(&document, &second).expect("there is something to compare");
        println!("two runs with one seed: {difference:?}");
        assert!(difference.share <= 0.10, "{difference:?}");
    }
}

/// What a reader asks first, and which sentence of the findings answers it.
const QUESTIONS: [&str; 4] = [
    "what does one order cost and where",
    "what merges first and what is lost by it",
    "what keeps store from being sharded",
    "how sure is it",
];

/// The words of the findings, one text for each.
fn findings(html: &str) -> Vec<String> {
    let (_, list) = html
        .split_once("<ol class=\"findings\">")
        .expect("findings");
    let list = list.split("</ol>").next().expect("their end");
    let text = |item: &str| {
        let parts = item.split('<').map(|part| match part.split_once('>') {
            Some((_, text)) => text,
            None => part,
        });
        parts
            .collect::<String>()
            .replace("&#39;", "'")
            .replace("&amp;", "&")
    };
    list.split("<li>").skip(1).map(text).collect()
}

/// The questions that these findings do not answer.
fn unanswered(findings: &[String], document: &Document) -> Vec<&'static str> {
    use weighbridge_reports::document::{Recommendation, RecommendationKind, Verdict};
    let any = |answers: &dyn Fn(&str) -> bool| findings.iter().any(|finding| answers(finding));
    // A number with its unit between these words, and after it an interval: the cost of an order, by service.
    let order = document
        .origins
        .iter()
        .find(|origin| origin.operation == "POST /orders")
        .expect("orders are an origin");
    let costs = any(&|finding| {
        let Some(rest) = finding.strip_prefix("One POST /orders costs ") else {
            return false;
        };
        let interval = rest.split_once(" of CPU").map_or("", |(cost, _)| cost);
        let every = order
            .services
            .iter()
            .all(|service| rest.contains(&service.service));
        interval.contains('(')
            && interval.contains('–')
            && every
            && rest.contains("carries messages")
    });
    // The first merge that is advised stands there with what it saves and what gets worse. Where the interval of the
    // messages' share is wide, as in a short range, that is the call made in batches: the same truth.
    let advised = |kind| {
        let all = &document.recommendations;
        let worth = |r: &&Recommendation| matches!(r.verdict, Verdict::Do | Verdict::Try);
        all.iter().filter(worth).find(|r| r.kind == kind)
    };
    let merge = advised(RecommendationKind::Merge).or_else(|| advised(RecommendationKind::Batch));
    let merges = merge.is_some_and(|merge| {
        let title = merge.title.split(':').next().unwrap_or_default();
        let (gain, worse) = (" cores", "Worse: ");
        any(&|finding| {
            let finding = finding.replace('\u{a0}', " ");
            finding.contains(title) && finding.contains(gain) && finding.contains(worse)
        })
    });
    let store = document.services.iter().find(|s| s.service == "store");
    let obstacles = store.map_or(&[][..], |store| &store.obstacles);
    let divided = any(&|finding| {
        let (_, rest) = finding
            .split_once("from being replicated or sharded")
            .unwrap_or_default();
        let (_, rest) = rest.split_once("service store: ").unwrap_or_default();
        // Before what is said of the next service.
        let of_store = rest.split(".service ").next().unwrap_or_default();
        obstacles
            .iter()
            .any(|obstacle| of_store.contains(&obstacle.name))
    });
    let sure = any(&|finding| {
        finding.contains("add up to the CPU time that the kernel reports")
            && finding.contains("has no named account")
    });
    let answered = [costs, merges, divided, sure];
    let missing = QUESTIONS.into_iter().zip(answered);
    missing
        .filter(|(_, answered)| !answered)
        .map(|(question, _)| question)
        .collect()
}

/// The findings of the demo's report answer what a reader asks first, each question by a sentence of its own: without it
/// the question is open.
fn answers_the_four_questions(html: &str, document: &Document) {
    let findings = findings(html);
    let open = unanswered(&findings, document);
    assert!(open.is_empty(), "not answered: {open:?} by {findings:#?}");
    let mut needed: Vec<&str> = Vec::new();
    for left_out in 0..findings.len() {
        let mut fewer = findings.clone();
        fewer.remove(left_out);
        needed.extend(unanswered(&fewer, document));
    }
    needed.sort_unstable();
    let mut all = QUESTIONS;
    all.sort_unstable();
    assert_eq!(needed, all, "each has one sentence: {findings:#?}");
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
