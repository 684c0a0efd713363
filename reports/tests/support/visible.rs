//! What a page shows beside the figures that the walk compares: no digit may be left that nobody has looked at.

use std::collections::BTreeSet;

use serde_json::Value;
use weighbridge_reports::html::format::instant;
use weighbridge_reports::html::text::clip;

use crate::walk::{figure_of, text_of};

/// Characters of the epoch of a process that stand beside its name.
const EPOCH_SHOWN: usize = 9;

/// Cuts all elements of a kind out of the markup.
pub(crate) fn without(html: &str, start: &str, end: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once(start) {
        out.push_str(before);
        out.push_str("<cut>");
        rest = after.split_once(end).map_or("", |(_, rest)| rest);
    }
    out.push_str(rest);
    out
}

/// Cuts the cells with figures out, which the walk has compared; names below a figure stay.
fn without_figures(html: &str) -> String {
    let mut out = String::new();
    let marked = html
        .replace("<td", "\u{1}<td")
        .replace("</table", "\u{1}</table");
    let marked = marked.replace("<tr", "\u{1}<tr");
    for piece in marked.split('\u{1}') {
        let is_cell = piece.starts_with("<td");
        match piece.split_once("<small class=w>") {
            _ if piece.starts_with("<td data-as=change") => out.push_str("<td>"),
            _ if !is_cell || figure_of(piece).is_none() => out.push_str(piece),
            Some((_, name)) => out.push_str(&format!("<td><small>{name}")),
            None => out.push_str("<td>"),
        }
    }
    out
}

/// The same without what it says of how much of a list it shows, which must be a part.
fn without_shares(text: &str) -> String {
    let Some((before, rest)) = text.split_once("Shown are ") else {
        return text.to_owned();
    };
    let words: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| words.get(at)?.parse::<usize>().ok();
    let is_part = number(0)
        .zip(number(2))
        .is_some_and(|(shown, all)| shown < all);
    let after = words[3..].join(" ");
    assert!(is_part, "{text}");
    format!("{before}{after}")
}

/// All texts of the document that are no bare number: names, ids, sentences, and times as people read them.
fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            for text in [text.clone(), instant(text), clip(text, EPOCH_SHOWN)] {
                let words: Vec<&str> = text.split_whitespace().collect();
                let text = words.join(" ");
                let has = |pick: fn(&char) -> bool| text.chars().any(|c| pick(&c));
                if has(char::is_ascii_digit) && has(|c| !c.is_ascii_digit()) {
                    found.insert(text);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

/// The texts of a page that hold a digit which is neither of a figure that the walk compares nor of a text of the
/// document, nor of the `fixed` words of the page; nor are they one of the `whole` texts.
pub(crate) fn uncompared(
    html: &str,
    document: &Value,
    fixed: &[&str],
    whole: &[String],
) -> Vec<String> {
    let (_, body) = html.split_once("<body").expect("a body");
    let mut body = without_figures(body);
    for (start, end) in [
        ("<script", "</script>"),
        ("<svg", "</svg>"),
        ("<time", "</time>"),
        ("<code", "</code>"),
        ("<data", "</data>"),
        // What a card of the recommendation is marked with on the map, from one on.
        ("<ol class=\"legend proposed", "</ol>"),
        // The number of a note.
        ("<sup>", "</sup>"),
    ] {
        body = without(&body, start, end);
    }
    let mut known = BTreeSet::new();
    texts(document, &mut known);
    // Longer ones first: a sentence may hold a name.
    let mut known: Vec<String> = known.into_iter().collect();
    known.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let has_digit = |text: &str| text.chars().any(|c| c.is_ascii_digit());
    let mut found = Vec::new();
    for node in body.split('<') {
        let text = text_of(node.split_once('>').map_or("", |(_, text)| text));
        if !has_digit(&text) || whole.contains(&text) {
            continue;
        }
        let mut left = without_shares(&text);
        let all = known
            .iter()
            .map(String::as_str)
            .chain(fixed.iter().copied());
        for words in all {
            if !has_digit(&left) {
                break;
            }
            left = left.replace(words, "…");
        }
        if has_digit(&left) {
            found.push(left);
        }
    }
    found
}
