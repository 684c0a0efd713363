//! One global lock in one of two services: cores are idle, and requests queue all the same.

use weighbridge_reports::document::{Figure, ObstacleKind};
use weighbridge_reports::topology::{Question, answer_markdown, parse_changes, what_if};

use super::*;

/// One to twelve requests at a time, 10 ms each inside the lock and 2 ms outside: at most 100 in a second.
fn locked(w: u64) -> (i64, i64) {
    let n = i64::try_from(w % 12).unwrap() + 1;
    let ended = n * 1_000 / (12 + 10 * (n - 1));
    (ended, n * 1_000_000_000 / ended.max(1))
}

/// Requests of 1 ms that wait behind a rare one of 400 ms: long, but no lock.
#[test]
fn waiting_behind_long_requests_is_no_lock() {
    let mut s = System::new(60);
    s.process("one").cores_milli = 1_000;
    s.root("one", "GET /short", 0, [1_000_000, 0, 0, 0, 0, 0])
        .course = Some(|w| {
        let n = i64::try_from(w % 12).unwrap();
        (20 + n, 1_000_000 + n * n * 2_000_000)
    });
    s.root("one", "POST /long", 1, [400_000_000, 0, 0, 0, 0, 0]);
    let d = build(&s);
    let serial = d.services[0].serial.as_ref().unwrap();
    assert_eq!(serial.serial_share.value, None, "{}", serial.note);
    assert!(serial.note.contains("behind others"), "{}", serial.note);
}

/// The same load on something that many can have at a time.
fn free(w: u64) -> (i64, i64) {
    ((i64::try_from(w % 12).unwrap() + 1) * 80, 12_000_000)
}

fn with(course: fn(u64) -> (i64, i64)) -> System {
    let mut s = chatty();
    s.root("back", "PUT /locked", 0, [500_000, 0, 0, 0, 0, 0])
        .course = Some(course);
    s
}

#[test]
fn what_queues_for_a_lock_is_not_merged() {
    let d = build(&with(locked));
    no_merge(&d);
    kept_apart(&d, "front", "back");
    let implied = &d.topologies.as_ref().unwrap().implied;
    assert!(
        implied
            .iter()
            .any(|why| why.contains("PUT /locked of back queue")),
        "{implied:?}"
    );
    let said = not_simulated(&with(locked), ["front", "back"]);
    assert!(said.contains("PUT /locked of back queue"), "{said}");
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave);
    let reason = &merge.verdict_reason;
    assert!(reason.contains("PUT /locked of back queue"), "{reason}");
    assert!(reason.contains("at most"), "{reason}");
    let back = d.services.iter().find(|s| s.service == "back").unwrap();
    let lock = back
        .obstacles
        .iter()
        .find(|o| o.kind == ObstacleKind::SerialSection)
        .unwrap();
    assert_eq!(lock.name, "PUT /locked");
    let serial = back.serial.as_ref().unwrap();
    let most = serial.throughput_max.value.unwrap();
    assert!((most / 100.0 - 1.0).abs() < 0.05, "{most}");
}

#[test]
fn without_the_lock_the_merge_is_right() {
    let d = build(&with(free));
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
}

/// The capacity of the service is that of its lock, and no number of processes is said to carry more.
#[test]
fn a_lock_bounds_capacity_however_many_processes_run() {
    let d = build(&with(locked));
    let back = d.capacity.services.iter().find(|s| s.service == "back");
    let back = back.unwrap();
    let serial = back.serial.as_ref().unwrap();
    assert_eq!(serial.name, "PUT /locked");
    let near = |figure: &Figure, want: f64| {
        let value = figure.value.unwrap();
        assert!((value / want - 1.0).abs() < 0.06, "{value} and not {want}");
        value
    };
    // 93.9 in a second on average, and 100 at most: far below what the idle cores would carry.
    let rate = 93.9;
    near(&serial.utilisation, rate / 100.0);
    let full = near(&serial.full_load, 100.0 / rate);
    assert_eq!(back.saturation_load.value.unwrap(), full);
    near(&back.target_load, 0.7 * full);
    let knee = back.knee_load.value.unwrap();
    assert!(0.4 * full < knee && knee < 0.9 * full, "{knee} of {full}");
    let [seen, twice, _] = &back.points[..] else {
        panic!("three loads")
    };
    assert!(!seen.saturated && seen.replicas.value.is_some());
    assert!(seen.turn_wait.as_ref().unwrap().value.unwrap() > 20e6);
    assert!(twice.saturated && twice.cores.value.is_some());
    for figure in [
        &twice.replicas,
        &twice.memory,
        twice.turn_wait.as_ref().unwrap(),
    ] {
        let why = figure.unknown_reason.as_ref().unwrap();
        assert!(why.contains("PUT /locked runs one at a time"), "{why}");
    }
    // So do the responses of who passes it, and of nobody else.
    let response = |operation: &str, load: f64| {
        let mut all = d.capacity.latency.iter();
        let origin = all.find(|o| o.operation == operation).unwrap();
        let mut points = origin.points.iter();
        points
            .find(|p| p.load_factor == load)
            .unwrap()
            .response
            .clone()
    };
    let half = response("PUT /locked", 0.5).value.unwrap();
    assert!(
        half < response("PUT /locked", 1.0).value.unwrap() / 3.0,
        "{half}"
    );
    let why = response("PUT /locked", 2.0).unknown_reason.unwrap();
    assert!(why.contains("serial section"), "{why}");
    assert!(response("POST /a", 2.0).value.is_some());
    let page = html::render(&d);
    assert!(page.contains("more processes do not lift them"));
}

/// Without a lock that the windows tell, none bounds anything.
#[test]
fn where_the_law_is_not_identifiable_nothing_is_bounded() {
    let d = build(&with(free));
    let back = d.services.iter().find(|s| s.service == "back").unwrap();
    let serial = back.serial.as_ref().unwrap();
    assert!(serial.note.contains("not identifiable"), "{}", serial.note);
    let back = d.capacity.services.iter().find(|s| s.service == "back");
    let back = back.unwrap();
    assert_eq!(back.serial, None);
    assert!(
        back.points
            .iter()
            .all(|p| p.turn_wait.is_none() && p.replicas.value.is_some())
    );
}

/// `simulate` sees the same lock: eight processes wait for the turn as one does, and twice the load passes in none.
#[test]
fn simulate_does_not_lift_a_lock_by_processes() {
    let mut s = chatty();
    s.root("back", "PUT /locked", 0, [500_000, 0, 0, 0, 0, 0])
        .course = Some(locked);
    let asked = |load: f64| {
        let changes = "[[change]]\nkind = \"replicate\"\nservice = \"back\"\nreplicas = 8\n";
        let question = Question {
            changes: parse_changes(changes).unwrap(),
            load,
        };
        let answer = what_if(&s.range(), &Options::default(), &question).unwrap();
        let said = &answer.document.recommendations[0];
        let mut found = said.prediction.iter();
        let mean = found.find(|p| p.figure == "mean latency of PUT /locked of back");
        (mean.unwrap().clone(), answer)
    };
    let (mean, _) = asked(1.0);
    let (before, after) = (mean.before.unwrap(), mean.after.unwrap());
    assert!((after / before - 1.0).abs() < 0.02, "{before} and {after}");
    let (mean, answer) = asked(2.0);
    assert_eq!((mean.before, mean.after), (None, None));
    let said = formats::json(&answer.document).unwrap() + &answer_markdown(&answer);
    assert!(
        said.contains("No number of processes carries that"),
        "{said}"
    );
}
