//! A heavy asynchronous tail: the pair is chatty, but one of them also works off messages for a long time each.

use super::*;

#[test]
fn requests_are_not_put_behind_a_heavy_consumer() {
    let mut s = chatty();
    // 40 ms for each order, 0.8 of a core, and nobody waits for it.
    s.message(
        ("front", "POST /a"),
        ("back", "CONSUME report"),
        20,
        "report",
        80_000,
        40_000_000,
    );
    let d = build(&s);
    no_merge(&d);
    kept_apart(&d, "front", "back");
    let said = not_simulated(&s, ["front", "back"]);
    assert!(said.contains("would wait behind CONSUME report"), "{said}");
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave);
    let reason = &merge.verdict_reason;
    assert!(
        reason.contains("would wait behind CONSUME report of back"),
        "{reason}"
    );
}

/// The same messages with hardly any work are no reason against it.
#[test]
fn a_light_consumer_is_no_reason_against_a_merge() {
    let mut s = chatty();
    s.message(
        ("front", "POST /a"),
        ("back", "CONSUME report"),
        20,
        "report",
        80_000,
        100_000,
    );
    let d = build(&s);
    assert_eq!(
        get(&d, Kind::Merge, &["front", "back"]).verdict,
        Verdict::Do
    );
}
