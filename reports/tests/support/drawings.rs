//! Compares the words in the page's pictures with the document: what stands beside bars, and on the service map.

use serde_json::Value;

use crate::reading::read;
use crate::walk::{Numbered, as_json, attribute, names, text_of};

/// The elements of a kind in this markup, without what is around them.
fn elements<'a>(html: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    html.match_indices(start).map(move |(at, _)| {
        let rest = &html[at..];
        rest.split(end).next().unwrap_or_default()
    })
}

/// The words of a drawing that are no axis.
fn words<'a>(svg: &'a str, class: &'a str) -> impl Iterator<Item = String> + 'a {
    elements(svg, "<text", "</text>")
        .filter(move |text| text.contains(&format!("class=\"{class}\"")))
        .map(|text| text_of(text.split_once('>').map_or("", |(_, words)| words)))
}

impl Numbered {
    /// Compares what stands beside each bar of each chart with the figure of the document that the chart names for it.
    /// How many were compared.
    pub(crate) fn check_bars(&self, html: &str) -> usize {
        let mut compared = 0;
        for figure in elements(html, "<figure", "</figure>") {
            let Some((_, values)) = figure.split_once(" data-values=\"") else {
                continue;
            };
            let values: Vec<&str> = values
                .split('"')
                .next()
                .unwrap_or_default()
                .split(' ')
                .collect();
            for svg in elements(figure, "<svg class=\"chart", "</svg>") {
                let words: Vec<String> = words(svg, "f-text").collect();
                assert_eq!(words.len(), 2 * values.len(), "{words:?} for {values:?}");
                for (pair, value) in words.chunks(2).zip(&values) {
                    let [shown, label] = pair else { continue };
                    let shown = shown.trim_end_matches(" of it messages");
                    if *value == "-" {
                        assert!(shown.ends_with("not known"), "{label}: {shown}");
                        continue;
                    }
                    let exact: f64 = value.parse().expect("a number");
                    let holds = read(shown).is_some_and(|read| read.holds(exact));
                    assert!(holds, "{label}: {shown} is not {value}");
                    let path = self.path(&as_json(value), label, shown);
                    let rows = self.rows(path);
                    let named = rows.iter().map(|row| names(row)).find(|n| !n.is_empty());
                    let named = named.expect("a name");
                    // Of the calling end a label has the service only.
                    let missing = named.iter().filter(|name| !label.contains(name.as_str()));
                    let is_cut = label.contains('…');
                    assert!(
                        is_cut || missing.count() <= usize::from(named.len() > 2),
                        "{label} shows {path} of {named:?}"
                    );
                    compared += 1;
                }
            }
        }
        compared
    }

    /// Compares the words on the arrows and boxes of the map with the document. How many figures were compared.
    pub(crate) fn check_map(&self, html: &str) -> usize {
        let map = elements(html, "<figure id=\"chart-map\"", "</figure>").next();
        let map = map.expect("a map");
        let arrows = self.value["map"]["arrows"].as_array().expect("arrows");
        let mut compared = 0;
        for svg in elements(map, "<svg class=\"chart", "</svg>") {
            let titles: Vec<String> = elements(svg, "class=\"edge\"", "</title>")
                .map(|path| text_of(path.split_once("<title>").map_or("", |(_, title)| title)))
                .collect();
            assert_eq!(titles.len(), arrows.len(), "an arrow each");
            for (title, arrow) in titles.iter().zip(arrows) {
                compared += of_arrow(title, arrow);
            }
            for link in elements(svg, "<a href", "</a>") {
                if link.contains("class=\"node") {
                    compared += self.of_node(link);
                } else {
                    compared += of_label(link, &titles);
                }
            }
        }
        compared
    }

    /// What stands under the name of a service.
    fn of_node(&self, link: &str) -> usize {
        let name = words(link, "f-text").next().unwrap_or_default();
        let services = self.value["services"].as_array().expect("services");
        let Some(service) = services.iter().find(|s| s["service"] == *name) else {
            return 0;
        };
        let mut compared = 0;
        for (line, key) in words(link, "f-muted").zip(["cpu_cores", "message_share"]) {
            // What has no room is cut, and stands whole in the table.
            if line.contains('…') || line == "carries messages" {
                continue;
            }
            let shown = line.trim_end_matches(" messages");
            assert!(holds(shown, &service[key]), "{name}: {line} is not {key}");
            compared += 1;
        }
        compared
    }
}

/// True when these words are the value of the figure.
fn holds(words: &str, figure: &Value) -> bool {
    let exact = figure["value"].as_f64();
    let read = read(words);
    exact
        .zip(read)
        .is_some_and(|(exact, read)| read.holds(exact))
}

/// What is said of an arrow to who rests on it, figure by figure.
fn of_arrow(title: &str, arrow: &Value) -> usize {
    let (_, said) = title.split_once(": ").expect("its ends");
    let (said, together) = match said.split_once("; ") {
        Some((said, together)) => (said, Some(together)),
        None => (said, None),
    };
    let edges = arrow["edges"].as_array().map_or(0, Vec::len);
    let counted = together.and_then(|words| words.split(' ').next()?.parse().ok());
    assert_eq!(counted.unwrap_or(edges.min(1)), edges, "{title}");
    let parts = said.split(", ");
    let mut compared = 0;
    for part in parts {
        let (words, key) = if let Some(words) = part.strip_suffix(" of bodies") {
            (words, "body_bytes")
        } else if let Some(words) = part.strip_prefix("message overhead ") {
            (words, "overhead_cores")
        } else if let Some(words) = part.strip_suffix(" of what the calls cost") {
            (words, "overhead_share")
        } else if let Some(words) = part.strip_prefix("mean ") {
            let words = words.trim_start_matches("wait or lag ");
            (
                words.trim_start_matches("wait ").trim_start_matches("lag "),
                "wait",
            )
        } else {
            (part, "rate")
        };
        assert!(
            holds(words, &arrow[key]),
            "{title}: {words} is not {key}: {arrow}"
        );
        compared += 1;
    }
    compared
}

/// What stands on an arrow is what is said of it.
fn of_label(link: &str, titles: &[String]) -> usize {
    let said = text_of(attribute_of(link, "aria-label"));
    // A long one loses its middle.
    let end = |title: &str| -> String {
        let from = title.chars().count().saturating_sub(50);
        title.chars().skip(from).collect()
    };
    let title = titles
        .iter()
        .find(|title| said.ends_with(&end(title)))
        .unwrap_or_else(|| panic!("{said} is none of {titles:?}"));
    let (_, said) = title.split_once(": ").expect("its ends");
    let mut compared = 0;
    for line in words(link, "f-text") {
        let line = [" messages", " wait or lag", " wait", " lag"]
            .iter()
            .find_map(|what| line.strip_suffix(what))
            .unwrap_or(&line)
            .to_owned();
        for part in line.split(", ").filter(|part| !part.contains('…')) {
            let is_said = said
                .split("; ")
                .flat_map(|said| said.split(", "))
                .any(|of| {
                    of == part
                        || of.ends_with(&format!(" {part}"))
                        || of.starts_with(&format!("{part} "))
                });
            assert!(is_said, "{part} is not in {title}");
            compared += 1;
        }
    }
    compared
}

/// An attribute whose value has spaces.
fn attribute_of<'a>(tag: &'a str, name: &str) -> &'a str {
    assert!(attribute(tag, name).is_some(), "{name} in {tag}");
    tag.split_once(&format!(" {name}=\""))
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or_default()
}
