//! What only some documents have is on the page of those that have it.

use weighbridge_reports::document::{Document, FigureUnit};
use weighbridge_reports::html::render;

use super::{sample, section};

#[test]
fn a_growth_that_is_known_is_a_line_and_a_table() {
    let mut document = sample::whole();
    let part = |document: &Document| section(&render(document), "capacity");
    let shown = part(&document);
    let (_, figure) = shown
        .split_once("<figure id=\"chart-growth\" aria-details=\"t-growth\">")
        .expect("the chart");
    let (figure, rest) = figure.split_once("</figure>").expect("its end");
    assert_eq!(figure.matches("<svg").count(), 2, "wide and narrow");
    assert!(rest.contains("Growth in a day: 0.4 %"), "{rest}");
    assert!(rest.contains("Growth is not in the loads that are planned for."));
    let (_, table) = rest.split_once("<table id=t-growth").expect("the table");
    let table = table.split("</table>").next().expect("its end");
    for day in ["at its end", "in 30 days", "in 90 days", "in 365 days"] {
        assert!(table.contains(&format!("<th scope=row>{day}<td")), "{day}");
    }
    // A year at 0.4 % of the load a day, and the processes for it.
    assert!(table.contains("2.46<small>2.34 – 2.58</small>"), "{table}");
    assert!(table.contains("<td>10<"), "{table}");

    let growth = document.capacity.growth.as_mut().expect("known");
    growth.per_day = sample::unknown("14 whole days are needed", FigureUnit::Ratio);
    let shown = part(&document);
    assert!(!shown.contains("chart-growth") && !shown.contains("t-growth"));
    assert!(shown.contains("14 whole days are needed"), "{shown}");
}

#[test]
fn a_flame_graph_that_cannot_be_drawn_says_why() {
    let mut document = sample::erp();
    for path in &mut document.origins[0].paths {
        path.alloc_bytes =
            sample::unknown("the allocator is not counted", FigureUnit::BytesPerRequest);
    }
    for path in &mut document.origins[1].paths {
        path.alloc_bytes = sample::measured(0.0, FigureUnit::BytesPerRequest);
    }
    document.origins[2].paths.clear();
    let shown = section(&render(&document), "origins");
    assert!(shown.contains("id=\"flame-0-cpu\"") && !shown.contains("id=\"flame-0-alloc\""));
    for said in [
        "Bytes that one POST /orders allocates, over all services: not drawn: the allocator is not counted.",
        "Bytes that one GET /search allocates, over all services: not drawn: all of it is 0.",
        "CPU of one POST /closing/{month}, over all services: not drawn: the ways of its requests through the services \
         are not known.",
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
}
