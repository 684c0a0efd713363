use super::*;

fn names(limits: Limits) -> Names {
    let names = Names::new();
    names.set_limits(limits);
    names
}

#[test]
fn the_same_names_are_the_same_entry() {
    let names = names(Limits::default());
    let (a, _) = names.operation("", "GET /a", "");
    let (b, _) = names.operation("", "GET /a", "");
    assert!(Arc::ptr_eq(&a, &b));
    assert_ne!(names.operation("", "GET /a", "bulk").0.id, a.id);
    let (none, _) = names.caller("", "");
    let (row, _) = names.row(&a, &none, &names.origin("s", "o").0);
    let (again, _) = names.row(&a, &none, &names.origin("s", "o").0);
    assert!(Arc::ptr_eq(&row, &again));
    assert_eq!(
        names.owner(OwnerKind::Pool, "x").0,
        names.owner(OwnerKind::Pool, "x").0
    );
    assert_ne!(
        names.owner(OwnerKind::Driver, "x").0,
        names.owner(OwnerKind::Pool, "x").0
    );
}

#[test]
fn s8_beyond_a_limit_names_fold_and_say_so() {
    let limits = Limits {
        operations_max: 2,
        callers_max: 2,
        owners_max: 1,
        operation_rows_max: 1,
        ..Limits::default()
    };
    let names = names(limits);
    let (a, folded) = names.operation("", "a", "");
    assert_eq!(folded, None);
    names.operation("", "b", "");
    for n in 0..100 {
        let (other, folded) = names.operation("", &format!("more {n}"), "");
        assert_eq!(
            (&*other.operation, folded),
            (OTHER, Some("agent.operations"))
        );
    }
    assert_eq!(
        names.operation("", "a", "bulk").1,
        None,
        "a class of a known operation has its own limit"
    );
    assert_eq!(
        names.operation("", "a", "").1,
        None,
        "what is known stays known"
    );
    names.caller("s", "1");
    names.caller("s", "2");
    assert_eq!(names.caller("s", "3").1, Some("agent.callers"));
    assert_eq!(names.caller("", "").1, None);
    names.owner(OwnerKind::Pool, "one");
    assert_eq!(names.owner(OwnerKind::Pool, "two").1, Some("agent.owners"));
    assert_eq!(names.owner(OwnerKind::Agent, "weighbridge").1, None);
    let origin = names.origin("", "").0;
    names.row(&a, &names.caller("s", "1").0, &origin);
    let (row, folded) = names.row(&a, &names.caller("s", "2").0, &origin);
    assert_eq!(
        (&*row.caller.service, folded),
        (OTHER, Some("agent.operation_rows"))
    );
    assert_eq!(&*row.name.operation, "a", "the operation itself is kept");
}

#[test]
fn an_operation_has_eight_classes_and_then_other() {
    let names = names(Limits::default());
    names.operation("", "a", "");
    for n in 0..CLASSES_PER_OPERATION_MAX {
        assert_eq!(names.operation("", "a", &format!("class {n}")).1, None);
    }
    let (name, folded) = names.operation("", "a", "one more");
    assert_eq!((&*name.class, folded), (OTHER, Some("agent.classes")));
}

#[test]
fn names_that_come_once_make_room_and_those_in_use_stay() {
    const DAY_NS: u64 = 86_400_000_000_000;
    let limits = Limits {
        operations_max: 8,
        callers_max: 8,
        operation_rows_max: 8,
        ..Limits::default()
    };
    let names = names(limits);
    let use_row = |operation: &str| {
        let (name, folded) = names.operation("", operation, "");
        let (row, _) = names.row(
            &name,
            &names.caller("s", operation).0,
            &names.origin("", "").0,
        );
        (row, folded)
    };
    let (held, _) = use_row("held by a request");
    let mut folds = 0;
    for day in 1..200u64 {
        assert_eq!(use_row("in use").1, None, "day {day}");
        folds += usize::from(use_row(&format!("once {day}")).1.is_some());
        drop(names.resolve_and_forget(day * DAY_NS));
    }
    assert_eq!(folds, 0);
    let resolved = names.resolve_and_forget(200 * DAY_NS);
    assert!(resolved.operations().count() <= 8);
    let row = resolved.row(held.id).unwrap();
    assert!(Arc::ptr_eq(row, &held), "what a request holds keeps its id");
    assert!(
        resolved
            .operations()
            .any(|name| &*name.operation == "in use")
    );
    assert!(
        !resolved
            .operations()
            .any(|name| &*name.operation == "once 1")
    );
}

#[test]
fn the_most_in_flight_carries_over() {
    let names = names(Limits::default());
    let (a, _) = names.operation("", "a", "");
    a.arrive();
    a.arrive();
    a.leave();
    assert_eq!(a.take_in_flight_max(), 2);
    assert_eq!(a.take_in_flight_max(), 1, "one is still in flight");
}
