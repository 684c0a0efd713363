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
    kept_apart(&d, "front", "back");
    let said = not_simulated(&s, ["front", "back"]);
    assert!(said.contains("POST /closing of back"), "{said}");
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave);
    assert!(
        merge.verdict_reason.contains("POST /closing of back"),
        "{}",
        merge.verdict_reason
    );
}

/// Of more than a hundred services two that never call each other: the search joins cold ones for a base of memory, and
/// these two never.
#[test]
fn nor_where_the_two_do_not_call_each_other_in_a_large_system() {
    let mut s = System::new(40);
    let mut names = vec!["shop", "books"];
    names.extend(
        (0..120).map(|n| -> &'static str { Box::leak(format!("cold{n:03}").into_boxed_str()) }),
    );
    s.root("shop", "GET /hot", 133, [300_000, 0, 0, 0, 0, 0]);
    s.root("books", "POST /closing", 1, [150_000_000, 0, 0, 0, 0, 0]);
    for name in &names[2..] {
        s.root(name, "GET /x", 3, [50_000, 0, 0, 0, 0, 0]);
    }
    for name in &names {
        let process = s.process(name);
        process.cores_milli = 1_000;
        // Nothing but a base: one process for all would be the cheapest.
        process.rss_peak = process.rss_init;
    }
    let d = build(&s);
    let found = d.topologies.unwrap();
    assert!(!found.exact);
    let mut joined = 0;
    for deployable in found.proposals.iter().flat_map(|p| &p.deployables) {
        let parts: Vec<&str> = deployable.name.split('+').collect();
        joined +=
            usize::from(parts.len() > 1 && (parts.contains(&"shop") || parts.contains(&"books")));
        let both = parts.contains(&"shop") && parts.contains(&"books");
        assert!(!both, "{}", deployable.name);
    }
    assert!(joined > 0, "else the search had no reason to join them");
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

/// The long one writes what an operation that would stay writes too.
#[test]
fn what_may_share_a_transaction_is_not_split_on_a_queue_formula() {
    let mut s = System::new(60);
    s.process("one").cores_milli = 1_000;
    let cpu = [300_000, 20_000, 0, 20_000, 20_000, 40_000];
    s.root("one", "POST /hot", 300, cpu);
    let long = [60_000_000, 0, 0, 0, 0, 10_000_000];
    s.root("one", "POST /closing", 8, long).bursty = true;
    s.uses("one", "POST /closing", "book", "write", 8);
    let apart = build(&s);
    let split = get(&apart, Kind::Split, &["POST /closing"]);
    assert!(
        !split.verdict_reason.contains("book"),
        "nobody else writes it: {}",
        split.verdict_reason
    );
    s.uses("one", "POST /hot", "book", "write", 300);
    let d = build(&s);
    let split = get(&d, Kind::Split, &["POST /closing"]);
    assert_eq!(split.verdict, Verdict::Try, "{}", split.verdict_reason);
    let reason = &split.verdict_reason;
    assert!(
        reason.contains("writes book, which operations that would stay write too"),
        "{reason}"
    );
}
