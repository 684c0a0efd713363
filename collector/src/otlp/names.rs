//! Which words of a span are kept, and how: names of few values by convention, everything that looks like somebody's
//! data replaced.

use std::borrow::Cow;

/// Longest name that is kept, bytes.
const NAME_BYTES_MAX: usize = 200;
/// What stands where something was taken out.
const TAKEN_OUT: &str = "{id}";

/// A name without what identifies somebody or something: a query, numbers, mail addresses, long hexadecimal words and
/// tokens in its parts.
pub(crate) fn clean(name: &[u8]) -> Cow<'_, str> {
    let text = match name.utf8_chunks().next() {
        Some(chunk) if chunk.invalid().is_empty() => chunk.valid(),
        _ => return Cow::Owned(clean_text(&String::from_utf8_lossy(name)).into_owned()),
    };
    clean_text(text)
}

fn clean_text(text: &str) -> Cow<'_, str> {
    let cut = text.find(['?', '#']).unwrap_or(text.len());
    let mut end = cut.min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    let is_border = |c: char| c == '/' || c == ' ' || c == ',' || c == '(' || c == ')';
    if !text.contains(|c: char| c.is_control()) && !text.split(is_border).any(identifies) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut part = String::new();
    let flush = |part: &mut String, kept: &mut String| {
        kept.push_str(if identifies(part) { TAKEN_OUT } else { part });
        part.clear();
    };
    for c in text.chars() {
        if is_border(c) {
            flush(&mut part, &mut kept);
            kept.push(c);
        } else {
            part.push(if c.is_control() { ' ' } else { c });
        }
    }
    flush(&mut part, &mut kept);
    Cow::Owned(kept)
}

/// True for a part that names one thing of many.
fn identifies(part: &str) -> bool {
    // Templates keep their own placeholders.
    if part.starts_with([':', '{', '<', '*', '[']) {
        return false;
    }
    if part.contains(['@', '=', '\'', '"']) || part.len() > 48 {
        return true;
    }
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        // Random letters without a digit are rare; a long word without vowels or with mixed case is no better a sign.
        return false;
    }
    let all_numeric = part
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'-' || b == b'.' || b == b':');
    let hex = part.len() >= 8
        && part
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b'_');
    all_numeric || hex || digits >= 4 || (part.len() >= 16 && digits >= 2)
}

/// A method of HTTP in the words of the convention: a known one, or `_OTHER`.
pub(crate) fn method(method: &[u8]) -> &'static str {
    const KNOWN: [&str; 10] = [
        "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY",
    ];
    KNOWN
        .into_iter()
        .find(|known| known.as_bytes().eq_ignore_ascii_case(method))
        .unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_identifies_somebody_is_taken_out() {
        for (name, kept) in [
            ("/orders/{id}", "/orders/{id}"),
            ("/api/v1/orders/:order_id", "/api/v1/orders/:order_id"),
            ("/users/jane@example.org/mail", "/users/{id}/mail"),
            ("/orders/4711", "/orders/{id}"),
            ("/o/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "/o/{id}"),
            ("/search?q=secret", "/search"),
            ("GET /a b", "GET /a b"),
            ("shop.v2.Cart/Add", "shop.v2.Cart/Add"),
            ("SELECT name = 'Jane'", "SELECT name {id} {id}"),
            ("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "{id}"),
        ] {
            assert_eq!(clean(name.as_bytes()), kept);
        }
        assert_eq!(clean(b"a\x1b[31mb"), "a [31mb", "no control characters");
        assert!(clean(&[0xff, b'a']).contains('a'));
        assert!(clean("ä".repeat(300).as_bytes()).len() <= NAME_BYTES_MAX.max(4));
    }

    #[test]
    fn a_made_up_method_is_other() {
        assert_eq!(method(b"get"), "GET");
        assert_eq!(method(b"X7F3A"), "_OTHER");
    }
}
