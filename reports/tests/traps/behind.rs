//! Short requests that only other services ask for, beside rare long ones.

use super::*;

/// A shop asks for prices all the time; a batch asks the same service for many, rarely, and works long itself.
fn prices(batch_ns: i64) -> System {
    let mut s = System::new(60);
    s.root("shop", "GET /page", 100, [500_000; 6]);
    s.http(
        ("shop", "GET /page"),
        ("pricing", "GET /price"),
        100,
        2,
        200_000,
        100_000,
    );
    s.root("batch", "POST /night", 10, [batch_ns, 0, 0, 0, 0, 0]);
    s.http(
        ("batch", "POST /night"),
        ("pricing", "POST /prices"),
        10,
        60,
        600_000,
        100_000,
    );
    for service in ["shop", "pricing", "batch"] {
        s.process(service).cores_milli = 1_000;
    }
    s
}

#[test]
fn short_requests_of_other_services_are_not_put_behind_long_ones() {
    let s = prices(50_000_000);
    let d = build(&s);
    let merge = get(&d, Kind::Merge, &["batch", "pricing"]);
    assert_eq!(merge.verdict, Verdict::Leave, "{}", merge.verdict_reason);
    let reason = &merge.verdict_reason;
    assert!(
        reason.contains("Requests of pricing would wait behind POST /night of batch"),
        "{reason}"
    );
    kept_apart(&d, "batch", "pricing");
    not_simulated(&s, ["batch", "pricing"]);
}

/// The same without the long work is right.
#[test]
fn short_ones_beside_short_ones_are_no_reason_against_a_merge() {
    let d = build(&prices(1_000_000));
    let merge = get(&d, Kind::Merge, &["batch", "pricing"]);
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
}
