//! What only some documents have is on the page of those that have it.

use weighbridge_reports::document::{Document, FigureUnit, Verdict};
use weighbridge_reports::html::render;

use super::{sample, section, unmarked};

#[test]
fn a_growth_that_is_known_is_a_line_and_a_table() {
    let mut document = sample::whole();
    let part = |document: &Document| section(&unmarked(&render(document)), "capacity");
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
        assert!(table.contains(&format!("<th>{day}<td")), "{day}");
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

#[test]
fn edges_are_marked_with_how_their_calls_run() {
    let mut document = sample::erp();
    let share = |value| sample::measured(value, FigureUnit::Ratio);
    let first = &mut document.edges[0];
    first.calls_per_request = sample::measured(12.0, FigureUnit::PerRequest);
    (first.shape.serial, first.shape.parallel) = (share(0.2), share(0.8));
    let marks = |document: &Document| -> Vec<String> {
        let part = section(&render(document), "edges");
        let (_, table) = part.split_once("<table id=t-edges ").expect("the table");
        let table = table.split("</table>").next().expect("its end");
        let rows = table.split("<tr").skip(2);
        let of = |row: &str| {
            let marks = row.split("<mark>").skip(1);
            let words = marks.filter_map(|mark| mark.split("</mark>").next());
            words.collect::<Vec<_>>().join(", ")
        };
        rows.map(of).collect()
    };
    let waits = "not waited for";
    assert_eq!(marks(&document), ["chatty, parallel", waits, waits, waits]);
    let first = &mut document.edges[0];
    (first.shape.serial, first.shape.parallel) = (share(0.8), share(0.2));
    assert_eq!(marks(&document)[0], "chatty, one by one");
    document.edges[0].calls_per_request = sample::measured(1.0, FigureUnit::PerRequest);
    assert_eq!(marks(&document)[0], "");
}

#[test]
fn boundaries_that_are_proposed_are_drawn_and_listed() {
    let mut document = sample::erp();
    let shown = section(&render(&document), "map");
    // The merge around both services, the split around its one: on the wide map and on the narrow one.
    assert_eq!(shown.matches("class=\"hull\"").count(), 4, "{shown}");
    let (_, legend) = shown
        .split_once("<ol class=\"legend proposed\"")
        .expect("the legend");
    let legend = legend.split("</ol>").next().expect("its end");
    assert_eq!(legend.matches("<li>").count(), 2, "{legend}");
    assert!(
        legend.contains("<b>1</b> <a href=#rec-merge-store-warehouse>Merge store and warehouse")
    );
    assert!(shown.contains("Numbered lines are boundaries"));

    for recommendation in &mut document.recommendations {
        recommendation.verdict = Verdict::Leave;
    }
    let shown = section(&render(&document), "map");
    for words in ["class=\"hull\"", "legend proposed", "Numbered lines"] {
        assert!(!shown.contains(words), "{words}");
    }
}

#[test]
fn a_wide_arrow_says_what_its_messages_cost_and_what_share_that_is() {
    let shown = section(&render(&sample::erp()), "map");
    let (wide, narrow) = shown.split_at(shown.rfind("<svg").expect("two"));
    assert!(wide.contains(">0.0257 cores (64 %)</text>"), "{wide}");
    assert!(narrow.contains(">64 %</text>") && !narrow.contains("cores (64"));
}
