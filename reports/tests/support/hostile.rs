//! Names that break reports, and documents full of them.

use weighbridge_reports::Document;

/// Names that services, operations and everything else have been given to break reports.
pub(crate) fn hostile() -> Vec<String> {
    vec![
        "<img src=x onerror=alert(1)>".to_owned(),
        "\"><svg/onload=alert(1)>".to_owned(),
        "</script><script>alert(1)</script>".to_owned(),
        "</style><style>@import url(//evil.example)</style>".to_owned(),
        "' onmouseover='alert(1)".to_owned(),
        "x onclick=alert(1) y=".to_owned(),
        "javascript:alert(1)".to_owned(),
        "a\u{0}b\u{7}\u{1b}[31m\u{9f}".to_owned(),
        "\u{202e}drowssap\u{2066}\u{200b}\u{feff}\u{e0041}".to_owned(),
        "<!--".to_owned(),
        "{{ 7 * 7 }}{% for %}".to_owned(),
        "&lt;b&gt;&amp;".to_owned(),
        "x".repeat(4096),
        "<b>".repeat(1400),
        "名前 ünïcödé 🦀".to_owned(),
        " fill=\"#FE0001\" \n opacity=\"1\"".to_owned(),
        String::new(),
    ]
}

/// Characters that can hide or reorder text.
pub(crate) fn is_deceptive(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Puts `name` into every text of the document, so that a field added later is tried too. Words that the layout
/// knows (units, verdicts, kinds) stay.
pub(crate) fn with_every_text(document: &Document, name: &str) -> Document {
    fn walk(value: &mut serde_json::Value, name: &str) {
        match value {
            serde_json::Value::String(text) => *text = name.to_owned(),
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| walk(item, name)),
            serde_json::Value::Object(fields) => {
                for (key, field) in fields {
                    let is_word = matches!(
                        key.as_str(),
                        "unit" | "quality" | "verdict" | "kind" | "finding"
                    );
                    if !(is_word && field.is_string()) {
                        walk(field, name);
                    }
                }
            }
            _ => {}
        }
    }
    let mut value = serde_json::to_value(document).expect("a document is JSON");
    walk(&mut value, name);
    // Accounts have a kind of their own that is a name.
    for service in value["conservation"]["services"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        for account in service["accounts"].as_array_mut().into_iter().flatten() {
            account["kind"] = name.into();
        }
    }
    serde_json::from_value(value).expect("still a document")
}
