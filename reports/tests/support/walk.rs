//! Walks the tables of a page and finds the figures that they show in the document.

use std::collections::BTreeMap;

use serde_json::Value;

/// Makes every figure known that the sample leaves unknown: a column of unknown cells shows nothing.
pub(crate) fn fill(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.contains_key("unit")
                && fields.contains_key("unknown_reason")
                && fields.get("value").is_none_or(Value::is_null)
            {
                fields.insert("value".to_owned(), Value::from(1.0));
                fields.remove("unknown_reason");
            }
            fields.values_mut().for_each(fill);
        }
        Value::Array(items) => items.iter_mut().for_each(fill),
        _ => {}
    }
}

/// A document in which each number has a value of its own.
pub(crate) struct Numbered {
    pub(crate) value: Value,
    /// The path of each number: `edges[3].wait.value`.
    known: BTreeMap<String, String>,
}

/// A figure on the page.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) caption: String,
    /// Number and words of its column.
    pub(crate) head: String,
    /// The identifier of its row, if it has one without the page's script.
    pub(crate) row: String,
    /// Table and row on the page.
    pub(crate) at: (usize, usize),
    /// The words of its row.
    words: Vec<String>,
    /// The identifier of the part that can be folded, or of the card, in which its table stands.
    inside: String,
    /// As JSON writes it.
    pub(crate) value: String,
    /// Where it stands in the document.
    pub(crate) path: String,
    /// Whether its cell shows the ends of its interval too.
    pub(crate) with_interval: bool,
}

/// Gives each number its own value, whole ones a whole one, and remembers its path.
fn number(value: &mut Value, path: &str, known: &mut BTreeMap<String, String>) {
    match value {
        Value::Number(old) => {
            let n = i64::try_from(known.len()).expect("few");
            *value = if old.is_f64() {
                Value::from(1_000.0 + n as f64 + 0.5)
            } else {
                Value::from(5_000_000 + n)
            };
            known.insert(value.to_string(), path.to_owned());
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                number(item, &format!("{path}[{index}]"), known);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                // The loads of the table of responses are its heads: one for all rows.
                let is_head = key == "load_factor" && path.starts_with("capacity.latency");
                if key == "schema_version" || is_head {
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

/// The numbers of the rows in a path: those of the document that it goes through. In the table of responses a row holds
/// all points of an origin, one in each column.
pub(crate) fn indices(path: &str) -> Vec<usize> {
    let row = match path.split_once(".points[") {
        Some((row, _)) if row.starts_with("capacity.latency") => row,
        _ => path,
    };
    row.split('[')
        .skip(1)
        .filter_map(|part| part.split(']').next()?.parse().ok())
        .collect()
}

/// The path without the numbers of its rows.
pub(crate) fn pattern(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in path.chars() {
        inside = inside && c != ']';
        if !inside {
            out.push(c);
        }
        inside = inside || c == '[';
    }
    out
}

/// What an identifier of the page is made of for an id of the document, told here once more.
fn slug(id: &str) -> String {
    let words: Vec<String> = id
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

/// True when the page calls this id of the document so: whole, or cut with a hash behind it.
fn is_slug_of(found: &str, id: &str) -> bool {
    let whole = slug(id);
    let cut = found.rsplit_once('-').map_or("", |(cut, _)| cut);
    found == whole || (whole.len() > 40 && cut.len() >= 40 && whole.starts_with(cut))
}

/// What people call a row of the document: its words are on the page.
fn names(row: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
    if let (Some(from), Some(to)) = (row.get("from"), row.get("to")) {
        let ends = [
            &from["service"],
            &from["operation"],
            &to["service"],
            &to["operation"],
        ];
        return ends.into_iter().filter_map(text).collect();
    }
    if let Some(last) = row.get("path").and_then(|path| path.as_array()?.last()) {
        return text(last).into_iter().collect();
    }
    for keys in [
        &["title"][..],
        &["figure"],
        &["input"],
        &["shown"],
        &["entity"],
        &["instance"],
        &["place", "reason"],
        &["mode", "service"],
        &["kind", "name"],
        &["name"],
        &["operation"],
        &["service"],
    ] {
        let found: Vec<String> = keys.iter().filter_map(|key| text(row.get(*key)?)).collect();
        if !found.is_empty() && keys.iter().all(|key| row.get(*key).is_some()) {
            return found;
        }
    }
    Vec::new()
}

impl Numbered {
    pub(crate) fn of(mut value: Value) -> Self {
        let mut known = BTreeMap::new();
        number(&mut value, "", &mut known);
        Self { value, known }
    }

    /// The rows of the document that a path goes through, the nearest first.
    fn rows(&self, path: &str) -> Vec<&Value> {
        let mut found = Vec::new();
        let mut at = &self.value;
        for part in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            at = match part.parse::<usize>() {
                Ok(index) => &at[index],
                Err(_) => &at[part],
            };
            if at.is_object() {
                found.push(at);
            }
        }
        found.reverse();
        found
    }

    /// All figures of a page's tables.
    pub(crate) fn walk(&self, html: &str) -> Vec<Shown> {
        tables(html)
            .iter()
            .flat_map(|table| self.of_table(table))
            .collect()
    }

    pub(crate) fn of_table(&self, table: &Table) -> Vec<Shown> {
        let mut found = Vec::new();
        for (index, row) in table.rows.iter().enumerate() {
            for (column, cell) in &row.cells {
                let Some(value) = figure_of(cell) else {
                    continue;
                };
                let head = table.heads.get(*column).cloned().unwrap_or_default();
                let path = self.known.get(&value).unwrap_or_else(|| {
                    let caption = &table.caption;
                    panic!("{caption} | {head}: {value} stands nowhere in report.json: {cell}")
                });
                found.push(Shown {
                    caption: table.caption.clone(),
                    head: format!("{column:02} {head}"),
                    row: row.id.clone(),
                    at: (table.at, index),
                    words: row.words.clone(),
                    inside: table.inside.clone(),
                    value,
                    path: path.clone(),
                    with_interval: cell.contains("<small>") && !cell.contains("on average"),
                });
            }
        }
        found
    }

    /// What the snapshot says of a figure: its table and column, how its row is called, and its path. The words of the row
    /// that come from the row of the document are left out: that they are its own is checked here.
    pub(crate) fn line(&self, shown: &Shown) -> String {
        let rows = self.rows(&shown.path);
        let named: Vec<Vec<String>> = rows
            .iter()
            .map(|row| names(row))
            .filter(|n| !n.is_empty())
            .collect();
        let words: Vec<String> = shown
            .words
            .iter()
            .map(|words| {
                let is_named =
                    |names: &Vec<String>| names.iter().all(|name| words.contains(name.as_str()));
                match named.iter().position(is_named) {
                    Some(0) => "its name".to_owned(),
                    Some(_) => "the name around it".to_owned(),
                    None => format!("“{words}”"),
                }
            })
            .collect();
        let ids = |key: &str| -> Vec<&str> {
            rows.iter()
                .filter_map(|row| row.get(key)?.as_str())
                .collect()
        };
        let is_of = |found: &str| ids("id").iter().any(|id| is_slug_of(found, id));
        if !shown.inside.is_empty() {
            assert!(
                is_of(&shown.inside),
                "{shown:?} stands in the part of another row"
            );
        }
        // A row without one gets its identifier from the page's script.
        let id = if shown.row.is_empty() {
            "no id"
        } else {
            let is_its =
                is_of(&shown.row) || ids("row").iter().any(|id| is_slug_of(&shown.row, id));
            assert!(
                is_its,
                "{shown:?} has the identifier of another row than {:?}",
                ids("id")
            );
            "#id"
        };
        format!(
            "{} | {} | {} {id} | {}",
            shown.caption,
            shown.head,
            words.join(", "),
            pattern(&shown.path)
        )
    }
}

/// The figures of a page that stand in sentences: where, the markup around them, and the value. A place is a tile by
/// its label, a finding, or a card by its identifier.
pub(crate) fn prose(html: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (at, _) in html.match_indices("<data ") {
        let value = attribute(&html[at..], "value").expect("a value");
        let starts = ["<dt>", "<ol class=\"findings\">", "<article"];
        let (start, kind) = starts
            .iter()
            .filter_map(|start| Some((html[..at].rfind(start)?, *start)))
            .max()
            .expect("it stands somewhere");
        let rest = &html[start..];
        let (place, around) = match kind {
            "<dt>" => {
                let label = rest[4..].split('<').next().unwrap_or_default();
                (format!("tile {label}"), String::new())
            }
            "<article" => (
                "card".to_owned(),
                attribute(rest, "id").unwrap_or_default().to_owned(),
            ),
            _ => {
                let item = html[..at].rfind("<li>").expect("an item");
                let item = html[item + 4..].split("<li>").next().unwrap_or_default();
                (
                    "finding".to_owned(),
                    item.split("</ol>").next().unwrap_or_default().to_owned(),
                )
            }
        };
        let exact: f64 = value.parse().expect("a number");
        let exact = if exact == exact.trunc() {
            format!("{exact:.0}")
        } else {
            format!("{exact}")
        };
        found.push((place, around, exact));
    }
    found
}

impl Numbered {
    /// What the snapshot says of a figure in a sentence. A finding has a link to the row of the document that it is of, a
    /// card is of its recommendation.
    pub(crate) fn prose_line(&self, place: &str, around: &str, value: &str) -> String {
        let path = self
            .known
            .get(value)
            .unwrap_or_else(|| panic!("{place}: {value} stands nowhere in report.json: {around}"));
        let rows = self.rows(path);
        let ids: Vec<&str> = rows
            .iter()
            .filter_map(|row| row.get("id")?.as_str())
            .collect();
        let is_of = |slug: &str| ids.iter().any(|id| is_slug_of(slug, id));
        match place {
            "card" => assert!(is_of(around), "#{around} shows {path} of {ids:?}"),
            "finding" if !ids.is_empty() => {
                let links = around.split("href=").skip(1).map(|link| {
                    let link = link.trim_start_matches(['"', '#']);
                    link.split(['"', '>', ' ']).next().unwrap_or_default()
                });
                assert!(
                    links.into_iter().any(is_of),
                    "{around} shows {path} of {ids:?}"
                );
            }
            _ => {}
        }
        // The name of what a share is of stands before it.
        if let Some(name) = rows
            .iter()
            .map(|row| names(row))
            .find(|names| !names.is_empty())
            && place == "finding"
            && path.contains(".services[")
        {
            let before = around
                .split(&format!("value={value}"))
                .next()
                .unwrap_or_default();
            assert!(
                before
                    .trim_end_matches("<data ")
                    .trim_end()
                    .ends_with(&name[0]),
                "{name:?} in {before}"
            );
        }
        format!("{place} | {}", pattern(path))
    }
}

/// A table of the page.
pub(crate) struct Table {
    /// Where it begins on the page.
    at: usize,
    pub(crate) id: String,
    pub(crate) caption: String,
    inside: String,
    heads: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    id: String,
    /// Of the heads and the cells of words.
    words: Vec<String>,
    /// Each with the column in which it stands.
    cells: Vec<(usize, String)>,
}

impl Table {
    /// The cells of figures by column: what is shown there.
    pub(crate) fn columns(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (column, cell) in self.rows.iter().flat_map(|row| &row.cells) {
            if cell.starts_with("<th") || cell.contains("class=w>") {
                continue;
            }
            // The number of the note that says why.
            let shown = text_of(cell.split("<sup").next().unwrap_or_default());
            let head = self.heads.get(*column).cloned().unwrap_or_default();
            found
                .entry(format!("{column:02} {head}"))
                .or_default()
                .push(shown);
        }
        found
    }
}

/// The tables of a page, in their order.
pub(crate) fn tables(html: &str) -> Vec<Table> {
    let mut found = Vec::new();
    for (at, _) in html.match_indices("<table") {
        let rest = &html[at..];
        let table = rest.split("</table>").next().expect("its end");
        let (_, caption) = table.split_once("<caption>").expect("a caption");
        let caption = text_of(caption.split("</caption>").next().expect("its end"));
        let (head, body) = table.split_once("<tbody>").expect("a body");
        let heads: Vec<String> = head
            .split("<th")
            .skip(2)
            .map(|th| text_of(th.split_once('>').map_or("", |(_, text)| text)))
            .collect();
        let mut rows = Vec::new();
        let (mut group, mut spanned) = (String::new(), 0);
        for row in body.split("<tr").skip(1) {
            // A head that spans rows stands in the first of them only.
            let shift = usize::from(spanned > 0);
            let span = row
                .split_once("<th")
                .and_then(|(_, th)| attribute(th, "rowspan"));
            let mut words = Vec::new();
            if shift > 0 {
                words.push(group.clone());
            }
            let cells: Vec<(usize, String)> = cells(row)
                .into_iter()
                .map(|(column, cell)| (column + shift, cell))
                .collect();
            for (_, cell) in &cells {
                if cell.starts_with("<th") || cell.contains("class=w>") {
                    words.push(text_of(cell));
                }
            }
            spanned = match span {
                Some(rows) => {
                    group = words.first().cloned().unwrap_or_default();
                    rows.parse::<usize>().expect("a number") - 1
                }
                None => spanned.saturating_sub(1),
            };
            rows.push(Row {
                id: attribute(row, "id").unwrap_or_default().to_owned(),
                words,
                cells,
            });
        }
        found.push(Table {
            at,
            id: attribute(table, "id").unwrap_or_default().to_owned(),
            caption,
            inside: inside(&html[..at]),
            heads,
            rows,
        });
    }
    found
}

/// The identifier of the part that can be folded, or of the card, that is open at the end of this text.
fn inside(before: &str) -> String {
    [("<details", "</details>"), ("<article", "</article>")]
        .into_iter()
        .filter_map(|(start, end)| {
            let at = before.rfind(start)?;
            let is_open = before.rfind(end).is_none_or(|end| end < at);
            let id = attribute(&before[at..], "id")?;
            is_open.then(|| id.to_owned())
        })
        .next()
        .unwrap_or_default()
}

fn text_of(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => {
                inside = true;
                out.push(' ');
            }
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    let out = out
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#39;", "'")
        .replace("&quot;", "\"");
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let tag = tag.split('>').next()?;
    let (_, rest) = tag.split_once(&format!(" {name}="))?;
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
