//! Every figure on the page stands in `report.json` under a path of its own: the test gives each number of a document
//! a value that no other has, renders the page, and looks each shown figure up. It knows then which row of the document
//! a figure is of, and holds the page's row to it: its identifier, its words, and where it stands.

#[path = "support/sample.rs"]
#[allow(dead_code)] // the tests of the page use the rest
mod sample;
#[path = "support/walk.rs"]
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weighbridge_reports::html::render;
use weighbridge_reports::{Document, formats};

use walk::{Numbered, Shown};

/// The sample with every figure known, each number with a value of its own.
fn numbered() -> (Document, Numbered) {
    numbered_with(|_| ())
}

/// The same, with a change of the sample before each number gets its value.
fn numbered_with(change: fn(&mut Value)) -> (Document, Numbered) {
    let mut value = serde_json::to_value(sample::whole()).expect("JSON");
    walk::fill(&mut value);
    change(&mut value);
    let numbered = Numbered::of(value);
    let document = serde_json::from_value(numbered.value.clone()).expect("still a document");
    (document, numbered)
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
    let lines: BTreeSet<String> = walk::prose(&render(&document))
        .iter()
        .map(|(place, around, value)| numbered.prose_line(place, around, value))
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
