//! Every figure on the page stands in `report.json` under a path of its own: the test gives each number of a document
//! a value that no other has, renders the page, and looks each shown figure up. It knows then which row of the document
//! a figure is of, and holds the page's row to it: its identifier, its words, and where it stands.

#[path = "support/drawings.rs"]
mod drawings;
#[path = "support/prose.rs"]
mod prose;
#[path = "support/reading.rs"]
mod reading;
#[path = "support/sample.rs"]
#[allow(dead_code)] // the tests of the page use the rest
mod sample;
#[path = "support/visible.rs"]
mod visible;
#[path = "support/walk.rs"]
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weighbridge_reports::document::{EdgeReport, MapArrow, MapPlace, MapPlaceKind, MapReport};
use weighbridge_reports::html::render;
use weighbridge_reports::{Document, formats};

use walk::{Numbered, Shown};

/// The sample with every figure known, each number with a value of its own.
fn numbered() -> (Document, Numbered) {
    numbered_with(|_| ())
}

/// The same, with a change of the sample before each number gets its value.
fn numbered_with(change: fn(&mut Value)) -> (Document, Numbered) {
    let mut whole = sample::whole();
    whole.map = Some(map(&whole));
    let mut value = serde_json::to_value(whole).expect("JSON");
    walk::fill(&mut value);
    change(&mut value);
    let numbered = Numbered::of(value);
    let document = serde_json::from_value(numbered.value.clone()).expect("still a document");
    (document, numbered)
}

/// A map whose figures are its own: those that the page would make for itself are sums.
fn map(document: &Document) -> MapReport {
    let mut places: Vec<MapPlace> = document
        .services
        .iter()
        .map(|service| MapPlace {
            name: service.service.clone(),
            kind: MapPlaceKind::Service,
        })
        .collect();
    places.push(MapPlace {
        name: "outside".to_owned(),
        kind: MapPlaceKind::Outside,
    });
    let arrow = |index: usize, edge: &EdgeReport| MapArrow {
        id: format!("map:{index}"),
        from: if index == 0 {
            places.len() - 1
        } else {
            index - 1
        },
        to: index % (places.len() - 1),
        edges: vec![edge.id.clone()],
        detached: false,
        chatty: false,
        rate: edge.rate.clone(),
        body_bytes: edge.traffic.wire_bytes.clone(),
        overhead_cores: edge.overhead_cores.clone(),
        overhead_share: edge.overhead_share.clone(),
        wait: edge.wait.clone(),
    };
    let edges = document.edges.iter().take(places.len() - 1).enumerate();
    MapReport {
        arrows: edges.map(|(index, edge)| arrow(index, edge)).collect(),
        edges_left_out: 0,
        places,
    }
}

#[test]
fn every_figure_on_the_page_stands_in_the_document_under_a_path_of_its_own() {
    let (document, numbered) = numbered();
    let shown = numbered.walk(&render(&document));
    assert!(
        shown.len() > 900,
        "{} figures: the walk does not see them",
        shown.len()
    );
    // A column of which every cell is unknown is one that nobody walks.
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for table in walk::tables(&render(&document)) {
        for (column, cells) in table.columns() {
            let column = format!("{} | {column}", table.caption);
            columns.entry(column).or_default().extend(cells);
        }
    }
    for (column, cells) in columns {
        let some = cells.iter().any(|cell| cell != "not known");
        assert!(some, "{column} is not known in any row");
    }
    let lines: BTreeSet<String> = shown.iter().map(|figure| numbered.line(figure)).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// Figures in sentences: tiles, findings, gains on cards.
#[test]
fn every_figure_in_a_sentence_stands_in_the_document() {
    let (document, numbered) = numbered();
    let lines: BTreeSet<String> = prose::prose(&render(&document))
        .iter()
        .map(|(place, around, said)| numbered.prose_line(place, around, said))
        .collect();
    let lines: Vec<String> = lines.into_iter().collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// The rows of a table are of one row of the document each: all figures of a row agree on which.
#[test]
fn the_figures_of_a_row_are_of_one_row_of_the_document() {
    let (document, numbered) = numbered();
    let mut rows: BTreeMap<(usize, usize), Vec<Shown>> = BTreeMap::new();
    for figure in numbered.walk(&render(&document)) {
        rows.entry(figure.at).or_default().push(figure);
    }
    for figures in rows.values() {
        let mut indices: Vec<Vec<usize>> = figures
            .iter()
            .map(|figure| walk::indices(&figure.path))
            .collect();
        indices.sort();
        let longest = indices.iter().max_by_key(|path| path.len()).expect("one");
        for path in &indices {
            let is_same = longest.starts_with(path);
            assert!(is_same, "{figures:?}");
        }
    }
}

/// Where the figures of a table stand as CSV. What is not here is a fault; so is a file of which no table is.
const FILES: &[(&str, &[&str])] = &[
    (
        "services",
        &[
            "Services in the range",
            "CPU of each service",
            "Resident set of",
        ],
    ),
    (
        "operations",
        &[
            "Operations: CPU",
            "Operations: time",
            "Operations: load",
            "Memory of one request",
        ],
    ),
    ("regions", &["Regions: "]),
    ("instances", &["Processes"]),
    (
        "origins",
        &["Cost per origin", "CPU of one request", "Message overhead"],
    ),
    ("origin_services", &["By service"]),
    ("origin_operations", &["By operation; "]),
    (
        "edges",
        &[
            "Edges, ",
            "What the arrows say",
            "Both ends of",
            "What both ends ",
            "How long a call takes",
        ],
    ),
    ("edge_sides", &["What one call costs"]),
    ("edge_prices", &["CPU = per message"]),
    ("call_shapes", &["How the calls of a request run"]),
    (
        "entities",
        &["Where each entity stands", "Who reads and writes it"],
    ),
    ("entity_copies", &["What the copies cost"]),
    ("obstacles", &["Obstacles, by service"]),
    ("capacity", &["Cores, processes and memory"]),
    (
        "capacity_services",
        &[
            "How far today’s processes",
            "What the lines are made of",
            "Sections that one request",
        ],
    ),
    ("growth", &["What the growth line needs"]),
    ("latency", &["Mean response"]),
    ("recommendations", &["Before and after", "The other"]),
    ("recommendation_thresholds", &["Thresholds"]),
    ("recommendation_turns", &["What would turn it"]),
    ("topologies", &["Cuts that no other"]),
    ("topology_services", &["The services of each cut"]),
    ("topology_search", &["How good the best cut"]),
    (
        "changes",
        &["By origin, over all services", "By operation of a service"],
    ),
    ("outcomes", &["The advice of an earlier report"]),
    ("prediction_scores", &["How often predictions"]),
    ("conservation", &["Every account, exact"]),
    ("conservation_sums", &["The sum check"]),
    ("conservation_processes", &["By process"]),
    // Owners stand among the accounts on the page.
    ("owners", &[]),
    ("sent_received", &["What was sent and what was received"]),
    ("losses", &["Dropped"]),
    ("clocks", &["How CPU time was read"]),
];

/// The ends of an interval for each figure that has none in the sample.
fn spread(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_figure = fields.contains_key("value") && fields.contains_key("quality");
            if is_figure && fields.get("low").is_none_or(Value::is_null) {
                fields.insert("low".to_owned(), Value::from(1.0));
                fields.insert("high".to_owned(), Value::from(1.0));
            }
            fields.values_mut().for_each(spread);
        }
        Value::Array(items) => items.iter_mut().for_each(spread),
        _ => {}
    }
}

#[test]
fn every_table_of_the_page_has_its_figures_and_their_intervals_in_a_csv_file() {
    let (document, numbered) = numbered_with(spread);
    let html = render(&document);
    let (mut intervals, mut missing) = (0, BTreeSet::new());
    let files: BTreeMap<&str, String> = formats::csv(&document)
        .into_iter()
        .map(|table| (table.name, table.text))
        .collect();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for table in walk::tables(&html) {
        // Computed by the page's script from what other tables hold.
        if table.id.starts_with("t-what-if") {
            continue;
        }
        let (file, _) = FILES
            .iter()
            .find(|(_, captions)| {
                captions
                    .iter()
                    .any(|caption| table.caption.starts_with(caption))
            })
            .unwrap_or_else(|| panic!("no CSV file for the table {}", table.caption));
        used.insert(file);
        let text = files.get(file).unwrap_or_else(|| panic!("no {file}.csv"));
        let cells: BTreeSet<&str> = text.split(['\n', '\r', ',']).collect();
        for figure in numbered.of_table(&table) {
            // A list in a cell, of which a CSV file has none.
            if figure.path.contains(".callers[") {
                continue;
            }
            let place = format!(
                "{} | {}: {{}} of {} in {file}.csv",
                table.caption,
                figure.head,
                walk::pattern(&figure.path)
            );
            if !cells.contains(figure.value.as_str()) {
                missing.insert(place.replace("{}", "value"));
            }
            let of = figure.path.strip_suffix(".value");
            let Some(of) = of.filter(|_| figure.with_interval) else {
                continue;
            };
            let of = format!("/{}", of.replace(['.', '['], "/").replace(']', ""));
            let of = numbered.value.pointer(&of).expect("a figure");
            for end in ["low", "high"] {
                if !cells.contains(of[end].to_string().as_str()) {
                    missing.insert(place.replace("{}", end));
                }
            }
            intervals += 1;
        }
    }
    assert!(missing.is_empty(), "missing: {missing:#?}");
    let known: BTreeSet<&str> = FILES.iter().map(|(file, _)| *file).collect();
    let all: BTreeSet<&str> = files.keys().copied().collect();
    assert_eq!(all, known, "every file is of a table");
    used.insert("owners");
    assert_eq!(used, known, "every table is on the page");
    assert!(intervals > 50, "{intervals} intervals: they are not seen");
}

#[test]
fn what_the_figures_of_a_row_are_of_stands_beside_them_in_its_file() {
    let mut document = sample::whole();
    let cuts = document.topologies.as_mut().expect("cuts");
    cuts.proposals[0].latency_of = Some("GET /search".to_owned());
    document.recommendations[0].prediction.clear();
    let advice = document.recommendations[0].id.clone();
    let file = |name: &str| {
        let table = formats::csv(&document).into_iter().find(|t| t.name == name);
        table.expect("a file").text
    };
    let cuts = file("topologies");
    assert!(
        cuts.contains(",latency_of,") && cuts.contains(",GET /search,"),
        "{cuts}"
    );
    // Advice without a prediction is advice.
    let recommendations = file("recommendations");
    let row = recommendations.lines().find(|row| row.starts_with(&advice));
    let row = row.unwrap_or_else(|| panic!("{recommendations}"));
    let gain = &document.recommendations[0].gain;
    let [low, high] = [gain.low, gain.high].map(|end| end.expect("an interval"));
    let value = gain.value.expect("known");
    assert!(
        row.ends_with(&format!(",{value},{low},{high},,,,,,")),
        "{row}"
    );
}

/// Every digit that a reader sees is of a figure that the walk compares, of a text of the document, or of the fixed
/// words of the page.
#[test]
fn no_digit_on_the_page_is_left_out_of_the_walk() {
    let (document, numbered) = numbered();
    let found = uncompared(&render(&document), &document, &numbered);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn uncompared(html: &str, document: &Document, numbered: &Numbered) -> Vec<String> {
    let fixed: Vec<&str> = FIXED.iter().map(|(words, _)| *words).collect();
    // Heads of the table of responses, which are the loads of the document, and how many they are.
    let mut loads: Vec<f64> = document
        .capacity
        .latency
        .iter()
        .flat_map(|origin| origin.points.iter().map(|point| point.load_factor))
        .collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    let mut whole: Vec<String> = loads.iter().map(|load| format!("{load}×")).collect();
    whole.push(format!(
        "Mean response of each origin at {} loads, with today’s processes; all estimated",
        loads.len()
    ));
    whole.push(format!("version {}", document.schema_version));
    visible::uncompared(html, &numbered.value, &fixed, &whole)
}

/// What stands beside bars and on the map is what the document has for them.
#[test]
fn the_words_in_pictures_are_figures_of_the_document() {
    let (document, numbered) = numbered();
    let html = render(&document);
    let bars = numbered.check_bars(&html);
    assert!(bars > 30, "{bars} bars: the walk does not see them");
    let map = numbered.check_map(&html);
    assert!(
        map > 40,
        "{map} figures on the map: the walk does not see them"
    );
}

/// The markup with the first of this, after a place in it, put in the place of something else.
fn with(html: &str, after: &str, old: &str, new: &str) -> String {
    let at = html.find(after).unwrap_or_else(|| panic!("{after}"));
    let (before, rest) = html.split_at(at);
    assert!(rest.contains(old), "{old}");
    format!("{before}{}", rest.replacen(old, new, 1))
}

/// The words between the first of these two after a place.
fn between<'a>(html: &'a str, after: &str, start: &str, end: &str) -> &'a str {
    let (_, rest) = html.split_once(after).unwrap_or_else(|| panic!("{after}"));
    let (_, rest) = rest.split_once(start).unwrap_or_else(|| panic!("{start}"));
    rest.split(end).next().unwrap_or_default()
}

/// A page with a fault is refused: each of these pages shows one figure wrongly.
#[test]
fn the_walk_sees_a_figure_that_is_shown_wrongly() {
    let (document, numbered) = numbered();
    let html = render(&document);
    let is_refused = |html: &str| {
        let walked = std::panic::catch_unwind(|| {
            let shown = numbered.walk(html);
            shown.iter().for_each(|figure| {
                numbered.line(figure);
            });
            for (place, around, said) in prose::prose(html) {
                numbered.prose_line(&place, &around, &said);
            }
            numbered.check_bars(html);
            numbered.check_map(html);
            uncompared(html, &document, &numbered)
        });
        walked.map_or(true, |left| !left.is_empty())
    };
    assert!(!is_refused(&html), "the page as it is");
    let table = "<table id=t-origins";
    let shown = between(&html, table, "<td data-v=", "<td");
    let (exact, number) = shown.split_once('>').expect("a cell");
    let number: String = number.chars().take_while(|c| *c != '<').collect();
    let digit = number.chars().last().expect("a digit").to_string();
    let other = if digit == "1" { "2" } else { "1" };
    let last = format!("{}{other}", &number[..number.len() - 1]);
    let (_, origins) = html.split_once(table).expect("a table");
    let interval = between(origins, "<td", "<small>", "</small>");
    let gain = between(&html, "class=\"gain\"", "<data value=", "</data>");
    let range = between(
        &html,
        "<caption>Before and after",
        "<td><data value=",
        "</data>",
    );
    let change = between(
        &html,
        "<caption>Before and after",
        "<td data-as=change>",
        "<t",
    );
    let bar = between(&html, "data-values=\"", "class=\"f-text\">", "</text>");
    let arrow = between(&html, "class=\"edge\"", "<title>", "</title>");
    let label = between(&html, "id=\"chart-map\"", "class=\"f-text\">", "</text>");
    for (what, page) in [
        (
            "a rounding",
            with(
                &html,
                table,
                &format!("{exact}>{number}"),
                &format!("{exact}>{last}"),
            ),
        ),
        (
            "another figure",
            with(&html, table, &format!("data-v={exact}>"), "data-v=123.25>"),
        ),
        ("an interval", with(&html, table, interval, "7.77")),
        (
            "a gain",
            with(&html, "class=\"gain\"", gain, &format!("{gain}7")),
        ),
        (
            "a range",
            with(
                &html,
                "<caption>Before and after",
                range,
                &format!("{range}7"),
            ),
        ),
        (
            "a change",
            with(
                &html,
                "<caption>Before and after",
                &format!("change>{change}"),
                "change>+77 %",
            ),
        ),
        (
            "a count",
            with(&html, "data-as=count", "data-as=count>", "data-as=count>7"),
        ),
        ("a unit", with(&html, table, "<i>µs</i>", "<i>ms</i>")),
        (
            "a bare figure in a sentence",
            html.replacen("<p class=\"lead\">", "<p class=\"lead\">All 7.", 1),
        ),
        (
            "a bare figure in a cell",
            html.replacen("<td class=w>", "<td class=w>7 %", 1),
        ),
        ("a bar", with(&html, "data-values=\"", bar, " 7.77 cores ")),
        (
            "an arrow",
            with(&html, "class=\"edge\"", arrow, &format!("{arrow}7")),
        ),
        (
            "a label of the map",
            with(&html, "id=\"chart-map\"", label, "7.77/s"),
        ),
    ] {
        assert!(
            is_refused(&page),
            "{what} is shown wrongly, and the walk does not see it"
        );
    }
}

/// Words of the page with digits in them, and why they are no figures of the range.
const FIXED: &[(&str, &str)] = &[
    ("p50", "the name of a quantile"),
    ("p95", "the name of a quantile"),
    ("p99", "the name of a quantile"),
    ("90 % interval", "of every interval, by the method"),
    ("in 90 of 100", "what an interval of 90 % means"),
    ("4xx", "a class of answers of HTTP"),
    ("5xx", "a class of answers of HTTP"),
    (
        "imbalance: 1 is even",
        "what the scale of the imbalance means",
    ),
    ("N−1", "one process less, in a head"),
    ("table of 12 loads", "the model’s, by the method"),
];
