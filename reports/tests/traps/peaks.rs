//! Peaks that coincide bring nothing when pooled; peaks that fall apart do.

use weighbridge_wire::COLLECTOR_SERVICE;

use super::*;

fn high_first(w: u64) -> (i64, i64) {
    (if w % 20 < 10 { 180 } else { 20 }, 10_000_000)
}

pub(super) fn high_last(w: u64) -> (i64, i64) {
    (if w % 20 < 10 { 20 } else { 180 }, 10_000_000)
}

pub(super) fn two(other: fn(u64) -> (i64, i64)) -> System {
    let mut s = System::new(60);
    for (service, course) in [
        ("day", high_first as fn(u64) -> (i64, i64)),
        ("night", other),
    ] {
        s.root(
            service,
            "GET /x",
            0,
            [3_000_000, 500_000, 500_000, 500_000, 500_000, 0],
        )
        .course = Some(course);
        s.process(service).cores_milli = 1_000;
    }
    s
}

#[test]
fn opposite_peaks_share_processes() {
    let d = build(&two(high_last));
    let pool = get(&d, Kind::Merge, &["day", "night"]);
    assert_eq!(pool.verdict, Verdict::Try, "{}", pool.verdict_reason);
    let peak = &pool.prediction[0];
    // 180 of 5 ms and 2 % apart, twice; 200 of them together.
    assert!(
        (peak.before.unwrap() / 1.836 - 1.0).abs() < 0.02,
        "{peak:?}"
    );
    assert!((peak.after.unwrap() / 1.02 - 1.0).abs() < 0.02, "{peak:?}");
    let processes = &pool.prediction[1];
    assert!(
        processes.after.unwrap() < processes.before.unwrap(),
        "{processes:?}"
    );
    assert!(!pool.first_step.is_empty());
    let judgement = pool.judgement.as_ref().unwrap();
    assert!(judgement.improves > 0.95, "{judgement:?}");
    assert!(
        judgement.experiment.contains("peak"),
        "{}",
        judgement.experiment
    );
}

#[test]
fn coincident_peaks_bring_nothing() {
    let d = build(&two(high_first));
    no_merge(&d);
    not_simulated(&two(high_first), ["day", "night"]);
    assert!(find(&d, Kind::Merge, &["day", "night"]).is_none());
}

/// Opposite peaks do not excuse what a common process would do to short requests.
#[test]
fn opposite_peaks_of_short_and_long_requests_stay_apart() {
    let mut s = System::new(60);
    s.root("day", "GET /x", 0, [800_000, 0, 0, 0, 0, 0]).course =
        Some(|w| (if w % 20 < 10 { 900 } else { 100 }, 1_600_000));
    s.root("night", "POST /long", 0, [180_000_000, 0, 0, 0, 0, 0])
        .course = Some(|w| (if w % 20 < 10 { 1 } else { 4 }, 300_000_000));
    for service in ["day", "night"] {
        s.process(service).cores_milli = 1_000;
    }
    let d = build(&s);
    no_merge(&d);
    kept_apart(&d, "day", "night");
    not_simulated(&s, ["day", "night"]);
}

/// Opposite peaks of a few requests, some 200 of each: nobody knows what the next hundred would look like.
#[test]
fn opposite_peaks_of_few_requests_say_nothing() {
    let mut s = System::new(60);
    for (service, course) in [
        (
            "day",
            (|w| (if w % 20 < 10 { 6 } else { 1 }, 300_000_000)) as fn(u64) -> (i64, i64),
        ),
        ("night", |w| (if w % 20 < 10 { 1 } else { 6 }, 300_000_000)),
    ] {
        let cpu = [150_000_000, 0, 0, 0, 0, 0];
        s.root(service, "GET /x", 0, cpu).course = Some(course);
        s.process(service).cores_milli = 1_000;
    }
    let d = build(&s);
    no_merge(&d);
    let pool = get(&d, Kind::Merge, &["day", "night"]);
    assert_eq!(pool.verdict, Verdict::CannotSay, "{}", pool.verdict_reason);
    assert!(
        pool.verdict_reason.contains("400 are needed"),
        "{}",
        pool.verdict_reason
    );
}

/// What weighs the others is no part of the system, whenever it peaks.
#[test]
fn nobody_shares_processes_with_the_collector() {
    let mut s = System::new(60);
    for (service, course) in [
        ("day", high_first as fn(u64) -> (i64, i64)),
        (COLLECTOR_SERVICE, high_last as fn(u64) -> (i64, i64)),
    ] {
        let cpu = [3_000_000, 500_000, 500_000, 500_000, 500_000, 0];
        s.root(service, "GET /x", 0, cpu).course = Some(course);
        s.process(service).cores_milli = 1_000;
    }
    let d = build(&s);
    assert!(find(&d, Kind::Merge, &["day", COLLECTOR_SERVICE]).is_none());
    kept_apart(&d, "day", COLLECTOR_SERVICE);
    let said = not_simulated(&s, ["day", COLLECTOR_SERVICE]);
    assert!(said.contains("weighs the others"), "{said}");
}
