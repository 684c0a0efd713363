//! More than one request may name: totals stay, and what lost its name is counted.

use weighbridge_wire::{EdgeKey, EntityKey, LossKey, OTHER};

use super::*;

/// Spans of one request, more than it may name.
const MANY: u64 = 5_000;
/// Names that it may bring.
const NAMED: u64 = 4_096;

/// The sum of a column over rows of a kind, and what of it stands under `__other__`.
fn sums(derived: &Derived, kind: RowKind, column: u32, name: usize) -> (i64, i64) {
    let rows = derived.windows.iter();
    let rows = rows.flat_map(|(.., rows)| rows.of_kind(kind));
    rows.fold((0, 0), |(all, other), (key, row)| {
        let count = row.get(column).unwrap_or(0);
        let is_other = &*key.parts[name] == OTHER;
        (all + count, other + if is_other { count } else { 0 })
    })
}

/// What is lost, by reason.
fn losses(derived: &Derived) -> Vec<(String, i64)> {
    let rows = derived.windows.iter();
    rows.flat_map(|(.., rows)| rows.of_kind(RowKind::Loss))
        .map(|(key, row)| {
            let key = LossKey::read(key).unwrap();
            (key.reason.to_string(), row.get(column::LOST).unwrap_or(0))
        })
        .collect()
}

#[test]
fn calls_and_statements_beyond_the_names_of_a_request_are_counted_under_another() {
    let mut spans = vec![SpanSpec::server(1).named("GET /")];
    spans.extend((0..MANY).map(|n| {
        SpanSpec::client(2 + n)
            .child_of(1)
            .with("http.request.method", "GET")
            .with("server.address", &format!("host-{}", letters(n)))
    }));
    spans.extend((0..100).map(|n| {
        SpanSpec::client(10_000 + n)
            .child_of(1)
            .with("db.system.name", "postgresql")
            .with("db.collection.name", &letters(n))
            .with("db.operation.name", "SELECT")
    }));
    let (derived, tally) = taken(&traces("shop", spans));
    assert_eq!(tally.spans, 1 + MANY + 100);
    let (sent, other) = sums(&derived, RowKind::Edge, column::REQUEST_MESSAGES, 10);
    assert_eq!((sent, other), (5_000, 904));
    let (statements, other) = sums(&derived, RowKind::Entity, column::STATEMENTS, 4);
    assert_eq!((statements, other), (100, 100));
    let lost: Vec<i64> = losses(&derived).iter().map(|(_, lost)| *lost).collect();
    assert_eq!(lost, [904 + 100]);
    // Callers' ends are rows of their service, under its operation.
    let rows = derived.windows.iter().flat_map(|(.., rows)| rows.iter());
    for (key, _) in rows {
        if let Some(edge) = EdgeKey::read(key) {
            assert_eq!(&*edge.operation, "GET /");
        }
        if let Some(entity) = EntityKey::read(key) {
            assert_eq!((&*entity.operation, &*entity.access), ("GET /", "read"));
        }
    }
    // Both ends of such a call can still be joined.
    assert!(derived.offers.iter().all(|offer| offer.op != u32::MAX));
    let calls = derived.offers.iter().filter(|o| o.call != u32::MAX).count();
    assert_eq!(calls as u64, MANY);
    assert_eq!(derived.targets.len() as u64, NAMED + 2);
}

#[test]
fn operations_beyond_the_names_of_a_request_are_counted_under_another() {
    let spans = (0..MANY).map(|n| SpanSpec::server(1 + n).named(&letters(n)));
    let (derived, _) = taken(&traces("shop", spans.collect()));
    let (ended, other) = sums(&derived, RowKind::Operation, column::ENDED, 1);
    assert_eq!((ended, other), (5_000, 904));
    let lost: Vec<i64> = losses(&derived).iter().map(|(_, lost)| *lost).collect();
    assert_eq!(lost, [904]);
}

#[test]
fn links_beyond_those_that_are_read_are_counted() {
    let (derived, _) = taken(&traces("mail", vec![batch(1, 128), batch(2, 140)]));
    assert_eq!(derived.wants.len(), 256);
    let [(reason, lost)] = &losses(&derived)[..] else {
        panic!("one reason");
    };
    assert!(reason.starts_with("links beyond"), "{reason}");
    assert_eq!(*lost, 12);
}

/// A name without digits, which would be taken for an id.
fn letters(n: u64) -> String {
    let letter = |n: u64| char::from(b'a' + u8::try_from(n % 20).unwrap());
    [n / 8_000, n / 400, n / 20, n].map(letter).iter().collect()
}
