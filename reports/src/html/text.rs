//! Names and other text from outside, made safe for a page.

/// Most characters of a name that the page shows; a longer one is cut in the middle and stands whole in the embedded
/// document.
pub const SHOWN_CHARACTERS: usize = 96;

/// Replaces what can change how text is read without being seen: control characters, directional overrides,
/// zero-width and other invisible format characters. Each becomes U+FFFD, so that a name with such a character
/// never looks like the name without it. Tab and line breaks become a space.
#[must_use]
pub fn sanitize(text: &str) -> String {
    rewritten(text, is_deceptive, |out, c| out.push(visible(c)))
}

/// What stands for a deceptive character.
fn visible(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => ' ',
        c if is_deceptive(c) => '\u{FFFD}',
        c => c,
    }
}

/// The text with each character that `needs` it written by `write`. What lies between is copied in one piece: documents
/// have hundreds of megabytes, nearly all of which may stand as it is.
fn rewritten(
    text: &str,
    needs: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char),
) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 32);
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| needs(*c)) {
        out.push_str(&rest[..at]);
        write(&mut out, c);
        rest = &rest[at + c.len_utf8()..];
    }
    out.push_str(rest);
    out
}

/// Whether a character can hide or reorder text.
fn is_deceptive(c: char) -> bool {
    if (' '..='~').contains(&c) {
        return false;
    }
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFF0}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}')
}

/// [`sanitize`], then `& < > " '` as character references: safe as element content and inside a quoted attribute.
#[must_use]
pub fn escape_text(text: &str) -> String {
    let needs = |c| matches!(c, '&' | '<' | '>' | '"' | '\'') || is_deceptive(c);
    rewritten(text, needs, |out, c| match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        c => out.push(visible(c)),
    })
}

/// [`sanitize`], then at most `limit` characters: a longer text loses its middle, where names differ least.
#[must_use]
pub fn clip(text: &str, limit: usize) -> String {
    let clean = sanitize(text);
    let count = clean.chars().count();
    if count <= limit || limit < 4 {
        return clean;
    }
    let head = (limit - 1) * 2 / 3;
    let tail = limit - 1 - head;
    let mut out: String = clean.chars().take(head).collect();
    out.push('…');
    out.extend(clean.chars().skip(count - tail));
    out
}

/// A name as the page shows it: [`clip`] to [`SHOWN_CHARACTERS`], and `(no name)` for an empty one.
#[must_use]
pub fn name(text: &str) -> String {
    if text.is_empty() {
        return "(no name)".to_owned();
    }
    clip(text, SHOWN_CHARACTERS)
}

/// Most characters of a sentence that the page shows: a sentence may quote several names of any length.
pub const SENTENCE_CHARACTERS: usize = 600;

/// A sentence as the page shows it: [`clip`] to [`SENTENCE_CHARACTERS`].
#[must_use]
pub fn sentence(text: &str) -> String {
    clip(text, SENTENCE_CHARACTERS)
}

/// JSON that can stand in a `<script type="application/json">`: what could end the element or hide text is written
/// as an escape, which is the same JSON.
#[must_use]
pub fn embed_json(json: &str) -> String {
    let needs = |c| matches!(c, '<' | '>' | '&' | '\'') || is_deceptive(c);
    rewritten(json, needs, |out, c| match c {
        // Between tokens of pretty JSON.
        '\n' | '\r' | '\t' => out.push(' '),
        c => push_escape(out, c),
    })
}

/// The same JSON with what a terminal or a reader could be misled by written as an escape: control characters that JSON
/// lets stand (DEL and those above it), directional and invisible ones. Line breaks between tokens stay.
#[must_use]
pub fn plain_json(json: &str) -> String {
    let needs = |c| c != '\n' && is_deceptive(c);
    rewritten(json, needs, push_escape)
}

fn push_escape(out: &mut String, c: char) {
    let mut units = [0_u16; 2];
    for unit in c.encode_utf16(&mut units) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(
            escape_text("\"><svg/onload=alert(1)> & 'x'"),
            "&quot;&gt;&lt;svg/onload=alert(1)&gt; &amp; &#39;x&#39;"
        );
    }

    #[test]
    fn invisible_characters_are_shown() {
        assert_eq!(
            sanitize("a\u{202E}b\u{0}c\u{1b}[31m\u{200b}"),
            "a\u{FFFD}b\u{FFFD}c\u{FFFD}[31m\u{FFFD}"
        );
        assert_eq!(sanitize("a\nb\tc"), "a b c");
        assert_eq!(sanitize("Zürich 東京"), "Zürich 東京");
    }

    #[test]
    fn long_names_keep_both_ends() {
        let long = format!("begin{}end", "x".repeat(4096));
        let shown = clip(&long, 20);
        assert_eq!(shown.chars().count(), 20);
        assert!(shown.starts_with("begin") && shown.ends_with("end"));
        assert_eq!(clip("short", 20), "short");
    }

    #[test]
    fn embedded_json_cannot_end_its_element_and_means_the_same() {
        let value = serde_json::json!({
            "name": "</script><script>alert(1)</script> \u{202e}\u{e0041} <!-- & ' \u{1b}",
            "n": 1.5,
        });
        let embedded = embed_json(&value.to_string());
        assert!(
            !embedded.contains('<') && !embedded.contains('\u{202e}'),
            "{embedded}"
        );
        let back: serde_json::Value = serde_json::from_str(&embedded).expect("still JSON");
        assert_eq!(back, value);
    }
}
