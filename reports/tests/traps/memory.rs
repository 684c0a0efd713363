//! A rare operation that needs much memory, beside a hot one that needs many processes.

use weighbridge_reports::Prices;

use super::*;

#[test]
fn memory_is_not_copied_into_the_processes_of_a_hot_service() {
    let mut s = chatty();
    s.root("front", "GET /hot", 300, [2_000_000, 0, 0, 0, 0, 0]);
    s.root("back", "GET /rare", 10, [500_000, 0, 0, 0, 0, 0])
        .peak_bytes = 900 << 20;
    s.process("back").rss_peak = 1_000 << 20;
    let d = build(&s);
    no_merge(&d);
    let keep = get(&d, Kind::Keep, &["front", "back"]);
    // A cut that puts them together all the same says what speaks against it, and is not the cheapest.
    let cuts = &d.topologies.as_ref().unwrap().proposals;
    let best = d.topologies.as_ref().unwrap().best.value.unwrap();
    for cut in cuts.iter().filter(|cut| holds(cut, "front", "back")) {
        let said = cut.objections.iter().any(|o| o.recommendation == keep.id);
        assert!(said, "{:?}", cut.steps);
        assert!(cut.cost.value.unwrap() > best, "{:?}", cut.steps);
    }
    assert!(cuts.iter().any(|cut| !holds(cut, "front", "back")));
    let said = not_simulated(&s, ["front", "back"]);
    assert!(said.contains("memory of both"), "{said}");
    assert_eq!(keep.verdict, Verdict::Leave);
    assert!(
        keep.verdict_reason.contains("memory of both"),
        "{}",
        keep.verdict_reason
    );
}

/// Two GiB more in the processes of both, which is allowed beside the seven that they hold, are worth more than the messages
/// between them: cores fall, cost does not.
#[test]
fn cores_that_are_saved_may_cost_more_in_memory() {
    let with = |back_mib: i64, options: &Options| {
        let mut s = chatty();
        s.root("front", "GET /hot", 180, [2_000_000, 0, 0, 0, 0, 0]);
        s.process("front").rss_peak = 2_048 << 20;
        s.process("back").rss_peak = back_mib << 20;
        build_range(&s.range(), options)
    };
    let judged = |d: &Document| {
        let merge = get(d, Kind::Merge, &["front", "back"]).clone();
        (merge.judgement.clone().unwrap(), merge)
    };
    let options = Options::default();
    let (sure, merge) = judged(&with(1_024, &options));
    assert!(sure.improves >= 0.95 && sure.cost_falls < 0.05, "{sure:?}");
    assert_eq!(merge.verdict, Verdict::Try, "{}", merge.verdict_reason);
    assert!(
        merge
            .verdict_reason
            .contains("cores and memory together cost less"),
        "{}",
        merge.verdict_reason
    );
    let (sure, merge) = judged(&with(48, &options));
    assert!(sure.cost_falls >= 0.95, "{sure:?}");
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
    // Where memory is nearly free, the first is right too.
    let cheap = Options {
        prices: Some(Prices {
            core_hour: 0.04,
            gib_hour: 0.000_01,
            currency: "EUR".to_owned(),
        }),
        ..Options::default()
    };
    let (sure, merge) = judged(&with(1_024, &cheap));
    assert!(sure.cost_falls >= 0.95, "{sure:?}");
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
}
