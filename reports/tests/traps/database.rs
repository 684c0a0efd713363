//! A chatty pair whose bottleneck is the database.

use super::*;

#[test]
fn what_waits_for_its_store_is_not_merged_for_its_messages() {
    let mut s = chatty();
    let op = s.operation("back", "POST /b");
    op.wall_ns = 20_000_000;
    op.wait_store_ns = 18_000_000;
    let d = build(&s);
    no_merge(&d);
    kept_apart(&d, "front", "back");
    let said = not_simulated(&s, ["front", "back"]);
    assert!(said.contains("store is what limits them"), "{said}");
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave);
    let reason = &merge.verdict_reason;
    assert!(
        reason.contains("store is what limits them") && reason.contains("90"),
        "{reason}"
    );
}
