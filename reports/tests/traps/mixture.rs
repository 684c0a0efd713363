//! Short hot requests beside rare long ones.

use super::*;

#[test]
fn short_requests_of_one_are_not_put_behind_rare_long_ones_of_the_other() {
    let mut s = chatty();
    s.root(
        "front",
        "GET /hot",
        500,
        [300_000, 20_000, 0, 20_000, 20_000, 40_000],
    );
    s.root(
        "back",
        "POST /closing",
        2,
        [250_000_000, 0, 0, 0, 0, 50_000_000],
    );
    let d = build(&s);
    no_merge(&d);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave);
    assert!(
        merge.verdict_reason.contains("POST /closing of back"),
        "{}",
        merge.verdict_reason
    );
}

#[test]
fn beside_each_other_they_are_split() {
    let mut s = System::new(60);
    s.process("one").cores_milli = 1_000;
    s.root(
        "one",
        "GET /hot",
        300,
        [300_000, 20_000, 0, 20_000, 20_000, 40_000],
    );
    s.root(
        "one",
        "POST /closing",
        8,
        [60_000_000, 0, 0, 0, 0, 10_000_000],
    )
    .bursty = true;
    let d = build(&s);
    let split = get(&d, Kind::Split, &["POST /closing"]);
    assert!(acts(split), "{}", split.verdict_reason);
    let judgement = split.judgement.as_ref().unwrap();
    assert!(judgement.improves > 0.95, "{judgement:?}");
    assert!(
        judgement.cost_falls < 0.05,
        "a process more is not cheaper: {judgement:?}"
    );
    assert!(find(&d, Kind::Split, &["GET /hot"]).is_none());
}
