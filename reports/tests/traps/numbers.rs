//! Rates of zero, no variance, saturation above 1: figures stay figures, or are absent.

use weighbridge_reports::topology::parse_changes;

use super::*;

/// `simulate` answers in numbers too, at whatever load.
fn no_nan_in_answers(system: &System, changes: &[&str]) {
    let range = system.range();
    for changes in changes.iter().chain(&["change = []"]) {
        for load in [1e-6, 1.0, 1e6] {
            let question = Question {
                changes: parse_changes(changes).unwrap(),
                load,
            };
            answered(&range, &Options::default(), &question);
        }
    }
}

const MERGE: &str = "[[change]]\nkind = \"merge\"\nservices = [\"front\", \"back\"]";
const BATCH: &str = "[[change]]\nkind = \"batch\"\nedge = \"front POST /a → back POST /b\"";

#[test]
fn nothing_happens() {
    let mut s = System::new(60);
    s.root("idle", "GET /x", 0, [0; 6]);
    s.root("idle", "GET /y", 0, [1_000_000; 6]);
    s.uses("idle", "GET /x", "thing", "read", 0);
    s.message(("idle", "GET /x"), ("sleeper", "CONSUME x"), 0, "x", 0, 0);
    let d = build(&s);
    no_merge(&d);
    not_simulated(&s, ["idle", "sleeper"]);
    no_nan_in_answers(
        &s,
        &[
            "[[change]]\nkind = \"merge\"\nservices = [\"idle\", \"sleeper\"]",
            "[[change]]\nkind = \"split\"\nservice = \"idle\"\noperations = [\"GET /x\"]",
            "[[change]]\nkind = \"move\"\nservice = \"idle\"\noperations = [\"GET /x\"]\nto = \"sleeper\"",
            "[[change]]\nkind = \"replicate\"\nservice = \"idle\"\noperations = [\"GET /x\"]\nreplicas = 2",
            "[[change]]\nkind = \"shard\"\nservice = \"idle\"\nentity = \"thing\"\nshards = 4",
        ],
    );
    for r in &d.recommendations {
        assert!(!acts(r), "{}", r.title);
    }
}

#[test]
fn nothing_varies() {
    let mut s = System::new(60);
    let steady: fn(u64) -> (i64, i64) = |_| (100, 4_000_000);
    s.root("front", "POST /a", 0, [300_000; 6]).course = Some(steady);
    let call = s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        100,
        1,
        800_000,
        80_000,
    );
    call.course = Some(|_| 100);
    s.operation("back", "POST /b").course = Some(steady);
    let d = build(&s);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    let judgement = merge.judgement.as_ref().unwrap();
    // Only the price of a local call is not known exactly.
    assert!(judgement.improves > 0.99, "{judgement:?}");
    no_nan_in_answers(&s, &[MERGE, BATCH]);
}

#[test]
fn more_load_than_cores() {
    let mut s = chatty();
    s.process("front").cores_milli = 10;
    s.process("back").cores_milli = 0;
    s.root("front", "POST /heavy", 9, [90_000_000, 0, 0, 0, 0, 0])
        .bursty = true;
    let d = build(&s);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Try, "{}", merge.verdict_reason);
    assert!(
        merge.verdict_reason.contains("cannot be computed"),
        "{}",
        merge.verdict_reason
    );
    no_nan_in_answers(&s, &[MERGE, BATCH]);
    assert!(
        d.capacity
            .services
            .iter()
            .any(|s| s.points.iter().any(|p| p.saturated))
    );
}
