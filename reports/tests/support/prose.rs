//! Finds the figures in the sentences of a page in the document.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::reading::{Read, read};
use crate::walk::{Numbered, as_json, attribute, is_range, is_slug_of, names, pattern, text_of};

/// A figure in a sentence.
pub(crate) struct Said {
    /// As JSON writes them: both ends of a range. None of what the page counted.
    pub(crate) values: Vec<String>,
    counted: Option<usize>,
}

/// The figures in sentences in this markup. That the words say their values is checked.
pub(crate) fn said(html: &str) -> Vec<Said> {
    let mut found = Vec::new();
    for (at, _) in html.match_indices("<data ") {
        let tag = &html[at..];
        let value = attribute(tag, "value").expect("a value");
        let text = tag.split_once('>').map_or("", |(_, text)| text);
        let text = text_of(text.split("</data>").next().unwrap_or_default());
        // What is shown of it: itself, what is left of one, or what it is turned round.
        let shown = |value: f64| match attribute(tag, "data-as") {
            None | Some("count") => value,
            Some("rest") => 1.0 - value,
            Some("minus") => -value,
            Some(other) => panic!("{other}: {text}"),
        };
        let ends: Vec<f64> = value
            .split('/')
            .map(|end| shown(end.parse().expect("a number")))
            .collect();
        let holds = match ends[..] {
            [value] => read(&text).is_some_and(|read: Read| read.holds(value)),
            [low, high] => {
                is_range(&text, (low.min(high), low.max(high))) || is_range(&text, (low, high))
            }
            _ => false,
        };
        assert!(holds, "{text} is not {value}");
        found.push(if attribute(tag, "data-as") == Some("count") {
            Said {
                values: Vec::new(),
                counted: Some(value.parse().expect("a count")),
            }
        } else {
            Said {
                values: value.split('/').map(as_json).collect(),
                counted: None,
            }
        });
    }
    found
}

/// The figures of a page that stand in sentences: where, the markup around them, and the values. A place is a tile by
/// its label, a finding, a card or a part by its identifier, or a section.
pub(crate) fn prose(html: &str) -> Vec<(String, String, Said)> {
    let html = html.split("<script").next().unwrap_or_default();
    let mut found = Vec::new();
    for (at, _) in html.match_indices("<data ") {
        let before = &html[..at];
        let is_in = |start: &str, end: &str| {
            let open = before.rfind(start)?;
            before[open..].find(end).is_none().then_some(open)
        };
        if is_in("<table", "</table>").is_some() {
            continue;
        }
        let it = html[at..]
            .split_inclusive("</data>")
            .next()
            .unwrap_or_default();
        let it = said(it).pop().expect("one");
        let (place, around) = if is_in("<dl", "</dl>").is_some() {
            let label = before.rsplit("<dt>").next().unwrap_or_default();
            let label = label.split('<').next().unwrap_or_default();
            (format!("tile {label}"), String::new())
        } else if is_in("<ol class=\"findings\">", "</ol>").is_some() {
            let item = before.rfind("<li>").expect("an item");
            let item = html[item + 4..].split("<li>").next().unwrap_or_default();
            let item = item.split("</ol>").next().unwrap_or_default();
            ("finding".to_owned(), item.to_owned())
        } else if let Some(card) = is_in("<article", "</article>") {
            let id = attribute(&html[card..], "id").unwrap_or_default();
            ("card".to_owned(), id.to_owned())
        } else if let Some(part) = is_in("<summary", "</summary>") {
            let part = before[..part].rfind("<details").expect("its part");
            let id = attribute(&html[part..], "id").unwrap_or_default();
            ("part".to_owned(), id.to_owned())
        } else {
            let section = before.rfind("<section").map(|at| &html[at..]);
            let id = section.and_then(|section| attribute(section, "id"));
            (format!("section {}", id.unwrap_or("head")), String::new())
        };
        found.push((place, around, it));
    }
    found
}

impl Numbered {
    /// What the snapshot says of a figure in a sentence. A finding has a link to the row of the document that it is of, a
    /// card is of its recommendation, and a part of its row.
    pub(crate) fn prose_line(&self, place: &str, around: &str, said: &Said) -> String {
        let values = said.values.as_slice();
        if let Some(count) = said.counted {
            let counts = self.counts(place, around);
            assert!(
                counts.contains(&count),
                "{place}: {count} is none of {counts:?}"
            );
            return format!("{place} | counted");
        }
        self.check_ends(values, place);
        let value = values[0].as_str();
        let path = self.path(value, place, around);
        let rows = self.rows(path);
        let ids: Vec<&str> = rows
            .iter()
            .filter_map(|row| row.get("id")?.as_str())
            .collect();
        let is_of = |slug: &str| ids.iter().any(|id| is_slug_of(slug, id));
        match place {
            // How much was looked at is of the whole document.
            "card" | "part" if !path.starts_with("window.") => {
                assert!(is_of(around), "#{around} shows {path} of {ids:?}");
            }
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

/// Of the rows in this list, those that this is true of.
fn count(rows: &Value, is: impl Fn(&Value) -> bool) -> usize {
    rows.as_array()
        .map_or(0, |rows| rows.iter().filter(|row| is(row)).count())
}

/// The processes of a service: one whose clock or agent changed has several rows.
fn processes(service: &Value, is: impl Fn(&Value) -> bool) -> usize {
    let rows = service["instances"].as_array().into_iter().flatten();
    let starts: BTreeSet<_> = rows
        .filter(|row| is(row))
        .map(|row| (row["instance"].as_str(), row["epoch"].as_str()))
        .collect();
    starts.len()
}

impl Numbered {
    /// What can be counted in the document for a place of the page.
    fn counts(&self, place: &str, around: &str) -> Vec<usize> {
        let document = &self.value;
        let services = document["services"].as_array().expect("services");
        let recommendations = &document["recommendations"];
        match place {
            "tile Services" => vec![
                services.len(),
                services
                    .iter()
                    .map(|service| processes(service, |_| true))
                    .sum(),
                services
                    .iter()
                    .map(|service| processes(service, |row| row["agent_version"] != ""))
                    .sum(),
            ],
            "section recommendations" => ["do", "try", "leave", "cannot_say"]
                .iter()
                .map(|verdict| count(recommendations, |r| r["verdict"] == *verdict))
                .chain([count(&document["suppressed"], |_| true)])
                .collect(),
            // Those that no place on the map has the name of.
            "section map" => {
                let places = document["map"]["places"].as_array().expect("places");
                let is_there = |name: &Value| places.iter().any(|place| place["name"] == *name);
                vec![count(&document["services"], |s| !is_there(&s["service"]))]
            }
            "section services" => services
                .iter()
                .map(|service| count(&service["owners"], |_| true))
                .collect(),
            "card" => recommendations
                .as_array()
                .into_iter()
                .flatten()
                .filter(|r| r["id"].as_str().is_some_and(|id| is_slug_of(around, id)))
                .map(|r| count(&r["prediction"], |_| true).saturating_sub(4))
                .collect(),
            _ => Vec::new(),
        }
    }
}
