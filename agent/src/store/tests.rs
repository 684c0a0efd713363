use weighbridge_wire::{Class, EntityKey, Quality, RowValue, column};

use super::*;
use crate::account::{Account, OwnerRef, enter};
use crate::bill::Bill;
use crate::bill::{Outcome, Start};
use crate::clock;
use crate::testing::{Books, burn, figure};
use std::task::Poll;

fn uses(entities: &[(&str, Access)], rows: Option<Access>) -> Arc<Uses> {
    Arc::new(Uses {
        entities: entities
            .iter()
            .map(|(name, how)| ((*name).into(), *how))
            .collect(),
        rows,
        unknown: false,
    })
}

fn row(books: &Books, operation: &str, entity: &str, access: Access) -> RowValue {
    let key = EntityKey {
        component: "".into(),
        operation: operation.into(),
        class: "".into(),
        database: "store core".into(),
        entity: entity.into(),
        access: access.as_str().into(),
    };
    let mut sum = RowValue::new();
    for quality in [Quality::Measured, Quality::Apportioned] {
        if let Some(row) = books.rows.get(&key.clone().row_key(quality)) {
            sum.merge(row);
        }
    }
    sum
}

#[test]
fn rows_belong_to_the_one_entity_that_can_be_meant() {
    use Access::{Read, Write};
    let of = |entities: &[(&str, Access)], rows| uses(entities, rows).of_rows();
    assert_eq!(of(&[("a", Read)], Some(Read)), Some(0));
    assert_eq!(of(&[("a", Read), ("b", Read)], Some(Read)), None);
    assert_eq!(of(&[("a", Read), ("b", Write)], Some(Write)), Some(1));
    assert_eq!(of(&[("a", Read), ("b", Write)], Some(Read)), Some(0));
    assert_eq!(of(&[("a", Read)], None), None);
    assert_eq!(of(&[("a", Read)], Some(Write)), None);
}

#[test]
fn cpu_and_waiting_go_to_the_request_and_to_the_only_entity() {
    let mut books = Books::open();
    let bill = Bill::start(Start {
        operation: "store core",
        ..Start::default()
    });
    let database: Arc<str> = "store core".into();
    {
        let _entered = enter(Account::new(OwnerRef::Bill(bill.clone()), Class::Handler));
        let mut one = Statement::begin(
            &database,
            uses(&[("one", Access::Read)], Some(Access::Read)),
        );
        assert!(one.poll(|| Poll::<()>::Pending).is_pending());
        // Waiting: what the request does meanwhile is not the statement's.
        burn(3_000_000);
        assert!(
            one.poll(|| {
                burn(2_000_000);
                Poll::Ready(())
            })
            .is_ready()
        );
        one.end(Some(7));
        let both = [("x", Access::Read), ("y", Access::Write)];
        let mut two = Statement::begin(&database, uses(&both, Some(Access::Write)));
        two.block(|| burn(1_000_000));
        two.end(Some(2));
        // Nobody waits any more: an error, once.
        drop(Statement::begin(
            &database,
            uses(&[("one", Access::Read)], Some(Access::Read)),
        ));
    }
    bill.end(Outcome::Ok);
    books.rotate();

    let one = row(&books, "store core", "one", Access::Read);
    let figures = [column::STATEMENTS, column::ERRORS, column::ROWS].map(|c| figure(&one, c));
    assert_eq!(figures, [1, 1, 7]);
    let cpu_ns = figure(&one, column::CPU_STORE_NS);
    assert!((2_000_000..2_900_000).contains(&cpu_ns), "{cpu_ns}");
    let wait_ns = figure(&one, column::WAIT_STORE_NS);
    assert!((3_000_000..40_000_000).contains(&wait_ns), "{wait_ns}");
    let [x, y] = [("x", Access::Read), ("y", Access::Write)]
        .map(|(entity, how)| row(&books, "store core", entity, how));
    assert_eq!(
        (figure(&x, column::STATEMENTS), x.get(column::ROWS)),
        (1, None)
    );
    assert_eq!(figure(&y, column::ROWS), 2);
    assert_eq!(
        y.get(column::CPU_STORE_NS),
        None,
        "nobody can say whose it was"
    );

    let all = books.operation("store core", "");
    let store_ns = all.class_cpu_ns(Class::Store).unwrap();
    assert!((3_000_000..4_500_000).contains(&store_ns), "{store_ns}");
    let request_ns = figure(&all, column::WAIT_STORE_NS);
    assert!(request_ns < wait_ns, "it worked meanwhile: {request_ns}");
    let handler_ns = all.class_cpu_ns(Class::Handler).unwrap();
    assert!(
        handler_ns >= 2_500_000,
        "working while it waits is the handler's: {handler_ns}"
    );
}

#[test]
fn a_statement_that_waits_is_a_call_and_one_that_is_answered_at_once_is_none() {
    use weighbridge_wire::{CallShapeKey, RowKind};
    let mut books = Books::open();
    let bill = Bill::start(Start {
        operation: "store shape",
        ..Start::default()
    });
    let database: Arc<str> = "shop (old)".into();
    let account = || Account::new(OwnerRef::Bill(bill.clone()), Class::Handler);
    let one = uses(&[("one", Access::Read)], None);
    let begin = || Statement::begin(&database, one.clone());
    for _ in 0..3 {
        let mut waits = {
            let _entered = enter(account());
            let mut waits = begin();
            assert!(waits.poll(|| Poll::<()>::Pending).is_pending());
            waits
        };
        // Nobody works for the request.
        let begun = clock::monotonic_ns();
        while clock::monotonic_ns() - begun < 1_000_000 {
            std::hint::spin_loop();
        }
        let _entered = enter(account());
        assert!(waits.poll(|| Poll::Ready(())).is_ready());
        waits.end(None);
        let mut ready = begin();
        assert!(ready.poll(|| Poll::Ready(())).is_ready());
        ready.end(None);
    }
    bill.end(Outcome::Ok);
    books.rotate();
    let shapes: Vec<String> = books
        .rows
        .of_kind(RowKind::CallShape)
        .filter_map(|(key, _)| CallShapeKey::read(key))
        .filter(|key| &*key.operation == "store shape")
        .map(|key| key.signature.to_string())
        .collect();
    assert_eq!(shapes, ["@shop _old_*"]);
    let wait_ns = figure(&books.operation("store shape", ""), column::WAIT_STORE_NS);
    assert!(wait_ns >= 3_000_000, "{wait_ns}");
}
