//! Systems of no service, of one, and of ten thousand.

use super::*;

fn chain(services: usize, windows: u64) -> System {
    let names: Vec<&'static str> = (0..services)
        .map(|n| &*Box::leak(format!("s{n:05}").into_boxed_str()))
        .collect();
    let mut s = System::new(windows);
    if let Some(first) = names.first() {
        s.root(first, "GET /x", 3, [100_000; 6]);
    }
    for pair in names.windows(2) {
        s.http(
            (pair[0], "GET /x"),
            (pair[1], "GET /x"),
            3,
            1,
            80_000,
            200_000,
        );
    }
    s
}

#[test]
fn no_service_at_all() {
    let d = build(&chain(0, 40));
    assert!(d.services.is_empty() && d.recommendations.is_empty());
}

#[test]
fn one_service_has_nobody_to_merge_with() {
    let d = build(&chain(1, 40));
    assert_eq!(d.services.len(), 1);
    no_merge(&d);
}

#[test]
fn ten_thousand_services() {
    let d = build(&chain(10_000, 2));
    assert_eq!(d.services.len(), 10_000);
    assert_eq!(d.edges.len(), 9_999);
    no_merge(&d);
}

/// Thirty pairs, each as good as the next: twenty are judged, and nobody is told to do what was not.
#[test]
fn what_is_not_on_the_shortlist_is_not_to_be_done() {
    let mut s = System::new(60);
    for n in 0..30 {
        let name = |of: &str| -> &'static str { Box::leak(format!("{of}{n:02}").into_boxed_str()) };
        let (front, back) = (name("front"), name("back"));
        s.root(front, "POST /a", 20, [400_000; 6]);
        let to = (back, "POST /b");
        s.http((front, "POST /a"), to, 20, 12, 240_000, 60_000);
        s.process(front).cores_milli = 1_000;
        s.process(back).cores_milli = 1_000;
    }
    let d = build(&s);
    let done: Vec<&Recommendation> = d
        .recommendations
        .iter()
        .filter(|r| r.verdict == Verdict::Do)
        .collect();
    assert!(done.len() <= 20 && !done.is_empty(), "{}", done.len());
    assert!(done.iter().all(|r| r.judgement.is_some()));
    let merges = d
        .recommendations
        .iter()
        .filter(|r| r.kind == Kind::Merge && r.verdict == Verdict::Try);
    let unjudged: Vec<_> = merges.filter(|r| r.judgement.is_none()).collect();
    assert!(unjudged.len() >= 10, "{}", unjudged.len());
    for r in unjudged {
        let reason = &r.verdict_reason;
        assert!(reason.contains("not on the shortlist"), "{reason}");
    }
}
