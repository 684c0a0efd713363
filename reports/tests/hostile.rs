//! S5, S6, S7: names from outside stay text in every form of a document: HTML with its pictures and embedded data in
//! `page.rs`, CSV, Markdown and JSON here.

#[path = "support/sample.rs"]
#[allow(dead_code)] // the tests of the page use the rest
mod sample;

#[path = "support/hostile.rs"]
#[allow(dead_code)]
mod hostile;

use hostile::{hostile, is_deceptive, with_every_text};
use weighbridge_reports::compare::{Budget, compare};
use weighbridge_reports::{Document, formats};

/// Names that a spreadsheet could run.
const FORMULAS: &[&str] = &[
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+cmd",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\u{feff}=1",
    "＝1",
    "=\"\",\"x\"\r\n=1",
];

fn names() -> Vec<String> {
    let formulas = FORMULAS.iter().map(|name| (*name).to_owned());
    let markup = [
        "a|b",
        "[x](javascript:1)",
        "![x](//evil.example/p.png)",
        "# head",
        "```\ncode",
        "`code`",
        "@team",
        "\n\n## head\n\n| a | b |\n|---|---|\n",
        "<!-- -->",
        "a\\",
        "~~x~~",
        "*x* _y_",
        "\r\n::error::x",
    ];
    hostile()
        .into_iter()
        .chain(formulas)
        .chain(markup.map(str::to_owned))
        .collect()
}

/// Rows of RFC 4180 text, each cell as a spreadsheet reads it.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    assert!(
        !quoted && cell.is_empty() && row.is_empty(),
        "it ends with a row"
    );
    rows
}

#[test]
fn s6_no_cell_of_any_table_becomes_a_formula_or_more_than_one_cell() {
    let document = sample::whole();
    let plain = formats::csv(&with_every_text(&document, "x"));
    for name in names() {
        let tables = formats::csv(&with_every_text(&document, &name));
        assert_eq!(tables.len(), plain.len());
        for (table, like) in tables.iter().zip(&plain) {
            let (found, like) = (rows(&table.text), rows(&like.text));
            assert_eq!(found.len(), like.len(), "{}: {name:?}", table.name);
            let mut holds = 0;
            for row in &found {
                assert_eq!(row.len(), found[0].len(), "{}: {name:?}", table.name);
                for cell in row {
                    let first = cell.trim_start().trim_start_matches('\u{feff}');
                    let begins = first.starts_with(['=', '+', '-', '@', '＝'])
                        || cell.starts_with(['\t', '\r']);
                    assert!(
                        !begins || cell.parse::<f64>().is_ok(),
                        "{}: {cell:?}",
                        table.name
                    );
                    holds += usize::from(cell == &name || *cell == format!("'{name}"));
                }
            }
            // The rows of these are ours.
            let has_text = !matches!(table.name, "growth" | "prediction_scores")
                && (table.name != "topology_search" || !name.is_empty());
            assert!(holds > 0 || !has_text, "{}: {name:?} is in it", table.name);
        }
    }
}

/// How a line of Markdown is built: headings, list, table with its cells.
fn shape(line: &str) -> (String, usize) {
    let bare = line.replace("\\\\", "").replace("\\|", "");
    let head: String = line
        .chars()
        .take_while(|c| matches!(c, '#' | '-' | '|'))
        .collect();
    (head, bare.matches('|').count())
}

fn assert_plain_markdown(text: &str, like: &str, name: &str) {
    assert_eq!(text.lines().count(), like.lines().count(), "{name:?}");
    for (line, like) in text.lines().zip(like.lines()) {
        assert_eq!(shape(line), shape(like), "{name:?}: {line}");
    }
    let bare = text
        .replace("\\\\", "")
        .replace("\\]", "")
        .replace("\\`", "");
    assert!(!bare.contains("]("), "{name:?}: a link");
    assert!(!bare.contains('`'), "{name:?}: code");
    assert!(!text.contains('<') && !text.contains('@'), "{name:?}");
    assert!(
        !text.chars().any(|c| is_deceptive(c) || c == '\r'),
        "{name:?}"
    );
}

#[test]
fn s6_names_stay_text_in_markdown() {
    let mut document = sample::erp();
    let earlier = document.clone();
    document.compare_with_earlier(&earlier);
    let like = formats::markdown(&with_every_text(&document, "x"));
    for name in names() {
        let text = formats::markdown(&with_every_text(&document, &name));
        assert_plain_markdown(&text, &like, &name);
    }
}

#[test]
fn s6_names_stay_text_in_the_markdown_of_a_change() {
    let budget = Some(Budget { percent: 10.0 });
    let dearer = |name: &str| -> (Document, Document) {
        let base = with_every_text(&sample::erp(), name);
        let mut head = base.clone();
        // All have one id now, and the last of them stands for it.
        for origin in &mut head.origins {
            let total = &mut origin.unit_cost.total;
            for value in [&mut total.value, &mut total.low, &mut total.high] {
                *value = value.map(|ns| ns * 3.0);
            }
        }
        (base, head)
    };
    let markdown = |name: &str| {
        let (base, head) = dearer(name);
        formats::change_markdown(&compare(&base, &head), budget)
    };
    let like = markdown("x");
    assert!(like.contains("Over budget"), "{like}");
    for name in names() {
        assert_plain_markdown(&markdown(&name), &like, &name);
    }
}

#[test]
fn s7_json_holds_no_character_that_steers_a_terminal() {
    let document = sample::erp();
    for name in names() {
        let named = with_every_text(&document, &name);
        let text = formats::json(&named).expect("JSON");
        assert!(!text.chars().any(is_deceptive), "{name:?}");
        let back: Document = serde_json::from_str(&text).expect("still JSON");
        assert_eq!(back, named, "{name:?}");
        let change = compare(&named, &named);
        let text = formats::change_json(&change).expect("JSON");
        assert!(!text.chars().any(is_deceptive), "{name:?}");
    }
}
