//! Every figure on the page stands in `report.json` under a path of its own: the test gives each number of a document
//! a value that no other has, renders the page, and looks each shown figure up.

#[path = "support/sample.rs"]
#[allow(dead_code)] // the tests of the page use the rest
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use weighbridge_reports::Document;
use weighbridge_reports::document::{
    AfterReport, ChangeReport, ChangeSide, ChangeVerdict, CostChange, FigureUnit, Outcome,
    OutcomeFigure, Score,
};
use weighbridge_reports::html::render;

/// Gives each number its own value, whole ones a whole one, and remembers its path.
fn number(value: &mut Value, path: &str, known: &mut BTreeMap<String, String>) {
    match value {
        Value::Number(old) => {
            let n = known.len() as i64;
            *value = if old.is_f64() {
                Value::from(1_000.0 + n as f64 + 0.5)
            } else {
                Value::from(5_000_000 + n)
            };
            known.insert(value.to_string(), path.to_owned());
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| number(item, &format!("{path}[]"), known)),
        Value::Object(fields) => {
            for (key, field) in fields {
                if key == "schema_version" {
                    continue;
                }
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                number(field, &path, known);
            }
        }
        _ => {}
    }
}

fn text_of(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.replace("&amp;", "&").trim().to_owned()
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let tag = tag.split('>').next()?;
    let (_, rest) = tag.split_once(&format!("{name}="))?;
    let rest = rest.trim_start_matches('"');
    rest.split(['"', ' ', '>']).next()
}

/// The cells of a row: each with the column in which it stands.
fn cells(row: &str) -> Vec<(usize, String)> {
    let mut column = 0;
    let mut out = Vec::new();
    let row = row.replace("<th", "\u{1}<th").replace("<td", "\u{1}<td");
    for cell in row.split('\u{1}').skip(1) {
        out.push((column, cell.to_owned()));
        column += attribute(cell, "colspan")
            .and_then(|n| n.parse::<usize>().ok())
            .unwrap_or(1);
    }
    out
}

/// What each column of each table shows, by caption and head.
fn walk(
    html: &str,
    known: &BTreeMap<String, String>,
) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let mut figures = 0;
    for table in html.split("<table").skip(1) {
        let table = table.split("</table>").next().expect("its end");
        let caption = text_of(
            table
                .split_once("<caption>")
                .expect("a caption")
                .1
                .split("</caption>")
                .next()
                .expect("its end"),
        );
        let (head, body) = table.split_once("<tbody>").expect("a body");
        let heads: Vec<String> = head
            .split("<th")
            .skip(2)
            .map(|th| text_of(th.split_once('>').map_or("", |(_, text)| text)))
            .collect();
        let mut spanned = 0;
        for row in body.split("<tr").skip(1) {
            // A head that spans rows stands in the first of them only.
            let shift = usize::from(spanned > 0);
            spanned = if let Some(rows) =
                attribute(row.split_once("<th").map_or("", |(_, th)| th), "rowspan")
            {
                rows.parse::<usize>().expect("a number") - 1
            } else {
                spanned.saturating_sub(1)
            };
            for (column, cell) in cells(row) {
                let Some(shown) = figure_of(&cell) else {
                    continue;
                };
                let head = heads.get(column + shift).cloned().unwrap_or_default();
                let path = known.get(&shown).unwrap_or_else(|| {
                    panic!("{caption} | {head}: {shown} stands nowhere in report.json: {cell}")
                });
                found
                    .entry((caption.clone(), format!("{:02} {head}", column + shift)))
                    .or_default()
                    .insert(path.clone());
                figures += 1;
            }
        }
    }
    assert!(
        figures > 500,
        "{figures} figures: the walk does not see them"
    );
    found
}

/// The exact value of a cell, as JSON writes it; none for words, for what the script computes, and for changes that
/// are written beside their two figures.
fn figure_of(cell: &str) -> Option<String> {
    if cell.starts_with("<th") || cell.contains("class=\"w-") || cell.contains("class=w>") {
        return None;
    }
    if let Some(exact) = attribute(cell, "data-v") {
        let exact: f64 = exact.parse().expect("a number");
        return Some(if exact == exact.trunc() {
            format!("{exact:.0}")
        } else {
            format!("{exact}")
        });
    }
    let text = text_of(cell);
    let digits = text.replace(',', "");
    digits.parse::<i64>().ok().map(|n| n.to_string())
}

/// The sample with what only some documents have.
fn whole() -> Document {
    let mut document = sample::erp();
    let figure = |unit| sample::measured(1.0, unit);
    let change = CostChange {
        id: document.origins[0].id.clone(),
        service: "store".to_owned(),
        operation: "POST /orders".to_owned(),
        rate_before: figure(FigureUnit::PerSecond),
        rate_after: figure(FigureUnit::PerSecond),
        unit_before: figure(FigureUnit::NsPerRequest),
        unit_after: figure(FigureUnit::NsPerRequest),
        unit_change: figure(FigureUnit::Ratio),
        more_calls: figure(FigureUnit::Cores),
        dearer_calls: figure(FigureUnit::Cores),
        cores_change: figure(FigureUnit::Cores),
        verdict: ChangeVerdict::Dearer,
    };
    let side = ChangeSide {
        start: document.window.start.clone(),
        end: document.window.end.clone(),
        windows: 60,
        seed: "0".to_owned(),
    };
    document.change = Some(ChangeReport {
        base: side.clone(),
        head: side,
        origins: vec![change.clone()],
        operations: vec![change],
        notes: Vec::new(),
    });
    let score = Score {
        figures: 1,
        with_interval: 1,
        inside: 1,
        errors: vec![1.0],
        errors_dropped: 0,
        error_median: Some(1.0),
        error_max: Some(1.0),
    };
    document.after = Some(AfterReport {
        earlier_start: document.window.start.clone(),
        earlier_end: document.window.end.clone(),
        load_factor: Some(1.0),
        notes: Vec::new(),
        outcomes: vec![Outcome {
            id: "rec:a".to_owned(),
            title: "Merge".to_owned(),
            applied: true,
            seen: "they are one service".to_owned(),
            figures: vec![OutcomeFigure {
                figure: "cores".to_owned(),
                unit: FigureUnit::Cores,
                predicted: Some(1.0),
                low: Some(1.0),
                high: Some(1.0),
                observed: Some(1.0),
                error: Some(1.0),
                inside: Some(true),
                not_scored_reason: None,
            }],
        }],
        score: score.clone(),
        running: score,
    });
    document
}

#[test]
fn every_figure_on_the_page_stands_in_the_document_under_a_path_of_its_own() {
    let mut value = serde_json::to_value(whole()).expect("JSON");
    let mut known = BTreeMap::new();
    number(&mut value, "", &mut known);
    let document: Document = serde_json::from_value(value).expect("still a document");
    let found = walk(&render(&document), &known);
    let mut shown = String::new();
    for ((caption, head), paths) in &found {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let _ = writeln!(shown, "{caption} | {head} | {}", paths.join(" or "));
    }
    insta::assert_snapshot!(shown);
}
