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
