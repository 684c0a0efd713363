//! Two services that may not share a process, whatever it would save.

use super::*;

#[test]
fn different_owners_stay_apart() {
    let mut options = Options::default();
    options.constraints.cannot_link = vec![("back".to_owned(), "front".to_owned())];
    let d = build_range(&chatty().range(), &options);
    no_merge(&d);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave);
    assert!(
        merge.verdict_reason.contains("constraint"),
        "{}",
        merge.verdict_reason
    );
}

/// A merge that saves cores and breaks a promise is no merge to make.
#[test]
fn an_objective_that_is_not_kept_is_worth_more_than_cores() {
    let with = |ns: f64| {
        let mut options = Options::default();
        let origin = ("front".to_owned(), "POST /a".to_owned());
        options.constraints.slo_p95_ns.insert(origin, ns);
        build_range(&chatty().range(), &options)
    };
    let d = with(1e9);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
    assert_eq!(merge.judgement.as_ref().unwrap().slo_kept, Some(1.0));
    // Less than the request's own CPU.
    let d = with(1e5);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave, "{}", merge.verdict_reason);
    assert_eq!(merge.judgement.as_ref().unwrap().slo_kept, Some(0.0));
    assert!(
        merge.verdict_reason.contains("objectives are kept in 0"),
        "{}",
        merge.verdict_reason
    );
}

#[test]
fn an_objective_of_nobody_is_said() {
    let mut options = Options::default();
    let origin = ("nobody".to_owned(), "GET /x".to_owned());
    options.constraints.slo_p95_ns.insert(origin, 1e9);
    let d = build_range(&chatty().range(), &options);
    let judgement = get(&d, Kind::Merge, &["front", "back"])
        .judgement
        .as_ref()
        .unwrap();
    assert_eq!(judgement.slo_kept, None);
    let reason = judgement.slo_kept_absent_reason.as_ref().unwrap();
    assert!(reason.contains("GET /x of nobody"), "{reason}");
}
