//! Walks a page and finds the figures that it shows in the document: in the cells of its tables and in its sentences.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::prose::said;
use crate::reading::{read, read_range, read_times};
use crate::visible::without;

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
            let n = i32::try_from(known.len()).expect("few");
            // Three digits tell one from the next: what is shown of another figure is seen to be of another.
            *value = if old.is_f64() {
                Value::from(f64::from(100 + n % 900) * 10_f64.powi(n / 900) + 0.25)
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
                // Of a figure's quality the page shows the largest share below one.
                let is_share = key == "quality" && !path.is_empty();
                // Which places an arrow of the map joins.
                let is_end = matches!(key.as_str(), "from" | "to") && path.starts_with("map.");
                if key == "schema_version" || is_head || is_share || is_end {
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
/// all points of an origin, one in each column, and that of an operation's load its callers in one cell.
pub(crate) fn indices(path: &str) -> Vec<usize> {
    let row = match path.split_once(".points[") {
        Some((row, _)) if row.starts_with("capacity.latency") => row,
        _ => path.split(".callers[").next().unwrap_or_default(),
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
pub(crate) fn is_slug_of(found: &str, id: &str) -> bool {
    let whole = slug(id);
    let cut = found.rsplit_once('-').map_or("", |(cut, _)| cut);
    found == whole || (whole.len() > 40 && cut.len() >= 40 && whole.starts_with(cut))
}

/// What people call a row of the document: its words are on the page.
pub(crate) fn names(row: &Value) -> Vec<String> {
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
    pub(crate) fn rows(&self, path: &str) -> Vec<&Value> {
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
                let head = table.heads.get(*column).cloned().unwrap_or_default();
                let mut values = Vec::new();
                for it in said(cell) {
                    self.check_ends(&it.values, &table.caption);
                    values.extend(it.values);
                }
                if cell.starts_with("<td data-as=change") {
                    let value = |back: usize| {
                        let (_, cell) = row.cells.iter().find(|(at, _)| at + back == *column)?;
                        figure_of(cell)?.parse::<f64>().ok()
                    };
                    let change = value(3).zip(value(2));
                    assert!(
                        is_change(&text_of(cell), change),
                        "{cell} is not of {change:?}"
                    );
                }
                if let Some(value) = figure_of(cell) {
                    let at = format!("{} | {head}", table.caption);
                    self.check_cell(cell, &value, &at);
                    values.push(value);
                }
                for value in values {
                    found.push(Shown {
                        caption: table.caption.clone(),
                        head: format!("{column:02} {head}"),
                        row: row.id.clone(),
                        at: (table.at, index),
                        words: row.words.clone(),
                        inside: table.inside.clone(),
                        path: self.path(&value, &table.caption, cell).to_owned(),
                        with_interval: cell.contains("<small>") && !cell.contains("on average"),
                        value,
                    });
                }
            }
        }
        found
    }

    /// Where a value stands in the document.
    pub(crate) fn path(&self, value: &str, place: &str, around: &str) -> &str {
        self.known
            .get(value)
            .unwrap_or_else(|| panic!("{place}: {value} stands nowhere in report.json: {around}"))
    }

    /// That the two ends of a range are those of one figure.
    pub(crate) fn check_ends(&self, values: &[String], place: &str) {
        let [low, high] = values else { return };
        let (low, high) = (self.path(low, place, low), self.path(high, place, high));
        let is_one = low
            .strip_suffix("low")
            .is_some_and(|of| high.strip_suffix("high") == Some(of));
        assert!(is_one, "{place}: from {low} to {high}");
    }

    /// That a cell shows the very figure that its attribute holds: as rounded, with its own interval, and with the
    /// share of its own quality.
    fn check_cell(&self, cell: &str, value: &str, at: &str) {
        let exact: f64 = value.parse().expect("a number");
        let inner = cell.split_once('>').map_or("", |(_, inner)| inner);
        let end = ["<small", "<abbr", "<sup", "<tr", "</t"]
            .iter()
            .filter_map(|tag| inner.find(tag))
            .min()
            .unwrap_or(inner.len());
        let (shown, rest) = inner.split_at(end);
        let shown = text_of(shown);
        let below = rest
            .split_once("<small>")
            .map(|(_, below)| text_of(below.split("</small>").next().unwrap_or_default()));
        let mean = below.as_deref().and_then(|b| b.strip_suffix(" on average"));
        let holds = |text: &str| read(text).is_some_and(|read| read.holds(exact));
        // A number of processes is a mean, which stands below the whole number.
        let is_whole = mean.is_some_and(|mean| {
            let whole: f64 = shown.replace(',', "").parse().expect("a number");
            holds(mean) && (whole - exact).abs() < 0.5
        });
        assert!(
            holds(&shown) || is_whole,
            "{at}: {shown} is not {value}: {cell}"
        );
        if let Some(range) = below.filter(|below| !below.ends_with(" on average")) {
            let path = self.path(value, at, cell);
            let (figure, _) = path.rsplit_once('.').expect("a part of a figure");
            let end = |name: &str| self.rows(path)[0].get(name).and_then(Value::as_f64);
            let ends = end("low").zip(end("high"));
            let ends = ends.unwrap_or_else(|| panic!("{at}: {figure} has no interval: {cell}"));
            assert!(
                is_range(&range, ends),
                "{at}: {range} is not {ends:?}: {cell}"
            );
        }
        if let Some((_, mark)) = rest.split_once("<abbr") {
            let mark = mark.split("</abbr>").next().unwrap_or_default();
            let mark = text_of(mark.split_once('>').map_or("", |(_, mark)| mark));
            let mut words = mark.splitn(2, ' ');
            let short = words.next().unwrap_or_default();
            let part = words.next().map(|share| read(share).expect("a share"));
            let path = self.path(value, at, cell);
            let qualities = self.rows(path)[0]["quality"].as_array().expect("qualities");
            let is_its = qualities.iter().any(|quality| {
                let share = quality["share"].as_f64().expect("a share");
                quality["quality"]
                    .as_str()
                    .is_some_and(|word| is_short(short, word))
                    && part.map_or(share > 0.995, |part| part.holds(share))
            });
            assert!(is_its, "{at}: {mark} is not of {qualities:?}: {cell}");
        }
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

/// True when these words are the range between two values.
pub(crate) fn is_range(text: &str, (low, high): (f64, f64)) -> bool {
    read_range(text).is_some_and(|(from, to)| from.holds(low) && to.holds(high))
}

/// True when these words say what became of a figure, from before to after.
fn is_change(text: &str, change: Option<(f64, f64)>) -> bool {
    let Some((before, after)) = change else {
        return text.is_empty();
    };
    match text {
        "none" => before == after,
        "new" => before == 0.0 && after != 0.0,
        "" => before < 0.0,
        text if text.ends_with('×') => {
            read_times(text).is_some_and(|read| read.holds(after / before))
        }
        text => {
            read(text).is_some_and(|read| read.holds(after / before - 1.0))
                && text.starts_with('+') == (after > before)
        }
    }
}

/// The mark of a quality, told here once more.
fn is_short(short: &str, quality: &str) -> bool {
    match short {
        "smp" => quality == "sampled",
        short => short.len() == 3 && quality.starts_with(short),
    }
}

/// A number as JSON writes it.
pub(crate) fn as_json(value: &str) -> String {
    let exact: f64 = value.parse().expect("a number");
    if exact == exact.trunc() {
        format!("{exact:.0}")
    } else {
        format!("{exact}")
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
                    words.push(text_of(&without(cell, "<data", "</data>")));
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

pub(crate) fn text_of(html: &str) -> String {
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

pub(crate) fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
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

/// The exact value of a cell, as JSON writes it; none for words, and for changes that are written beside their two
/// figures.
pub(crate) fn figure_of(cell: &str) -> Option<String> {
    if cell.starts_with("<th") || cell.starts_with("<td class=w>") {
        return None;
    }
    if let Some(exact) = attribute(cell, "data-v") {
        return Some(as_json(exact));
    }
    // What stands in an element of its own has its value there.
    if cell.contains("<data ") {
        return None;
    }
    let text = text_of(cell);
    let digits = text.replace(',', "");
    digits.parse::<i64>().ok().map(|n| n.to_string())
}
