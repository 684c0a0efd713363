//! A list that does not hold all says so, and one that does says nothing.

use weighbridge_reports::document::{AfterReport, Document, Recommendation};
use weighbridge_reports::html::{render, render_change};

use super::{sample, section, unmarked};

/// More of everything than a page holds: the chain of the first origin passes all services, and all are obstructed.
fn large() -> Document {
    let mut document = sample::many(30);
    for service in &mut document.services {
        let one = service.obstacles[0].clone();
        service.obstacles.resize(3, one);
    }
    for check in &mut document.conservation.services {
        check.difference_ns = Some(1);
    }
    document.conservation.cpu_exact = false;
    let operation = &mut document.services[0].operations[0];
    let caller = operation.callers[0].clone();
    operation.callers.resize(5, caller);
    let template = document.origins[0].operations[0].clone();
    let operations = document.services.iter().flat_map(|s| &s.operations);
    document.origins[0].operations = operations
        .map(|operation| {
            let mut part = template.clone();
            part.row.clone_from(&operation.id);
            part
        })
        .collect();
    let advice: &Recommendation = &sample::erp().recommendations[0];
    for n in 0..12 {
        let mut more = advice.clone();
        more.id = format!("rec:merge/{n}");
        document.recommendations.push(more);
    }
    let whole = sample::whole();
    let mut change = whole.change.expect("a baseline");
    let one = change.origins[0].clone();
    change.origins.resize(101, one);
    document.change = Some(change);
    let after = whole.after.expect("an earlier report");
    let outcomes = vec![after.outcomes[0].clone(); 102];
    document.after = Some(AfterReport { outcomes, ..after });
    document
}

#[test]
fn each_list_that_does_not_hold_all_says_so() {
    let document = large();
    let (edges, operations) = (document.edges.len(), 30 * 3);
    let html = unmarked(&render(&document));
    let promised = [
        ("findings", "<li class=of>and 26 more services.".to_owned()),
        ("findings", "service-002 and 27 more)".to_owned()),
        ("services", "outside 100 % and 2 more".to_owned()),
        (
            "origins",
            format!("Shown are 16 of {edges} edges; report.json has all."),
        ),
        // Each operation has one.
        (
            "origins",
            format!("Shown are 16 of {operations} regions; report.json has all."),
        ),
        (
            "origins",
            "Flame graphs are drawn for the 8 dearest origins; report.json has the ways of all."
                .to_owned(),
        ),
        (
            "map",
            "Shown are 9 of 12 proposed boundaries; report.json has all.".to_owned(),
        ),
        (
            "entities",
            "Shown are 60 of 90 rows, the first; report.json has all.".to_owned(),
        ),
        (
            "services",
            "Shown are 0 of 3 regions; report.json has all.".to_owned(),
        ),
        (
            "capacity",
            "Shown are 14 of 30 services, the largest; report.json has all.".to_owned(),
        ),
        (
            "change",
            "Shown are 100 of 101 rows, the first; report.json has all.".to_owned(),
        ),
        (
            "predictions",
            "Shown are 100 of 102 pieces of advice, the first; report.json has all.".to_owned(),
        ),
    ];
    let silent: Vec<_> = promised
        .iter()
        .filter(|(id, said)| !section(&html, id).contains(said))
        .collect();
    assert!(silent.is_empty(), "not said: {silent:#?}");
    // The six services from the 9th to the 14th have a part without their regions.
    assert_eq!(
        section(&html, "services")
            .matches("Shown are 0 of 3 regions")
            .count(),
        6
    );
    let change = document.change.expect("a baseline");
    let said = "Shown are 100 of 101 rows, the first; diff.json has all.";
    assert!(render_change(&change, None).contains(said));
}

#[test]
fn lists_that_hold_all_say_nothing() {
    let html = render(&sample::erp());
    for words in ["Shown are", "more service", "Flame graphs are drawn for"] {
        assert!(!html.contains(words), "{words}");
    }
}

/// The other tables of capacity hold 24 services, the largest one 14 with their loads.
#[test]
fn capacity_of_twenty_services_says_which_are_left_out() {
    let part = |services| {
        let html = render(&sample::many(services));
        let table = section(&html, "capacity");
        let (_, table) = table
            .split_once("<table id=t-capacity ")
            .expect("the table");
        table
            .split("</details>")
            .next()
            .expect("its end")
            .to_owned()
    };
    let twenty = part(20);
    assert_eq!(twenty.matches("scope=rowgroup").count(), 14 + 1);
    let said = "Shown are 14 of 20 services, the largest; report.json has all.";
    assert!(twenty.contains(said), "{twenty}");
    assert!(!part(14).contains("Shown are"));
}
